//! The blocks of which all networks are made.

use burn::backend::Dispatch;
use burn::module::{Initializer, Param};
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::prelude::*;
use burn::tensor::activation::relu;
use burn::tensor::module::{conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};

use super::joined::Joined as _;
use super::lattice::Window;
use super::normed::{Normed as _, Settings};

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

    /// Convolution, norm and activation.
    fn forward(&self, x: Tensor<4>, activation: Activation) -> Tensor<4> {
        // The training device alone moves statistics.
        let live = self.live && x.device().is_autodiff();
        if x.device() == Device::flex() {
            self.on_processor(x, activation, live)
        } else {
            self.elsewhere(x, activation, live)
        }
    }

    fn on_processor(&self, x: Tensor<4>, activation: Activation, live: bool) -> Tensor<4> {
        let (device, [_, _, height, width]) = (x.device(), x.dims());
        let [(top, bottom), (left, right)] = [self.padding(height), self.padding(width)];
        let (side, stride) = (self.kernel, self.stride);
        let window = Window { height, width, side, stride, top, left, bottom, right };
        let (epsilon, range) = (self.bn.epsilon, activation.range());
        let settings = Settings { window, parts: self.groups, live, epsilon, range };
        let of_vector = |vector: Tensor<1>| vector.to_device(&device).into_dispatch();
        let (out, mean, variance) = Dispatch::normed(
            x.into_dispatch(),
            self.weight.val().into_dispatch(),
            of_vector(self.bn.gamma.val()),
            of_vector(self.bn.beta.val()),
            of_vector(self.bn.running_mean.value_sync()),
            of_vector(self.bn.running_var.value_sync()),
            settings,
        );
        if live {
            let moved =
                |old: Tensor<1>, new| old * (1.0 - self.bn.momentum) + Tensor::from_dispatch(new) * self.bn.momentum;
            self.bn.running_mean.update(moved(self.bn.running_mean.value_sync(), mean));
            self.bn.running_var.update(moved(self.bn.running_var.value_sync(), variance));
        }
        Tensor::from_dispatch(out)
    }

    fn elsewhere(&self, x: Tensor<4>, activation: Activation, live: bool) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let padding = [self.padding(height), self.padding(width)];
        let options = ConvOptions::new_with_padding([self.stride; 2], padding, [1, 1], self.groups);
        let x = if live {
            self.bn.forward(conv2d(x, self.weight.val(), None, options))
        } else {
            let (weight, bias) = self.folded();
            conv2d(x, weight, Some(bias), options)
        };
        match activation {
            Activation::None => x,
            Activation::Relu => relu(x),
            Activation::Relu6 => x.clamp(0.0, 6.0),
        }
    }
}

/// What comes after a norm.
#[derive(Clone, Copy, Debug)]
pub(super) enum Activation {
    None,
    Relu,
    Relu6,
}

impl Activation {
    /// What is less or more becomes the bound.
    fn range(self) -> (f32, f32) {
        match self {
            Self::None => (f32::NEG_INFINITY, f32::INFINITY),
            Self::Relu => (0.0, f32::INFINITY),
            Self::Relu6 => (0.0, 6.0),
        }
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
        self.conv.forward(x, if self.relu6 { Activation::Relu6 } else { Activation::Relu })
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
            Some(expand) => expand.forward(x.clone(), Activation::Relu6),
            None => x.clone(),
        };
        let out = self.project.forward(self.depthwise.forward(inside, Activation::Relu6), Activation::None);
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
        let shortcut = self.shortcut.as_ref();
        let shortcut = shortcut.map_or_else(|| x.clone(), |conv| conv.forward(x.clone(), Activation::None));
        let last = self.convs.len().saturating_sub(1);
        let out = self.convs.iter().enumerate().fold(x, |x, (number, conv)| {
            conv.forward(x, if number < last { Activation::Relu } else { Activation::None })
        });
        join(out, shortcut)
    }
}

