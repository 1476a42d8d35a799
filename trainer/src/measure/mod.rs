//! Figures from what a model answered. Pure.

mod calibration;
mod curve;
mod scores;

pub use calibration::{Bin, Calibrated, Coverage, calibrated, coverage, retempered};
pub use curve::{ClassCurves, curves};
pub use scores::{Interval, Scores, recalls, scores};
