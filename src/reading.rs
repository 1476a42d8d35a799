//! One pass down the pure middle of the road: decode, gate, preprocess, infer, verdict.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::decode::{self, DecodeError, Limits};
use crate::explain::{ExplainError, HeatMap};
use crate::gate;
use crate::model::{ClassMap, EngineError, Model, Outputs};
use crate::preprocess::{PreprocessError, preprocess};
use crate::radiograph::{Origin, Radiograph};
use crate::refusal::Refusal;
use crate::verdict::{self, Fault, Probabilities, Verdict};

/// Milliseconds of wall time spent in each room; 0 for a room that was not reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Milliseconds {
    /// Bytes to radiograph.
    pub decode: f64,
    /// Fitness of the film.
    pub gate: f64,
    /// Radiograph to tensor.
    pub preprocess: f64,
    /// Tensor to logits.
    pub infer: f64,
    /// All of it.
    pub total: f64,
}

/// What came of one film.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What the technician is told.
    pub verdict: Verdict,
    /// One sentence in plain words: what was found, and what to do if it was not read.
    pub message: String,
    /// The calibrated probabilities, when the network ran.
    pub probabilities: Option<Probabilities>,
    /// How far the film lies from those that the network was trained on, when the network tells it.
    pub distance: Option<f32>,
    /// What speaks for each class where, when there are probabilities and the network tells it.
    pub map: Option<ClassMap>,
    /// Time spent.
    pub ms: Milliseconds,
    /// What the film's DICOM file says of it; the patient's identifier among it, so never to be printed whole.
    pub origin: Option<Origin>,
}

impl Reading {
    /// A film that did not get as far as the rooms.
    pub fn refused(refusal: Refusal, detail: &str) -> Self {
        Self {
            verdict: Verdict::Refused(refusal),
            message: format!("{detail}; {}", refusal.advice()),
            probabilities: None,
            distance: None,
            map: None,
            ms: Milliseconds::default(),
            origin: None,
        }
    }

    fn fault(fault: Fault, detail: &str) -> Self {
        Self {
            verdict: Verdict::Fault(fault),
            message: format!("the unit failed on this film: {detail}; the film is kept, a doctor must look at it"),
            probabilities: None,
            distance: None,
            map: None,
            ms: Milliseconds::default(),
            origin: None,
        }
    }
}

/// The network could not judge a radiograph that passed the gate.
#[derive(Debug, Error)]
pub enum JudgeError {
    /// The radiograph did not become a tensor.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// The network failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The network answered with something that is no number.
    #[error("the model answered {0:?}")]
    NotANumber([f32; 3]),
}

/// What the model says of one radiograph.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Calibrated probabilities.
    pub probabilities: Probabilities,
    /// As in [`Outputs`].
    pub distance: Option<f32>,
    /// As in [`Outputs`].
    pub map: Option<ClassMap>,
}

/// Judges one radiograph without asking the gate.
///
/// # Errors
/// [`JudgeError`].
pub fn judge(model: &Model, radiograph: &Radiograph) -> Result<Judgement, JudgeError> {
    judge_timed(model, radiograph, &mut Milliseconds::default())
}

fn judge_timed(model: &Model, radiograph: &Radiograph, ms: &mut Milliseconds) -> Result<Judgement, JudgeError> {
    let tensor = timed(&mut ms.preprocess, || preprocess(radiograph, &model.manifest.input))?;
    let Outputs { logits, map, distance } = timed(&mut ms.infer, || model.engine.infer(&tensor))?;
    let probabilities =
        verdict::calibrate(logits, &model.manifest.calibration).ok_or(JudgeError::NotANumber(logits.0))?;
    Ok(Judgement { probabilities, distance, map })
}

/// Reads one film from its bytes. Never fails and never panics: whatever goes wrong is a verdict.
pub fn read(model: &Model, bytes: &[u8], limits: &Limits) -> Reading {
    read_of_age(model, bytes, limits, None)
}

/// Reads one film of a patient whose age in years the operator has stated; it goes before what the film says.
pub fn read_of_age(model: &Model, bytes: &[u8], limits: &Limits, years: Option<f32>) -> Reading {
    let mut ms = Milliseconds::default();
    let mut total = 0.0;
    let read = || read_rooms(model, bytes, limits, years, &mut ms);
    // A decoder is other people's code on outside bytes: a panic in it must cost one film, not the unit.
    let outcome = timed(&mut total, || catch_unwind(AssertUnwindSafe(read)));
    let reading = outcome.unwrap_or_else(|panic| {
        let words =
            panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Reading::fault(Fault::Panic, words.unwrap_or("panic without words"))
    });
    Reading { ms: Milliseconds { total, ..ms }, ..reading }
}

fn read_rooms(model: &Model, bytes: &[u8], limits: &Limits, years: Option<f32>, ms: &mut Milliseconds) -> Reading {
    let at_least = model.manifest.input.at_least();
    let (origin, reading) = match timed(&mut ms.decode, || decode::decode_reduced(bytes, limits, at_least)) {
        Ok(radiograph) => (radiograph.origin().cloned(), read_decoded(model, &radiograph, years, ms)),
        Err(error) => (decode::origin(bytes, limits), Reading::refused(error.refusal(), &error.to_string())),
    };
    Reading { origin, ..reading }
}

fn read_decoded(model: &Model, radiograph: &Radiograph, years: Option<f32>, ms: &mut Milliseconds) -> Reading {
    let bounds = model.manifest.gate.as_ref();
    let years = years.or_else(|| radiograph.origin().and_then(|origin| origin.age_years));
    let before = timed(&mut ms.gate, || gate::judge(radiograph).and_then(|()| gate::judge_age(years, bounds)));
    if let Err(refused) = before {
        return Reading::refused(refused.refusal, &refused.detail);
    }
    let Judgement { probabilities, distance, map } = match judge_timed(model, radiograph, ms) {
        Ok(judgement) => judgement,
        Err(error) => return Reading::fault(Fault::Engine, &error.to_string()),
    };
    if let Err(refused) = gate::judge_distance(distance, bounds) {
        // Probabilities of what the model must not judge would only mislead.
        return Reading { distance, ..Reading::refused(refused.refusal, &refused.detail) };
    }
    let verdict = Verdict::decide(probabilities, &model.manifest.calibration);
    let (_, top) = probabilities.top();
    let message = format!("{}, {:.0}% sure", verdict.words(), top * 100.0);
    let ms = Milliseconds::default();
    Reading { verdict, message, probabilities: Some(probabilities), distance, map, ms, origin: None }
}

/// The film of a reading and what spoke for its verdict where; none where the reading has no class map. Decodes the film
/// again, so that no reading keeps pixels.
///
/// # Errors
/// [`HeatMapError`].
pub fn heat_map(
    model: &Model,
    reading: &Reading,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Option<HeatMap>, HeatMapError> {
    let Some((map, probabilities)) = reading.map.as_ref().zip(reading.probabilities) else { return Ok(None) };
    let film = decode::decode(bytes, limits)?;
    let (class, _) = probabilities.top();
    Ok(Some(HeatMap::new(&film, &model.manifest.input, map, class)?))
}

/// The film of a reading could not be drawn.
#[derive(Debug, Error)]
pub enum HeatMapError {
    /// It did not decode a second time.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It could not be drawn.
    #[error(transparent)]
    Draw(#[from] ExplainError),
}

/// Runs a room and notes its wall time, to the microsecond.
fn timed<T>(ms: &mut f64, room: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = room();
    *ms = start.elapsed().as_micros() as f64 / 1e3;
    value
}
