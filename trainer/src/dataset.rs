//! Films as network inputs, through the device's own decoder and preprocessing.

use std::path::{Path, PathBuf};
use std::{fs, io};

use chestlight::decode::{DecodeError, Limits, decode_reduced};
use chestlight::preprocess::{InputGeometry, InputTensor, PreprocessError, preprocess};
use thiserror::Error;

use crate::index::Index;
use crate::parallel;
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

/// The network's input of one film of the index.
///
/// # Errors
/// [`FilmError`] names the film.
pub fn load(index: &Index, sample: &Sample, geometry: &InputGeometry) -> Result<InputTensor, FilmError> {
    load_file(&index.path(&sample.film), geometry)
}

/// The network's input of any film.
///
/// # Errors
/// [`FilmError`] names the film.
pub fn load_file(path: &Path, geometry: &InputGeometry) -> Result<InputTensor, FilmError> {
    let tensor = || {
        let radiograph = decode_reduced(&fs::read(path)?, &Limits::default(), geometry.at_least())?;
        Ok(preprocess(&radiograph, geometry)?)
    };
    tensor().map_err(|source| FilmError { path: path.to_owned(), source })
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
    let load = |sample: &&Sample| {
        tick();
        load(index, sample, geometry)
    };
    parallel::each(samples, load).into_iter().collect()
}
