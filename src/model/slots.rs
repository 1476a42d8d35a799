//! Where installed models lie: two slots below the state folder, and a record of which of them reads.
//!
//! `STATE/models/` holds `a.clm` and `b.clm`, each with its `.minisig`, and `slots.toml`. Every file is written under
//! another name, synced, renamed and its folder synced; the slot that reads is never written to; so a power cut at any
//! step leaves the record and the model that it names as they were, or as they were to be. `docs/models.md` has more.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, lchown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Bundle, BundleError, SignatureError, Signer, TrustedKeys, read_bounded};
use crate::fault;

/// Largest record, bytes.
const MAX_RECORD: u64 = 4 << 10;
/// A model with which the process died so often while it started is not tried again.
const MOST_DEATHS: u32 = 2;

/// One of the two places for an installed model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// `a.clm`
    A,
    /// `b.clm`
    B,
}

impl Slot {
    /// Both.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// `a` or `b`.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// Which slot reads; the model inside the program where none does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The slot that reads.
    pub active: Option<Slot>,
    /// The slot that read before it, if its model is still there.
    pub previous: Option<Slot>,
    /// The highest version that ever read on this unit.
    pub highest: u64,
}

impl Record {
    /// What is tried at a start, one after the other, before the model inside the program.
    pub fn candidates(&self) -> impl Iterator<Item = Slot> {
        self.active.into_iter().chain(self.active.and(self.previous))
    }
}

/// A bundle that a trusted key has signed.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The bundle.
    pub bundle: Bundle,
    /// Whose signature it has.
    pub signer: Signer,
}

/// A step with the slots failed.
#[derive(Debug, Error)]
pub enum SlotError {
    /// A file cannot be read.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A step of writing failed; what read before still does.
    #[error("{doing}: {source}")]
    Step {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// There is no state folder yet.
    #[error("the state folder {0} does not exist; make it, owned by the unit's user, or start the unit once")]
    NoState(PathBuf),
    /// Another process changes the slots.
    #[error("another chestlight changes the models at this moment; try again")]
    Busy,
    /// The record is damaged.
    #[error("{path} is damaged ({detail}); move it away to begin again with the model inside the program")]
    Record {
        /// The record.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The signature is not to be trusted.
    #[error("{path}: {source}")]
    Signature {
        /// The bundle.
        path: PathBuf,
        /// Why not.
        source: SignatureError,
    },
    /// The bundle is none.
    #[error("{path}: {source}")]
    Bundle {
        /// The bundle.
        path: PathBuf,
        /// Why not.
        source: BundleError,
    },
    /// An older model than has read before.
    #[error(
        "version {version} is older than {highest}, which this unit has read with; only root may go back, with \
         --allow-downgrade"
    )]
    Downgrade {
        /// Version of the bundle.
        version: u64,
        /// The highest that ever read.
        highest: u64,
    },
    /// There is nothing in the slot.
    #[error("slot {} holds no model; install one first", .0.name())]
    Empty(Slot),
    /// Nothing came before.
    #[error("the model inside the program reads already; there is nothing to go back to")]
    NothingBefore,
}

fn step(doing: &'static str) -> impl Fn(io::Error) -> SlotError {
    move |source| SlotError::Step { doing, source }
}

/// Whether an older version may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Downgrade {
    /// It may not.
    Refused,
    /// Root has asked for it.
    Allowed,
}

/// The slots of one unit.
#[derive(Clone, Debug)]
pub struct Slots {
    state: PathBuf,
    folder: PathBuf,
}

/// The slots, held by this process alone for changing them.
#[derive(Debug)]
pub struct Change<'a> {
    slots: &'a Slots,
    _lock: File,
}

/// Reads a bundle and its signature, `FILE.minisig` beside it, within their bounds; nothing of the bundle is looked at
/// before its signature holds.
///
/// # Errors
/// [`SlotError::Read`], [`SlotError::Signature`] and [`SlotError::Bundle`].
pub fn read_signed(path: &Path, keys: &TrustedKeys) -> Result<(Signed, [Vec<u8>; 2]), SlotError> {
    let read = |path: &Path, most| {
        read_bounded(path, most).map_err(|source| SlotError::Read { path: path.to_owned(), source })
    };
    let bytes = read(path, Bundle::MAX as u64)?;
    let signature = read(&signature_of(path), TrustedKeys::MAX_FILE)?;
    let signer =
        keys.verify(&bytes, &signature).map_err(|source| SlotError::Signature { path: path.to_owned(), source })?;
    let bundle = Bundle::parse(&bytes).map_err(|source| SlotError::Bundle { path: path.to_owned(), source })?;
    Ok((Signed { bundle, signer }, [bytes, signature]))
}

