//! Golden results: what the model must say of phantoms, on every machine and after every update.

use serde::{Deserialize, Serialize};

use crate::phantom::{Opacity, Phantom};
use crate::verdict::{Class, Probabilities};

use super::ClassMap;

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
    /// How far each probability and the distance may be off on another processor, 0..=1.
    pub tolerance: f32,
    /// The feature distance, where the network tells one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<f32>,
    /// Means over the four quarters of the class map of normal, where the network tells one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<[f32; 4]>,
}

/// How far each quarter of a class map may be off on another processor, in units of logits.
pub const MAP_TOLERANCE: f32 = 0.3;

impl Golden {
    pub(super) fn is_sound(&self) -> bool {
        let others = self.distance.iter().chain(self.map.iter().flatten());
        self.probabilities.to_array().iter().chain([&self.tolerance]).all(|value| (0.0..=1.0).contains(value))
            && others.into_iter().all(|value| value.is_finite())
    }

    /// Means of the class map of normal over its upper left, upper right, lower left and lower right quarter: a map that
    /// is turned, mirrored or of another class has others.
    pub fn quarters(map: &ClassMap) -> [f32; 4] {
        let (across, down) = (map.width().div_ceil(2), map.height().div_ceil(2));
        let mut quarters = [(0.0, 0.0f32); 4];
        for (place, value) in map.plane(Class::Normal).iter().enumerate() {
            let (right, lower) = (place % map.width() >= across, place / map.width() >= down);
            if let Some((sum, count)) = quarters.get_mut(2 * usize::from(lower) + usize::from(right)) {
                *sum += value;
                *count += 1.0;
            }
        }
        quarters.map(|(sum, count)| sum / count.max(1.0))
    }

    /// The phantom that the result belongs to.
    pub fn phantom(&self) -> Phantom {
        Phantom::new(self.seed, self.opacity)
    }
}
