//! What an evaluation found: one value, written as JSON and as a page of HTML that needs nothing else.

mod html;
mod plot;

pub use html::page;

use std::collections::BTreeMap;

use chestlight::verdict::OperatingPoints;
use serde::Serialize;

use crate::evaluate::{Confusion, Rate};
use crate::fit::Epoch;
use crate::measure::{Calibrated, ClassCurves, Coverage, Scores};
use crate::result::JobResult;
use crate::saliency::Saliency;
use crate::source::SourcePrediction;

/// A part of a report, or why it is not there.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Part<T> {
    /// It was measured.
    Measured(T),
    /// It could not be.
    Missing {
        /// Why, and what would help.
        missing: String,
    },
}

impl<T> Part<T> {
    /// A part that could not be measured.
    pub fn missing(why: impl Into<String>) -> Self {
        Self::Missing { missing: why.into() }
    }
}

/// One class against the others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassFigures {
    /// The class.
    pub class: &'static str,
    /// Of its films, those that were answered as it.
    pub sensitivity: Rate,
    /// Of the other films, those that were not.
    pub specificity: Rate,
    /// Over every threshold of its probability.
    pub curves: Part<ClassCurves>,
}

/// Probabilities before and after temperature scaling.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// The manifest's temperature.
    pub temperature: f32,
    /// At temperature 1.
    pub before: Calibrated,
    /// At the manifest's.
    pub after: Calibrated,
}

/// What is answered of films from elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct External {
    /// What they are.
    pub name: String,
    /// How often each of [`crate::evaluate::ANSWERS`] was given.
    pub answers: [u32; 6],
    /// Those that were called COVID-19.
    pub called_covid19: Rate,
}

/// What is answered when all films of the test part are changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stress {
    /// The kind of change.
    pub name: &'static str,
    /// The change, and the accuracy by the highest probability, without gate and operating point.
    pub points: Vec<(String, Rate)>,
}

/// Controls on changed films of the test part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Controls {
    /// What changes nothing: the accuracy to compare with.
    pub unchanged: Rate,
    /// The middle of the film is black.
    pub black_centre: Rate,
    /// Only the border is seen.
    pub border_only: Rate,
    /// The share of the most frequent class: what guessing would achieve.
    pub chance: f64,
}

/// A film that was answered wrongly.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorstError {
    /// As the index names it.
    pub file: String,
    /// What it shows.
    pub truth: &'static str,
    /// What was answered.
    pub answer: &'static str,
    /// The probability of that answer.
    pub probability: f32,
    /// A small JPEG of it; the page shows it, the JSON leaves it out.
    #[serde(skip)]
    pub thumbnail: Vec<u8>,
}

/// What the gate refuses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gate {
    /// The manifest's bound.
    pub distance_at_most: f32,
    /// Films refused, by collection of the part and by control.
    pub films: Vec<(String, Rate)>,
    /// Outliers refused, by kind.
    pub outliers: Vec<(String, Rate)>,
    /// What other bounds would refuse of the films of the part and of the outliers, by the distance alone.
    pub curve: Vec<GatePoint>,
}

/// One bound of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GatePoint {
    /// The bound.
    pub distance_at_most: f32,
    /// Fraction of the films of the part that it refuses.
    pub films: f64,
    /// Fraction of the outliers that it refuses.
    pub outliers: f64,
}

/// Name and digest of the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelName {
    /// The manifest's name.
    pub name: String,
    /// SHA-256 of the network.
    pub digest: String,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// 1.
    pub schema: u32,
    /// Research use.
    pub notice: &'static str,
    /// What was measured.
    pub model: ModelName,
    /// SHA-256 of the index of films.
    pub index: String,
    /// `train`, `validation` or `test`.
    pub part: &'static str,
    /// What the figures do not show, in the experiment's words.
    pub limits: String,
    /// The columns of the confusion.
    pub answers: [&'static str; 6],
    /// Films by class and answer.
    pub confusion: Confusion,
    /// Films whose class was answered.
    pub accuracy: Rate,
    /// The same by source.
    pub by_source: BTreeMap<String, Confusion>,
    /// Accuracy and means over the classes with intervals over patients.
    pub scores: Scores,
    /// Median wall time of a reading on this machine, milliseconds.
    pub milliseconds: f64,
    /// Class by class.
    pub classes: Vec<ClassFigures>,
    /// Whether probabilities mean what they say.
    pub calibration: Part<Calibration>,
    /// What abstaining gains, from the strictest threshold to none.
    pub coverage: Part<Vec<Coverage>>,
    /// The manifest's threshold.
    pub refer_below: f32,
    /// The manifest's operating points.
    pub operating_points: Option<OperatingPoints>,
    /// What the gate refuses.
    pub gate: Part<Gate>,
    /// Whether the class maps tell what the network uses.
    pub maps: Part<Saliency>,
    /// Controls on changed films.
    pub controls: Part<Controls>,
    /// Whether the features tell the sources apart.
    pub source_predictor: Part<SourcePrediction>,
    /// The same of films that are equally smooth and equally compressed.
    pub evened_source_predictor: Part<SourcePrediction>,
    /// Films from elsewhere.
    pub external: Part<Vec<External>>,
    /// Adults of the test part and of the films from elsewhere.
    pub adults: Part<Vec<External>>,
    /// Models that were trained without a source, tested on it alone.
    pub leave_one_out: Part<Vec<JobResult>>,
    /// Changed films.
    pub stress: Part<Vec<Stress>>,
    /// The learning curve.
    pub training: Part<Vec<Epoch>>,
    /// Films of every licence, as the index tells.
    pub licences: BTreeMap<String, u32>,
    /// Wrong answers, the surest first.
    pub worst_errors: Part<Vec<WorstError>>,
    /// The command line.
    pub command: String,
}
