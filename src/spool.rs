//! The durable hand-over: from the moment a film leaves the inbox it lies in exactly one of `spool/`, `archive/`
//! and `refused/`, whatever happens to the power. `docs/storage.md` has the order of the steps and why.

mod landing;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, DirEntry, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use thiserror::Error;

pub use landing::{Landed, Landing, MOST_WAITING};

use crate::digest::hex;
use crate::fault;
use crate::health::free_bytes;
use crate::refusal::Refusal;

/// Longest name that is kept of a film, bytes.
pub const MAX_NAME: usize = 100;

const INCOMING: &str = ".incoming";
const IN_HAND: &str = ".in-hand";
const REASON: &str = ".reason";
const BESIDE: &str = ".beside";
const CHUNK: usize = 256 << 10;

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

/// What became of a path in the inbox.
#[derive(Debug, PartialEq, Eq)]
pub enum TakenIn {
    /// The unit answers for it now.
    Film(Film),
    /// It is no longer there.
    Gone,
    /// It changed while it was copied: its writer is not done.
    Unfinished,
}

/// A film where it stays, with what lies beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Number of its reading.
    pub seq: i64,
    /// Bytes of all its files.
    pub bytes: u64,
    files: Vec<PathBuf>,
}

/// Where a recorded film belongs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Number of its reading.
    pub seq: i64,
    /// The name in the journal.
    pub name: &'a str,
    /// Text for the person who finds it in `refused/`; absent for what goes to `archive/`.
    pub reason: Option<&'a str>,
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

    /// Takes one path out of the inbox: copy with digest, sync, rename, sync the folder, and only then unlink.
    ///
    /// Works across discs, in bounded memory, and follows no link. What is no readable file stays in the inbox
    /// until [`Spool::settle`] moves it. A file of the same bytes under the same name replaces its equal.
    ///
    /// # Errors
    /// [`SpoolError::NoRoom`] when fewer than `min_free` bytes would be left; a failed step. In both cases the file
    /// is still in the inbox.
    pub fn take_in(&self, path: &Path, inbox: &Path, min_free: u64) -> Result<TakenIn, SpoolError> {
        let name = harmless_name(path.strip_prefix(inbox).unwrap_or(path));
        let found = match fs::symlink_metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(TakenIn::Gone),
            Err(error) => return Err(step("looking at a file in the inbox")(error)),
        };
        if !found.is_file() {
            return Ok(TakenIn::Film(not_a_film(path, name, &found, not_a_file(path, &found))));
        }
        let mut source = match open_file(path) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(TakenIn::Gone),
            Err(error) => return self.unreadable(path, name, &found, error),
        };
        let opened = source.metadata().map_err(step("looking at a file in the inbox"))?;
        if Stamp::of(&opened) != Stamp::of(&found) {
            return Ok(TakenIn::Unfinished);
        }
        let free = free_bytes(&self.spool).map_err(step("asking for free space"))?;
        let needed = opened.len().saturating_add(min_free);
        if free < needed {
            return Err(SpoolError::NoRoom { free, needed });
        }

        let incoming = self.spool.join(INCOMING);
        let writing = "writing a film into the spool";
        let mut copy = private(&incoming).map_err(step(writing))?;
        let mut digest = Sha256::new();
        let mut left = opened.len();
        let mut chunk = vec![0; CHUNK];
        loop {
            let bytes = match source.read(&mut chunk) {
                Ok(count) => chunk.get(..count).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.unreadable(path, name, &found, error),
            };
            if bytes.is_empty() {
                break;
            }
            let Some(rest) = left.checked_sub(bytes.len() as u64) else { return Ok(TakenIn::Unfinished) };
            left = rest;
            digest.update(bytes);
            copy.write_all(bytes).map_err(step(writing))?;
        }
        let after = source.metadata().map_err(step("looking at a file in the inbox"))?;
        if left > 0 || Stamp::of(&after) != Stamp::of(&found) {
            return Ok(TakenIn::Unfinished);
        }
        copy.sync_all().map_err(step("syncing a film in the spool"))?;
        fault::point("spool.copied");

        let digest = hex(&digest.finalize());
        let place = self.spool.join(format!("{digest}.{name}"));
        fs::rename(&incoming, &place).map_err(step("renaming a film in the spool"))?;
        fault::point("spool.renamed");
        sync_folder(&self.spool)?;
        fault::point("spool.synced");
        self.unlink(path, &found)?;
        fault::point("spool.unlinked");
        let kept = copy.metadata().map_err(step("looking at a film in the spool"))?;
        Ok(TakenIn::Film(Film {
            digest,
            name,
            taken_at: modified(&kept),
            path: place,
            size: kept.len(),
            refused: None,
        }))
    }

    /// Removes the original, unless another file has taken its path meanwhile.
    fn unlink(&self, path: &Path, taken: &Metadata) -> Result<(), SpoolError> {
        if fs::symlink_metadata(path).is_ok_and(|now| Stamp::of(&now) == Stamp::of(taken)) {
            remove_if_there(path).map_err(step("removing a file that was taken in from the inbox"))?;
        }
        // If this sync fails and the power too, the file is there again and is known by its digest. The inbox may
        // be on a share that cannot sync folders, so this is no reason to stop.
        if let Some(Err(error)) = path.parent().map(|folder| File::open(folder).and_then(|it| it.sync_all())) {
            log::debug!("the inbox cannot be synced: {error}");
        }
        Ok(())
    }

    /// A file that will not give its bytes is refused, if it can at least be moved.
    fn unreadable(&self, path: &Path, name: String, found: &Metadata, error: io::Error) -> Result<TakenIn, SpoolError> {
        use rustix::io::Errno;
        let errno = Errno::from_io_error(&error);
        if errno == Some(Errno::LOOP) {
            // It became a link between the look and the opening.
            return Ok(TakenIn::Unfinished);
        }
        let of_the_file = matches!(errno, Some(Errno::ACCESS | Errno::PERM | Errno::IO));
        let state = fs::metadata(&self.refused).map_err(step("looking at the folders"))?;
        if !of_the_file || state.dev() != found.dev() {
            return Err(step("reading a file in the inbox")(error));
        }
        let refused = (Refusal::Unreadable, format!("the file cannot be read: {error}"));
        Ok(TakenIn::Film(not_a_film(path, name, found, refused)))
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

    /// Every film where it stays, by the number of its reading.
    ///
    /// # Errors
    /// [`SpoolError::Step`].
    pub fn settled(&self) -> Result<BTreeMap<i64, Settled>, SpoolError> {
        let mut films = BTreeMap::new();
        self.for_each_settled(|seq, entry| {
            let film = films.entry(seq).or_insert_with(|| Settled { seq, bytes: 0, files: Vec::new() });
            film.bytes += entry.metadata()?.len();
            film.files.push(entry.path());
            Ok(())
        })?;
        Ok(films)
    }

    /// Removes a film and what lies beside it, durably.
    ///
    /// # Errors
    /// A failed step; what is left can be removed again.
    pub fn remove(&self, film: &Settled) -> Result<(), SpoolError> {
        film.files.iter().try_for_each(|file| remove_if_there(file)).map_err(step("removing a film"))?;
        film.files.first().and_then(|file| file.parent()).map_or(Ok(()), sync_folder)
    }

    /// The highest number of a reading whose film was settled; 0 where there is none.
    ///
    /// # Errors
    /// [`SpoolError::Step`].
    pub fn highest(&self) -> Result<i64, SpoolError> {
        let mut highest = 0;
        self.for_each_settled(|seq, _| {
            highest = highest.max(seq);
            Ok(())
        })?;
        Ok(highest)
    }

    fn for_each_settled(&self, mut each: impl FnMut(i64, &DirEntry) -> io::Result<()>) -> Result<(), SpoolError> {
        let listing = step("listing the settled films");
        for folder in [&self.archive, &self.refused] {
            for entry in fs::read_dir(folder).map_err(&listing)? {
                let entry = entry.map_err(&listing)?;
                if let Some(seq) = entry.file_name().to_str().and_then(settled_seq) {
                    each(seq, &entry).map_err(&listing)?;
                }
            }
        }
        Ok(())
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

    /// Puts a file beside the place of a film in `archive/`. It is not synced: what is put there can be made again.
    ///
    /// # Errors
    /// [`SpoolError::Step`].
    pub fn put_beside(&self, film: &Film, place: Place<'_>, ending: &str, bytes: &[u8]) -> Result<(), SpoolError> {
        let fresh = self.archive.join(BESIDE);
        let put = || {
            private(&fresh)?.write_all(bytes)?;
            let name = settled_name(place.seq, film.short_digest(), place.name);
            fs::rename(&fresh, self.archive.join(format!("{name}.{ending}")))
        };
        put().map_err(step("writing beside a film in the archive"))
    }

    /// Moves a recorded film to where it stays. The name there follows from its reading, so moving it again after
    /// a crash, or moving a later copy of the same bytes, ends in the same place.
    ///
    /// The move is not synced: a film whose move a power cut has undone lies in the spool, and its row says where it
    /// belongs.
    ///
    /// # Errors
    /// A failed step; the film is still where it was, or already where it belongs.
    pub fn settle(&self, film: &Film, place: Place<'_>) -> Result<(), SpoolError> {
        let name = settled_name(place.seq, film.short_digest(), place.name);
        let folder = if place.reason.is_some() { &self.refused } else { &self.archive };
        if let Some(reason) = place.reason {
            let fresh = self.refused.join(REASON);
            let writing = step("writing a reason");
            private(&fresh)
                .and_then(|mut file| file.write_all(reason.as_bytes()).and_then(|()| file.sync_all()))
                .map_err(&writing)?;
            fault::point("spool.reason_copied");
            fs::rename(&fresh, self.refused.join(format!("{name}.reason.txt"))).map_err(&writing)?;
            sync_folder(&self.refused)?;
            fault::point("spool.reason_written");
        }
        match move_to(film, &folder.join(name)) {
            // Its reading is recorded, and to wait for the film would keep every other one waiting.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.spool.is_dir() && folder.is_dir() => {
                log::error!(
                    "film {} was taken away by somebody else before it was put in its place",
                    film.short_digest()
                );
            }
            moved => moved.map_err(step("moving a film out of the spool"))?,
        }
        fault::point("spool.settled");
        Ok(())
    }
}

