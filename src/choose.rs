//! Which model the unit reads with: the configured one, else the installed one, else the one inside the program.
//!
//! Nothing comes out of here that has not answered its golden phantoms.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use crate::config::{Config, Gpu};
use crate::cores;
use crate::fault;
use crate::model::slots::{Record, Signed, Slot, SlotError, Slots};
use crate::model::{EngineKind, EngineOptions, KeyError, LoadError, Model, TrustedKeys, shipped};
use crate::self_test;

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration names its manifest; nobody need have signed it.
    Configured(PathBuf),
    /// It was installed and activated.
    Installed {
        /// The slot that it lies in.
        slot: Slot,
        /// Its version.
        version: u64,
    },
    /// It is part of the program.
    Shipped,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configured(path) => write!(f, "{}, which nobody has signed", path.display()),
            Self::Installed { slot, version } => write!(f, "slot {}, version {version}", slot.name()),
            Self::Shipped => write!(f, "inside the program"),
        }
    }
}

/// A model that has answered its golden phantoms.
pub struct Chosen {
    /// The model.
    pub model: Model,
    /// Where it comes from.
    pub origin: Origin,
    /// Why it is not the one that should read; `None` when it is.
    pub instead: Option<String>,
}

/// A model cannot be read with.
#[derive(Debug, Error)]
pub enum ChooseError {
    /// It does not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It does not answer as it did when it was made.
    #[error("the model failed its self-test: {0}; install it again")]
    SelfTest(#[from] self_test::Mismatch),
    /// The slots cannot be used.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// The trusted keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The process died twice while it started with it.
    #[error(
        "the program died while it started with it, more than once; chestlight model rollback, or install another one"
    )]
    Deadly,
}

/// Whether a start that kills the process is counted. A mere check counts none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deaths {
    /// The unit starts with the model.
    Counted,
    /// Somebody asks which model the unit would start with.
    NotCounted,
}

/// How a unit of this configuration runs the network.
pub fn engine_options(config: &Config) -> EngineOptions {
    let kind = if config.gpu == Gpu::Yes { EngineKind::Cuda } else { EngineKind::Auto };
    EngineOptions { kind, threads: config.threads.unwrap_or_else(cores::big) }
}

/// The keys that a unit trusts; none where its configuration names none.
///
/// # Errors
/// [`KeyError`].
pub fn trusted_keys(config: &Config) -> Result<TrustedKeys, KeyError> {
    config.trusted_keys.as_deref().map_or_else(|| Ok(TrustedKeys::default()), TrustedKeys::read)
}

/// Loads a bundle's model and asks it for its golden phantoms.
///
/// # Errors
/// [`ChooseError::Load`] or [`ChooseError::SelfTest`].
pub fn tested(signed: &Signed, config: &Config) -> Result<Model, ChooseError> {
    let model = signed.bundle.files.load_with(&engine_options(config))?;
    self_test::run(&model)?;
    Ok(model)
}

/// The model inside the program.
///
/// # Errors
/// [`ChooseError::Load`] or [`ChooseError::SelfTest`]: the program or the machine is damaged.
pub fn the_shipped(config: &Config) -> Result<Chosen, ChooseError> {
    let model = shipped().load_with(&engine_options(config))?;
    self_test::run(&model)?;
    Ok(Chosen { model, origin: Origin::Shipped, instead: None })
}

/// The model to start with. A configured one must work; an installed one that does not is passed over for the one that
/// read before it, and that for the one inside the program.
///
/// # Errors
/// [`ChooseError`]: the configured model cannot be used, or not even the one inside the program.
pub fn at_start(config: &Config, deaths: Deaths) -> Result<Chosen, ChooseError> {
    if config.model.is_some() {
        return wanted(config);
    }
    let slots = Slots::new(&config.state);
    let mut failures = Vec::new();
    let record = slots.record().unwrap_or_else(|error| {
        failures.push(error.to_string());
        Record::default()
    });
    for slot in record.candidates() {
        match installed(config, &slots, slot, deaths) {
            Ok(chosen) => return Ok(Chosen { instead: told(&failures), ..chosen }),
            Err(error) => failures.push(format!("the model in slot {} cannot be used: {error}", slot.name())),
        }
    }
    Ok(Chosen { instead: told(&failures), ..the_shipped(config)? })
}

/// The model that should read, and no other one; `None` when it is the one inside the program and that reads already,
/// under the configuration `before`.
///
/// # Errors
/// [`ChooseError`].
pub fn again(config: &Config, before: &Config, reads: &Origin) -> Result<Option<Chosen>, ChooseError> {
    let slots = Slots::new(&config.state);
    let may_stay = *reads == Origin::Shipped && config.threads == before.threads && config.gpu == before.gpu;
    if config.model.is_none() && slots.record()?.active.is_none() && may_stay {
        return Ok(None);
    }
    wanted(config).map(Some)
}

fn wanted(config: &Config) -> Result<Chosen, ChooseError> {
    if let Some(manifest) = &config.model {
        let model = Model::load_with(Some(manifest), &engine_options(config))?;
        self_test::run(&model)?;
        return Ok(Chosen { model, origin: Origin::Configured(manifest.clone()), instead: None });
    }
    let slots = Slots::new(&config.state);
    match slots.record()?.active {
        Some(slot) => installed(config, &slots, slot, Deaths::NotCounted),
        None => the_shipped(config),
    }
}

fn installed(config: &Config, slots: &Slots, slot: Slot, deaths: Deaths) -> Result<Chosen, ChooseError> {
    if slots.is_deadly(slot) {
        return Err(ChooseError::Deadly);
    }
    if deaths == Deaths::Counted {
        slots.mark_starting(slot);
    }
    fault::point("choose.starting");
    let chosen = || {
        let signed = slots.read(slot, &trusted_keys(config)?)?.ok_or(SlotError::Empty(slot))?;
        let origin = Origin::Installed { slot, version: signed.bundle.version };
        Ok(Chosen { model: tested(&signed, config)?, origin, instead: None })
    };
    let chosen = chosen();
    if deaths == Deaths::Counted {
        // It works, or it has failed without killing anyone.
        slots.unmark_starting(slot);
    }
    chosen
}

fn told(failures: &[String]) -> Option<String> {
    (!failures.is_empty()).then(|| failures.join("; "))
}
