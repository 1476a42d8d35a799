//! A trained network as a straight list of layers with plain numbers, batch norms folded in.

use crate::net::{ConvBn, Lite0, floats};

/// Name of the network's input.
pub const INPUT: &str = "radiograph";
/// Name of the network's output.
pub const OUTPUT: &str = "logits";

/// A network that computes its nodes one after the other.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Height and width of the input.
    pub size: [usize; 2],
    /// Number of outputs.
    pub classes: usize,
    /// The nodes in the order of computation; the last one is the output.
    pub nodes: Vec<Node>,
}

/// A layer and what it reads.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name, and that of what it computes.
    pub name: String,
    /// Names of what it reads: nodes before it, or the network's input.
    pub inputs: Vec<String>,
    /// What it computes.
    pub layer: Layer,
}

/// What a node computes.
#[derive(Clone, Debug)]
pub enum Layer {
    /// A convolution, and ReLU6 after it where stated.
    Conv {
        /// Weights `[outputs, inputs / groups, height, width]`.
        dense: Dense,
        /// Stride in both directions.
        stride: usize,
        /// Zeros before the first and after the last row and column: top, left, bottom, right.
        padding: [usize; 4],
        /// 1, or the number of channels.
        groups: usize,
        /// Whether the result is clipped to 0..=6.
        relu6: bool,
    },
    /// The sum of two inputs.
    Add,
    /// The mean of every channel.
    Mean,
    /// Weights `[outputs, inputs]`.
    Linear {
        /// The weights.
        dense: Dense,
    },
}

/// Weights and a bias for each output channel, which is the first dimension.
#[derive(Clone, Debug)]
pub struct Dense {
    /// Shape of the weights.
    pub shape: Vec<usize>,
    /// The weights, row by row.
    pub weight: Vec<f32>,
    /// The bias.
    pub bias: Vec<f32>,
}

impl Node {
    /// The weights, where it has some.
    pub fn dense(&self) -> Option<&Dense> {
        match &self.layer {
            Layer::Conv { dense, .. } | Layer::Linear { dense } => Some(dense),
            Layer::Add | Layer::Mean => None,
        }
    }
}

impl Graph {
    /// The graph of a trained network for inputs of `size` (height, width).
    pub fn of(net: &Lite0, size: [usize; 2]) -> Self {
        let mut graph = Self { size, classes: net.classes(), nodes: Vec::new() };
        let mut size = size;
        let mut last = graph.conv("stem".into(), INPUT, &net.stem, &mut size, true);
        for (number, block) in net.blocks.iter().enumerate() {
            let before = last.clone();
            if let Some(expand) = &block.expand {
                last = graph.conv(format!("block{number}.expand"), &last, expand, &mut size, true);
            }
            last = graph.conv(format!("block{number}.depthwise"), &last, &block.depthwise, &mut size, true);
            last = graph.conv(format!("block{number}.project"), &last, &block.project, &mut size, false);
            if block.residual {
                last = graph.push(format!("block{number}"), &[&last, &before], Layer::Add);
            }
        }
        last = graph.conv("head".into(), &last, &net.head, &mut size, true);
        last = graph.push("features".into(), &[&last], Layer::Mean);
        let weight = net.classifier.weight.val().transpose();
        let bias = net.classifier.bias.as_ref().map_or(vec![0.0; graph.classes], |bias| floats(bias.val()));
        let dense = Dense { shape: weight.dims().to_vec(), weight: floats(weight), bias };
        graph.push(OUTPUT.into(), &[&last], Layer::Linear { dense });
        graph
    }

    /// Whether a layer reads the value of this name.
    pub fn reads(&self, name: &str) -> bool {
        self.nodes.iter().any(|node| node.inputs.iter().any(|input| input == name))
    }

    fn conv(&mut self, name: String, input: &str, conv: &ConvBn, size: &mut [usize; 2], relu6: bool) -> String {
        let (weight, bias) = conv.folded();
        let dense = Dense { shape: weight.dims().to_vec(), weight: floats(weight), bias: floats(bias) };
        let [(top, bottom), (left, right)] = size.map(|side| conv.padding(side));
        *size = size.map(|side| side.div_ceil(conv.stride));
        let padding = [top, left, bottom, right];
        self.push(name, &[input], Layer::Conv { dense, stride: conv.stride, padding, groups: conv.groups, relu6 })
    }

    fn push(&mut self, name: String, inputs: &[&str], layer: Layer) -> String {
        let inputs = inputs.iter().map(|input| (*input).to_owned()).collect();
        self.nodes.push(Node { name: name.clone(), inputs, layer });
        name
    }
}
