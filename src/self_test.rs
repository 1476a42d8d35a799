//! Does the model still say of its golden phantoms what it said when it was made? Pure.

use thiserror::Error;

use crate::model::{Golden, Model};
use crate::reading;

/// The model does not answer as it did.
#[derive(Debug, Error)]
#[error("the golden phantom {} ({:?}) gave {found}, expected {:?} within {}", .golden.seed, .golden.opacity, .golden.probabilities, .golden.tolerance)]
pub struct Mismatch {
    golden: Golden,
    found: String,
}

/// Draws every golden phantom, reads it and compares.
///
/// # Errors
/// The first [`Mismatch`].
pub fn run(model: &Model) -> Result<(), Mismatch> {
    for golden in &model.manifest.golden {
        let mismatch = |found| Mismatch { golden: golden.clone(), found };
        let phantom = golden.phantom().render().map_err(|error| mismatch(error.to_string()))?;
        let found = reading::probabilities(model, &phantom).map_err(|error| mismatch(error.to_string()))?;
        let differences = found.to_array().into_iter().zip(golden.probabilities.to_array()).map(|(a, b)| (a - b).abs());
        if differences.into_iter().any(|difference| difference > golden.tolerance) {
            return Err(mismatch(format!("{found:?}")));
        }
    }
    Ok(())
}
