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

/// How far a probability may be off on a GPU, which computes in floats what the CPU computes in bytes.
const GPU_TOLERANCE: f32 = 0.1;

/// Draws every golden phantom, reads it and compares probabilities, and distance and class map where the manifest
/// states them. A GPU that says something else than the CPU is left alone; that is no fault of the model.
///
/// # Errors
/// The first [`Mismatch`].
pub fn run(model: &Model) -> Result<(), Mismatch> {
    let Some(on_cpu) = model.on_cpu() else { return compare_goldens(model) };
    compare_goldens(&on_cpu)?;
    if let Err(wrong) = compare_engines(model, &on_cpu) {
        model.engine.give_up_offload(wrong);
    }
    Ok(())
}

/// Whether the GPU says of every golden phantom what the CPU says; what is wrong where not.
fn compare_engines(model: &Model, on_cpu: &Model) -> Result<(), String> {
    for golden in &model.manifest.golden {
        let phantom = golden.phantom().render().map_err(|error| error.to_string())?;
        let judge = |model| reading::judge(model, &phantom).map_err(|error| error.to_string());
        let [gpu, cpu] = [judge(model)?, judge(on_cpu)?].map(|it| it.probabilities.to_array());
        compare("probabilities", &gpu, Some(&cpu), GPU_TOLERANCE)
            .map_err(|(found, expected)| format!("it says {found} where the CPU says {expected}"))?;
    }
    Ok(())
}

fn compare_goldens(model: &Model) -> Result<(), Mismatch> {
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
