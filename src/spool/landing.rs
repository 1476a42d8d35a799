//! Films that arrive otherwise than through the inbox: written straight into the spool, by several threads at once.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::{Film, INCOMING, SpoolError, modified, private, remove_if_there, step, sync_folder};
use crate::digest::hex;
use crate::health::free_bytes;

/// With so many films waiting in the spool no further one lands: each costs the unit some memory (under 1 KiB).
pub const MOST_WAITING: usize = 10_000;
/// After so many bytes the free space is looked at again.
const LOOK_EVERY: u64 = 1 << 20;

/// Where films land. Keeps the state folder in this process's possession as long as it lives.
#[derive(Debug)]
pub struct Landing {
    pub(super) spool: PathBuf,
    pub(super) next: Arc<AtomicU64>,
    pub(super) _lock: Arc<File>,
}

/// A film that is landing; dropped before [`Landed::keep`] it leaves nothing.
#[derive(Debug)]
pub struct Landed<'l> {
    landing: &'l Landing,
    incoming: PathBuf,
    file: File,
    digest: Sha256,
    written: u64,
    min_free: u64,
    max_bytes: u64,
    kept: bool,
}

impl Landing {
    /// Begins a film of at most `max_bytes` that leaves at least `min_free` bytes free.
    ///
    /// # Errors
    /// `StorageFull` when there is no room; whatever the disc says.
    pub fn begin(&self, min_free: u64, max_bytes: u64) -> io::Result<Landed<'_>> {
        if fs::read_dir(&self.spool)?.take(MOST_WAITING).count() >= MOST_WAITING {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "too many films wait to be read"));
        }
        self.look(min_free)?;
        let incoming = self.spool.join(format!("{INCOMING}-{}", self.next.fetch_add(1, Ordering::Relaxed)));
        let file = private(&incoming)?;
        let (digest, written, kept) = (Sha256::new(), 0, false);
        Ok(Landed { landing: self, incoming, file, digest, written, min_free, max_bytes, kept })
    }

    fn look(&self, min_free: u64) -> io::Result<()> {
        if free_bytes(&self.spool)? < min_free {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the disc is nearly full"));
        }
        Ok(())
    }
}

impl Write for Landed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let after = self.written + bytes.len() as u64;
        if after > self.max_bytes {
            let wrong = format!("more than the {} MiB that are taken", self.max_bytes >> 20);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, wrong));
        }
        if after / LOOK_EVERY != self.written / LOOK_EVERY {
            self.landing.look(self.min_free)?;
        }
        self.file.write_all(bytes)?;
        self.digest.update(bytes);
        self.written = after;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Landed<'_> {
    /// SHA-256 of what was written so far.
    pub fn digest(&self) -> String {
        hex(&self.digest.clone().finalize())
    }

    /// Makes the film durable under the name: sync, rename, sync the folder, as [`super::Spool::take_in`] does.
    ///
    /// # Errors
    /// As there; the film is then not in the spool, or will be found there by the next start.
    pub fn keep(mut self, name: &str) -> Result<Film, SpoolError> {
        self.file.sync_all().map_err(step("syncing a film in the spool"))?;
        let digest = hex(&self.digest.finalize_reset());
        let path = self.landing.spool.join(format!("{digest}.{name}"));
        let found = self.file.metadata().map_err(step("looking at a film in the spool"))?;
        fs::rename(&self.incoming, &path).map_err(step("renaming a film in the spool"))?;
        self.kept = true;
        sync_folder(&self.landing.spool)?;
        let (name, taken_at, size) = (name.to_owned(), modified(&found), found.len());
        Ok(Film { digest, name, taken_at, path, size, refused: None })
    }
}

impl Drop for Landed<'_> {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = remove_if_there(&self.incoming)
        {
            log::warn!("an unfinished film cannot be removed from the spool; the next start does it: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Spool, TakenIn};
    use super::*;

    #[test]
    fn films_that_land_at_the_same_time_by_different_ways_stay_apart() {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool::open(root.path()).unwrap();
        let ways = [spool.landing(), spool.landing()];
        let films = [b"first".as_slice(), b"second, longer"];
        let mut landing: Vec<_> = ways.iter().map(|way| way.begin(0, 100).unwrap()).collect();
        for (landed, film) in landing.iter_mut().zip(films) {
            landed.write_all(film).unwrap();
        }
        for (landed, film) in landing.into_iter().zip(films) {
            let kept = landed.keep("film").unwrap();
            assert_eq!(spool.bytes(&kept, 100).unwrap(), film);
        }
    }

    #[test]
    fn what_lands_is_durable_known_by_its_digest_and_found_by_the_next_start() {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool::open(root.path()).unwrap();
        let landing = spool.landing();
        let [mut first, mut second] = [(); 2].map(|()| landing.begin(0, 3).unwrap());
        first.write_all(b"abc").unwrap();
        second.write_all(b"ab").unwrap();
        second.write_all(b"c").unwrap();
        let film = first.keep("c-store.dcm").unwrap();
        assert_eq!(second.keep("c-store.dcm").unwrap().digest, film.digest);
        assert_eq!(film.digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(spool.waiting().unwrap(), [film], "the same bytes are the same film");
    }

    #[test]
    fn what_does_not_land_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let spool = Spool::open(&root.path().join("state")).unwrap();
        let landing = spool.landing();
        let full = landing.begin(u64::MAX, 3).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        let mut large = landing.begin(0, 3).unwrap();
        assert_eq!(large.write_all(b"abcd").unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        drop(large);
        landing.begin(0, 3).unwrap().write_all(b"abc").unwrap();
        assert_eq!(fs::read_dir(root.path().join("state/spool")).unwrap().count(), 0);
        // A crash leaves an unfinished one; the next start removes it, and nobody else has the folder meanwhile.
        std::mem::forget(landing.begin(0, 3).unwrap());
        drop(spool);
        assert!(matches!(Spool::open(&root.path().join("state")), Err(SpoolError::InUse { .. })));
        drop(landing);
        let spool = Spool::open(&root.path().join("state")).unwrap();
        assert_eq!(fs::read_dir(root.path().join("state/spool")).unwrap().count(), 0);
        fs::write(root.path().join("a"), "abc").unwrap();
        assert!(matches!(spool.take_in(&root.path().join("a"), root.path(), 0), Ok(TakenIn::Film(_))));
    }
}
