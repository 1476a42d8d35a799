//! The journal keeps what was recorded, and tells when it was changed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use chestlight::digest::hex;
use chestlight::journal::{self, Break, Entry, GENESIS, Journal, JournalError, Row};
use chestlight::model::{Manifest, shipped};
use chestlight::reading::{Milliseconds, Reading};
use chestlight::refusal::Refusal;
use chestlight::verdict::{Probabilities, Verdict};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use sha2::{Digest, Sha256};

fn model() -> Manifest {
    Manifest::parse(&shipped().manifest).unwrap()
}

fn record(journal: &mut Journal, name: &str, reading: &Reading) -> Row {
    let input_digest = hex(&Sha256::digest(name));
    let taken_at = SystemTime::now();
    journal.append(&Entry { input_digest: &input_digest, file_name: name, taken_at, reading, model: &model() }).unwrap()
}

fn normal() -> Reading {
    Reading {
        verdict: Verdict::Normal,
        message: "no pneumonia seen".into(),
        probabilities: Some(Probabilities { normal: 0.9, bacterial: 0.07, covid19: 0.03 }),
        ms: Milliseconds { decode: 1.23456, gate: 0.0, preprocess: 2.0, infer: 3.0, total: 6.5 },
    }
}

/// Five readings; the second is a refusal.
fn five(path: &Path) {
    let mut journal = Journal::open(path).unwrap();
    for seq in 1..=5 {
        let reading = if seq == 2 { Reading::refused(Refusal::Empty, "the file is empty") } else { normal() };
        assert_eq!(record(&mut journal, &format!("film {seq}.png"), &reading).seq, seq);
    }
}

/// The hash as docs/storage.md defines it, computed from the table alone.
fn documented_hash(connection: &Connection, seq: i64) -> String {
    let mut statement = connection.prepare("SELECT * FROM reading WHERE seq = ?1").unwrap();
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    statement
        .query_one([seq], |row| {
            let mut text = "chestlight reading 1\n".to_owned();
            for name in names.iter().filter(|name| *name != "hash") {
                match row.get_ref(name.as_str())? {
                    ValueRef::Null => writeln!(text, "{name} n").unwrap(),
                    ValueRef::Integer(number) => writeln!(text, "{name} i{number}").unwrap(),
                    ValueRef::Real(number) => writeln!(text, "{name} r{:016x}", number.to_bits()).unwrap(),
                    ValueRef::Text(value) => {
                        writeln!(text, "{name} t{}:{}", value.len(), str::from_utf8(value).unwrap()).unwrap()
                    }
                    ValueRef::Blob(_) => panic!("no column is a blob"),
                }
            }
            Ok(hex(&Sha256::digest(text)))
        })
        .unwrap()
}

/// Edits `seq` and makes the hashes fit from there to `until`, as a careful forger would.
fn forge(connection: &Connection, seq: i64, until: i64, head_as_well: bool) {
    connection.execute("UPDATE reading SET verdict = 'Refer' WHERE seq = ?1", [seq]).unwrap();
    for seq in seq..=until {
        let hash = documented_hash(connection, seq);
        connection.execute("UPDATE reading SET hash = ?1 WHERE seq = ?2", (&hash, seq)).unwrap();
        if seq < until {
            connection.execute("UPDATE reading SET previous_hash = ?1 WHERE seq = ?2", (&hash, seq + 1)).unwrap();
        } else if head_as_well {
            connection.execute("UPDATE head SET hash = ?1", [&hash]).unwrap();
        }
    }
}

#[test]
fn the_hash_is_the_documented_one_and_an_untouched_chain_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    five(&path);
    let journal = Journal::open_read_only(&path).unwrap();
    let whole = journal.verify().unwrap().unwrap();
    assert_eq!(whole.rows, 5);
    let connection = Connection::open(&path).unwrap();
    let mut previous = GENESIS.to_owned();
    for seq in 1..=5 {
        let row = journal.get(seq).unwrap().unwrap();
        assert_eq!(row.previous_hash, previous);
        assert_eq!(row.hash(), documented_hash(&connection, seq));
        previous = row.hash().to_owned();
    }
    assert_eq!(whole.head, previous);
}