/// What a film is called where it stays.
fn settled_name(seq: i64, short_digest: &str, name: &str) -> String {
    format!("{seq:06}-{short_digest}-{name}")
}

/// The number in a name that [`settled_name`] made, or that of a file beside a film.
fn settled_seq(name: &str) -> Option<i64> {
    let (seq, rest) = name.split_once('-')?;
    let (digest, _) = rest.split_once('-')?;
    let is_ours = seq.len() >= 6 && seq.bytes().all(|byte| byte.is_ascii_digit()) && digest.len() == 8;
    (is_ours && digest.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| seq.parse().ok())?
}

/// Where the film of a recorded reading is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// Not yet where it stays.
    Waiting,
    /// Where it stays.
    Settled(PathBuf),
    /// Somebody took it away.
    Gone,
}

/// Finds the film of a recorded reading; for threads beside the one that owns the [`Spool`].
pub fn whereabouts(state: &Path, seq: i64, digest: &str, name: &str) -> Whereabouts {
    // First: a film that is settled meanwhile is then found in its place.
    if state.join("spool").join(format!("{digest}.{name}")).exists() {
        return Whereabouts::Waiting;
    }
    let name = settled_name(seq, digest.get(..8).unwrap_or(digest), name);
    let places = ["archive", "refused"].map(|folder| state.join(folder).join(&name));
    // A link that was put in is no film, wherever it points.
    let is_film = |place: &PathBuf| fs::symlink_metadata(place).is_ok_and(|found| found.is_file());
    places.into_iter().find(is_film).map_or(Whereabouts::Gone, Whereabouts::Settled)
}

