//! A training on disc, from which it goes on after the power failed.

use std::path::{Path, PathBuf};
use std::{fs, io};

use burn::prelude::*;
use burn::store::RecordError;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::adam::adam;
use crate::fit::{Fit, Progress};
use crate::net::{Architecture, Net, Norm};

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
    Written(#[from] toml::ser::Error),
    #[error(transparent)]
    Progress(#[from] toml::de::Error),
    #[error("it is of architecture {}, not {}; give each its own run folder", .found.name(), .wanted.name())]
    Architecture { found: Architecture, wanted: Architecture },
}

/// What stands beside the networks.
#[derive(Serialize, Deserialize)]
struct Beside {
    architecture: Architecture,
    progress: Progress,
}

/// Writes a checkpoint into the folder of a run; until it is whole, the one before stays.
///
/// # Errors
/// [`CheckpointError`].
pub fn write(run: &Path, architecture: Architecture, fit: &Fit) -> Result<(), CheckpointError> {
    let steps = || -> Result<(), Why> {
        let [folder, unfinished, previous] = [FOLDER, UNFINISHED, PREVIOUS].map(|name| run.join(name));
        remove(&unfinished)?;
        fs::create_dir_all(&unfinished)?;
        fit.net.valid().save_file(unfinished.join("net.bpk"))?;
        fit.best.clone().save_file(unfinished.join("best.bpk"))?;
        if let Some(average) = &fit.average {
            average.clone().save_file(unfinished.join("average.bpk"))?;
        }
        fit.adam.save(unfinished.join("adam.bpk"))?;
        let beside = Beside { architecture, progress: fit.progress.clone() };
        // TOML, because it gives every bit of a number back; the JSON reader does not.
        fs::write(unfinished.join("progress.toml"), toml::to_string(&beside)?)?;
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
pub fn read(
    run: &Path,
    architecture: Architecture,
    norm: Norm,
    classes: usize,
    device: &Device,
) -> Result<Option<Fit>, CheckpointError> {
    let Some(folder) = [FOLDER, PREVIOUS].map(|name| run.join(name)).into_iter().find(|folder| folder.exists()) else {
        return Ok(None);
    };
    let steps = || -> Result<Fit, Why> {
        let Beside { architecture: found, progress } =
            toml::from_str(&fs::read_to_string(folder.join("progress.toml"))?)?;
        if found != architecture {
            return Err(Why::Architecture { found, wanted: architecture });
        }
        let net = |file: &str| Net::new(architecture, norm, classes, device).try_load_file(folder.join(file));
        let average = if folder.join("average.bpk").exists() { Some(net("average.bpk")?) } else { None };
        Ok(Fit {
            net: net("net.bpk")?.to_device(&device.clone().autodiff()).train(),
            average,
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
