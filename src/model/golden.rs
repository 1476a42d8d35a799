//! Golden results: what the model must say of phantoms, on every machine and after every update.

use serde::{Deserialize, Serialize};

use crate::phantom::{Opacity, Phantom};
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

impl Golden {
    pub(super) fn is_sound(&self) -> bool {
        self.probabilities.to_array().iter().chain([&self.tolerance]).all(|value| (0.0..=1.0).contains(value))
    }

    /// The phantom that the result belongs to.
    pub fn phantom(&self) -> Phantom {
        Phantom::new(self.seed, self.opacity)
    }
}
