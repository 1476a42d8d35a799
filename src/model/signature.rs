//! Whose word a bundle is: minisign signatures (Ed25519 over BLAKE2b) against the keys that this unit trusts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use minisign_verify::{PublicKey, Signature};
use thiserror::Error;

/// Most keys that a unit trusts.
const MAX_KEYS: usize = 16;

/// The unit's keys cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// A key's file cannot be read.
    #[error("the trusted keys at {path} cannot be read: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is no public key.
    #[error("{0} is not a minisign public key")]
    NotAKey(PathBuf),
    /// More than anyone can look after.
    #[error("{0} has more than {MAX_KEYS} keys")]
    TooMany(PathBuf),
}

/// A bundle that nobody whom this unit trusts has signed.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SignatureError {
    /// Not a minisign signature.
    #[error("its signature is not a minisign signature")]
    Unreadable,
    /// The unit has no keys at all.
    #[error("this unit trusts no keys; name them in its configuration: trusted_keys")]
    NoKeys,
    /// Made with another key.
    #[error("it was signed with a key that this unit does not trust")]
    Stranger,
    /// Made with a trusted key over other bytes.
    #[error("its signature does not belong to it: one of the two was changed or damaged")]
    Mismatch,
}

/// Who signed a bundle, and what the signature says besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Name of the key's file.
    pub key: String,
    /// The signature's trusted comment, in which the signer may say anything.
    pub comment: String,
}

/// Public keys, each with the name of its file.
#[derive(Clone, Debug, Default)]
pub struct TrustedKeys(Vec<(String, PublicKey)>);

impl TrustedKeys {
    /// Largest key and largest signature, bytes.
    pub const MAX_FILE: u64 = 4 << 10;

    /// The key in a file, or those in the files `*.pub` of a folder.
    ///
    /// # Errors
    /// [`KeyError`]: one file that is no key spoils the whole, so that a damaged key is noticed.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| KeyError::Read { path, source }
        };
        let mut files = vec![path.to_owned()];
        if path.is_dir() {
            let entries = fs::read_dir(path).map_err(failed(path))?;
            files = entries.map(|entry| entry.map(|it| it.path())).collect::<Result<_, _>>().map_err(failed(path))?;
            files.retain(|file| file.extension().is_some_and(|extension| extension == "pub"));
            files.sort();
        }
        if files.len() > MAX_KEYS {
            return Err(KeyError::TooMany(path.to_owned()));
        }
        let keys = files.into_iter().map(|file| {
            let text = super::read_bounded(&file, Self::MAX_FILE).map_err(failed(&file))?;
            let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
            Self::key(&text).map(|key| (name, key)).ok_or(KeyError::NotAKey(file))
        });
        Ok(Self(keys.collect::<Result<_, _>>()?))
    }

    /// The keys in these texts, each with a name; `None` if one is no key.
    pub fn of(keys: &[(&str, &str)]) -> Option<Self> {
        let key = |(name, text): &(&str, &str)| Some(((*name).to_owned(), Self::key(text.as_bytes())?));
        keys.iter().map(key).collect::<Option<_>>().map(Self)
    }

    fn key(text: &[u8]) -> Option<PublicKey> {
        PublicKey::decode(str::from_utf8(text).ok()?).ok()
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who of the trusted signed `bytes`. Signatures over the bytes themselves, as minisign made them before 2020,
    /// are refused. Pure.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> Result<Signer, SignatureError> {
        let text = str::from_utf8(signature).map_err(|_| SignatureError::Unreadable)?;
        let signature = Signature::decode(text).map_err(|_| SignatureError::Unreadable)?;
        if self.is_empty() {
            return Err(SignatureError::NoKeys);
        }
        let mut found = SignatureError::Stranger;
        for (name, key) in &self.0 {
            match key.verify(bytes, &signature, false) {
                Ok(()) => {
                    return Ok(Signer { key: name.clone(), comment: signature.trusted_comment().to_owned() });
                }
                Err(minisign_verify::Error::UnexpectedKeyId) => {}
                Err(_) => found = SignatureError::Mismatch,
            }
        }
        Err(found)
    }
}
