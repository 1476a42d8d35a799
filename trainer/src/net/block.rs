//! The blocks of which all networks are made.

use burn::module::{Initializer, Param};
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::prelude::*;
use burn::tensor::activation::relu;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};

use super::convolution::convolve;

/// One step of a network that can be cut before it.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a network has a few dozen; a box would only hide the weights behind one"
)]
pub enum Block {
    /// A convolution and its activation.
    Conv(ConvBlock),
    /// The largest value of each window.
    Pool(MaxPool),
    /// Expand, filter each channel, project.
    Inverted(Inverted),
    /// Convolutions whose sum with a shortcut is activated.
    Residual(Residual),
}

impl Block {
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Conv(block) => block.forward(x),
            Self::Pool(block) => block.forward(x),
            Self::Inverted(block) => block.forward(x),
            Self::Residual(block) => block.forward(x),
        }
    }

    pub(super) fn convolutions_mut(&mut self) -> Vec<&mut ConvBn> {
        match self {
            Self::Conv(block) => vec![&mut block.conv],
            Self::Pool(_) => Vec::new(),
            Self::Inverted(Inverted { expand, depthwise, project, .. }) => {
                expand.iter_mut().chain([depthwise, project]).collect()
            }
            Self::Residual(Residual { convs, shortcut }) => convs.iter_mut().chain(shortcut).collect(),
        }
    }
}

/// Shape of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel {
    pub inputs: usize,
    pub outputs: usize,
    pub side: usize,
    pub stride: usize,
    pub groups: usize,
}

impl Kernel {
    pub fn new(inputs: usize, outputs: usize, side: usize, stride: usize) -> Self {
        Self { inputs, outputs, side, stride, groups: 1 }
    }
}

/// A convolution without bias and its batch norm.
///
/// Where the norm is frozen, the running statistics are used always, in training too: batches of 20 radiographs are
/// too small and too alike to replace statistics from a million photographs. Then the norm is a scale and a shift
/// that fold into the convolution, which is exact, differentiable, and saves the passes over the activations.
#[derive(Module, Debug)]
pub struct ConvBn {
    /// `[output channels, input channels / groups, kernel, kernel]`.
    pub weight: Param<Tensor<4>>,
    /// Scale, shift and running statistics by output channel.
    pub bn: BatchNorm,
    /// Side of the kernel.
    pub kernel: usize,
    /// Stride in both directions.
    pub stride: usize,
    /// 1, or the number of channels in a depthwise convolution.
    pub groups: usize,
    /// Whether padding is TensorFlow's "same", which depends on the size; else half a kernel on every side.
    pub same: bool,
    /// Whether training takes the statistics of each batch and moves the running ones.
    pub live: bool,
}

impl ConvBn {
    pub(super) fn new(kernel: Kernel, recipe: Recipe, device: &Device) -> Self {
        let Kernel { inputs, outputs, side, stride, groups } = kernel;
        Self {
            weight: Initializer::Zeros.init([outputs, inputs / groups, side, side], device),
            bn: BatchNormConfig::new(outputs).with_epsilon(recipe.epsilon).init(device),
            kernel: side,
            stride,
            groups,
            same: recipe.same,
            live: recipe.live,
        }
    }

    /// Weight and bias of the one convolution that equals convolution and norm.
    pub fn folded(&self) -> (Tensor<4>, Tensor<1>) {
        let device = self.weight.val().device();
        let mean = self.bn.running_mean.value_sync().to_device(&device);
        let variance = self.bn.running_var.value_sync().to_device(&device);
        let scale = self.bn.gamma.val() / (variance + self.bn.epsilon).sqrt();
        let bias = self.bn.beta.val() - mean * scale.clone();
        (self.weight.val() * scale.reshape([-1, 1, 1, 1]), bias)
    }

    /// Padding of one side of `size` pixels: (before, after).
    pub fn padding(&self, size: usize) -> (usize, usize) {
        if !self.same {
            return (self.kernel / 2, self.kernel / 2);
        }
        let outputs = size.div_ceil(self.stride);
        let total = (outputs.saturating_sub(1) * self.stride + self.kernel).saturating_sub(size);
        (total / 2, total - total / 2)
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let padding = [self.padding(height), self.padding(width)];
        let options = ConvOptions::new_with_padding([self.stride; 2], padding, [1, 1], self.groups);
        if self.live && x.device().is_autodiff() {
            let weight = self.weight.val();
            let none = Tensor::zeros([weight.dims()[0]], &x.device());
            return self.bn.forward(convolve(x, weight, none, options));
        }
        let (weight, bias) = self.folded();
        convolve(x, weight, bias, options)
    }
}

/// What the convolutions of one network have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recipe {
    pub epsilon: f64,
    pub same: bool,
    pub live: bool,
}

/// A convolution and its activation.
#[derive(Module, Debug)]
pub struct ConvBlock {
    /// The convolution.
    pub conv: ConvBn,
    /// Whether the activation is ReLU6; else it is ReLU.
    pub relu6: bool,
}

impl ConvBlock {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.conv.forward(x);
        if self.relu6 { relu6(x) } else { relu(x) }
    }
}

/// The largest value of each window; half a kernel of padding, which is never the largest.
#[derive(Module, Debug)]
pub struct MaxPool {
    /// Side of the window.
    pub kernel: usize,
    /// Stride in both directions.
    pub stride: usize,
}

impl MaxPool {
    /// Padding on every side.
    pub fn padding(&self) -> usize {
        self.kernel / 2
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let options = MaxPoolOptions::new([self.kernel; 2]).with_stride([self.stride; 2]);
        max_pool2d(x, options.with_padding([self.padding(); 2]))
    }
}

/// An inverted residual block (Sandler et al., arXiv:1801.04381) with ReLU6.
#[derive(Module, Debug)]
pub struct Inverted {
    /// 1 x 1 to the wider inside, then ReLU6; absent where the expansion is 1.
    pub expand: Option<ConvBn>,
    /// Depthwise, then ReLU6.
    pub depthwise: ConvBn,
    /// 1 x 1 to the output channels, linear.
    pub project: ConvBn,
    /// Whether the input is added to the output.
    pub residual: bool,
}

impl Inverted {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let inside = match &self.expand {
            Some(expand) => relu6(expand.forward(x.clone())),
            None => x.clone(),
        };
        let out = self.project.forward(relu6(self.depthwise.forward(inside)));
        if self.residual { out + x } else { out }
    }
}

/// A residual block (He et al., arXiv:1512.03385): convolutions with ReLU between them, the shortcut added, ReLU.
#[derive(Module, Debug)]
pub struct Residual {
    /// Two of 3 x 3, or the three of a bottleneck.
    pub convs: Vec<ConvBn>,
    /// 1 x 1 where the sum needs another shape; else the input itself.
    pub shortcut: Option<ConvBn>,
}

impl Residual {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shortcut = self.shortcut.as_ref().map_or_else(|| x.clone(), |conv| conv.forward(x.clone()));
        let last = self.convs.len().saturating_sub(1);
        let out = self.convs.iter().enumerate().fold(x, |x, (number, conv)| {
            let x = conv.forward(x);
            if number < last { relu(x) } else { x }
        });
        relu(out + shortcut)
    }
}

fn relu6(x: Tensor<4>) -> Tensor<4> {
    x.clamp(0.0, 6.0)
}