/// Renames; what is no file may come from another disc and is then replaced by what can be said of it.
fn move_to(film: &Film, place: &Path) -> io::Result<()> {
    match fs::rename(&film.path, place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(place).is_ok() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices && film.refused.is_some() => {
            // A pipe, socket or device holds nothing: the reason beside its place says what it was.
            if let Ok(target) = fs::read_link(&film.path) {
                remove_if_there(place)?;
                std::os::unix::fs::symlink(target, place)?;
            }
            fs::remove_file(&film.path)
        }
        other => other,
    }
}

fn not_a_film(path: &Path, name: String, found: &Metadata, refused: (Refusal, String)) -> Film {
    let (refusal, detail) = refused;
    let mut digest = Sha256::new();
    digest.update(format!("chestlight: {}\0{detail}\0{}\0{:?}\0", refusal.code(), found.len(), modified(found)));
    digest.update(path.as_os_str().as_bytes());
    if let Ok(target) = fs::read_link(path) {
        digest.update(b"\0");
        digest.update(target.as_os_str().as_bytes());
    }
    Film {
        digest: hex(&digest.finalize()),
        name,
        taken_at: SystemTime::now(),
        path: path.to_owned(),
        size: 0,
        refused: Some((refusal, detail)),
    }
}

fn not_a_file(path: &Path, found: &Metadata) -> (Refusal, String) {
    let kind = found.file_type();
    let what = if kind.is_symlink() {
        if fs::metadata(path).is_ok_and(|target| target.is_dir()) { "a link to a folder" } else { "a link" }
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    (Refusal::NotAFile, format!("it is {what}, not a file"))
}

/// What tells a file from its successor at the same path.
#[derive(PartialEq, Eq)]
struct Stamp(u64, u64, u64, i64, i64);

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self(metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
    }
}

