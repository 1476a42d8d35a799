//! A network whose upper weights mean nothing any more, for the randomisation test of its class maps.

use prost::Message as _;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use tract_onnx::pb::ModelProto;
use tract_onnx::pb::tensor_proto::DataType;

/// The same file with the weights of the classifier, and of the blocks from `from_block` on, in another order: each
/// tensor keeps its values and loses what it learnt. The distance of the gate stays.
///
/// # Errors
/// The bytes are no ONNX.
pub fn shuffled(onnx: &[u8], from_block: usize, seed: u64) -> Result<Vec<u8>, prost::DecodeError> {
    let mut model = ModelProto::decode(onnx)?;
    let mut rng = StdRng::seed_from_u64(seed);
    for tensor in model.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
        let name = tensor.name.as_str();
        let is_weight = name.ends_with(".weight") || name.ends_with(".weight.quantized");
        let block = name.strip_prefix("block").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        if !is_weight || block.is_some_and(|block| block < from_block) {
            continue;
        }
        let each = if tensor.data_type == DataType::Float as i32 { 4 } else { 1 };
        let mut values: Vec<&[u8]> = tensor.raw_data.chunks_exact(each).collect();
        values.shuffle(&mut rng);
        tensor.raw_data = values.concat();
    }
    Ok(model.encode_to_vec())
}
