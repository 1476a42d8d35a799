//! Networks that the trainer knows.

mod lite0;

pub use lite0::{BLOCKS, Block, ConvBn, FEATURES, Lite0};

use burn::prelude::Tensor;

/// The numbers of a tensor, row by row.
pub(crate) fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    // Only another number type would fail, and every tensor of a network is f32.
    tensor.into_data().convert::<f32>().try_to_vec().unwrap_or_default()
}
