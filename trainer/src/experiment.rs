//! What is trained on what: one TOML file, `trainer/experiments/` has those that were run.

use std::path::{Path, PathBuf};
use std::{fs, io};

use chestlight::preprocess::InputGeometry;
use chestlight::verdict::Class;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::net::BLOCKS;

/// A validated experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Everything that is drawn is drawn from it.
    pub seed: u64,
    /// What the network takes.
    pub input: InputGeometry,
    /// Which films, in the order in which they are asked for.
    pub films: Vec<Selection>,
    /// What the figures on these films do not show, for readers of the model card; only who chose the films knows.
    pub limits: String,
    /// Films outside the data on which the model card tells what the model answers.
    #[serde(default)]
    pub controls: Vec<Control>,
    /// Only films under these terms, when stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licences: Option<Vec<String>>,
    /// How the films come to the three parts.
    pub split: Fractions,
    /// How training films are varied.
    pub augment: Augment,
    /// The first stage: the backbone stands, the classifier is trained.
    pub head: Stage,
    /// The first block that the second stage trains, 0 to [`BLOCKS`]; what stands before it is computed once for
    /// each view.
    pub tune_from_block: usize,
    /// The second stage: the later blocks are trained too, at a lower rate.
    pub tune: Stage,
    /// Fraction of each value's samples that int8 keeps in range, 0.99 to 1.
    pub percentile: f64,
    /// The operating point: below this probability of the likeliest class the answer is *refer*, 0 to 1.
    pub refer_below: f32,
}

/// Films of one label from one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// What the network shall say of them.
    pub class: Class,
    /// The index's label.
    pub label: String,
    /// The index's source.
    pub source: String,
    /// The index's geometry, when stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geometry: Option<String>,
    /// No more than so many, drawn by the seed.
    pub at_most: usize,
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

/// Fractions of the films.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fractions {
    /// Of all, for the test part, above 0 and below 1.
    pub test: f64,
    /// Of the rest, for the validation part, above 0 and below 1.
    pub validation: f64,
}

/// Bounds of the variation of training films. There is no mirroring: the heart's side is anatomy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Versions of each film, the unvaried one among them; 1 to 64.
    pub views: usize,
    /// Largest rotation either way, degrees, 0 to 45.
    pub rotate: f32,
    /// Largest enlargement and reduction, as a fraction, 0 to 0.5.
    pub zoom: f32,
    /// Largest shift either way, as a fraction of the side, 0 to 0.5.
    pub shift: f32,
    /// Largest change of contrast, and of brightness on the scale where black to white is 2, 0 to 0.5.
    pub contrast: f32,
}

/// One stage of training: Adam, with the rate lowered and the training stopped by the validation loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
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

    fn wrong(&self) -> Option<(&'static str, &'static str)> {
        let input = &self.input;
        let Augment { views, rotate, zoom, shift, contrast } = self.augment;
        let fraction = |value: f64| value > 0.0 && value < 1.0;
        let half = |value: f32| (0.0..=0.5).contains(&value);
        let stage = |stage: &Stage| {
            fraction(stage.learning_rate)
                && (1..=4_096).contains(&stage.batch)
                && fraction(stage.reduce_by)
                && stage.reduce_after > 0
                && stage.stop_after > 0
        };
        let rules = [
            ("input", "must have sides that are multiples of 32, 32 to 1,024", {
                let side = |side: u32| side.is_multiple_of(32) && (32..=1_024).contains(&side);
                side(input.width) && side(input.height)
            }),
            ("input.std", "must be above 0", input.std > 0.0),
            ("limits", "must say what the figures do not show", !self.limits.trim().is_empty()),
            ("films", "must ask for films of all three classes", {
                Class::ALL.iter().all(|class| self.films.iter().any(|films| films.class == *class))
            }),
            ("split", "must have test and validation above 0 and below 1", {
                fraction(self.split.test) && fraction(self.split.validation)
            }),
            ("augment.views", "must be 1 to 64", (1..=64).contains(&views)),
            ("augment.rotate", "must be 0 to 45", (0.0..=45.0).contains(&rotate)),
            ("augment", "must have zoom, shift and contrast of 0 to 0.5", half(zoom) && half(shift) && half(contrast)),
            ("head", STAGE_RULE, stage(&self.head)),
            ("tune_from_block", "must be 0 to 16", self.tune_from_block <= BLOCKS),
            ("tune", STAGE_RULE, stage(&self.tune)),
            ("percentile", "must be 0.99 to 1", (0.99..=1.0).contains(&self.percentile)),
            ("refer_below", "must be 0 to 1", (0.0..=1.0).contains(&self.refer_below)),
        ];
        rules.into_iter().find(|(_, _, holds)| !holds).map(|(key, wrong, _)| (key, wrong))
    }
}

const STAGE_RULE: &str = "must have learning_rate and reduce_by above 0 and below 1, batch 1 to 4,096, \
                          and reduce_after and stop_after above 0";

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../experiments/dataset1-lite0.toml");

    fn read(text: &str) -> Result<Experiment, ExperimentError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("experiment.toml");
        fs::write(&path, text).unwrap();
        Experiment::read(&path)
    }

    #[test]
    fn the_shipped_experiment_is_valid_and_survives_writing() {
        let experiment = read(SHIPPED).unwrap();
        assert_eq!(read(&toml::to_string(&experiment).unwrap()).unwrap(), experiment);
    }

    #[test]
    fn a_bad_value_is_told_with_its_key() {
        for (from, to, told) in [
            ("width = 224", "width = 225", "input must"),
            ("std = 128.0", "std = 0.0", "input.std must"),
            ("class = \"covid19\"", "class = \"normal\"", "films must"),
            ("class = \"covid19\"", "class = \"viral\"", "viral"),
            ("test = 0.2", "test = 1.0", "split must"),
            ("views = ", "views = 0 #", "augment.views must"),
            ("rotate = ", "rotate = 90 #", "augment.rotate must"),
            ("zoom = ", "zoom = 0.6 #", "augment must"),
            ("learning_rate = ", "learning_rate = 0 #", "head must"),
            ("tune_from_block = ", "tune_from_block = 17 #", "tune_from_block must"),
            ("percentile = ", "percentile = 0.9 #", "percentile must"),
            ("limits = ", "limits = '' #", "limits must"),
            ("refer_below = ", "refer_below = 2 #", "refer_below must"),
            ("seed = ", "sead = ", "sead"),
        ] {
            assert!(SHIPPED.contains(from), "{from}");
            let error = read(&SHIPPED.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(told), "{from} -> {to}: {error}");
        }
    }
}
