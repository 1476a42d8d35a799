//! Trains, exports, quantizes and measures the models that chestlight reads with. Research use, not a diagnosis.

pub mod augment;
pub mod calibrate;
pub mod card;
pub mod checkpoint;
pub mod dataset;
pub mod evaluate;
pub mod experiment;
pub mod fit;
pub mod index;
pub mod net;
pub mod onnx;
pub mod rows;
pub mod split;
pub mod weights;