/// The sum of both, activated.
fn join(x: Tensor<4>, shortcut: Tensor<4>) -> Tensor<4> {
    if x.device() == Device::flex() {
        Tensor::from_dispatch(Dispatch::joined(x.into_dispatch(), shortcut.into_dispatch()))
    } else {
        relu(x + shortcut)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    fn waves<const D: usize>(shape: [usize; D], pace: f32, device: &Device) -> Tensor<D> {
        let values: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i as f32 * pace).sin()).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    /// Output, gradients by input, weight, gamma and beta, and the running statistics after it.
    fn computed(
        kernel: Kernel,
        recipe: Recipe,
        way: impl Fn(&ConvBn, Tensor<4>) -> Tensor<4>,
    ) -> Vec<(&'static str, Vec<f32>)> {
        let device = Device::flex().autodiff();
        let Kernel { inputs, outputs, side, groups, .. } = kernel;
        let mut conv = ConvBn::new(kernel, recipe, &Device::flex());
        let vector = |pace, offset| waves([outputs], pace, &Device::flex()) * 0.3 + offset;
        conv.weight = Param::from_tensor(waves([outputs, inputs / groups, side, side], 0.73, &Device::flex()));
        (conv.bn.gamma, conv.bn.beta) = (Param::from_tensor(vector(1.1, 1.0)), Param::from_tensor(vector(1.3, 0.5)));
        conv.bn.running_mean.update(vector(1.7, 0.1));
        conv.bn.running_var.update(vector(1.9, 1.5));
        let conv = conv.to_device(&device).train();
        let x = waves([4, inputs, 9, 10], 0.37, &device).require_grad();
        let out = way(&conv, x.clone());
        let grads = (out.clone() * waves(out.dims(), 0.91, &device)).sum().backward();
        vec![
            ("output", floats(out)),
            ("input", floats(x.grad(&grads).unwrap())),
            ("weight", floats(conv.weight.val().grad(&grads).unwrap())),
            ("gamma", floats(conv.bn.gamma.val().grad(&grads).unwrap())),
            ("beta", floats(conv.bn.beta.val().grad(&grads).unwrap())),
            ("running mean", floats(conv.bn.running_mean.value_sync())),
            ("running variance", floats(conv.bn.running_var.value_sync())),
        ]
    }

    #[test]
    fn the_processors_end_of_a_residual_block_equals_burns_operations() {
        let device = Device::flex().autodiff();
        let shape = [3, 7, 40, 40];
        let computed = |way: &dyn Fn(Tensor<4>, Tensor<4>) -> Tensor<4>| {
            let [x, shortcut] = [0.37, 0.73].map(|pace| waves(shape, pace, &device).require_grad());
            // The same input twice has the sum of both gradients.
            let out = way(way(x.clone(), shortcut.clone()) - 0.5, shortcut.clone());
            let grads = (out.clone() * waves(shape, 0.91, &device)).sum().backward();
            [out, x.grad(&grads).unwrap(), shortcut.grad(&grads).unwrap()].map(floats)
        };
        let burns = computed(&|x, shortcut| relu(x + shortcut));
        assert!(computed(&join) == burns, "bit for bit");
        assert!(burns.iter().all(|values| values.contains(&0.0) && values.iter().any(|value| *value != 0.0)));
    }

    #[test]
    fn the_processors_step_equals_burns_operations() {
        let dense = Kernel::new(3, 5, 3, 2);
        let point = Kernel::new(6, 4, 1, 1);
        let depthwise = Kernel { groups: 6, ..Kernel::new(6, 6, 5, 1) };
        for kernel in [dense, point, depthwise] {
            for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
                for (live, same) in [(false, false), (false, true), (true, false), (true, true)] {
                    let recipe = Recipe { epsilon: 1e-3, same, live };
                    let ours = computed(kernel, recipe, |conv, x| conv.on_processor(x, activation, live));
                    let burns = computed(kernel, recipe, |conv, x| conv.elsewhere(x, activation, live));
                    for ((part, ours), (_, burns)) in ours.iter().zip(&burns) {
                        assert_eq!(ours.len(), burns.len());
                        let scale = burns.iter().fold(1.0f32, |most, value| most.max(value.abs()));
                        for (ours, burns) in ours.iter().zip(burns) {
                            let case = format!("{part} of {kernel:?} {activation:?} live {live} same {same}");
                            assert!((ours - burns).abs() <= 3e-5 * scale, "{case}: {ours} and {burns}");
                        }
                    }
                }
            }
        }
    }
}
