//! Whatever has become of the journal, the unit starts, keeps what it found byte for byte, says that something was
//! wrong until a person has seen it, and never takes what was changed for whole.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

mod running_unit;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::SystemTime;

use chestlight::journal::{Entry, Event, Journal, JournalError, Record, Word};
use chestlight::model::{Manifest, shipped};
use chestlight::reading::Reading;
use chestlight::refusal::Refusal;
use chestlight::verdict::Verdict;
use proptest::prelude::*;
use running_unit::Site;

/// Rows of the journal that is damaged; the last ones are only in the write-ahead log.
const ROWS: i64 = 59;

/// What lies in a state folder after a power cut: a journal and its log.
static FILES: LazyLock<BTreeMap<&str, Vec<u8>>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let model = Manifest::parse(&shipped().manifest).unwrap();
    let mut journal = Journal::open(&path).unwrap();
    for seq in 1..=ROWS {
        if seq % 10 == 0 {
            journal.override_reading(&Word::new(1, Verdict::Refer, "seen", None, 0).unwrap()).unwrap();
            continue;
        }
        let reading = Reading::refused(Refusal::Damaged, &"the data break off ".repeat(9));
        let (digest, name) = (format!("{seq:064}"), format!("{seq}.png"));
        let entry = Entry {
            input_digest: &digest,
            file_name: &name,
            taken_at: SystemTime::now(),
            reading: &reading,
            patient_hash: None,
            model: &model,
        };
        journal.append(&entry).unwrap();
        if seq == ROWS / 2 {
            // Everything so far is in the journal itself.
            drop(journal);
            journal = Journal::open(&path).unwrap();
        }
    }
    ["journal.db", "journal.db-wal"].map(|name| (name, fs::read(folder.path().join(name)).unwrap())).into()
});

/// Every row as JSON.
fn rows(path: &Path) -> Vec<String> {
    let mut rows = Vec::new();
    let keep = |record: &Record| -> Result<(), JournalError> {
        rows.push(record.to_json().to_string());
        Ok(())
    };
    Journal::open_read_only(path).unwrap().for_each_record(None, keep).unwrap();
    rows
}

fn put(folder: &Path, files: &BTreeMap<&str, Vec<u8>>) -> PathBuf {
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
    folder.join("journal.db")
}

#[derive(Clone, Debug)]
enum Damage {
    Flip { at: usize, bit: u8 },
    Zero { from: usize, length: usize },
    Truncate { to: usize },
    Overwrite { from: usize, bytes: Vec<u8> },
    Append { bytes: Vec<u8> },
    Gone,
}

impl Damage {
    fn strategy() -> impl Strategy<Value = (bool, Self)> {
        let at = any::<usize>;
        let bytes = || proptest::collection::vec(any::<u8>(), 1..600);
        let damage = prop_oneof![
            4 => (at(), 0..8u8).prop_map(|(at, bit)| Self::Flip { at, bit }),
            2 => (at(), 1..9_000usize).prop_map(|(from, length)| Self::Zero { from, length }),
            2 => at().prop_map(|to| Self::Truncate { to }),
            2 => (at(), bytes()).prop_map(|(from, bytes)| Self::Overwrite { from, bytes }),
            1 => bytes().prop_map(|bytes| Self::Append { bytes }),
            1 => Just(Self::Gone),
        ];
        (any::<bool>(), damage)
    }

    fn of(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = bytes.to_vec();
        let length = bytes.len();
        match self {
            Self::Flip { at, bit } => bytes[at % length] ^= 1 << bit,
            Self::Zero { from, length: zeros } => {
                bytes.iter_mut().skip(from % length).take(*zeros).for_each(|it| *it = 0)
            }
            Self::Truncate { to } => bytes.truncate(to % length),
            Self::Overwrite { from, bytes: other } => {
                bytes.iter_mut().skip(from % length).zip(other).for_each(|(it, other)| *it = *other);
            }
            Self::Append { bytes: more } => bytes.extend(more),
            Self::Gone => return None,
        }
        Some(bytes)
    }
}