fn signature_of(bundle: &Path) -> PathBuf {
    let mut name = bundle.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

impl Slots {
    /// The slots of the unit with this state folder; nothing is looked at yet.
    pub fn new(state: &Path) -> Self {
        Self { state: state.to_owned(), folder: state.join("models") }
    }

    /// Which slot reads. Where nothing was ever activated, none.
    ///
    /// # Errors
    /// [`SlotError::Record`] and [`SlotError::Read`].
    pub fn record(&self) -> Result<Record, SlotError> {
        let path = self.record_path();
        let damaged = |detail: String| SlotError::Record { path: path.clone(), detail };
        match read_bounded(&path, MAX_RECORD) {
            Ok(bytes) => {
                let text = str::from_utf8(&bytes).map_err(|error| damaged(error.to_string()))?;
                toml::from_str(text).map_err(|error| damaged(error.message().to_owned()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Record::default()),
            Err(source) => Err(SlotError::Read { path, source }),
        }
    }

    /// Whether there is anything in a slot.
    pub fn holds(&self, slot: Slot) -> bool {
        self.bundle_path(slot).exists()
    }

    /// What a slot holds; `None` where it is empty.
    ///
    /// # Errors
    /// [`SlotError`], also when its signature no longer holds.
    pub fn read(&self, slot: Slot, keys: &TrustedKeys) -> Result<Option<Signed>, SlotError> {
        if !self.holds(slot) {
            return Ok(None);
        }
        read_signed(&self.bundle_path(slot), keys).map(|(signed, _)| Some(signed))
    }

    /// Whether the process has died so often while it started with a slot that it should not be tried again.
    pub fn is_deadly(&self, slot: Slot) -> bool {
        self.deaths(slot) >= MOST_DEATHS
    }

    fn deaths(&self, slot: Slot) -> u32 {
        // Torn by a power cut it says nothing, which is as good as not being there.
        fs::read_to_string(self.death_path(slot)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// Notes that the unit is about to start with a slot. Not synced: it is there for the death of the process, which
    /// the page cache survives.
    pub fn mark_starting(&self, slot: Slot) {
        // A disc that takes no notes must not keep the unit from reading.
        if let Err(error) = fs::write(self.death_path(slot), format!("{}\n", self.deaths(slot).saturating_add(1))) {
            log::warn!("the start with slot {} cannot be noted: {error}", slot.name());
        }
    }

    /// Notes that the unit has started with a slot.
    pub fn unmark_starting(&self, slot: Slot) {
        if let Err(error) = remove_if_there(&self.death_path(slot)) {
            log::warn!("the start with slot {} cannot be noted: {error}", slot.name());
        }
        fault::point("slots.unmarked");
    }

    /// Takes hold of the slots for changing them. Makes their folder where it is missing, owned as the state folder is.
    ///
    /// # Errors
    /// [`SlotError::NoState`], [`SlotError::Busy`] or a failed step.
    pub fn change(&self) -> Result<Change<'_>, SlotError> {
        let making = step("making the models' folder");
        let state = fs::metadata(&self.state).map_err(|_| SlotError::NoState(self.state.clone()))?;
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Ok(()) => {
                fault::point("slots.folder_made");
                sync(&self.state).map_err(&making)?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(making(error)),
        }
        // Root may install for the unit's user, who must still be able to note and to install. No link is followed:
        // that user could have put one here.
        if fs::symlink_metadata(&self.folder).map_err(&making)?.uid() != state.uid() {
            lchown(&self.folder, Some(state.uid()), Some(state.gid())).map_err(&making)?;
        }
        let lock = File::open(&self.folder).map_err(&making)?;
        match lock.try_lock() {
            Ok(()) => Ok(Change { slots: self, _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(SlotError::Busy),
            Err(fs::TryLockError::Error(source)) => Err(making(source)),
        }
    }

    fn record_path(&self) -> PathBuf {
        self.folder.join("slots.toml")
    }

    fn bundle_path(&self, slot: Slot) -> PathBuf {
        self.folder.join(format!("{}.clm", slot.name()))
    }

    fn death_path(&self, slot: Slot) -> PathBuf {
        self.folder.join(format!(".starting-{}", slot.name()))
    }
}

impl Change<'_> {
    /// Puts a bundle, whose signature was verified and which passed its self-test, into the slot that does not read.
    ///
    /// # Errors
    /// [`SlotError::Downgrade`] or a failed step; what reads is as it was.
    pub fn install(
        &self,
        signed: &Signed,
        [bytes, signature]: &[Vec<u8>; 2],
        downgrade: Downgrade,
    ) -> Result<Slot, SlotError> {
        let record = self.slots.record()?;
        check_version(&record, signed, downgrade)?;
        let slot = record.active.map_or(Slot::A, Slot::other);
        if record.previous == Some(slot) {
            // Nothing may fall back to a model that has never read.
            self.write_record(Record { previous: None, ..record })?;
        }
        let path = self.slots.bundle_path(slot);
        self.replace(&path, bytes)?;
        self.replace(&signature_of(&path), signature)?;
        self.slots.unmark_starting(slot);
        Ok(slot)
    }

    /// Makes a slot the one that reads. `signed` is what it holds, verified and tested.
    ///
    /// # Errors
    /// [`SlotError::Downgrade`] or a failed step; what reads is as it was.
    pub fn activate(&self, slot: Slot, signed: &Signed, downgrade: Downgrade) -> Result<(), SlotError> {
        let record = self.slots.record()?;
        check_version(&record, signed, downgrade)?;
        self.slots.unmark_starting(slot);
        if record.active == Some(slot) {
            return Ok(());
        }
        let highest = record.highest.max(signed.bundle.version);
        self.write_record(Record { active: Some(slot), previous: record.active, highest })
    }

    /// Goes back to what read before, and from there to the model inside the program. Not held up by versions: it is
    /// the way out when a new model disappoints, and leads to nothing that this unit has not read with. Returns what
    /// reads now.
    ///
    /// # Errors
    /// [`SlotError::NothingBefore`] or a failed step; what reads is as it was.
    pub fn roll_back(&self) -> Result<Option<Slot>, SlotError> {
        let record = self.slots.record()?;
        if record.active.is_none() {
            return Err(SlotError::NothingBefore);
        }
        self.write_record(Record { active: record.previous, previous: None, ..record })?;
        Ok(record.previous)
    }

    fn write_record(&self, record: Record) -> Result<(), SlotError> {
        let text = toml::to_string(&record).map_err(io::Error::other).map_err(step("writing slots.toml"))?;
        let text = format!("# Which model reads. Written by `chestlight model`; see docs/models.md.\n{text}");
        self.replace(&self.slots.record_path(), text.as_bytes())
    }

    /// Writes a file under another name, syncs it, renames it and syncs the folder.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), SlotError> {
        let writing = step("writing into the models' folder");
        let fresh = self.slots.folder.join(".incoming");
        // Made new, so that neither a link nor another user's file is written to.
        remove_if_there(&fresh).map_err(&writing)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&fresh).map_err(&writing)?;
        fault::point("slots.file_made");
        file.write_all(bytes).map_err(&writing)?;
        fault::point("slots.file_written");
        file.sync_all().map_err(&writing)?;
        fault::point("slots.file_synced");
        fs::rename(&fresh, path).map_err(&writing)?;
        fault::point("slots.file_renamed");
        sync(&self.slots.folder).map_err(&writing)?;
        fault::point("slots.folder_synced");
        Ok(())
    }
}

fn check_version(record: &Record, signed: &Signed, downgrade: Downgrade) -> Result<(), SlotError> {
    let (version, highest) = (signed.bundle.version, record.highest);
    if version < highest && downgrade == Downgrade::Refused {
        return Err(SlotError::Downgrade { version, highest });
    }
    Ok(())
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
