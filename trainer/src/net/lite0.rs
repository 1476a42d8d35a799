//! EfficientNet-Lite0 (Liu, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow blog, 2020):
//! EfficientNet-B0 (Tan and Le, arXiv:1905.11946) without squeeze-and-excitation, with ReLU6, and with stem and
//! head of fixed width, so that it survives int8 quantization.
//!
//! Inputs are NCHW, three equal planes of `(x - 127) / 128`, both sides multiples of 32 (224 as shipped).

use burn::module::{Initializer, Param};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::module::{adaptive_avg_pool2d, conv2d};
use burn::tensor::ops::ConvOptions;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Number of inverted residual blocks.
pub const BLOCKS: usize = 16;

/// Width of the pooled feature vector that the last layer judges.
pub const FEATURES: usize = 1280;

/// Width of the stem's output.
const STEM: usize = 32;

/// (expansion, output channels, repeats, stride of the first, kernel) of the seven stages.
const STAGES: [(usize, usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
];

/// The reference's batch norm epsilon.
const EPSILON: f64 = 1e-3;

/// A convolution without bias and its batch norm.
///
/// The running statistics are used always, in training too: batches of 20 radiographs are too small and too alike
/// to replace statistics from a million photographs. So the norm is a scale and a shift that fold into the
/// convolution, which is exact, differentiable, and saves the passes over the activations.
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
}

impl ConvBn {
    fn new(inputs: usize, outputs: usize, kernel: usize, stride: usize, groups: usize, device: &Device) -> Self {
        Self {
            weight: Initializer::Zeros.init([outputs, inputs / groups, kernel, kernel], device),
            bn: BatchNormConfig::new(outputs).with_epsilon(EPSILON).init(device),
            kernel,
            stride,
            groups,
        }
    }

    /// Weight and bias of the one convolution that equals convolution and norm.
    pub fn folded(&self) -> (Tensor<4>, Tensor<1>) {
        let device = self.weight.val().device();
        let mean = self.bn.running_mean.value().to_device(&device);
        let variance = self.bn.running_var.value().to_device(&device);
        let scale = self.bn.gamma.val() / (variance + self.bn.epsilon).sqrt();
        let bias = self.bn.beta.val() - mean * scale.clone();
        (self.weight.val() * scale.reshape([-1, 1, 1, 1]), bias)
    }

    /// TensorFlow's "same" padding of one side of `size` pixels: (before, after), the odd pixel after.
    pub fn padding(&self, size: usize) -> (usize, usize) {
        let outputs = size.div_ceil(self.stride);
        let total = (outputs.saturating_sub(1) * self.stride + self.kernel).saturating_sub(size);
        (total / 2, total - total / 2)
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let padding = [self.padding(height), self.padding(width)];
        let options = ConvOptions::new_with_padding([self.stride; 2], padding, [1, 1], self.groups);
        let (weight, bias) = self.folded();
        conv2d(x, weight, Some(bias), options)
    }
}

/// An inverted residual block (Sandler et al., arXiv:1801.04381): expand, filter each channel, project.
#[derive(Module, Debug)]
pub struct Block {
    /// 1 x 1 to the wider inside, then ReLU6; absent where the expansion is 1.
    pub expand: Option<ConvBn>,
    /// Depthwise, then ReLU6.
    pub depthwise: ConvBn,
    /// 1 x 1 to the output channels, linear.
    pub project: ConvBn,
    /// Whether the input is added to the output.
    pub residual: bool,
}

impl Block {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let inside = match &self.expand {
            Some(expand) => relu6(expand.forward(x.clone())),
            None => x.clone(),
        };
        let out = self.project.forward(relu6(self.depthwise.forward(inside)));
        if self.residual { out + x } else { out }
    }
}

/// The network. Fields stand in the order of computation.
#[derive(Module, Debug)]
pub struct Lite0 {
    /// 3 x 3, stride 2, then ReLU6.
    pub stem: ConvBn,
    /// The [`BLOCKS`] blocks.
    pub blocks: Vec<Block>,
    /// 1 x 1 to [`FEATURES`] channels, then ReLU6 and the mean over the plane.
    pub head: ConvBn,
    /// Features to logits; weight `[FEATURES, classes]`.
    pub classifier: Linear,
}

impl Lite0 {
    /// The architecture with all convolutions and the classifier at zero, to be filled by [`crate::weights`].
    pub fn new(classes: usize, device: &Device) -> Self {
        let mut blocks = Vec::with_capacity(BLOCKS);
        let mut inputs = STEM;
        for (expansion, outputs, repeats, first_stride, kernel) in STAGES {
            for repeat in 0..repeats {
                let stride = if repeat == 0 { first_stride } else { 1 };
                let inside = inputs * expansion;
                blocks.push(Block {
                    expand: (expansion != 1).then(|| ConvBn::new(inputs, inside, 1, 1, 1, device)),
                    depthwise: ConvBn::new(inside, inside, kernel, stride, inside, device),
                    project: ConvBn::new(inside, outputs, 1, 1, 1, device),
                    residual: stride == 1 && inputs == outputs,
                });
                inputs = outputs;
            }
        }
        Self {
            stem: ConvBn::new(3, STEM, 3, 2, 1, device),
            blocks,
            head: ConvBn::new(inputs, FEATURES, 1, 1, 1, device),
            classifier: zero_classifier(classes, device),
        }
    }

