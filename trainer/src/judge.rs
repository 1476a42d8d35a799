//! Test films judged one by one: by chestlight's whole road where the network is one for devices, by its
//! preprocessing and engine alone where it answers other classes.

use std::time::Instant;
use std::{fs, io};

use chestlight::decode::Limits;
use chestlight::model::{Engine, EngineError, Model};
use chestlight::preprocess::InputGeometry;
use chestlight::reading;
use thiserror::Error;

use crate::dataset::{self, FilmError};
use crate::evaluate::answer;
use crate::finding::Finding;
use crate::index::Index;
use crate::result::Judged;
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
    for sample in samples {
        let Some(truth) = output(sample, &Finding::DEVICE) else { continue };
        let reading = reading::read(model, &fs::read(index.path(&sample.film))?, &Limits::default());
        let answer = Some(answer(reading.verdict)).filter(|column| *column < Finding::DEVICE.len());
        judged.push(Judged { group: sample.film.group_id.clone(), truth, answer, milliseconds: reading.ms.total });
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
    for sample in samples {
        let Some(truth) = output(sample, outputs) else { continue };
        let start = Instant::now();
        let logits = engine.infer(&dataset::load(index, sample, geometry)?)?.0;
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        let highest = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let answer = highest.map(|(output, _)| output);
        judged.push(Judged { group: sample.film.group_id.clone(), truth, answer, milliseconds });
        tick();
    }
    Ok(judged)
}

fn output(sample: &Sample, outputs: &[Finding; 3]) -> Option<usize> {
    outputs.iter().position(|output| *output == sample.class)
}
