//! A model and the truth that it carries about itself.

mod bundle;
mod engine;
mod golden;
mod manifest;
mod offload;
mod outputs;
mod shipped;
mod signature;
pub mod slots;

pub use bundle::{Bundle, BundleError};
pub use engine::{Engine, EngineError, EngineKind, EngineOptions, Layer};
pub use golden::{Golden, MAP_TOLERANCE};
pub use manifest::{DataCount, Manifest, ManifestError, Provenance, Reference};
pub use outputs::{ClassMap, Outputs};
pub use shipped::shipped;
pub use signature::{KeyError, SignatureError, Signer, TrustedKeys};

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A model's two files, read but not yet prepared for inference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFiles {
    /// The manifest's text, TOML.
    pub manifest: String,
    /// The network, ONNX. The shipped one stays where the program has it.
    pub onnx: Cow<'static, [u8]>,
}

/// A model could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// One of the two files cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The manifest is not valid.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The network does not run.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl ModelFiles {
    /// Reads the manifest NAME.toml and the network NAME.onnx beside it.
    ///
    /// # Errors
    /// [`LoadError::Read`] names the file that cannot be read.
    pub fn read(manifest: &Path) -> Result<Self, LoadError> {
        let named = |path: &Path| {
            let path = path.to_owned();
            move |source| LoadError::Read { path, source }
        };
        let onnx = manifest.with_extension("onnx");
        Ok(Self {
            manifest: fs::read_to_string(manifest).map_err(named(manifest))?,
            onnx: fs::read(&onnx).map_err(named(&onnx))?.into(),
        })
    }

    /// As [`load_with`](Self::load_with), by default.
    ///
    /// # Errors
    /// [`LoadError::Manifest`] or [`LoadError::Engine`].
    pub fn load(&self) -> Result<Model, LoadError> {
        self.load_with(&EngineOptions::default())
    }

    /// Checks the manifest against the network and prepares the network for inference.
    ///
    /// # Errors
    /// [`LoadError::Manifest`] or [`LoadError::Engine`].
    pub fn load_with(&self, options: &EngineOptions) -> Result<Model, LoadError> {
        let manifest = Manifest::parse(&self.manifest)?;
        manifest.check_digest(&self.onnx)?;
        let engine = Engine::load_with(&self.onnx, &manifest.input, options)?;
        if manifest.gate.is_some() && !engine.tells_distance() {
            // Such a model would let every film pass while its manifest promises that it refuses some.
            return Err(ManifestError::Value {
                key: "gate.distance_at_most",
                wrong: "is stated, but the network has no output distance".into(),
            }
            .into());
        }
        Ok(Model { manifest, engine })
    }
}

impl Model {
    /// The same model on the CPU alone; `None` where it runs on no GPU.
    pub fn on_cpu(&self) -> Option<Self> {
        let engine = self.engine.on_cpu()?;
        Some(Self { manifest: self.manifest.clone(), engine })
    }
}

/// A model ready to judge radiographs.
pub struct Model {
    /// What the model says of itself.
    pub manifest: Manifest,
    /// The network.
    pub engine: Engine,
}

impl Model {
    /// Loads the model of a manifest's file, or the shipped one.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(manifest: Option<&Path>) -> Result<Self, LoadError> {
        Self::load_with(manifest, &EngineOptions::default())
    }

    /// As [`load`](Self::load), run as the options say.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load_with(manifest: Option<&Path>, options: &EngineOptions) -> Result<Self, LoadError> {
        manifest.map_or_else(|| Ok(shipped()), ModelFiles::read)?.load_with(options)
    }
}

/// The bytes of a plain file of at most `most`.
fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Asked before opening: opening a pipe waits for its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a plain file"));
    }
    let mut bytes = Vec::new();
    if File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)? as u64 > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}
