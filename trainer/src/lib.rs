//! Trains, exports, quantizes and measures the models that chestlight reads with. Research use, not a diagnosis.

pub mod augment;
pub mod average;
pub mod calibrate;
pub mod card;
pub mod checkpoint;
pub mod dataset;
pub mod evaluate;
pub mod experiment;
pub mod finding;
pub mod fit;
pub mod index;
pub mod inputs;
pub mod judge;
pub mod loss;
pub mod net;
pub mod onnx;
pub mod phantoms;
pub mod provenance;
pub mod result;
pub mod split;
pub mod teacher;
pub mod weights;