#[test]
fn verify_finds_the_first_changed_row_and_says_why() {
    type Change = fn(&Connection);
    let changes: [(&str, Change, Break); 18] = [
        (
            "an edited verdict",
            |c| sql(c, "UPDATE reading SET verdict = 'Normal', reason = NULL WHERE seq = 2"),
            Break::Edited(2),
        ),
        ("an edited probability", |c| sql(c, "UPDATE reading SET p_normal = 0.91 WHERE seq = 3"), Break::Edited(3)),
        ("an edited name", |c| sql(c, "UPDATE reading SET file_name = 'x' WHERE seq = 1"), Break::Edited(1)),
        ("an edited last row", |c| sql(c, "UPDATE reading SET message = '' WHERE seq = 5"), Break::Edited(5)),
        ("an emptied value", |c| sql(c, "UPDATE reading SET p_covid19 = NULL WHERE seq = 4"), Break::Edited(4)),
        (
            "the first removed",
            |c| sql(c, "DELETE FROM reading WHERE seq = 1"),
            Break::Missing { expected: 1, found: 2 },
        ),
        (
            "a middle one removed",
            |c| sql(c, "DELETE FROM reading WHERE seq = 3"),
            Break::Missing { expected: 3, found: 4 },
        ),
        ("the last removed", |c| sql(c, "DELETE FROM reading WHERE seq = 5"), Break::Tail { head: 5, last: 4 }),
        ("all removed", |c| sql(c, "DELETE FROM reading"), Break::Tail { head: 5, last: 0 }),
        (
            "a middle one removed and the rest renumbered",
            |c| {
                sql(
                    c,
                    "DELETE FROM reading WHERE seq = 3; UPDATE reading SET seq = seq - 1 WHERE seq > 3; UPDATE head SET seq = 4",
                )
            },
            Break::Edited(3),
        ),
        (
            "two swapped",
            |c| {
                sql(
                    c,
                    "UPDATE reading SET seq = 99 WHERE seq = 2; UPDATE reading SET seq = 2 WHERE seq = 3; UPDATE reading SET seq = 3 WHERE seq = 99",
                )
            },
            Break::Edited(2),
        ),
        ("one inserted before the first", |c| insert_copy(c, 0), Break::Inserted(0)),
        ("one inserted after the last", |c| insert_copy(c, 6), Break::Edited(6)),
        (
            "one inserted in the middle",
            |c| {
                sql(c, "UPDATE reading SET seq = -seq WHERE seq >= 3; UPDATE reading SET seq = 1 - seq WHERE seq < 0");
                insert_copy(c, 3);
            },
            Break::Edited(3),
        ),
        ("one edited with its hash made to fit", |c| forge(c, 3, 3, false), Break::Unlinked(4)),
        ("the last edited with its hash made to fit", |c| forge(c, 5, 5, false), Break::Head(5)),
        ("all hashes made to fit but the head's", |c| forge(c, 1, 5, false), Break::Head(5)),
        ("the head removed", |c| sql(c, "DELETE FROM head"), Break::NoHead),
    ];
    for (name, change, expected) in changes {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        five(&path);
        change(&Connection::open(&path).unwrap());
        let found = Journal::open_read_only(&path).unwrap().verify().unwrap();
        assert_eq!(found, Err(expected), "{name}");
    }
}

#[test]
fn who_rewrites_everything_is_found_only_by_a_hash_kept_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    five(&path);
    let before = Journal::open_read_only(&path).unwrap().verify().unwrap().unwrap();
    forge(&Connection::open(&path).unwrap(), 1, 5, true);
    let after = Journal::open_read_only(&path).unwrap().verify().unwrap().unwrap();
    assert_eq!(before.rows, after.rows);
    assert_ne!(before.head, after.head);
}

fn sql(connection: &Connection, statements: &str) {
    connection.execute_batch(statements).unwrap();
}

fn insert_copy(connection: &Connection, seq: i64) {
    sql(
        connection,
        &format!(
            "CREATE TEMP TABLE copy AS SELECT * FROM reading WHERE seq = 1;
             UPDATE copy SET seq = {seq}, input_digest = 'copied';
             INSERT INTO reading SELECT * FROM copy;"
        ),
    );
}

#[test]
fn the_same_film_is_recorded_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(&folder.path().join("journal.db")).unwrap();
    let first = record(&mut journal, "a.png", &normal());
    let again = record(&mut journal, "a.png", &Reading::refused(Refusal::Damaged, "other"));
    assert_eq!(first, again);
    assert_eq!(journal.find(&first.input_digest).unwrap(), Some(first));
    assert_eq!(journal.count().unwrap(), 1);
}

