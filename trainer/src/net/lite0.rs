//! EfficientNet-Lite0 (Liu, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow blog, 2020):
//! EfficientNet-B0 (Tan and Le, arXiv:1905.11946) without squeeze-and-excitation, with ReLU6, and with stem and
//! head of fixed width, so that it survives int8 quantization.

use burn::prelude::Device;

use super::block::{Block, ConvBlock, ConvBn, Inverted, Kernel, Recipe};

/// Width of the pooled feature vector.
pub(super) const FEATURES: usize = 1280;

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

/// Block 0 is the stem, 1 to 16 are inverted residuals, 17 is the head.
pub(super) fn blocks(live: bool, device: &Device) -> Vec<Block> {
    let recipe = Recipe { epsilon: 1e-3, same: true, live };
    let conv = |kernel| ConvBn::new(kernel, recipe, device);
    let relu6 = |kernel| Block::Conv(ConvBlock { conv: conv(kernel), relu6: true });
    let mut blocks = vec![relu6(Kernel::new(3, STEM, 3, 2))];
    let mut inputs = STEM;
    for (expansion, outputs, repeats, first_stride, kernel) in STAGES {
        for repeat in 0..repeats {
            let stride = if repeat == 0 { first_stride } else { 1 };
            let inside = inputs * expansion;
            blocks.push(Block::Inverted(Inverted {
                expand: (expansion != 1).then(|| conv(Kernel::new(inputs, inside, 1, 1))),
                depthwise: conv(Kernel { groups: inside, ..Kernel::new(inside, inside, kernel, stride) }),
                project: conv(Kernel::new(inside, outputs, 1, 1)),
                residual: stride == 1 && inputs == outputs,
            }));
            inputs = outputs;
        }
    }
    blocks.push(relu6(Kernel::new(inputs, FEATURES, 1, 1)));
    blocks
}
