//! The few ONNX messages that are written, through tract's own protobuf types.

use std::collections::BTreeSet;

use prost::Message as _;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto,
};

use super::graph::{Graph, INPUT, OUTPUT};

/// The first with per-channel `DequantizeLinear`; every runtime that matters reads it.
const OPSET: i64 = 13;
/// The file format of that opset's ONNX release, 1.8.
const IR_VERSION: i64 = 7;

/// An ONNX file as it grows.
pub struct Builder {
    graph: GraphProto,
    constants: BTreeSet<String>,
}

impl Builder {
    /// A file with the graph's input and output and nothing between.
    pub fn new(graph: &Graph) -> Self {
        let [height, width] = graph.size;
        let graph = GraphProto {
            name: "chestlight".into(),
            input: vec![value(INPUT, &[1, 3, height, width])],
            output: vec![value(OUTPUT, &[1, graph.classes])],
            ..Default::default()
        };
        Self { graph, constants: BTreeSet::new() }
    }

    /// Makes a value an output of the file.
    pub fn output(&mut self, name: &str, shape: &[usize]) {
        self.graph.output.push(value(name, shape));
    }

    /// Adds an operator whose one result has its own name.
    pub fn node(&mut self, op: &str, name: &str, inputs: &[String], attribute: Vec<AttributeProto>) {
        self.graph.node.push(NodeProto {
            op_type: op.into(),
            name: name.into(),
            input: inputs.to_vec(),
            output: vec![name.into()],
            attribute,
            ..Default::default()
        });
    }

    /// Adds an f32 constant and returns its name.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        self.constant(name, shape, DataType::Float, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// Adds one f32 without dimensions, once.
    pub fn scalar(&mut self, name: &str, value: f32) -> String {
        self.constant(name, &[], DataType::Float, value.to_le_bytes().to_vec())
    }

    /// Adds an i8 constant.
    pub fn i8s(&mut self, name: &str, shape: &[usize], values: &[i8]) -> String {
        self.constant(name, shape, DataType::Int8, values.iter().map(|value| value.to_le_bytes()[0]).collect())
    }

    /// Adds one u8 without dimensions.
    pub fn u8(&mut self, name: &str, value: u8) -> String {
        self.constant(name, &[], DataType::Uint8, vec![value])
    }

    /// Adds an i32 constant.
    pub fn i32s(&mut self, name: &str, values: &[i32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, &[values.len()], DataType::Int32, bytes)
    }

    fn constant(&mut self, name: &str, shape: &[usize], data_type: DataType, raw_data: Vec<u8>) -> String {
        if self.constants.insert(name.into()) {
            self.graph.initializer.push(TensorProto {
                name: name.into(),
                dims: shape.iter().map(|side| *side as i64).collect(),
                data_type: data_type as i32,
                raw_data,
                ..Default::default()
            });
        }
        name.into()
    }

    /// The file.
    pub fn encode(self) -> Vec<u8> {
        let model = ModelProto {
            ir_version: IR_VERSION,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            producer_name: env!("CARGO_PKG_NAME").into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(self.graph),
            ..Default::default()
        };
        model.encode_to_vec()
    }
}

/// The same file with every named value as an output; the input's own outputs are dropped.
pub fn with_outputs(onnx: &[u8], names: &[String]) -> Result<Vec<u8>, prost::DecodeError> {
    let mut model = ModelProto::decode(onnx)?;
    if let Some(graph) = &mut model.graph {
        graph.output = names.iter().map(|name| ValueInfoProto { name: name.clone(), ..Default::default() }).collect();
    }
    Ok(model.encode_to_vec())
}

/// An attribute of whole numbers.
pub fn ints(name: &str, values: &[usize]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints: values.iter().map(|value| *value as i64).collect(),
        ..Default::default()
    }
}

/// An attribute of one whole number.
pub fn number(name: &str, value: usize) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i: value as i64, ..Default::default() }
}

fn value(name: &str, shape: &[usize]) -> ValueInfoProto {
    let side =
        |side: &usize| Dimension { denotation: String::new(), value: Some(dimension::Value::DimValue(*side as i64)) };
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim: shape.iter().map(side).collect() }),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { denotation: String::new(), value: Some(type_proto::Value::TensorType(tensor)) }),
        ..Default::default()
    }
}
