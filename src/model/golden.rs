//! Golden results: what the model must say of phantoms, on every machine and after every update.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Model;
use crate::phantom::{Opacity, Phantom};
use crate::reading;
use crate::verdict::Probabilities;

/// The model's calibrated probabilities on one phantom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// Seed of the phantom.
    pub seed: u64,
    /// Its opacity.
    pub opacity: Opacity,
    /// What the model said when it was made.
    pub probabilities: Probabilities,
    /// How far each probability may be off on another processor, 0..=1.
    pub tolerance: f32,
}

/// The model does not say what it said when it was made.
#[derive(Debug, Error)]
#[error("the golden phantom {seed} ({opacity:?}) gave {found}, expected {expected:?}")]
pub struct GoldenMismatch {
    seed: u64,
    opacity: Opacity,
    expected: Probabilities,
    found: String,
}

impl Golden {
    pub(super) fn is_sound(&self) -> bool {
        self.probabilities.to_array().iter().chain([&self.tolerance]).all(|value| (0.0..=1.0).contains(value))
    }

    /// The phantom that the result belongs to.
    pub fn phantom(&self) -> Phantom {
        Phantom::new(self.seed, self.opacity)
    }

    /// Reads the phantom and compares.
    ///
    /// # Errors
    /// [`GoldenMismatch`] with what was found.
    pub fn check(&self, model: &Model) -> Result<(), GoldenMismatch> {
        let mismatch = |found: String| GoldenMismatch {
            seed: self.seed,
            opacity: self.opacity,
            expected: self.probabilities,
            found,
        };
        let phantom = self.phantom().render().map_err(|error| mismatch(error.to_string()))?;
        let found = reading::probabilities(model, &phantom).map_err(|error| mismatch(error.to_string()))?;
        let off = found
            .to_array()
            .into_iter()
            .zip(self.probabilities.to_array())
            .any(|(a, b)| (a - b).abs() > self.tolerance);
        if off { Err(mismatch(format!("{found:?}"))) } else { Ok(()) }
    }
}
