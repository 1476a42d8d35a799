//! The subcommands, one file each.

pub mod acknowledge;
pub mod bench;
pub mod camera;
pub mod capture;
pub mod check;
pub mod classify;
pub mod clock;
pub mod demo;
pub mod export;
pub mod fault;
pub mod gpu;
pub mod lamps;
pub mod log;
pub mod model;
pub mod override_reading;
pub mod run;
pub mod screens;
pub mod status;
pub mod support_bundle;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Error, anyhow};
use chestlight::choose::{self, ChooseError, Chosen, Deaths};
use chestlight::config::Config;
use chestlight::model::{EngineKind, EngineOptions, Model};

/// How a command ended, as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was read or is well: 0.
    Well,
    /// Some films were refused, or some check failed: 1.
    Refused,
    /// The command line, the configuration or a file that they name is wrong: 2.
    Usage,
    /// The unit itself failed: 3.
    Fault,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Well => Self::SUCCESS,
            Outcome::Refused => Self::from(1),
            Outcome::Usage => Self::from(2),
            Outcome::Fault => Self::from(3),
        }
    }
}

/// An error with the exit code that it leads to.
#[derive(Debug)]
pub struct Failure {
    /// [`Outcome::Usage`] or [`Outcome::Fault`].
    pub outcome: Outcome,
    /// What went wrong, with context.
    pub error: Error,
}

impl From<Error> for Failure {
    /// What nobody foresaw is the unit's fault.
    fn from(error: Error) -> Self {
        Self { outcome: Outcome::Fault, error }
    }
}

/// Marks an error as the user's to mend.
pub fn usage(error: impl Into<Error>) -> Failure {
    Failure { outcome: Outcome::Usage, error: error.into() }
}

/// Why a film that somebody names has no bytes.
#[derive(Debug, thiserror::Error)]
pub enum Hindrance {
    /// A folder, a pipe or a device.
    #[error("this is not a plain file")]
    NotAFile,
    /// What the system says.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// The film's bytes, cut off one byte past the limit so that the decoder can say that there are too many.
pub fn film_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, Hindrance> {
    // Asked before opening: opening a pipe waits for its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(Hindrance::NotAFile);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An error with its causes, each once: many rooms say the cause in their own words already.
pub fn told(error: &Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        _ if told.contains(&cause) => told,
        _ => format!("{told}: {cause}"),
    })
}

/// [`EngineKind`] on the command line.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum EngineArgument {
    Auto,
    Tract,
    Qnn,
    /// An NVIDIA GPU; needs a program with the feature cuda
    Cuda,
}

impl From<EngineArgument> for EngineKind {
    fn from(argument: EngineArgument) -> Self {
        match argument {
            EngineArgument::Auto => Self::Auto,
            EngineArgument::Tract => Self::Tract,
            EngineArgument::Qnn => Self::Qnn,
            EngineArgument::Cuda => Self::Cuda,
        }
    }
}

/// What is wrong with a model that a person has named.
const NAMED: &str = "the model cannot be used; a model is named by the TOML manifest beside its ONNX file";

/// Loads the model of a manifest, or the shipped one, run as the options say.
pub fn load_model_with(manifest: Option<&Path>, options: &EngineOptions) -> Result<Model, Failure> {
    let loaded = Model::load_with(manifest, options);
    let model = match manifest {
        None => loaded.context("the shipped model does not load").map_err(Failure::from),
        Some(_) => loaded.context(NAMED).map_err(usage),
    }?;
    // Whoever names the GPU wants to see what the GPU says.
    match model.engine.offload_wrong() {
        None => Ok(model),
        Some(wrong) => Err(usage(anyhow!("the GPU cannot be used: {wrong}"))),
    }
}

/// The tested model that a unit with this configuration starts with.
pub fn choose_model(config: &Config, deaths: Deaths) -> Result<Chosen, Failure> {
    choose::at_start(config, deaths).map_err(|error| match (&config.model, error) {
        (_, error @ ChooseError::SelfTest(_)) => Error::new(error).into(),
        (None, error) => Error::new(error).context("not even the model inside the program can be used").into(),
        (Some(_), error) => usage(Error::new(error).context(NAMED)),
    })
}