fn modified(metadata: &Metadata) -> SystemTime {
    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Opens a file of other people's: follows no link, and does not block, in case it was exchanged for a pipe since it
/// was looked at.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
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

/// A path below the inbox as one file name: letters, digits and a few signs are kept, `/` becomes `__`, everything
/// else `_`; of a long one the last [`MAX_NAME`] bytes are kept. Never empty.
pub fn harmless_name(path: &Path) -> String {
    let mut name = String::new();
    for letter in path.to_string_lossy().chars() {
        match letter {
            '/' => name.push_str("__"),
            '.' | '-' | '_' | ' ' | '(' | ')' | '+' | ',' | '=' | '@' | '#' => name.push(letter),
            _ if letter.is_alphanumeric() => name.push(letter),
            _ => name.push('_'),
        }
    }
    let start = (name.len().saturating_sub(MAX_NAME)..=name.len()).find(|&at| name.is_char_boundary(at));
    match start.and_then(|at| name.get(at..)) {
        Some(tail) if !tail.is_empty() => tail.to_owned(),
        _ => "film".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Folders {
        _root: tempfile::TempDir,
        inbox: PathBuf,
        state: PathBuf,
    }

    fn folders() -> Folders {
        let root = tempfile::tempdir().unwrap();
        let [inbox, state] = ["inbox", "state"].map(|name| root.path().join(name));
        fs::create_dir_all(inbox.join("sub")).unwrap();
        Folders { _root: root, inbox, state }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn film(taken: TakenIn) -> Film {
        match taken {
            TakenIn::Film(film) => film,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_become_harmless() {
        for (path, name) in [
            ("film.png", "film.png"),
            ("patient 7/a.png", "patient 7__a.png"),
            ("../../etc/passwd", "..__..__etc__passwd"),
            ("a\nb\u{202e}c;d'e\"f$g", "a_b_c_d_e_f_g"),
            ("Бронхит-Ñandú.jpg", "Бронхит-Ñandú.jpg"),
            ("", "film"),
        ] {
            assert_eq!(harmless_name(Path::new(path)), name, "{path:?}");
        }
        assert!(harmless_name(Path::new(&format!("{}.png", "x".repeat(300)))).ends_with("xx.png"));
    }

    proptest! {
        #[test]
        fn a_harmless_name_is_short_and_one_component(path in any::<String>()) {
            let name = harmless_name(Path::new(&path));
            prop_assert!((1..=MAX_NAME).contains(&name.len()));
            prop_assert!(!name.contains('/') && !name.chars().any(char::is_control));
        }
    }

    #[test]
    fn a_film_moves_from_inbox_to_spool_to_archive() {
        let folders = folders();
        let spool = Spool::open(&folders.state).unwrap();
        let path = folders.inbox.join("sub/a.png");
        fs::write(&path, b"abc").unwrap();
        let film = film(spool.take_in(&path, &folders.inbox, 0).unwrap());
        assert!(!path.exists());
        assert_eq!(film.digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(spool.waiting().unwrap(), std::slice::from_ref(&film), "a restart finds the same film");
        assert_eq!(spool.bytes(&film, 3).unwrap(), b"abc");
        spool.settle(&film, Place { seq: 7, name: &film.name, reason: None }).unwrap();
        spool.settle(&film, Place { seq: 7, name: &film.name, reason: None }).unwrap();
        assert_eq!(names(&folders.state.join("archive")), ["000007-ba7816bf-sub__a.png"]);
        assert_eq!(names(&folders.state.join("spool")), [""; 0]);
    }

    #[test]
    fn a_film_that_somebody_takes_out_of_the_spool_keeps_no_other_one_waiting() {
        let folders = folders();
        let spool = Spool::open(&folders.state).unwrap();
        let path = folders.inbox.join("a.png");
        fs::write(&path, b"abc").unwrap();
        let taken = film(spool.take_in(&path, &folders.inbox, 0).unwrap());
        fs::remove_file(&taken.path).unwrap();
        assert_eq!(spool.bytes(&taken, 3).unwrap_err().0, Refusal::Unreadable);
        spool.settle(&taken, Place { seq: 1, name: &taken.name, reason: Some("why") }).unwrap();
        fs::remove_dir_all(&folders.state).unwrap();
        assert!(spool.settle(&taken, Place { seq: 1, name: &taken.name, reason: None }).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_reason() {
        let folders = folders();
        let spool = Spool::open(&folders.state).unwrap();
        let path = folders.inbox.join("a.png");
        fs::write(&path, b"abc").unwrap();
        let taken = film(spool.take_in(&path, &folders.inbox, 0).unwrap());
        assert_eq!(spool.bytes(&taken, 2).unwrap_err().0, Refusal::TooManyBytes);
        fs::write(&taken.path, b"abd").unwrap();
        assert_eq!(spool.bytes(&taken, 3).unwrap_err().0, Refusal::Unreadable);

        let secret = folders.inbox.join("secret");
        fs::write(&secret, b"not for the archive").unwrap();
        let link = folders.inbox.join("link.png");
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        let taken = film(spool.take_in(&link, &folders.inbox, 0).unwrap());
        assert_eq!(spool.bytes(&taken, 3).unwrap_err().0, Refusal::NotAFile);
        spool.settle(&taken, Place { seq: 1, name: &taken.name, reason: Some("why") }).unwrap();
        let moved = folders.state.join("refused").join(format!("000001-{}-link.png", &taken.digest[..8]));
        assert!(fs::symlink_metadata(&moved).unwrap().is_symlink(), "the link was moved, not followed");
        assert_eq!(fs::read_to_string(format!("{}.reason.txt", moved.display())).unwrap(), "why");
        assert!(!link.exists() && secret.exists());
    }

    #[test]
    fn a_full_disc_leaves_the_film_in_the_inbox() {
        let folders = folders();
        let spool = Spool::open(&folders.state).unwrap();
        let path = folders.inbox.join("a.png");
        fs::write(&path, b"abc").unwrap();
        let refused = spool.take_in(&path, &folders.inbox, u64::MAX);
        assert!(matches!(refused, Err(SpoolError::NoRoom { .. })), "{refused:?}");
        assert!(path.exists() && spool.waiting().unwrap().is_empty());
    }

    #[test]
    fn one_state_folder_has_one_owner() {
        let folders = folders();
        let first = Spool::open(&folders.state).unwrap();
        assert!(matches!(Spool::open(&folders.state), Err(SpoolError::InUse { .. })));
        drop(first);
        Spool::open(&folders.state).unwrap();
    }

    #[test]
    fn the_film_in_hand_is_counted_and_comes_first() {
        let folders = folders();
        let spool = Spool::open(&folders.state).unwrap();
        let films: Vec<Film> = ["a", "b", "c"]
            .iter()
            .map(|name| {
                let path = folders.inbox.join(name);
                fs::write(&path, name).unwrap();
                film(spool.take_in(&path, &folders.inbox, 0).unwrap())
            })
            .collect();
        spool.mark_in_hand(&films[2], 2).unwrap();
        assert_eq!(films.iter().map(|film| spool.times_in_hand(film)).collect::<Vec<_>>(), [0, 0, 2]);
        assert_eq!(spool.waiting().unwrap()[0], films[2]);
        spool.unmark().unwrap();
        spool.unmark().unwrap();
        assert_eq!(spool.times_in_hand(&films[2]), 0);
    }
}
