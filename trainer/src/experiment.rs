//! What is trained on what: one TOML file, `trainer/experiments/` has those that were run.

mod rules;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{fmt, fs, io};

use chestlight::preprocess::InputGeometry;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::finding::Finding;
use crate::net::{Architecture, Norm};

/// A validated experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Weights, order, views and mixtures are drawn from it.
    pub seed: u64,
    /// Which network.
    pub architecture: Architecture,
    /// With which weights it begins.
    #[serde(default)]
    pub begin: Begin,
    /// How its batch norms behave.
    #[serde(default)]
    pub norm: Norm,
    /// What its outputs mean; a device reads only with [`Finding::DEVICE`].
    #[serde(default = "device")]
    pub classes: [Finding; 3],
    /// What the figures on these films do not show, for readers of the model card; only who chose the films knows.
    pub limits: String,
    /// The operating point: below this probability of the likeliest class the answer is *refer*, 0 to 1.
    pub refer_below: f32,
    /// Least share of the validation films with pneumonia that must not be called normal, 0.5 to 1; likewise of the films
    /// of the other classes for each class. Where `refer_below` does not keep it, the class needs a higher probability.
    #[serde(default = "sensitivity")]
    pub sensitivity: f64,
    /// What the device must refuse.
    #[serde(default)]
    pub gate: Gate,
    /// Whether the outputs get the offsets under which the validation films are likeliest: for training on films whose
    /// classes stand in other shares than in the films that are read.
    #[serde(default)]
    pub offsets: bool,
    /// Moving average of the weights: the share of the old average that each step keeps, above 0 and below 1. The
    /// average is what is validated and shipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<f64>,
    /// Only films under these terms, when stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licences: Option<Vec<String>>,
    /// What the network takes.
    pub input: InputGeometry,
    /// How the films come to the three parts.
    pub split: Split,
    /// How training films are varied.
    pub augment: Augment,
    /// What the training minimises.
    #[serde(default)]
    pub loss: Loss,
    /// The stages of the training, one after the other, each from the best network of the one before.
    pub stages: Vec<Stage>,
    /// How the network becomes int8.
    #[serde(default)]
    pub int8: Int8,
    /// Which films, in the order in which they are asked for.
    pub films: Vec<Selection>,
    /// Films outside the data on which the model card tells what the model answers.
    #[serde(default)]
    pub controls: Vec<Control>,
}

fn sensitivity() -> f64 {
    0.95
}

/// What the device must refuse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gate {
    /// The block whose output tells how far a film lies from the training films; where not stated, that at four fifths of
    /// the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<usize>,
    /// Share of the validation films that the distance may refuse, above 0 and at most 0.2.
    pub refused: f64,
    /// Youngest and oldest patient that the model is made for, years; others are refused where their age is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ages: Option<[f32; 2]>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { block: None, refused: 0.02, ages: None }
    }
}

fn device() -> [Finding; 3] {
    Finding::DEVICE
}

/// Where the first weights come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Begin {
    /// Drawn from the seed.
    #[default]
    Random,
    /// A file of published weights, `train --weights`.
    Weights,
    /// The network of another run, `train --from`; the classifier begins anew.
    Run,
}

/// Films of one label from one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// What they show.
    pub class: Finding,
    /// The index's label.
    pub label: String,
    /// The index's source.
    pub source: String,
    /// The index's geometry, when stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geometry: Option<String>,
    /// No more than so many, drawn by the split's seed.
    pub at_most: usize,
    /// Whether films of it come to the test part. Where not, they change nothing in how the others are dealt, so that
    /// what is measured stays what others measured; films of patients who are tested are left out.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub tested: bool,
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

/// Films that show what the accuracy hides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// What they are, for readers of the card.
    pub name: String,
    /// The index's label.
    pub label: String,
    /// The index's source.
    pub source: String,
}

/// How groups of films are dealt to the parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Which films are selected and which groups come to which part; another `seed` of the training keeps the parts.
    pub seed: u64,
    /// Fraction of all films for the test part, above 0 and below 1; not used with `fold` or `leave_out`.
    pub test: f64,
    /// Fraction of the rest for the validation part, above 0 and below 1.
    pub validation: f64,
    /// Cross validation: which of equal parts is the test part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
    /// The test part is every group with a film of this source, and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leave_out: Option<String>,
}

/// One of equal parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// Which, from 1.
    pub number: usize,
    /// Of how many, 2 to 20.
    pub of: usize,
}

impl fmt::Display for Fold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Fold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let told = || format!("{text:?} is not NUMBER/OF, such as 2/5");
        let (number, of) = text.split_once('/').ok_or_else(told)?;
        let parse = |text: &str| text.parse().map_err(|_| told());
        Ok(Self { number: parse(number)?, of: parse(of)? })
    }
}

