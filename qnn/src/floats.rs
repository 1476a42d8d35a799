//! A quantized network computed in floats, for what has no integer layers: a GPU.

use tract_onnx::tract_core::ops::math::{max, min};
use tract_onnx::tract_core::ops::quant::DequantizeLinearF32;
use tract_onnx::tract_hir::internal::*;

use crate::recognise::{quantize, steps};

/// The network without the rounding of its activations: a `QuantizeLinear` to u8 and the `DequantizeLinear` after it
/// become the clipping to what the bytes can say. Weights stay what their bytes say.
///
/// It works on what tract's own reader and `into_typed` make of a file, as [`Int8`](crate::Int8) does on what
/// [`onnx`](crate::onnx) does.
///
/// # Errors
/// When tract finds the graph broken; a graph without anything to replace stays as it is.
pub fn in_floats(mut model: TypedModel) -> TractResult<TypedModel> {
    for id in model.eval_order()? {
        let node = model.node(id);
        let (Some(dequantize), [bytes]) = (node.op_as::<DequantizeLinearF32>(), node.inputs.as_slice()) else {
            continue;
        };
        let quantized = model.node(bytes.node);
        let (Some(op), [number]) = (quantize(quantized), quantized.inputs.as_slice()) else { continue };
        let zero_point = dequantize.zero_point as f32;
        let same = (steps(op).scale / f64::from(dequantize.scale) - 1.0).abs() < 1e-6;
        ensure!(same && op.zero_point as f32 == zero_point, "{} has other steps than {}", node.name, quantized.name);
        let rank = model.outlet_fact(*number)?.rank();
        let bound = |byte: f32| tensor0((byte - zero_point) * dequantize.scale).broadcast_into_rank(rank);

        let mut patch = TypedModelPatch::default();
        let number = patch.tap_model(&model, *number)?;
        let least = patch.add_const(format!("{}.least", node.name), bound(0.0)?)?;
        let most = patch.add_const(format!("{}.most", node.name), bound(255.0)?)?;
        let above = patch.wire_node(format!("{}.above", node.name), max(), &[number, least])?;
        let clipped =
            patch.wire_node(format!("{}.clipped", node.name), min(), &[above.as_slice(), &[most]].concat())?;
        let [clipped] = *clipped else { bail!("an operator without a result") };
        patch.shunt_outside(&model, id.into(), clipped)?;
        patch.apply(&mut model)?;
    }
    Ok(model)
}
