//! The networks that the trainer knows: a closed list, each a straight line of blocks before one linear layer.
//!
//! Inputs are NCHW, three equal planes of the device's preprocessing, both sides multiples of 32 (224 as shipped).

mod block;
mod columns;
mod convolution;
mod joined;
mod lattice;
mod lite0;
mod normed;
mod product;
mod resnet;
mod small_cnn;

pub use block::{Block, ConvBlock, ConvBn, Inverted, MaxPool, Residual};

use burn::module::{Initializer, Param};
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::TensorData;
use burn::tensor::module::adaptive_avg_pool2d;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

/// Which network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// Five small convolutions, of this project, in the place of the paper's small CNN; 5 blocks.
    SmallCnn,
    /// EfficientNet-Lite0; 18 blocks: stem, 16 inverted residuals, head.
    EfficientnetLite0,
    /// ResNet-18; 10 blocks: stem, pooling, 8 residual blocks.
    Resnet18,
    /// ResNet-50; 18 blocks: stem, pooling, 16 bottlenecks.
    Resnet50,
}

impl Architecture {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::SmallCnn, Self::EfficientnetLite0, Self::Resnet18, Self::Resnet50];

    /// As experiments write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SmallCnn => "small-cnn",
            Self::EfficientnetLite0 => "efficientnet-lite0",
            Self::Resnet18 => "resnet18",
            Self::Resnet50 => "resnet50",
        }
    }

    /// Number of blocks before the linear layer.
    pub fn blocks(self) -> usize {
        match self {
            Self::SmallCnn => 5,
            Self::EfficientnetLite0 | Self::Resnet50 => 18,
            Self::Resnet18 => 10,
        }
    }

    /// Width of the pooled feature vector that the linear layer judges.
    pub fn features(self) -> usize {
        match self {
            Self::SmallCnn => small_cnn::FEATURES,
            Self::EfficientnetLite0 => lite0::FEATURES,
            Self::Resnet18 => resnet::RESNET18.features(),
            Self::Resnet50 => resnet::RESNET50.features(),
        }
    }
}

/// How the batch norms behave in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// They keep the statistics that they came with; right for networks from ImageNet.
    #[default]
    Frozen,
    /// They take each batch's own and move the running ones; right for networks that begin at random.
    Batch,
}

/// A network. Cut before block `b`, what comes in are that block's inputs; cut after the last block, what comes in
/// are the pooled features.
#[derive(Module, Debug)]
pub struct Net {
    /// The blocks in the order of computation; after them comes the mean over the plane.
    pub blocks: Vec<Block>,
    /// Features to logits; weight `[features, classes]`.
    pub classifier: Linear,
}

impl Net {
    /// The architecture with all convolutions and the classifier at zero, to be filled by [`crate::weights`].
    pub fn new(architecture: Architecture, norm: Norm, classes: usize, device: &Device) -> Self {
        let live = norm == Norm::Batch;
        let blocks = match architecture {
            Architecture::SmallCnn => small_cnn::blocks(live, device),
            Architecture::EfficientnetLite0 => lite0::blocks(live, device),
            Architecture::Resnet18 => resnet::RESNET18.blocks(live, device),
            Architecture::Resnet50 => resnet::RESNET50.blocks(live, device),
        };
        Self { blocks, classifier: zero_classifier(architecture.features(), classes, device) }
    }

    /// The same with convolutions drawn after He et al. (arXiv:1502.01852); the same for the same seed.
    pub fn random(architecture: Architecture, norm: Norm, classes: usize, seed: u64, device: &Device) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut net = Self::new(architecture, norm, classes, device);
        for conv in net.blocks.iter_mut().flat_map(Block::convolutions_mut) {
            let shape = conv.weight.val().dims();
            let [_, inputs, height, width] = shape;
            let bound = (6.0 / (inputs * height * width) as f32).sqrt();
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-bound..bound)).collect();
            conv.weight = Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device));
        }
        net
    }

    /// The same blocks before a new classifier that answers 0 for each of `classes`.
    #[must_use]
    pub fn with_classes(self, classes: usize) -> Self {
        let [features, _] = self.classifier.weight.val().dims();
        let classifier = zero_classifier(features, classes, &self.device());
        Self { classifier, ..self }
    }

    /// The same with norms that behave as stated.
    #[must_use]
    pub fn with_norm(mut self, norm: Norm) -> Self {
        for conv in self.blocks.iter_mut().flat_map(Block::convolutions_mut) {
            conv.live = norm == Norm::Batch;
        }
        self
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        let [_, classes] = self.classifier.weight.val().dims();
        classes
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.classifier.weight.val().device()
    }

    /// From the inputs of block `from` to those of block `to`, or to the pooled features
    /// (`[batch, features, 1, 1]`) where `to` is the number of blocks.
    pub fn activations(&self, x: Tensor<4>, from: usize, to: usize) -> Tensor<4> {
        let passed = self.blocks.iter().take(to).skip(from).fold(x, |x, block| block.forward(x));
        if from < to && to == self.blocks.len() { adaptive_avg_pool2d(passed, [1, 1]) } else { passed }
    }

    /// From the inputs of block `from` to the logits, `[batch, classes]`.
    pub fn logits(&self, x: Tensor<4>, from: usize) -> Tensor<2> {
        self.classifier.forward(self.activations(x, from, self.blocks.len()).flatten(1, 3))
    }
}

