//! Out of the spool to where a film stays, and away from there.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{BESIDE, Film, REASON, Spool, SpoolError, private, remove_if_there, step, sync_folder};
use crate::fault;

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

impl Spool {
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