/// What is kept of a damaged journal, by name.
fn kept(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = walkdir::WalkDir::new(folder.join("damaged")).into_iter().flatten();
    let files = entries.filter(|it| it.file_type().is_file());
    files.map(|it| (it.file_name().to_string_lossy().into_owned(), fs::read(it.path()).unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_damaged_journal_is_kept_byte_for_byte_and_never_taken_for_whole(
        damages in proptest::collection::vec(Damage::strategy(), 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let whole = put(folder.path(), &FILES);
        // The name of its film in the archive tells that the last reading was recorded.
        let highest = ROWS;
        let before = rows(&whole);
        let mut files = FILES.clone();
        for (of_the_log, damage) in &damages {
            let name = if *of_the_log { "journal.db-wal" } else { "journal.db" };
            match files.get(name).filter(|bytes| !bytes.is_empty()).map(|bytes| damage.of(bytes)) {
                Some(Some(bytes)) => drop(files.insert(name, bytes)),
                Some(None) => drop(files.remove(name)),
                None => {}
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = put(folder.path(), &files);
        let journal = Journal::open_at_start(&path, highest).unwrap();
        let found = journal.unacknowledged().unwrap();
        let whole = journal.verify().unwrap().unwrap();
        match found {
            Some(note) => {
                prop_assert_eq!((note.seq, whole.last), (note.reading + 1, note.seq));
                prop_assert!(note.reading >= highest, "no number is given twice");
                let kept = kept(folder.path());
                for (name, bytes) in &files {
                    prop_assert_eq!(kept.get(*name), Some(bytes), "{} is not as it was found", name);
                }
                prop_assert_eq!(kept.contains_key("reason.txt"), !files.is_empty());
            }
            None => prop_assert_eq!(rows(&path), before),
        }
    }
}

#[test]
fn a_journal_after_damage_says_what_came_before_until_a_person_has_seen_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), &FILES);
    // The digest of the first film, wherever it stands.
    let (mut bytes, digest) = (fs::read(&path).unwrap(), format!("{:064}", 1));
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(digest.as_bytes())).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|at| bytes[*at] = b'7');
    fs::write(&path, bytes).unwrap();
    let mut journal = Journal::open_at_start(&path, 3).unwrap();
    let note = journal.unacknowledged().unwrap().unwrap();
    assert_eq!((note.event.as_str(), note.reading), (Event::Begun.name(), ROWS), "the head still told the number");
    assert!(note.message.contains("damaged/0001"), "{}", note.message);
    let reason = fs::read_to_string(folder.path().join("damaged/0001/reason.txt")).unwrap();
    assert!(reason.contains("not a diagnosis"), "{reason}");
    assert!(journal.acknowledge("two\nlines").is_err());
    assert!(journal.unacknowledged().unwrap().is_some());
    assert!(journal.acknowledge("MK").unwrap().is_some());
    assert!(journal.acknowledge("MK").unwrap().is_none());
    drop(journal);
    let journal = Journal::open_at_start(&path, ROWS).unwrap();
    assert!(journal.unacknowledged().unwrap().is_none());
    let whole = journal.verify().unwrap().unwrap();
    assert_eq!((whole.last, whole.notes), (ROWS + 2, 2));
    assert_eq!(fs::read_dir(folder.path().join("damaged")).unwrap().count(), 1);
}

#[test]
fn a_unit_with_a_damaged_journal_reads_its_films_and_warns_until_that_is_acknowledged() {
    let site = Site::new("");
    site.put_in("a.png", b"no film");
    let mut unit = site.start();
    unit.wait_for("reading 1 of");
    unit.wait_until_ready();
    unit.stop();
    fs::write(site.path("state/journal.db"), "somebody else's file").unwrap();
    fs::write(site.path("state/spool").join(format!("{}.b.png", running_unit::digest(b"nor this"))), b"nor this")
        .unwrap();

    for point in ["journal.reason_written", "journal.set_aside"] {
        let mut unit = site.start_with(&[("CHESTLIGHT_ABORT_AT", point)]);
        assert!(!unit.wait_for_end().success(), "{point}");
    }
    let mut unit = site.start();
    unit.wait_for("reading 3 of");
    let warning = unit.wait_for("ready, but CHECK");
    assert!(warning.contains("chestlight acknowledge"), "{warning}");
    let by = site.command(&["acknowledge", "--by", "MK"]).output().unwrap();
    assert!(by.status.success(), "{by:?}");
    unit.wait_until_ready();
    unit.stop();
    assert!(kept(site.path("state").as_path()).values().any(|bytes| bytes == b"somebody else's file"));
    let verify = site.command(&["log", "verify"]).output().unwrap();
    assert!(verify.status.success(), "{verify:?}");
}