fn zero_classifier(features: usize, classes: usize, device: &Device) -> Linear {
    LinearConfig::new(features, classes).with_initializer(Initializer::Zeros).init(device)
}

/// The numbers of a tensor, row by row.
pub(crate) fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    // Only another number type would fail, and every tensor of a network is f32.
    tensor.into_data().convert::<f32>().try_to_vec().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;

    use super::block::{Kernel, Recipe};
    use super::*;

    fn waves(shape: [usize; 4], step: f32) -> Tensor<4> {
        let values = (0..shape.iter().product()).map(|i: usize| (i as f32 * step).sin()).collect::<Vec<_>>();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    #[test]
    fn same_padding_is_tensorflows() {
        let recipe = Recipe { epsilon: 1e-3, same: true, live: false };
        for (kernel, stride, size, padding) in [
            (3, 2, 224, (0, 1)),
            (5, 2, 56, (1, 2)),
            (3, 1, 14, (1, 1)),
            (5, 1, 7, (2, 2)),
            (1, 1, 7, (0, 0)),
            (3, 2, 7, (1, 1)),
        ] {
            let conv = ConvBn::new(Kernel::new(1, 1, kernel, stride), recipe, &Device::flex());
            assert_eq!(conv.padding(size), padding, "{kernel} {stride} {size}");
        }
    }

    #[test]
    fn the_architectures_have_the_published_numbers_of_parameters_and_the_stated_blocks() {
        // timm counts 4,652,008 parameters of Lite0, torchvision 11,689,512 and 25,557,032 of the ResNets; burn
        // counts the running mean and variance of every channel too.
        for (architecture, parameters, channels) in [
            (Architecture::EfficientnetLite0, 4_652_008, 21_008),
            (Architecture::Resnet18, 11_689_512, 4_800),
            (Architecture::Resnet50, 25_557_032, 26_560),
        ] {
            let net = Net::new(architecture, Norm::Frozen, 1000, &Device::flex());
            assert_eq!(net.num_params(), parameters + 2 * channels, "{}", architecture.name());
        }
        for architecture in Architecture::ALL {
            let net = Net::new(architecture, Norm::Frozen, 3, &Device::flex());
            assert_eq!(net.blocks.len(), architecture.blocks(), "{}", architecture.name());
        }
    }

    #[test]
    fn folding_equals_convolution_then_norm() {
        let device = Device::flex();
        let mut net = Net::random(Architecture::EfficientnetLite0, Norm::Frozen, 3, 1, &device);
        let Some(Block::Conv(ConvBlock { conv, .. })) = net.blocks.first_mut() else { panic!("the stem") };
        let channels = |low: f32, high: f32| {
            let step = (high - low) / 31.0;
            Tensor::<1>::from_floats(std::array::from_fn::<f32, 32, _>(|i| low + step * i as f32), &device)
        };
        conv.bn.gamma = Param::from_tensor(channels(0.5, 2.0));
        conv.bn.beta = Param::from_tensor(channels(-1.0, 1.0));
        conv.bn.running_mean.update(channels(-0.3, 0.4));
        conv.bn.running_var.update(channels(0.01, 3.0));
        let x = waves([1, 3, 64, 64], 0.37);
        let options = || ConvOptions::new_with_padding([2, 2], [(0, 1), (0, 1)], [1, 1], 1);
        let (weight, bias) = conv.folded();
        let folded = conv2d(x.clone(), weight, Some(bias), options());
        let apart = folded - conv.bn.forward(conv2d(x, conv.weight.val(), None, options()));
        assert!(apart.abs().max().into_scalar::<f32>() < 1e-4);
    }

    #[test]
    fn every_cut_gives_the_same_features() {
        for architecture in Architecture::ALL {
            let net = Net::random(architecture, Norm::Frozen, 3, 2, &Device::flex());
            let x = waves([1, 3, 64, 64], 0.11);
            let last = architecture.blocks();
            let whole = floats(net.activations(x.clone(), 0, last));
            assert_eq!(whole.len(), architecture.features());
            for cut in 1..=last {
                let split = net.activations(net.activations(x.clone(), 0, cut), cut, last);
                assert_eq!(whole, floats(split), "{} before block {cut}", architecture.name());
            }
            assert!(whole.iter().any(|&value| value > 0.0));
        }
    }

    #[test]
    fn live_norms_take_the_statistics_of_the_batch_in_training_and_the_running_ones_afterwards() {
        let plain = Device::flex();
        let net = Net::random(Architecture::SmallCnn, Norm::Batch, 3, 3, &plain);
        let trained = net.clone().to_device(&plain.clone().autodiff()).train();
        let x = waves([4, 3, 64, 64], 0.23);
        let before = floats(net.activations(x.clone(), 0, 5));
        let batch = Tensor::from_data(x.clone().into_data(), &plain.autodiff());
        let training = floats(trained.activations(batch, 0, 5));
        assert_ne!(before, training);
        let moved = floats(trained.valid().activations(x, 0, 5));
        assert_ne!(before, moved, "the running statistics moved");
    }
}
