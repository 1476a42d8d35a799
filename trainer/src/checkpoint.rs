//! A training on disc, from which it goes on after the power failed.

use std::path::{Path, PathBuf};
use std::{fs, io};

use burn::prelude::*;
use burn::store::RecordError;
use thiserror::Error;

use crate::fit::{Fit, Progress, adam};
use crate::net::Lite0;

const FOLDER: &str = "checkpoint";
const UNFINISHED: &str = "checkpoint.new";
const PREVIOUS: &str = "checkpoint.old";

/// A checkpoint cannot be written or taken up.
#[derive(Debug, Error)]
#[error("the checkpoint in {run}: {source}")]
pub struct CheckpointError {
    run: PathBuf,
    source: Why,
}

#[derive(Debug, Error)]
enum Why {
    #[error(transparent)]
    File(#[from] io::Error),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Progress(#[from] serde_json::Error),
}

/// Writes a checkpoint into the folder of a run; until it is whole, the one before stays.
///
/// # Errors
/// [`CheckpointError`].
pub fn write(run: &Path, fit: &Fit) -> Result<(), CheckpointError> {
    let steps = || -> Result<(), Why> {
        let [folder, unfinished, previous] = [FOLDER, UNFINISHED, PREVIOUS].map(|name| run.join(name));
        remove(&unfinished)?;
        fs::create_dir_all(&unfinished)?;
        fit.net.valid().save_file(unfinished.join("net.bpk"))?;
        fit.best.clone().save_file(unfinished.join("best.bpk"))?;
        fit.adam.save(unfinished.join("adam.bpk"))?;
        fs::write(unfinished.join("progress.json"), serde_json::to_vec_pretty(&fit.progress)?)?;
        remove(&previous)?;
        if folder.exists() {
            fs::rename(&folder, &previous)?;
        }
        fs::rename(&unfinished, &folder)?;
        remove(&previous)?;
        Ok(())
    };
    steps().map_err(|source| CheckpointError { run: run.to_owned(), source })
}

/// Takes the last whole checkpoint of a run up again; `None` if it has none.
///
/// # Errors
/// [`CheckpointError`] when it has one that cannot be read.
pub fn read(run: &Path, classes: usize, device: &Device) -> Result<Option<Fit>, CheckpointError> {
    let Some(folder) = [FOLDER, PREVIOUS].map(|name| run.join(name)).into_iter().find(|folder| folder.exists()) else {
        return Ok(None);
    };
    let steps = || -> Result<Fit, Why> {
        let progress: Progress = serde_json::from_slice(&fs::read(folder.join("progress.json"))?)?;
        let net = |file: &str| Lite0::new(classes, device).try_load_file(folder.join(file));
        Ok(Fit {
            net: net("net.bpk")?.to_device(&device.clone().autodiff()).train(),
            best: net("best.bpk")?,
            adam: adam().load(folder.join("adam.bpk"))?,
            progress,
        })
    };
    steps().map(Some).map_err(|source| CheckpointError { run: run.to_owned(), source })
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
