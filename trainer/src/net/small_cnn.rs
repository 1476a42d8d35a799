//! The small CNN of Model_0, Model_1 and Model_2: convolutions of 3 x 3 that halve the plane instead of pooling it.
//! A stride costs a quarter of what a convolution and a pooling cost, and an edge board has to pay it for every film.

use burn::prelude::Device;

use super::block::{Block, ConvBlock, ConvBn, Kernel, Recipe};

/// Width of the pooled feature vector.
pub(super) const FEATURES: usize = 128;

/// (input channels, output channels).
const LAYERS: [(usize, usize); 5] = [(3, 16), (16, 32), (32, 64), (64, 128), (128, FEATURES)];

/// Five convolutions of stride 2 with ReLU.
pub(super) fn blocks(live: bool, device: &Device) -> Vec<Block> {
    let recipe = Recipe { epsilon: 1e-5, same: false, live };
    LAYERS
        .map(|(inputs, outputs)| {
            let conv = ConvBn::new(Kernel::new(inputs, outputs, 3, 2), recipe, device);
            Block::Conv(ConvBlock { conv, relu6: false })
        })
        .into()
}
