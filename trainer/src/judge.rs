//! Test films judged one by one: by chestlight's whole road where the network is one for devices, by its
//! preprocessing and engine alone where it answers other classes.

use std::time::Instant;
use std::{fs, io};

use chestlight::decode::Limits;
use chestlight::model::{Engine, EngineError, Model};
use chestlight::preprocess::InputGeometry;
use chestlight::reading;
use chestlight::verdict::Probabilities;
use thiserror::Error;

use crate::dataset::{self, FilmError};
use crate::evaluate::answer;
use crate::finding::Finding;
use crate::index::Index;
use crate::split::Sample;

/// A film could not be judged.
#[derive(Debug, Error)]
pub enum JudgeError {
    /// It cannot be read from disc.
    #[error("a film of the index cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It does not become a tensor.
    #[error(transparent)]
    Film(#[from] FilmError),
    /// The network failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// One film and what was answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// Its place among the films that were asked for.
    pub place: usize,
    /// The patient.
    pub group: String,
    /// The output that is right.
    pub truth: usize,
    /// The output that was answered; none for *refer*, *refused* and *fault*.
    pub answer: Option<usize>,
    /// What the device said, as a column of [`crate::evaluate::ANSWERS`].
    pub column: usize,
    /// The calibrated probabilities, when the network ran.
    pub probabilities: Option<[f32; 3]>,
    /// The feature distance, when the network ran and tells it.
    pub distance: Option<f32>,
    /// Wall time of the reading.
    pub milliseconds: f64,
}

/// The median wall time of a reading, milliseconds; 0 where there are none.
pub fn median_milliseconds(judged: &[Judged]) -> f64 {
    let mut times: Vec<f64> = judged.iter().map(|film| film.milliseconds).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(0.0)
}

/// Reads films as a unit does; only films of a class of the device are judged.
///
/// # Errors
/// [`JudgeError`].
pub fn by_device(
    model: &Model,
    index: &Index,
    samples: &[&Sample],
    tick: &mut dyn FnMut(),
) -> Result<Vec<Judged>, JudgeError> {
    let mut judged = Vec::new();
    for (place, sample, truth) in known(samples, &Finding::DEVICE) {
        let reading = reading::read(model, &fs::read(index.path(&sample.film))?, &Limits::default());
        let column = answer(reading.verdict);
        judged.push(Judged {
            place,
            group: sample.film.group_id.clone(),
            truth,
            answer: Some(column).filter(|column| *column < Finding::DEVICE.len()),
            column,
            probabilities: reading.probabilities.map(Probabilities::to_array),
            distance: reading.distance,
            milliseconds: reading.ms.total,
        });
        tick();
    }
    Ok(judged)
}

/// Judges films by the highest logit.
///
/// # Errors
/// [`JudgeError`].
pub fn by_engine(
    (engine, geometry, outputs): (&Engine, &InputGeometry, &[Finding; 3]),
    index: &Index,
    samples: &[&Sample],
    tick: &mut dyn FnMut(),
) -> Result<Vec<Judged>, JudgeError> {
    let mut judged = Vec::new();
    for (place, sample, truth) in known(samples, outputs) {
        let start = Instant::now();
        let logits = engine.infer(&dataset::load(index, sample, geometry)?)?.logits.0;
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        let highest = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let answer = highest.map(|(output, _)| output);
        let column = answer.unwrap_or_default();
        let group = sample.film.group_id.clone();
        judged.push(Judged { place, group, truth, answer, column, probabilities: None, distance: None, milliseconds });
        tick();
    }
    Ok(judged)
}

/// The samples that one of the outputs is right for: place, sample, output.
fn known<'a>(samples: &'a [&Sample], outputs: &'a [Finding; 3]) -> impl Iterator<Item = (usize, &'a Sample, usize)> {
    samples.iter().enumerate().filter_map(|(place, sample)| {
        Some((place, *sample, outputs.iter().position(|output| *output == sample.class)?))
    })
}
