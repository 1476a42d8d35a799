//! The TOML beside a model: everything that belongs to the model and therefore not to a site's configuration.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::Golden;
use crate::digest::hex;
use crate::gate;
use crate::preprocess::InputGeometry;
use crate::verdict::{Calibration, Class};

/// A validated manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Layout of this file; 1.
    pub schema: u32,
    /// The model's name, letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// SHA-256 of the ONNX file, lower-case hexadecimal.
    pub digest: String,
    /// The network's outputs in order; the three of [`Class::ALL`].
    pub classes: Vec<Class>,
    /// What the network takes.
    pub input: InputGeometry,
    /// How logits become a verdict.
    pub calibration: Calibration,
    /// What the model must not judge; a model of a network that computes no distance has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<gate::Bounds>,
    /// What the films of its own validation part were like; without it drift cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    /// Where the model comes from.
    pub provenance: Provenance,
    /// Results on phantoms that every installation must reproduce; at least one.
    pub golden: Vec<Golden>,
}

/// How the model was made; told to people, never used in a computation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The command that trained it.
    pub command: String,
    /// Version of the trainer.
    pub trainer: String,
    /// SHA-256 of the index of radiographs that it was trained from.
    pub index_digest: String,
    /// Radiographs of each class in each part.
    pub data: Vec<DataCount>,
}

/// What readings were like when the model was made. Collections differ: `between` and the two highest rates say by how
/// much they did, so that a clinic that is no stranger than those is no drift.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Mean feature distance.
    pub distance_mean: f32,
    /// Standard deviation of the feature distance of single films.
    pub distance_deviation: f32,
    /// Standard deviation of the mean distance of whole collections.
    pub distance_between: f32,
    /// Share of films refused, in the collection with the highest; 0..=1.
    pub refused_at_most: f32,
    /// Share of films referred, in the collection with the highest; 0..=1.
    pub referred_at_most: f32,
}

/// Radiographs of one part of the data, by class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataCount {
    /// `train`, `validation` or `test`.
    pub part: String,
    /// No pneumonia.
    pub normal: u32,
    /// Bacterial pneumonia.
    pub bacterial: u32,
    /// COVID-19 pneumonia.
    pub covid19: u32,
    /// Of unknown cause, but not COVID-19; they only taught what COVID-19 is not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_covid19: u32,
}

fn is_zero(films: &u32) -> bool {
    *films == 0
}

/// The manifest cannot be trusted.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// Not TOML, or not of this layout; the message has line and key.
    #[error("the model's manifest is not valid: {0}")]
    Syntax(#[from] toml::de::Error),
    /// A value outside its range.
    #[error("the model's manifest is not valid: {key}: {wrong}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        wrong: String,
    },
    /// The ONNX file is not the one that the manifest describes.
    #[error("the model's network does not belong to its manifest: its digest is {found}, the manifest says {stated}")]
    Digest {
        /// Digest of the file.
        found: String,
        /// Digest in the manifest.
        stated: String,
    },
}

impl Manifest {
    /// Largest width and height of an input, pixels; bounds what a manifest can make the unit allocate.
    pub const MAX_SIDE: u32 = 1_024;

    /// Reads and validates a manifest.
    ///
    /// # Errors
    /// [`ManifestError`] with the key and what is wrong.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self = toml::from_str(text)?;
        manifest.check_values()?;
        Ok(manifest)
    }

    fn check_values(&self) -> Result<(), ManifestError> {
        let wrong = |key, wrong: String| Err(ManifestError::Value { key, wrong });
        if self.schema != 1 {
            return wrong("schema", format!("is {}, this version reads 1", self.schema));
        }
        if self.name.is_empty() || !self.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            return wrong("name", format!("{:?} must be letters, digits, '-', '_' and '.'", self.name));
        }
        if self.classes != Class::ALL {
            return wrong("classes", format!("must be {:?} in this order", Class::ALL.map(Class::name)));
        }
        let input = &self.input;
        let sides = 1..=Self::MAX_SIDE;
        if !sides.contains(&input.width) || !sides.contains(&input.height) {
            return wrong(
                "input",
                format!("{} x {} pixels; each side is 1 to {}", input.width, input.height, Self::MAX_SIDE),
            );
        }
        if !((0.0..0.5).contains(&input.exposure_low) && input.exposure_high > 0.5 && input.exposure_high <= 1.0) {
            return wrong("input.exposure_low", "must be in 0..0.5, and exposure_high in 0.5..=1".into());
        }
        if !(input.mean.is_finite() && input.std.is_finite() && input.std > 0.0) {
            return wrong("input.std", "must be a number above 0, and mean a number".into());
        }
        if !(0.0..=0.4).contains(&input.margin) {
            return wrong("input.margin", "must be 0 to 0.4".into());
        }
        let Calibration { temperature, refer_below, points } = self.calibration;
        if !(temperature.is_finite() && temperature > 0.0) {
            return wrong("calibration.temperature", format!("is {temperature}, must be a number above 0"));
        }
        if !(0.0..=1.0).contains(&refer_below) {
            return wrong("calibration.refer_below", format!("is {refer_below}, must be in 0..=1"));
        }
        for point in points.iter().flat_map(|points| Class::ALL.map(|class| points.of(class))) {
            let rates = [point.sensitivity, point.specificity];
            if !(refer_below..=1.0).contains(&point.at_least) || rates.iter().any(|rate| !(0.0..=1.0).contains(rate)) {
                return wrong(
                    "calibration.points",
                    format!("{point:?}: at_least must be in {refer_below}..=1, the rates in 0..=1"),
                );
            }
        }
        if let Some(gate) = &self.gate {
            if !(gate.distance_at_most.is_finite() && gate.distance_at_most > 0.0) {
                return wrong("gate.distance_at_most", format!("is {}, must be above 0", gate.distance_at_most));
            }
            if let Some(ages) = gate.ages
                && !(ages.from >= 0.0 && ages.from < ages.to && ages.to <= 150.0)
            {
                return wrong("gate.ages", format!("{ages:?}: 0 <= from < to <= 150 must hold"));
            }
        }
        if let Some(reference) = &self.reference {
            let Reference { distance_mean, distance_deviation, distance_between, .. } = *reference;
            let rates = [reference.refused_at_most, reference.referred_at_most];
            let distances = [distance_mean, distance_deviation, distance_between];
            if distances.iter().any(|value| !(value.is_finite() && *value >= 0.0))
                || rates.iter().any(|rate| !(0.0..=1.0).contains(rate))
            {
                return wrong("reference", "distances must be 0 or more, rates in 0..=1".into());
            }
        }
        if self.golden.is_empty() {
            return wrong("golden", "at least one golden result is needed".into());
        }
        if let Some(golden) = self.golden.iter().find(|golden| !golden.is_sound()) {
            return wrong("golden", format!("{golden:?}: probabilities and tolerance must be in 0..=1"));
        }
        Ok(())
    }

    /// Checks that the network is the one described.
    ///
    /// # Errors
    /// [`ManifestError::Digest`] with both digests.
    pub fn check_digest(&self, onnx: &[u8]) -> Result<(), ManifestError> {
        let found = hex(&Sha256::digest(onnx));
        if found == self.digest { Ok(()) } else { Err(ManifestError::Digest { found, stated: self.digest.clone() }) }
    }
}
