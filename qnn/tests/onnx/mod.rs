//! Small quantized networks, written as `onnxruntime.quantization` writes them.

use prost::Message as _;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};

/// A network as it grows.
pub struct Network {
    graph: GraphProto,
    seed: u64,
    constants: usize,
}

impl Network {
    /// A network with the input `input` of this shape.
    pub fn new(shape: &[usize]) -> Self {
        let dim = shape
            .iter()
            .map(|side| Dimension { denotation: String::new(), value: Some(dimension::Value::DimValue(*side as i64)) });
        let tensor = type_proto::Tensor {
            elem_type: DataType::Float as i32,
            shape: Some(TensorShapeProto { dim: dim.collect() }),
        };
        let value = type_proto::Value::TensorType(tensor);
        let r#type = Some(TypeProto { denotation: String::new(), value: Some(value) });
        let input = ValueInfoProto { name: "input".into(), r#type, ..Default::default() };
        Self {
            graph: GraphProto { name: "test".into(), input: vec![input], ..Default::default() },
            seed: 7,
            constants: 0,
        }
    }

    /// A number between 0 and 1; always the same ones in the same order.
    pub fn random(&mut self) -> f32 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 40) as f32 / (1u64 << 24) as f32
    }

    fn constant(&mut self, dims: &[usize], data_type: DataType, raw_data: Vec<u8>) -> String {
        self.constants += 1;
        let name = format!("constant{}", self.constants);
        self.graph.initializer.push(TensorProto {
            name: name.clone(),
            dims: dims.iter().map(|side| *side as i64).collect(),
            data_type: data_type as i32,
            raw_data,
            ..Default::default()
        });
        name
    }

    /// An f32 constant.
    pub fn floats(&mut self, dims: &[usize], values: &[f32]) -> String {
        self.constant(dims, DataType::Float, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// An operator with one result.
    pub fn op(&mut self, op: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> String {
        let name = format!("{}{}", op.to_lowercase(), self.graph.node.len());
        self.graph.node.push(NodeProto {
            op_type: op.into(),
            name: name.clone(),
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: vec![name.clone()],
            attribute,
            ..Default::default()
        });
        name
    }

    /// `value` through bytes: the name of the dequantized value.
    pub fn through(&mut self, value: &str, scale: f32, zero_point: u8) -> String {
        let scale = self.floats(&[], &[scale]);
        let zero_point = self.constant(&[], DataType::Uint8, vec![zero_point]);
        let bytes = self.op("QuantizeLinear", &[value, &scale, &zero_point], vec![]);
        self.op("DequantizeLinear", &[&bytes, &scale, &zero_point], vec![])
    }

    /// Random weights of `bits` bits with a scale for each place along `axis`, which holds the outputs.
    pub fn weights(&mut self, dims: &[usize], axis: usize, bits: u32) -> String {
        let most = ((1 << (bits - 1)) - 1) as f32;
        let count: usize = dims.iter().product();
        let values = (0..count).map(|_| ((self.random() * 2.0 - 1.0) * most).round() as i8 as u8).collect();
        let weights = self.constant(dims, DataType::Int8, values);
        let scales: Vec<f32> = (0..dims[axis]).map(|_| 0.002 + 0.01 * self.random()).collect();
        let scales = self.floats(&[dims[axis]], &scales);
        let zeros = self.constant(&[dims[axis]], DataType::Int8, vec![0; dims[axis]]);
        self.op("DequantizeLinear", &[&weights, &scales, &zeros], vec![int("axis", axis as i64)])
    }

    /// A random bias.
    pub fn bias(&mut self, outputs: usize) -> String {
        let bias: Vec<f32> = (0..outputs).map(|_| self.random() - 0.5).collect();
        self.floats(&[outputs], &bias)
    }

    /// The file, with these values as its outputs.
    pub fn encode(mut self, outputs: &[&str]) -> Vec<u8> {
        let output = |name: &&str| ValueInfoProto { name: (*name).to_owned(), ..Default::default() };
        self.graph.output = outputs.iter().map(output).collect();
        let model = ModelProto {
            ir_version: 7,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 13 }],
            graph: Some(self.graph),
            ..Default::default()
        };
        model.encode_to_vec()
    }
}

/// An attribute of whole numbers.
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints: values.to_vec(),
        ..Default::default()
    }
}

/// An attribute of one whole number.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i: value, ..Default::default() }
}
