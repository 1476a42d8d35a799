//! What one job of an experiment found: the figures that are laid beside those of other jobs and of the paper.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::evaluate::Rate;
use crate::experiment::Fold;
use crate::finding::Finding;
use crate::measure::Scores;
use crate::net::Architecture;

/// What a job found, as it is written to `result.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    /// 1.
    pub schema: u32,
    /// Research use.
    pub notice: String,
    /// The experiment's name.
    pub name: String,
    /// The network.
    pub architecture: Architecture,
    /// The seed of the training.
    pub seed: u64,
    /// Which fold was the test part.
    pub fold: Option<Fold>,
    /// Which source was the test part.
    pub leave_out: Option<String>,
    /// What the outputs mean.
    pub classes: [Finding; 3],
    /// Films of the training part.
    pub trained: u32,
    /// Accuracy and means over the classes, on the test part.
    pub scores: Scores,
    /// Of the films of each class, those that were answered as it.
    pub recalls: [Rate; 3],
    /// Median wall time from film to answer on this machine, milliseconds.
    pub milliseconds: f64,
    /// Films of each control, and of them those that were called COVID-19; empty where that is no class.
    pub controls: BTreeMap<String, Rate>,
    /// Epochs of all stages.
    pub epochs: usize,
    /// Wall time of all epochs, seconds.
    pub seconds: f64,
}
