//! Networks that the trainer knows.

mod lite0;

pub use lite0::{BLOCKS, Block, ConvBn, FEATURES, Lite0};
