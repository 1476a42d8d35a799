//! Networks as ONNX: f32 with the norms folded in, and statically quantized to 8 bits.
//!
//! [`Graph`] is the network as a list of five kinds of layer; [`write_f32`] and [`write_int8`] write it as ONNX
//! opset 13 from what it holds, and [`observe`] runs the f32 file to learn the ranges that the int8 file needs.

mod beside;
mod equalise;
mod graph;
mod observe;
mod proto;
mod quantize;
mod range;
mod report;
mod shuffle;

pub use beside::{DISTANCE, MAP};
pub use equalise::equalise;
pub use graph::{Activation, Dense, FEATURES, Graph, INPUT, Layer, Node, OUTPUT};
pub use observe::{ObserveError, Observed, Probe, Ranges, observe};
pub use quantize::write_int8;
pub use range::Range;
pub use report::{LayerNoise, noise};
pub use shuffle::shuffled;

use crate::distance::Distance;
use crate::experiment::Int8;
use chestlight::preprocess::InputTensor;
use proto::{Builder, ints, number};
use tract_onnx::pb::AttributeProto;

/// A network in both forms.
#[derive(Clone, Debug)]
pub struct Files {
    /// f32.
    pub float: Vec<u8>,
    /// int8.
    pub int8: Vec<u8>,
    /// The network that was rounded to int8: the same function as the f32 one, equalised where that was asked for.
    pub rounded: Graph,
    /// What was observed of its values.
    pub observed: Observed,
}

impl Files {
    /// A probe of the int8 network at a value of the graph, after its bytes.
    ///
    /// # Errors
    /// [`ObserveError`] when tract cannot run the network.
    pub fn probe(&self, value: &str) -> Result<Probe, ObserveError> {
        let read = self.observed.ranges.contains_key(value).then(|| quantize::dequantized(value));
        Probe::new(&self.int8, &[read.unwrap_or_else(|| value.to_owned())])
    }

    /// Writes both forms again, with a distance.
    pub fn tell_distance(&mut self, distance: Distance, settings: &Int8) {
        self.rounded.distance = Some(distance);
        // Of the rounded graph: equalisation may have scaled the channels that the distance was fitted to.
        self.float = write_f32(&self.rounded);
        self.int8 = write_int8(&self.rounded, &self.observed, settings);
    }
}

/// Writes the network in f32, and in int8 as the settings say, with what the films tell of its values. `tick` hears
/// every film, twice.
///
/// # Errors
/// [`ObserveError`].
pub fn files(
    mut graph: Graph,
    films: &[InputTensor],
    settings: &Int8,
    tick: &mut dyn FnMut(),
) -> Result<Files, ObserveError> {
    let float = write_f32(&graph);
    if settings.equalise {
        equalise(&mut graph);
    }
    let observed = observe(&graph, films, settings.observer, tick)?;
    Ok(Files { float, int8: write_int8(&graph, &observed, settings), rounded: graph, observed })
}

/// The pooled features of each film, as a network's ONNX file computes them; read by its last layer.
///
/// # Errors
/// [`ObserveError`] when tract cannot run the network, or when it has no value of that name.
pub fn features(onnx: &[u8], films: &[InputTensor]) -> Result<Vec<Vec<f32>>, ObserveError> {
    let mut features = Vec::with_capacity(films.len());
    observe::for_each(onnx, &[FEATURES.to_owned()], films, &mut |_, values| {
        features.extend(values.into_iter().map(|value| value.values));
    })?;
    Ok(features)
}

/// The network as f32 ONNX, input `[1, 3, height, width]`, output `[1, classes]` logits.
pub fn write_f32(graph: &Graph) -> Vec<u8> {
    let mut file = Builder::new(graph);
    for node in &graph.nodes {
        layer(&mut file, node, &node.inputs, None, false);
    }
    beside::write(&mut file, graph, &str::to_owned);
    file.encode()
}

/// Writes one layer that reads `inputs`; a layer with weights reads them from `weights` where that names them, and
/// from new f32 constants otherwise. A result that is `quantized` needs no activation: its range clips it.
fn layer(file: &mut Builder, node: &Node, inputs: &[String], weights: Option<[String; 2]>, quantized: bool) {
    let name = node.name.as_str();
    let mut inputs = inputs.to_vec();
    if let Some(dense) = node.dense() {
        inputs.extend(weights.unwrap_or_else(|| {
            [
                file.floats(&format!("{name}.weight"), &dense.shape, &dense.weight),
                file.floats(&format!("{name}.bias"), &[dense.bias.len()], &dense.bias),
            ]
        }));
    }
    match &node.layer {
        Layer::Conv { dense, stride, padding: [top, left, bottom, right], groups, activation } => {
            let [height, width] = [2, 3].map(|side| dense.shape.get(side).copied().unwrap_or(1));
            let attributes = vec![
                ints("kernel_shape", &[height, width]),
                ints("strides", &[*stride, *stride]),
                ints("pads", &[*top, *left, *bottom, *right]),
                number("group", *groups),
            ];
            activated(file, "Conv", name, &inputs, attributes, *activation, quantized);
        }
        Layer::MaxPool { kernel, stride, padding } => {
            let attributes =
                vec![ints("kernel_shape", &[*kernel; 2]), ints("strides", &[*stride; 2]), ints("pads", &[*padding; 4])];
            file.node("MaxPool", name, &inputs, attributes);
        }
        Layer::Add { activation } => activated(file, "Add", name, &inputs, Vec::new(), *activation, quantized),
        Layer::Mean => {
            let pooled = format!("{name}.pool");
            file.node("GlobalAveragePool", &pooled, &inputs, Vec::new());
            file.node("Flatten", name, &[pooled], vec![number("axis", 1)]);
        }
        Layer::Linear { .. } => file.node("Gemm", name, &inputs, vec![number("transB", 1)]),
    }
}

/// Writes an operator and, unless the result is quantized, its activation.
fn activated(
    file: &mut Builder,
    op: &str,
    name: &str,
    inputs: &[String],
    attributes: Vec<AttributeProto>,
    activation: Activation,
    quantized: bool,
) {
    let before = format!("{name}.linear");
    match activation {
        _ if quantized => file.node(op, name, inputs, attributes),
        Activation::None => file.node(op, name, inputs, attributes),
        Activation::Relu => {
            file.node(op, &before, inputs, attributes);
            file.node("Relu", name, &[before], Vec::new());
        }
        Activation::Relu6 => {
            let bounds = [file.scalar("relu6.min", 0.0), file.scalar("relu6.max", 6.0)];
            file.node(op, &before, inputs, attributes);
            file.node("Clip", name, &[[before].as_slice(), &bounds].concat(), Vec::new());
        }
    }
}
