//! The index of radiographs: a CSV with one film a row, described in `docs/training.md`.

use std::path::{Path, PathBuf};
use std::{fs, io};

use chestlight::digest::hex;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Largest index that is read, bytes; some 200,000 rows.
const MAX_BYTES: u64 = 64 << 20;

/// One row of the index; its other columns are passed over.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Film {
    /// Path below the index's folder.
    pub file: PathBuf,
    /// What the film shows, in the words of the index.
    pub label: String,
    /// The collection that it comes from.
    pub source: String,
    /// The patient, joined across collections; films of one group never come to different parts.
    pub group_id: String,
    /// Under which terms it may be used.
    #[serde(default)]
    pub licence: String,
    /// `original`, or how the copy was deformed before it reached the index.
    #[serde(default)]
    pub geometry: String,
    /// The film that this one repeats; empty for a film of its own.
    #[serde(default)]
    pub near_duplicate_of: String,
    /// The patient's age, years; empty where it is not known.
    #[serde(default)]
    pub age: String,
}

impl Film {
    /// Whether the patient is known to be 18 years or older.
    pub fn is_adult(&self) -> bool {
        self.age.trim().parse::<f32>().is_ok_and(|years| years >= 18.0)
    }
}

/// The index and what its paths mean.
#[derive(Clone, Debug)]
pub struct Index {
    /// The films in the order of the file.
    pub films: Vec<Film>,
    /// SHA-256 of the file.
    pub digest: String,
    root: PathBuf,
}

/// The index cannot be used.
#[derive(Debug, Error)]
pub enum IndexError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The index.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A row is not as it should be.
    #[error("{path}: {source}; the columns are described in docs/training.md")]
    Row {
        /// The index.
        path: PathBuf,
        /// Which row, and what is wrong.
        source: csv::Error,
    },
    /// A path leads out of the index's folder.
    #[error("{path}, line {line}: {file:?} leads out of the index's folder")]
    Outside {
        /// The index.
        path: PathBuf,
        /// Line in the file, from 1.
        line: usize,
        /// The path in it.
        file: PathBuf,
    },
}

impl Index {
    /// Reads an index.
    ///
    /// # Errors
    /// [`IndexError`] with the file and the line.
    pub fn read(path: &Path) -> Result<Self, IndexError> {
        let failed = |source| IndexError::Read { path: path.to_owned(), source };
        let length = fs::metadata(path).map_err(failed)?.len();
        if length > MAX_BYTES {
            return Err(failed(io::Error::other(format!("{length} bytes; at most {MAX_BYTES} are read"))));
        }
        let bytes = fs::read(path).map_err(failed)?;
        let films = csv::Reader::from_reader(bytes.as_slice())
            .into_deserialize()
            .collect::<Result<Vec<Film>, _>>()
            .map_err(|source| IndexError::Row { path: path.to_owned(), source })?;
        let leads_out =
            |film: &Film| film.file.components().any(|part| !matches!(part, std::path::Component::Normal(_)));
        if let Some((row, film)) = films.iter().enumerate().find(|(_, film)| leads_out(film)) {
            return Err(IndexError::Outside { path: path.to_owned(), line: row + 2, file: film.file.clone() });
        }
        let root = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { films, digest: hex(&Sha256::digest(&bytes)), root })
    }

    /// Where a film lies.
    pub fn path(&self, film: &Film) -> PathBuf {
        self.root.join(&film.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Index, IndexError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.csv");
        fs::write(&path, text).unwrap();
        Index::read(&path)
    }

    #[test]
    fn only_the_first_four_columns_are_needed_and_unknown_ones_are_passed_over() {
        let index = read("file,label,source,group_id,view\na/b.jpg,covid,cohen,p1,AP\n").unwrap();
        let [film] = index.films.as_slice() else { panic!("one film") };
        assert_eq!((film.label.as_str(), film.group_id.as_str(), film.licence.as_str()), ("covid", "p1", ""));
        assert!(index.path(film).ends_with("a/b.jpg"));
    }

    #[test]
    fn a_bad_index_is_told_with_its_line() {
        for (text, told) in [
            ("file,label,source\na.jpg,normal,k\n", "group_id"),
            ("file,label,source,group_id\na.jpg,normal,k,1\nb.jpg,normal\n", "line: 3"),
            ("file,label,source,group_id\na.jpg,normal,k,1\n../b.jpg,normal,k,1\n", "line 3"),
            ("file,label,source,group_id\n/etc/b.jpg,normal,k,1\n", "line 2"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
