//! Is the unit fit to read? Each answer with what to do about it.

mod sensors;
mod service;
mod vitals;

use std::fs;
use std::io;
use std::path::Path;

use thiserror::Error;

pub use sensors::{Sensed, Sensors, sense};
pub use service::Service;
pub use vitals::{
    DiscVitals, FaultVitals, LOW_BATTERY, LastReading, ModelVitals, PartVitals, SharedVitals, Vitals, Warning,
};

/// What is wrong with a folder.
#[derive(Debug, Error)]
pub enum FolderError {
    /// It does not exist.
    #[error("{0} does not exist; make it: mkdir -p {0}")]
    Missing(String),
    /// It is a file.
    #[error("{0} is not a folder; move the file away or change the configuration")]
    NotAFolder(String),
    /// This user may not work in it.
    #[error("{folder} cannot be written by this user ({source}); change its owner or mode: chown USER {folder}")]
    NotWritable {
        /// The folder.
        folder: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Checks that a folder exists and that this user can make and remove files in it, by doing so.
///
/// # Errors
/// [`FolderError`].
pub fn check_folder(folder: &Path) -> Result<(), FolderError> {
    let name = folder.display().to_string();
    match fs::metadata(folder) {
        Ok(found) if !found.is_dir() => Err(FolderError::NotAFolder(name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(FolderError::Missing(name)),
        Err(source) => Err(FolderError::NotWritable { folder: name, source }),
        // A hidden name: no watcher takes it for a film.
        Ok(_) => tempfile::Builder::new()
            .prefix(".chestlight-check")
            .tempfile_in(folder)
            .and_then(tempfile::NamedTempFile::close)
            .map_err(|source| FolderError::NotWritable { folder: name, source }),
    }
}

/// Bytes free for this user on a folder's disc.
///
/// # Errors
/// What the system said.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    space(folder).map(|(free, _)| free)
}

/// Bytes free for this user, and bytes in all, on a folder's disc.
///
/// # Errors
/// What the system said.
pub fn space(folder: &Path) -> io::Result<(u64, u64)> {
    let disc = rustix::fs::statvfs(folder)?;
    let bytes = |blocks: u64| blocks.saturating_mul(disc.f_frsize);
    Ok((bytes(disc.f_bavail), bytes(disc.f_blocks)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_must_exist_be_a_folder_and_take_files() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(check_folder(root.path()).is_ok());
        assert!(matches!(check_folder(&file), Err(FolderError::NotAFolder(_))));
        assert!(matches!(check_folder(&root.path().join("none")), Err(FolderError::Missing(_))));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "the check leaves nothing behind");
        assert!(free_bytes(root.path()).unwrap() > 0);
    }
}
