//! Recorded readings for the tests of what shows them.

use std::time::SystemTime;

use crate::journal::{Entry, Journal, Row};
use crate::model::{Manifest, shipped};
use crate::reading::Reading;

/// Records readings of films with these digests and names, in a journal that is gone afterwards.
pub(super) fn rows<const COUNT: usize>(films: [(&str, &str, Reading); COUNT]) -> [Row; COUNT] {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(&folder.path().join("journal.db")).unwrap();
    let model = Manifest::parse(&shipped().manifest).unwrap();
    films.map(|(input_digest, file_name, reading)| {
        let taken_at = SystemTime::UNIX_EPOCH;
        let entry = Entry { input_digest, file_name, taken_at, reading: &reading, patient_hash: None, model: &model };
        journal.append(&entry).unwrap()
    })
}
