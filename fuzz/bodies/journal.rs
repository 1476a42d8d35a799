//! Any file: opened as a journal it is refused, or listed and verified to the end.

use std::fs;

use chestlight::journal::{Journal, Names, write_csv, write_jsonl};

pub fn run(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("journal.db");
    fs::write(&path, bytes).expect("a temporary file");
    let Ok(journal) = Journal::open_read_only(&path) else { return };
    let whole = journal.verify();
    let exported = write_jsonl(&journal, std::io::sink(), Names::LeftOut)
        .and_then(|()| write_csv(&journal, std::io::sink(), Names::LeftOut));
    if let Ok(Ok(whole)) = whole {
        assert!(whole.readings + whole.overrides + whole.notes <= whole.last);
        exported.expect("what verifies can be exported");
    }
}
