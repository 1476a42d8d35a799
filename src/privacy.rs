//! The unit's secret, and what is made with it: hashes of patient identifiers, and identifiers that hide others.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::Sha256;
use thiserror::Error;

use crate::digest::hex;
use crate::dimse::Uid;

const LENGTH: usize = 32;

/// A key that cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The system refused a step.
    #[error("the key {path} cannot be {doing}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not one that this software made.
    #[error("the key {0} must have {LENGTH} bytes that only its owner may read; put the right file back")]
    Unusable(PathBuf),
}

/// The unit's secret key. Whoever has it can find out whether a hash belongs to a patient that they know of.
#[derive(Clone)]
pub struct PatientKey([u8; LENGTH]);

impl std::fmt::Debug for PatientKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PatientKey(secret)")
    }
}

impl PatientKey {
    /// The key in a state folder; made, durably, where there is none.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open(state: &Path) -> Result<Self, KeyError> {
        let path = state.join("patient.key");
        let failed = |doing| {
            let path = path.clone();
            move |source| KeyError::Io { path, doing, source }
        };
        match Self::read(&path) {
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let mut key = [0; LENGTH];
        let filled = getrandom(&mut key, GetRandomFlags::empty()).map_err(io::Error::from);
        if filled.map_err(failed("made"))? != LENGTH {
            return Err(KeyError::Unusable(path));
        }
        let fresh = state.join(".patient.key");
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .and_then(|mut file| file.write_all(&key).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&fresh, &path))
            .and_then(|()| fs::File::open(state)?.sync_all())
            .map_err(failed("made"))?;
        Ok(Self(key))
    }

    /// The key in a state folder, without making one.
    ///
    /// # Errors
    /// [`KeyError`], also when there is none.
    pub fn open_existing(state: &Path) -> Result<Self, KeyError> {
        Self::read(&state.join("patient.key"))
    }

    fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Io { path: path.to_owned(), doing: "read", source };
        let mut file = fs::File::open(path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        let mut key = [0; LENGTH];
        if found.len() != LENGTH as u64 || found.mode() & 0o077 != 0 {
            return Err(KeyError::Unusable(path.to_owned()));
        }
        file.read_exact(&mut key).map_err(failed)?;
        Ok(Self(key))
    }

    /// HMAC-SHA256 (RFC 2104) of the parts, each with its length before it, so that no two lists are alike.
    fn mac(&self, parts: &[&str]) -> [u8; LENGTH] {
        // Any length of key will do, so that this cannot fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return [0; LENGTH] };
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    /// What the journal holds of a patient: the same for the same identifier, 64 hexadecimal digits.
    pub fn patient_hash(&self, patient_id: &str) -> String {
        hex(&self.mac(&["patient", patient_id.trim()]))
    }

    /// What stands for this unit where several are told apart, 8 hexadecimal digits.
    pub fn unit(&self) -> String {
        hex(&self.mac(&["unit"])).chars().take(8).collect()
    }

    /// An identifier that stands for another one, always the same and without a way back.
    pub fn uid(&self, of: &str) -> Uid {
        Uid::from_random(&self.mac(&["uid", of]))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_only_its_owner_may_read_it() {
        let state = tempfile::tempdir().unwrap();
        assert!(PatientKey::open_existing(state.path()).is_err());
        let first = PatientKey::open(state.path()).unwrap();
        let path = state.path().join("patient.key");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let hash = first.patient_hash("P7");
        assert_eq!(PatientKey::open(state.path()).unwrap().patient_hash(" P7 "), hash);
        assert_eq!(PatientKey::open_existing(state.path()).unwrap().uid("1.2"), first.uid("1.2"));
        assert_ne!(first.patient_hash("P8"), hash);
        assert!(!format!("{first:?}").contains(&hex(&first.0)));

        let other = tempfile::tempdir().unwrap();
        assert_ne!(PatientKey::open(other.path()).unwrap().patient_hash("P7"), hash, "each unit has its own key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(PatientKey::open(state.path()), Err(KeyError::Unusable(_))));
    }
}
