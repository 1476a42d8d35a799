//! A trained network as a straight list of layers with plain numbers, batch norms folded in.

use crate::distance::Distance;
use crate::net::{Block, ConvBlock, ConvBn, Inverted, Net, Residual, floats};

/// Name of the network's input.
pub const INPUT: &str = "radiograph";
/// Name of the pooled features that the last layer judges.
pub const FEATURES: &str = "features";
/// Name of the network's output.
pub const OUTPUT: &str = "logits";

/// A network that computes its nodes one after the other.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Height and width of the input.
    pub size: [usize; 2],
    /// Number of outputs.
    pub classes: usize,
    /// Height and width of what is pooled.
    pub pooled: [usize; 2],
    /// The nodes in the order of computation; the last one is the output.
    pub nodes: Vec<Node>,
    /// How far a film lies from the training films, once that is fitted.
    pub distance: Option<Distance>,
}

impl Graph {
    /// Adds to the outputs.
    pub fn add_to_outputs(&mut self, offsets: &[f32]) {
        let last = self.nodes.last_mut().and_then(Node::dense_mut);
        for (bias, offset) in last.into_iter().flat_map(|dense| &mut dense.bias).zip(offsets) {
            *bias += offset;
        }
    }
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
    /// A convolution.
    Conv {
        /// Weights `[outputs, inputs / groups, height, width]`.
        dense: Dense,
        /// Stride in both directions.
        stride: usize,
        /// Zeros before the first and after the last row and column: top, left, bottom, right.
        padding: [usize; 4],
        /// 1, or the number of channels.
        groups: usize,
        /// What follows.
        activation: Activation,
    },
    /// The largest value of each window.
    MaxPool {
        /// Side of the window.
        kernel: usize,
        /// Stride in both directions.
        stride: usize,
        /// Padding on every side.
        padding: usize,
    },
    /// The sum of two inputs.
    Add {
        /// What follows.
        activation: Activation,
    },
    /// The mean of every channel.
    Mean,
    /// Weights `[outputs, inputs]`.
    Linear {
        /// The weights.
        dense: Dense,
    },
}

/// What clips the values of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// Below 0.
    Relu,
    /// Below 0 and above 6.
    Relu6,
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
            Layer::MaxPool { .. } | Layer::Add { .. } | Layer::Mean => None,
        }
    }
}

impl Node {
    pub(super) fn dense_mut(&mut self) -> Option<&mut Dense> {
        match &mut self.layer {
            Layer::Conv { dense, .. } | Layer::Linear { dense } => Some(dense),
            Layer::MaxPool { .. } | Layer::Add { .. } | Layer::Mean => None,
        }
    }
}

impl Graph {
    /// The graph of a trained network for inputs of `size` (height, width).
    pub fn of(net: &Net, size: [usize; 2]) -> Self {
        let mut graph = Self { size, classes: net.classes(), pooled: size, nodes: Vec::new(), distance: None };
        let mut size = size;
        let mut last = INPUT.to_owned();
        for (number, block) in net.blocks.iter().enumerate() {
            let part = |part: &str| format!("block{number}.{part}");
            let before = last.clone();
            match block {
                Block::Conv(ConvBlock { conv, relu6 }) => {
                    let activation = if *relu6 { Activation::Relu6 } else { Activation::Relu };
                    last = graph.conv(format!("block{number}"), &last, conv, &mut size, activation);
                }
                Block::Pool(pool) => {
                    let padding = pool.padding();
                    size = size.map(|side| (side + 2 * padding - pool.kernel) / pool.stride + 1);
                    let layer = Layer::MaxPool { kernel: pool.kernel, stride: pool.stride, padding };
                    last = graph.push(format!("block{number}"), &[&last], layer);
                }
                Block::Inverted(Inverted { expand, depthwise, project, residual }) => {
                    if let Some(expand) = expand {
                        last = graph.conv(part("expand"), &last, expand, &mut size, Activation::Relu6);
                    }
                    last = graph.conv(part("depthwise"), &last, depthwise, &mut size, Activation::Relu6);
                    last = graph.conv(part("project"), &last, project, &mut size, Activation::None);
                    if *residual {
                        let layer = Layer::Add { activation: Activation::None };
                        last = graph.push(format!("block{number}"), &[&last, &before], layer);
                    }
                }
                Block::Residual(Residual { convs, shortcut }) => {
                    let mut before_size = size;
                    for (inner, conv) in convs.iter().enumerate() {
                        let between = inner + 1 < convs.len();
                        let activation = if between { Activation::Relu } else { Activation::None };
                        last = graph.conv(part(&format!("conv{inner}")), &last, conv, &mut size, activation);
                    }
                    let other = shortcut.as_ref().map_or(before.clone(), |conv| {
                        graph.conv(part("shortcut"), &before, conv, &mut before_size, Activation::None)
                    });
                    let layer = Layer::Add { activation: Activation::Relu };
                    last = graph.push(format!("block{number}"), &[&last, &other], layer);
                }
            }
        }
        graph.pooled = size;
        last = graph.push(FEATURES.into(), &[&last], Layer::Mean);
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

    /// Name of what the last layer of a block computes; `None` where there is no such block.
    pub fn value_of_block(&self, block: usize) -> Option<&str> {
        let (whole, part) = (format!("block{block}"), format!("block{block}."));
        let of_block = |node: &&Node| node.name == whole || node.name.starts_with(&part);
        self.nodes.iter().rfind(of_block).map(|node| node.name.as_str())
    }

    fn conv(
        &mut self,
        name: String,
        input: &str,
        conv: &ConvBn,
        size: &mut [usize; 2],
        activation: Activation,
    ) -> String {
        let (weight, bias) = conv.folded();
        let dense = Dense { shape: weight.dims().to_vec(), weight: floats(weight), bias: floats(bias) };
        let [(top, bottom), (left, right)] = size.map(|side| conv.padding(side));
        let [height, width] = *size;
        let out = |side: usize, padding: usize| (side + padding - conv.kernel) / conv.stride + 1;
        *size = [out(height, top + bottom), out(width, left + right)];
        let padding = [top, left, bottom, right];
        let layer = Layer::Conv { dense, stride: conv.stride, padding, groups: conv.groups, activation };
        self.push(name, &[input], layer)
    }

    fn push(&mut self, name: String, inputs: &[&str], layer: Layer) -> String {
        let inputs = inputs.iter().map(|input| (*input).to_owned()).collect();
        self.nodes.push(Node { name: name.clone(), inputs, layer });
        name
    }
}