/// Bounds of the variation of training films; each film is varied by amounts drawn evenly within them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Versions of each film, the unvaried one among them, 1 to 64, where a stage's first blocks stand and are computed
    /// once; a stage that trains all blocks sees a new version every time.
    pub views: usize,
    /// Largest rotation either way, degrees, 0 to 45.
    #[serde(default)]
    pub rotate: f32,
    /// Largest enlargement and reduction, as a fraction, 0 to 0.5.
    #[serde(default)]
    pub zoom: f32,
    /// Largest shift either way, as a fraction of the side, 0 to 0.5.
    #[serde(default)]
    pub shift: f32,
    /// Largest change of contrast, and of brightness as a fraction of half the span from black to white, 0 to 0.5.
    #[serde(default)]
    pub contrast: f32,
    /// Largest standard deviation of a smoothing, pixels, 0 to 4: sharpness tells how a collection was resampled.
    #[serde(default)]
    pub blur: f32,
    /// Largest standard deviation of noise, as a fraction of the span, 0 to 0.5.
    #[serde(default)]
    pub noise: f32,
    /// Lowest quality of a second JPEG compression, 1 to 100; 0 for none.
    #[serde(default)]
    pub jpeg: u8,
    /// Widest border that is blackened, as a fraction of the side, 0 to 0.5: frames tell hospitals apart.
    #[serde(default)]
    pub border: f32,
    /// Most boxes near the edge that are filled evenly, 0 to 16: markers and text tell hospitals apart.
    #[serde(default)]
    pub boxes: usize,
    /// Whether half of the views are mirrored. Off unless stated: the heart's side and the side marker are anatomy, a
    /// mirrored chest is a rare disease, and a network that cannot tell them apart cannot see a film that was turned.
    #[serde(default)]
    pub mirror: bool,
}

/// What the training minimises: cross entropy with these changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Loss {
    /// Whether films of rare classes weigh more, so that every class weighs the same.
    pub balance: bool,
    /// Share of the target that is spread over all classes (label smoothing, Szegedy et al., arXiv:1512.00567),
    /// 0 to 0.5.
    pub smoothing: f32,
    /// Largest share of a second film that is mixed in (mixup, Zhang et al., arXiv:1710.09412), 0 to 0.5.
    pub mixup: f32,
    /// Share of the target that comes from `train --teacher` runs (distillation, Hinton et al., arXiv:1503.02531),
    /// 0 to 1.
    pub teacher: f32,
    /// By what the outputs of teachers and of the taught network are divided before they are compared, 1 to 20: above 1
    /// the teachers also tell which wrong answers are near.
    pub temperature: f32,
}

impl Default for Loss {
    fn default() -> Self {
        Self { balance: false, smoothing: 0.0, mixup: 0.0, teacher: 0.0, temperature: 1.0 }
    }
}

/// How a trained network becomes int8.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Int8 {
    /// How the range of each value is chosen.
    pub observer: Observer,
    /// 8, or 7 for weights in -63..=63: then two products of a u8 and a weight fit an i16, which some kernels need.
    pub weight_bits: u8,
    /// Whether the mean error that rounded weights leave in a layer is taken out of its bias (Nagel et al.,
    /// arXiv:1906.04721).
    pub bias_correction: bool,
    /// Whether the channels between two layers are scaled to use the bytes alike (cross-layer equalisation, same
    /// paper), where that changes nothing in f32: not across ReLU6.
    pub equalise: bool,
}

impl Default for Int8 {
    fn default() -> Self {
        Self { observer: Observer::Percentile(0.9999), weight_bits: 8, bias_correction: true, equalise: true }
    }
}

/// How the range of a value is chosen from what it was on the validation films.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Observer {
    /// This fraction of the samples stays inside at either end, 0.99 to 1.
    Percentile(f64),
    /// The range whose 256 steps lose the least information (Kullback-Leibler divergence).
    Entropy,
    /// The range with the least mean squared error.
    Mse,
}

/// One stage of training: Adam, with the rate lowered and the training stopped by the validation loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// What the learning curve calls it.
    pub name: String,
    /// The first block that is trained; 0 trains everything, the number of blocks trains the classifier alone.
    pub train_from_block: usize,
    /// Adam's learning rate at the start.
    pub learning_rate: f64,
    /// Films a step.
    pub batch: usize,
    /// Most epochs.
    pub epochs: usize,
    /// Epochs without a better validation loss after which the rate is multiplied by `reduce_by`.
    pub reduce_after: usize,
    /// Above 0 and below 1.
    pub reduce_by: f64,
    /// Epochs without a better validation loss after which the stage ends.
    pub stop_after: usize,
}

/// The experiment cannot be run.
#[derive(Debug, Error)]
pub enum ExperimentError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The experiment.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not TOML, or not of this layout; the message has line and key.
    #[error("{path}: {source}")]
    Syntax {
        /// The experiment.
        path: PathBuf,
        /// What is wrong.
        source: toml::de::Error,
    },
    /// A value outside its range.
    #[error("{path}: {key} {wrong}")]
    Value {
        /// The experiment.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What it must be.
        wrong: &'static str,
    },
}

impl ExperimentError {
    /// What the system said, where it said something.
    pub fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Read { source, .. } => Some(source.kind()),
            Self::Syntax { .. } | Self::Value { .. } => None,
        }
    }
}

impl Experiment {
    /// Reads and validates an experiment.
    ///
    /// # Errors
    /// [`ExperimentError`] with the file and the key.
    pub fn read(path: &Path) -> Result<Self, ExperimentError> {
        let text =
            fs::read_to_string(path).map_err(|source| ExperimentError::Read { path: path.to_owned(), source })?;
        let experiment: Self =
            toml::from_str(&text).map_err(|source| ExperimentError::Syntax { path: path.to_owned(), source })?;
        match experiment.wrong() {
            None => Ok(experiment),
            Some((key, wrong)) => Err(ExperimentError::Value { path: path.to_owned(), key, wrong }),
        }
    }

    /// The block whose output tells the distance of a film.
    pub fn gate_block(&self) -> usize {
        self.gate.block.unwrap_or(self.architecture.blocks() * 4 / 5)
    }

    /// The block before which nothing is ever trained.
    pub fn standing_blocks(&self) -> usize {
        self.stages.iter().map(|stage| stage.train_from_block).min().unwrap_or(0)
    }
}
