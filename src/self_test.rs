//! Does the model still say of its golden phantoms what it said when it was made? Pure.

use thiserror::Error;

use crate::model::{Golden, MAP_TOLERANCE, Model};
use crate::reading::{self, Judgement};

/// The model does not answer as it did.
#[derive(Debug, Error)]
#[error("the golden phantom {} ({:?}) gave {found}, expected {expected}", .golden.seed, .golden.opacity)]
pub struct Mismatch {
    golden: Golden,
    found: String,
    expected: String,
}

/// Draws every golden phantom, reads it and compares probabilities, and distance and class map where the manifest
/// states them.
///
/// # Errors
/// The first [`Mismatch`].
pub fn run(model: &Model) -> Result<(), Mismatch> {
    for golden in &model.manifest.golden {
        let mismatch = |found, expected| Mismatch { golden: golden.clone(), found, expected };
        let failed = |error: String| mismatch(error, "an answer".into());
        let phantom = golden.phantom().render().map_err(|error| failed(error.to_string()))?;
        let Judgement { probabilities, distance, map } =
            reading::judge(model, &phantom).map_err(|error| failed(error.to_string()))?;
        compare("probabilities", &probabilities.to_array(), Some(&golden.probabilities.to_array()), golden.tolerance)
            .and_then(|()| {
                compare(
                    "distance",
                    distance.as_slice(),
                    golden.distance.as_ref().map(std::slice::from_ref),
                    golden.tolerance,
                )
            })
            .and_then(|()| {
                let quarters = map.as_ref().map(Golden::quarters);
                compare(
                    "map",
                    quarters.as_ref().map_or(&[], |it| it.as_slice()),
                    golden.map.as_ref().map(<[f32; 4]>::as_slice),
                    MAP_TOLERANCE,
                )
            })
            .map_err(|(found, expected)| mismatch(found, expected))?;
    }
    Ok(())
}

/// Whether each value is within the tolerance of what is expected; what was found and expected where not.
fn compare(what: &str, found: &[f32], expected: Option<&[f32]>, tolerance: f32) -> Result<(), (String, String)> {
    let Some(expected) = expected else { return Ok(()) };
    // Negated, so that a value that is no number differs.
    let near = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= tolerance);
    if near { Ok(()) } else { Err((format!("{what} {found:?}"), format!("{expected:?} within {tolerance}"))) }
}