    /// The same with convolutions drawn after He et al. (arXiv:1502.01852), for tests and for training from
    /// nothing; the same for the same seed.
    pub fn random(classes: usize, seed: u64, device: &Device) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut net = Self::new(classes, device);
        for conv in net.convolutions_mut() {
            let shape = conv.weight.val().dims();
            let [_, inputs, height, width] = shape;
            let bound = (6.0 / (inputs * height * width) as f32).sqrt();
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-bound..bound)).collect();
            conv.weight = Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device));
        }
        net
    }

    /// The same backbone before a new classifier that answers 0 for each of `classes`.
    #[must_use]
    pub fn with_classes(self, classes: usize) -> Self {
        let device = self.classifier.weight.val().device();
        Self { classifier: zero_classifier(classes, &device), ..self }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        let [_, classes] = self.classifier.weight.val().dims();
        classes
    }

    /// From the input up to, not including, block `boundary`. Meant for a network on a device without autodiff.
    pub fn forward_frozen(&self, x: Tensor<4>, boundary: usize) -> Tensor<4> {
        let x = relu6(self.stem.forward(x));
        self.blocks.iter().take(boundary).fold(x, |x, block| block.forward(x))
    }

    /// From the activations before block `boundary` to the pooled features, `[batch, FEATURES]`.
    pub fn features(&self, activations: Tensor<4>, boundary: usize) -> Tensor<2> {
        let x = self.blocks.iter().skip(boundary).fold(activations, |x, block| block.forward(x));
        adaptive_avg_pool2d(relu6(self.head.forward(x)), [1, 1]).flatten(1, 3)
    }

    /// From the activations before block `boundary` to the logits, `[batch, classes]`.
    pub fn forward_trainable(&self, activations: Tensor<4>, boundary: usize) -> Tensor<2> {
        self.classifier.forward(self.features(activations, boundary))
    }

    /// From the input, `[batch, 3, height, width]`, to the logits.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        self.forward_trainable(self.forward_frozen(x, 0), 0)
    }

    fn convolutions_mut(&mut self) -> impl Iterator<Item = &mut ConvBn> {
        std::iter::once(&mut self.stem)
            .chain(
                self.blocks
                    .iter_mut()
                    .flat_map(|block| block.expand.iter_mut().chain([&mut block.depthwise, &mut block.project])),
            )
            .chain([&mut self.head])
    }
}

fn zero_classifier(classes: usize, device: &Device) -> Linear {
    LinearConfig::new(FEATURES, classes).with_initializer(Initializer::Zeros).init(device)
}

fn relu6(x: Tensor<4>) -> Tensor<4> {
    x.clamp(0.0, 6.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_is_tensorflows() {
        let device = Device::flex();
        for (kernel, stride, size, padding) in [
            (3, 2, 224, (0, 1)),
            (5, 2, 56, (1, 2)),
            (3, 1, 14, (1, 1)),
            (5, 1, 7, (2, 2)),
            (1, 1, 7, (0, 0)),
            (3, 2, 7, (1, 1)),
        ] {
            assert_eq!(
                ConvBn::new(1, 1, kernel, stride, 1, &device).padding(size),
                padding,
                "{kernel} {stride} {size}"
            );
        }
    }

    #[test]
    fn the_architecture_is_lite0s() {
        let net = Lite0::new(1000, &Device::flex());
        assert_eq!(net.blocks.len(), BLOCKS);
        // timm counts 4,652,008 parameters; burn counts the running mean and variance of 21,008 channels too.
        assert_eq!(net.num_params(), 4_652_008 + 2 * 21_008);
        assert_eq!(net.blocks.iter().filter(|block| block.residual).count(), 9);
    }

    #[test]
    fn folding_equals_convolution_then_norm() {
        let device = Device::flex();
        let mut conv = Lite0::random(3, 1, &device).stem;
        let channels = |low: f32, high: f32| {
            let step = (high - low) / 31.0;
            Tensor::<1>::from_floats(std::array::from_fn::<f32, 32, _>(|i| low + step * i as f32), &device)
        };
        conv.bn.gamma = Param::from_tensor(channels(0.5, 2.0));
        conv.bn.beta = Param::from_tensor(channels(-1.0, 1.0));
        conv.bn.running_mean.update(channels(-0.3, 0.4));
        conv.bn.running_var.update(channels(0.01, 3.0));
        let x = Tensor::<4>::from_data(
            TensorData::new((0..3 * 64 * 64).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<_>>(), [1, 3, 64, 64]),
            &device,
        );
        let options = ConvOptions::new_with_padding([2, 2], [(0, 1), (0, 1)], [1, 1], 1);
        let apart = conv.forward(x.clone()) - conv.bn.forward(conv2d(x, conv.weight.val(), None, options));
        assert!(apart.abs().max().into_scalar::<f32>() < 1e-4);
    }

    #[test]
    fn every_boundary_gives_the_same_logits() {
        let net = Lite0::random(3, 2, &Device::flex());
        let x = Tensor::<4>::from_data(
            TensorData::new((0..3 * 64 * 64).map(|i| (i as f32 * 0.11).cos()).collect::<Vec<_>>(), [1, 3, 64, 64]),
            &Device::flex(),
        );
        let whole: Vec<f32> = net.features(net.forward_frozen(x.clone(), 0), 0).into_data().try_to_vec().unwrap();
        for boundary in 1..=BLOCKS {
            let split: Vec<f32> =
                net.features(net.forward_frozen(x.clone(), boundary), boundary).into_data().try_to_vec().unwrap();
            assert_eq!(whole, split, "boundary {boundary}");
        }
        assert!(whole.iter().any(|&value| value > 0.0));
    }
}
