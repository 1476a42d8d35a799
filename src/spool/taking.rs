//! Out of the inbox into the spool.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::{Film, INCOMING, Spool, SpoolError, modified, private, remove_if_there, step, sync_folder};
use crate::digest::hex;
use crate::fault;
use crate::health::free_bytes;
use crate::refusal::Refusal;

/// Longest name that is kept of a film, bytes.
pub const MAX_NAME: usize = 100;
const CHUNK: usize = 256 << 10;

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

impl Spool {
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

    /// Removes the original, unless another file has taken its path meanwhile. Not synced: a file that a power cut brings
    /// back is known by its digest.
    fn unlink(&self, path: &Path, taken: &Metadata) -> Result<(), SpoolError> {
        if fs::symlink_metadata(path).is_ok_and(|now| Stamp::of(&now) == Stamp::of(taken)) {
            remove_if_there(path).map_err(step("removing a file that was taken in from the inbox"))?;
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

/// Opens a file of other people's: follows no link, and does not block, in case it was exchanged for a pipe since it
/// was looked at.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
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
}
