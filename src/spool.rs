//! The durable hand-over: from the moment a film leaves the inbox it lies in exactly one of `spool/`, `archive/`
//! and `refused/`, whatever happens to the power. `docs/storage.md` has the order of the steps and why.

mod landing;
mod settling;
mod taking;

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use thiserror::Error;

pub use landing::{Landed, Landing, MOST_WAITING};
pub use settling::{Place, Settled, Whereabouts, whereabouts};
pub(crate) use taking::open_file;
pub use taking::{MAX_NAME, TakenIn, harmless_name};

use crate::digest::hex;
use crate::refusal::Refusal;

const INCOMING: &str = ".incoming";
const IN_HAND: &str = ".in-hand";
const REASON: &str = ".reason";
const BESIDE: &str = ".beside";

/// A step of the hand-over failed. No message names the film: messages go to the log.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// Another process holds the state folder.
    #[error("{state} is in use by another chestlight; stop that one first")]
    InUse {
        /// The state folder.
        state: PathBuf,
    },
    /// A subfolder is on another disc, where films cannot be renamed to.
    #[error("{folder} is on another disc than the state folder around it; films are moved by renaming")]
    OtherDisc {
        /// The subfolder.
        folder: PathBuf,
    },
    /// Taking the film in would fill the disc.
    #[error(
        "the disc of the state folder is full: {} MiB are free, {} MiB are needed; delete what is not needed there",
        .free >> 20, (.needed >> 20) + 1
    )]
    NoRoom {
        /// Bytes free.
        free: u64,
        /// Bytes needed for the film and the reserve.
        needed: u64,
    },
    /// The system refused a step; nothing was lost, and the step can be tried again.
    #[error("{doing}: {source}")]
    Step {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A folder of the state could not be synced. Trying again would report success without having written
    /// anything ("fsyncgate"), so the process must end and start again from what is on the disc.
    #[error("{folder} could not be synced to the disc: {source}; the disc may be failing")]
    Unsynced {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn step(doing: &'static str) -> impl Fn(io::Error) -> SpoolError {
    move |source| SpoolError::Step { doing, source }
}

/// A film that the unit answers for: in the spool, or, when it is no file that could be copied, still in the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Film {
    /// SHA-256 of its bytes. Of what is [`Refusal::NotAFile`] or [`Refusal::Unreadable`]: of its kind, name, link
    /// target, size and time, since there are no bytes to be had.
    pub digest: String,
    /// Its path below the inbox, made harmless by [`harmless_name`].
    pub name: String,
    /// When it was taken in.
    pub taken_at: SystemTime,
    path: PathBuf,
    size: u64,
    refused: Option<(Refusal, String)>,
}

impl Film {
    /// The first eight digits of the digest: names a film where its name must not be told.
    pub fn short_digest(&self) -> &str {
        self.digest.get(..8).unwrap_or(&self.digest)
    }

    /// Whether it is no file that could be copied and so lies in the inbox until it is settled.
    pub fn is_in_inbox(&self) -> bool {
        self.refused.is_some()
    }
}

/// The folders `spool/`, `archive/` and `refused/`, held by this process alone.
#[derive(Debug)]
pub struct Spool {
    spool: PathBuf,
    archive: PathBuf,
    refused: PathBuf,
    /// Locked as long as it is open; the system unlocks it when the process dies.
    lock: Arc<File>,
    /// Number of the next film that lands, by whatever way: no two are written into the same unfinished copy.
    next: Arc<AtomicU64>,
}

impl Spool {
    /// Makes the folders where they are missing (readable by the owner alone) and takes possession of them.
    ///
    /// # Errors
    /// [`SpoolError::InUse`] when another process has them, [`SpoolError::OtherDisc`], or a failed step.
    pub fn open(state: &Path) -> Result<Self, SpoolError> {
        let make = |folder: &Path| {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(step("making the state folders"))
        };
        make(state)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(state.join(".lock"))
            .map_err(step("opening the state folder's lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SpoolError::InUse { state: state.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(step("locking the state folder")(source)),
        }
        let [spool, archive, refused] = ["spool", "archive", "refused"].map(|name| state.join(name));
        let device = |folder: &Path| fs::metadata(folder).map(|it| it.dev()).map_err(step("looking at the folders"));
        for folder in [&spool, &archive, &refused] {
            make(folder)?;
            if device(folder)? != device(state)? {
                return Err(SpoolError::OtherDisc { folder: folder.clone() });
            }
        }
        // What an earlier process had not finished; the films themselves are still where they were.
        let copies = fs::read_dir(&spool).map_err(step("listing the spool"))?.flatten();
        let copies = copies.filter(|file| file.file_name().as_bytes().starts_with(INCOMING.as_bytes()));
        for stray in copies.map(|file| file.path()).chain([refused.join(REASON), archive.join(BESIDE)]) {
            remove_if_there(&stray).map_err(step("removing an unfinished copy"))?;
        }
        sync_folder(state)?;
        Ok(Self { spool, archive, refused, lock: Arc::new(lock), next: Arc::default() })
    }

    /// Where films land that do not come through the inbox.
    pub fn landing(&self) -> Landing {
        Landing { spool: self.spool.clone(), next: Arc::clone(&self.next), _lock: Arc::clone(&self.lock) }
    }

    /// The films that an earlier process took in and did not settle: the one in hand first, then by age.
    ///
    /// # Errors
    /// [`SpoolError::Step`].
    pub fn waiting(&self) -> Result<Vec<Film>, SpoolError> {
        let listing = step("listing the spool");
        let mut films = Vec::new();
        for entry in fs::read_dir(&self.spool).map_err(&listing)? {
            let entry = entry.map_err(&listing)?;
            let name = entry.file_name();
            match name.to_str().and_then(|name| name.split_once('.')) {
                Some((digest, name)) if is_digest(digest) => {
                    let metadata = entry.metadata().map_err(&listing)?;
                    films.push(Film {
                        digest: digest.to_owned(),
                        name: name.to_owned(),
                        taken_at: modified(&metadata),
                        path: entry.path(),
                        size: metadata.len(),
                        refused: None,
                    });
                }
                _ if name == IN_HAND => {}
                _ => log::warn!("there is a file in the spool that chestlight did not put there; it is passed over"),
            }
        }
        let in_hand = self.in_hand().map(|(digest, _)| digest);
        films.sort_by_key(|film| (in_hand.as_ref() != Some(&film.digest), film.taken_at));
        Ok(films)
    }

    /// The folder whose disc films are on.
    pub fn folder(&self) -> &Path {
        &self.spool
    }

    /// The bytes of a film, or why there are none.
    ///
    /// # Errors
    /// The refusal and its detail: not a file, unreadable, more than `max_bytes`, or no longer the bytes that were
    /// taken in.
    pub fn bytes(&self, film: &Film, max_bytes: u64) -> Result<Vec<u8>, (Refusal, String)> {
        if let Some(refused) = &film.refused {
            return Err(refused.clone());
        }
        if film.size > max_bytes {
            let detail = format!("the file has {} bytes, the limit is {max_bytes}", film.size);
            return Err((Refusal::TooManyBytes, detail));
        }
        let mut bytes = Vec::new();
        File::open(&film.path)
            .and_then(|file| file.take(max_bytes).read_to_end(&mut bytes))
            .map_err(|error| (Refusal::Unreadable, format!("the disc did not give the film back: {error}")))?;
        if hex(&Sha256::digest(&bytes)) == film.digest {
            Ok(bytes)
        } else {
            Err((Refusal::Unreadable, "the disc gave other bytes back than were taken in".to_owned()))
        }
    }

    /// Notes that a film is about to be read, and for which time. Not synced: it is there for the death of the
    /// process, which the page cache survives.
    ///
    /// # Errors
    /// [`SpoolError::Step`].
    pub fn mark_in_hand(&self, film: &Film, times: u32) -> Result<(), SpoolError> {
        let fresh = self.spool.join(INCOMING);
        fs::write(&fresh, format!("{} {times}\n", film.digest))
            .and_then(|()| fs::rename(&fresh, self.spool.join(IN_HAND)))
            .map_err(step("noting the film in hand"))
    }

    /// How often reading this film was begun and not ended.
    pub fn times_in_hand(&self, film: &Film) -> u32 {
        self.in_hand().map_or(0, |(digest, times)| if digest == film.digest { times } else { 0 })
    }

    fn in_hand(&self) -> Option<(String, u32)> {
        // Torn by a power cut it says nothing, which is as good as not being there.
        let text = fs::read_to_string(self.spool.join(IN_HAND)).ok()?;
        let (digest, times) = text.trim_end().split_once(' ')?;
        Some((digest.to_owned(), times.parse().ok()?))
    }

    /// Notes that no film is being read.
    ///
    /// # Errors
    /// [`SpoolError::Step`].
    pub fn unmark(&self) -> Result<(), SpoolError> {
        remove_if_there(&self.spool.join(IN_HAND)).map_err(step("noting that the film was read"))
    }
}

fn modified(metadata: &Metadata) -> SystemTime {
    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Creates or empties a file that only its owner may read.
pub(crate) fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn sync_folder(folder: &Path) -> Result<(), SpoolError> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(|source| SpoolError::Unsynced { folder: folder.to_owned(), source })
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
