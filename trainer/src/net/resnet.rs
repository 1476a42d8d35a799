//! ResNet-18 and ResNet-50 (He et al., arXiv:1512.03385) as torchvision has them: the bottleneck's stride stands in
//! its 3 x 3 convolution.

use burn::prelude::Device;

use super::block::{Block, ConvBlock, ConvBn, Kernel, MaxPool, Recipe, Residual};

/// Width of the stem's output.
const STEM: usize = 64;

/// How the two networks differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depth {
    /// Blocks of each of the four layers.
    pub repeats: [usize; 4],
    /// Output channels over inner channels: 1 with two 3 x 3 convolutions, 4 with the bottleneck's three.
    pub expansion: usize,
}

pub(super) const RESNET18: Depth = Depth { repeats: [2, 2, 2, 2], expansion: 1 };
pub(super) const RESNET50: Depth = Depth { repeats: [3, 4, 6, 3], expansion: 4 };

impl Depth {
    /// Width of the pooled feature vector.
    pub fn features(self) -> usize {
        8 * STEM * self.expansion
    }

    /// Block 0 is the stem, 1 its pooling, the residual blocks follow.
    pub fn blocks(self, live: bool, device: &Device) -> Vec<Block> {
        let recipe = Recipe { epsilon: 1e-5, same: false, live };
        let conv =
            |inputs, outputs, side, stride| ConvBn::new(Kernel::new(inputs, outputs, side, stride), recipe, device);
        let stem = ConvBlock { conv: conv(3, STEM, 7, 2), relu6: false };
        let mut blocks = vec![Block::Conv(stem), Block::Pool(MaxPool { kernel: 3, stride: 2 })];
        let mut inputs = STEM;
        let mut inside = STEM;
        for (layer, repeats) in self.repeats.into_iter().enumerate() {
            for repeat in 0..repeats {
                let stride = if layer > 0 && repeat == 0 { 2 } else { 1 };
                let outputs = inside * self.expansion;
                let convs = if self.expansion == 1 {
                    vec![conv(inputs, outputs, 3, stride), conv(outputs, outputs, 3, 1)]
                } else {
                    vec![conv(inputs, inside, 1, 1), conv(inside, inside, 3, stride), conv(inside, outputs, 1, 1)]
                };
                let shortcut = (stride != 1 || inputs != outputs).then(|| conv(inputs, outputs, 1, stride));
                blocks.push(Block::Residual(Residual { convs, shortcut }));
                inputs = outputs;
            }
            inside *= 2;
        }
        blocks
    }
}