#[test]
fn a_row_comes_back_as_it_was_recorded_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let row = record(&mut Journal::open(&path).unwrap(), "a.png", &normal());
    let journal = Journal::open(&path).unwrap();
    assert_eq!(journal.get(1).unwrap().as_ref(), Some(&row));
    assert_eq!(row.probabilities(), normal().probabilities);
    assert_eq!(row.decode_ms, 1.235, "microseconds are enough");
    assert!(row.recorded_at.ends_with('Z') && row.recorded_at.len() == 24, "{}", row.recorded_at);
}

#[test]
fn other_peoples_files_are_refused_and_left_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name| folder.path().join(name);
    let database = |name, statements| sql(&Connection::open(path(name)).unwrap(), statements);
    database("foreign.db", "CREATE TABLE theirs (x)");
    database("marked.db", "PRAGMA application_id = 7");
    database("newer.db", "PRAGMA application_id = 0x43485354; PRAGMA user_version = 2");
    fs::write(path("text.db"), "this is no database at all, and it is longer than a header".repeat(99)).unwrap();
    for (name, newer) in [("foreign.db", false), ("marked.db", false), ("newer.db", true), ("text.db", false)] {
        let before = fs::read(path(name)).unwrap();
        for opened in [Journal::open(&path(name)), Journal::open_read_only(&path(name))] {
            match opened {
                Err(JournalError::Newer { found: 2, .. }) if newer => {}
                Err(JournalError::Foreign(_)) if !newer => {}
                other => panic!("{name}: {other:?}"),
            }
        }
        assert_eq!(fs::read(path(name)).unwrap(), before, "{name}");
    }
    assert!(matches!(Journal::open_read_only(&path("none.db")), Err(JournalError::Missing(_))));
    assert!(!path("none.db").exists());
}

#[test]
fn nothing_is_recorded_into_a_journal_that_was_removed_or_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut journal = Journal::open(&path).unwrap();
    record(&mut journal, "a.png", &normal());
    fs::rename(&path, folder.path().join("elsewhere.db")).unwrap();
    let (reading, model) = (normal(), model());
    let entry =
        Entry { input_digest: "b", file_name: "b", taken_at: SystemTime::now(), reading: &reading, model: &model };
    assert!(matches!(journal.append(&entry), Err(JournalError::Replaced(_))));
    fs::rename(folder.path().join("elsewhere.db"), &path).unwrap();
    journal.append(&entry).unwrap();
}

#[test]
fn exports_have_every_row_and_no_formulas() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(&folder.path().join("journal.db")).unwrap();
    let names = ["=HYPERLINK(1).png", "+1.png", "-1.png", "@a.png", "a, \"b\".png", "plain=1.png"];
    for name in names {
        record(&mut journal, name, &normal());
    }
    record(&mut journal, "empty.png", &Reading::refused(Refusal::Empty, "=the file is empty"));

    let (mut csv_text, mut jsonl) = (Vec::new(), Vec::new());
    journal::write_csv(&journal, &mut csv_text).unwrap();
    journal::write_jsonl(&journal, &mut jsonl).unwrap();

    let mut reader = csv::Reader::from_reader(csv_text.as_slice());
    let column = |name: &str, reader: &mut csv::Reader<&[u8]>| {
        reader.headers().unwrap().iter().position(|header| header == name).unwrap()
    };
    let (file, message, normal) =
        (column("file_name", &mut reader), column("message", &mut reader), column("p_normal", &mut reader));
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 7);
    for (record, name) in records.iter().zip(names) {
        let safe = if name.starts_with(['=', '+', '-', '@']) { format!("'{name}") } else { name.to_owned() };
        assert_eq!(&record[file], safe);
    }
    assert!(records[6][message].starts_with("'=the file"));
    assert_eq!(&records[6][normal], "");

    let lines: Vec<serde_json::Value> =
        str::from_utf8(&jsonl).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 7);
    assert_eq!(lines[0]["file"], names[0], "JSONL has names unchanged");
    assert_eq!(lines[0]["probabilities"]["normal"], serde_json::json!(0.9f32));
    assert_eq!(lines[6]["reason"], "empty");
    assert!(lines[6]["probabilities"].is_null());
}
