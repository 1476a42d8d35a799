//! Films as network inputs, through the device's own decoder and preprocessing.

use std::path::PathBuf;
use std::{fs, io, thread};

use chestlight::decode::{DecodeError, Limits, decode};
use chestlight::preprocess::{InputGeometry, InputTensor, PreprocessError, preprocess};
use thiserror::Error;

use crate::index::Index;
use crate::split::Sample;

/// A film of the index cannot be used. Training stops: a silently smaller data set would be another experiment.
#[derive(Debug, Error)]
#[error("{path}: {source}")]
pub struct FilmError {
    path: PathBuf,
    source: Why,
}

#[derive(Debug, Error)]
enum Why {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
}

/// The network's input of one film.
///
/// # Errors
/// [`FilmError`] names the film.
pub fn load(index: &Index, sample: &Sample, geometry: &InputGeometry) -> Result<InputTensor, FilmError> {
    let path = index.path(&sample.film);
    let tensor = || {
        let radiograph = decode(&fs::read(&path)?, &Limits::default())?;
        Ok(preprocess(&radiograph, geometry)?)
    };
    tensor().map_err(|source| FilmError { path: path.clone(), source })
}

/// The network's inputs of films, in their order, read by all cores. `tick` hears every film.
///
/// # Errors
/// [`FilmError`] names the first film that cannot be read.
pub fn load_all(
    index: &Index,
    samples: &[&Sample],
    geometry: &InputGeometry,
    tick: &(dyn Fn() + Sync),
) -> Result<Vec<InputTensor>, FilmError> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let each = samples.len().div_ceil(threads).max(1);
    let read = |samples: &[&Sample]| -> Result<Vec<InputTensor>, FilmError> {
        samples
            .iter()
            .map(|sample| {
                tick();
                load(index, sample, geometry)
            })
            .collect()
    };
    let parts: Vec<_> = thread::scope(|scope| {
        let parts: Vec<_> = samples.chunks(each).map(|samples| scope.spawn(move || read(samples))).collect();
        parts.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut tensors = Vec::with_capacity(samples.len());
    for part in parts {
        tensors.extend(part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
    }
    Ok(tensors)
}
