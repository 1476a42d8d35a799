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
use std::time::{Duration, SystemTime};

use chestlight::clock::{Clock, Moment};
use chestlight::digest::hex;
use chestlight::journal::{
    self, Break, Entry, Event, GENESIS, Journal, JournalError, Names, Override, Record, Row, Stamp, Word,
};
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
    journal
        .append(&Entry {
            input_digest: &input_digest,
            file_name: name,
            taken_at,
            reading,
            patient_hash: None,
            model: &model(),
        })
        .unwrap()
}

fn normal() -> Reading {
    Reading {
        verdict: Verdict::Normal,
        message: "no pneumonia seen".into(),
        probabilities: Some(Probabilities { normal: 0.9, bacterial: 0.07, covid19: 0.03 }),
        distance: None,
        map: None,
        ms: Milliseconds { decode: 1.23456, gate: 0.0, preprocess: 2.0, infer: 3.0, total: 6.5 },
        origin: None,
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

/// A person's word on reading `reading`.
fn override_with(journal: &mut Journal, reading: i64, verdict: Verdict) -> Override {
    let word = Word::new(reading, verdict, "seen by Dr N.", Some("MK"), 1000).unwrap();
    journal.override_reading(&word).unwrap()
}

/// The five readings, an override of the first, one more reading, and an override of the first again.
fn with_overrides(path: &Path) {
    five(path);
    let mut journal = Journal::open(path).unwrap();
    assert_eq!(override_with(&mut journal, 1, Verdict::BacterialPneumonia).seq, 6);
    assert_eq!(record(&mut journal, "film 7.png", &normal()).seq, 7);
    assert_eq!(override_with(&mut journal, 1, Verdict::Refer).seq, 8);
}

/// The hash as docs/storage.md defines it, computed from the table alone.
fn documented_hash(connection: &Connection, table: &str, seq: i64) -> String {
    let mut statement = connection.prepare(&format!("SELECT * FROM {table} WHERE seq = ?1")).unwrap();
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let added = names.iter().position(|name| name == "hash").unwrap();
    statement
        .query_one([seq], |row| {
            let mut text = format!("chestlight {table} 1\n");
            for (column, name) in names.iter().enumerate().filter(|(_, name)| *name != "hash") {
                match row.get_ref(column)? {
                    ValueRef::Null if column > added => {}
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
        let hash = documented_hash(connection, "reading", seq);
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
    with_overrides(&path);
    let journal = Journal::open_read_only(&path).unwrap();
    let whole = journal.verify().unwrap().unwrap();
    assert_eq!((whole.last, whole.readings, whole.overrides), (8, 6, 2));
    let connection = Connection::open(&path).unwrap();
    let mut previous = GENESIS.to_owned();
    for seq in 1..=8 {
        let (table, previous_hash, hash) = match journal.get(seq).unwrap().unwrap() {
            Record::Reading(row) => ("reading", row.previous_hash.clone(), row.hash().to_owned()),
            Record::Override(row) => ("override", row.previous_hash.clone(), row.hash().to_owned()),
            Record::Note(row) => ("note", row.previous_hash.clone(), row.hash().to_owned()),
        };
        assert_eq!(table == "override", [6, 8].contains(&seq));
        assert_eq!(previous_hash, previous);
        assert_eq!(hash, documented_hash(&connection, table, seq));
        previous = hash;
    }
    assert_eq!(whole.head, previous);
}

#[test]
fn an_override_stands_beside_its_reading_and_the_last_word_comes_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    five(&path);
    let before = Journal::open_read_only(&path).unwrap().get(1).unwrap();
    fs::remove_dir_all(folder.path()).unwrap();
    fs::create_dir(folder.path()).unwrap();
    with_overrides(&path);
    let mut journal = Journal::open_existing(&path).unwrap();
    let Some(Record::Reading(reading)) = before else { panic!("{before:?}") };
    let Some(Record::Reading(now)) = journal.get(1).unwrap() else { panic!("reading 1 is gone") };
    assert_eq!((now.verdict, now.message), (reading.verdict, reading.message), "a reading is never edited");
    let words = journal.overrides_of(1).unwrap();
    let told: Vec<_> = words.iter().map(|word| (word.verdict().unwrap(), word.operator.as_deref(), word.uid)).collect();
    assert_eq!(told, [(Verdict::BacterialPneumonia, Some("MK"), 1000), (Verdict::Refer, Some("MK"), 1000)]);

    let word = |reading| Word::new(reading, Verdict::Normal, "a", None, 0).unwrap();
    let refused = journal.override_reading(&word(9));
    assert!(matches!(refused, Err(JournalError::NoSuchReading { asked: 9, last: 8 })), "{refused:?}");
    let refused = journal.override_reading(&word(6));
    assert!(matches!(refused, Err(JournalError::NotAReading { asked: 6, reading: 1 })), "{refused:?}");
    assert_eq!(journal.verify().unwrap().unwrap().last, 8, "what is refused leaves no row");
    assert!(matches!(Journal::open_existing(&folder.path().join("none.db")), Err(JournalError::Missing(_))));
}

#[test]
fn verify_finds_a_changed_override() {
    for (name, change, expected) in [
        ("an edited verdict", "UPDATE override SET verdict = 'Normal' WHERE seq = 6", Break::Edited(6)),
        ("another reading meant", "UPDATE override SET reading = 2 WHERE seq = 8", Break::Edited(8)),
        ("a person taken out", "UPDATE override SET operator = NULL WHERE seq = 6", Break::Edited(6)),
        ("one removed", "DELETE FROM override WHERE seq = 6", Break::Missing { expected: 6, found: 7 }),
        ("the last removed", "DELETE FROM override WHERE seq = 8", Break::Tail { head: 8, last: 7 }),
        (
            "one more with the number of a reading",
            "INSERT INTO override SELECT 3, reading, recorded_at, verdict, message, operator, uid, software_version,
             previous_hash, hash, boot_id, boot_ms, clock_trusted FROM override WHERE seq = 6",
            Break::Inserted(3),
        ),
        ("a distance put in later", "UPDATE reading SET feature_distance = 1.5 WHERE seq = 2", Break::Edited(2)),
        ("an identity put in later", "UPDATE reading SET study_uid = '1.2' WHERE seq = 2", Break::Edited(2)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        with_overrides(&path);
        sql(&Connection::open(&path).unwrap(), change);
        assert_eq!(Journal::open_read_only(&path).unwrap().verify().unwrap(), Err(expected), "{name}");
    }
}

/// What chestlight wrote when the schema had an earlier version, and how many rows and overrides that are.
const EARLIER: [(i64, &str, i64, i64); 2] = [
    (1, include_str!("fixtures/journal-schema-1.sql"), 3, 0),
    (2, include_str!("fixtures/journal-schema-2.sql"), 3, 1),
];

fn version(connection: &Connection) -> i64 {
    connection.query_one("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_journal_of_an_earlier_schema_verifies_where_it_is_goes_on_in_place_and_keeps_its_rows() {
    for (earlier, statements, rows, overrides) in EARLIER {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.db");
        let connection = Connection::open(&path).unwrap();
        sql(&connection, statements);
        let old =
            |journal: &Journal| -> Vec<Record> { (1..=rows).map(|seq| journal.get(seq).unwrap().unwrap()).collect() };

        let read_only = Journal::open_read_only(&path).unwrap();
        let whole = read_only.verify().unwrap().unwrap();
        assert_eq!((whole.last, whole.overrides, whole.notes), (rows, overrides, 0));
        let before = old(&read_only);
        let mut jsonl = Vec::new();
        journal::write_jsonl(&read_only, &mut jsonl, Names::Told).unwrap();
        assert_eq!(jsonl.iter().filter(|byte| **byte == b'\n').count() as i64, rows);
        assert_eq!(version(&connection), earlier, "who may only read changes nothing");

        let mut journal = Journal::open(&path).unwrap();
        assert_eq!(version(&connection), journal::SCHEMA_VERSION);
        let word = override_with(&mut journal, 1, Verdict::Refer);
        assert_eq!((word.seq, &word.previous_hash), (rows + 1, &whole.head));
        assert_eq!(record(&mut journal, "new.png", &normal()).previous_hash, word.hash());
        let whole = Journal::open(&path).unwrap().verify().unwrap().unwrap();
        assert_eq!((whole.last, whole.overrides), (rows + 2, overrides + 1));
        assert_eq!(old(&journal), before);
        let Record::Reading(reading) = &before[0] else { panic!("{before:?}") };
        assert_eq!(reading.stamp, Stamp::default(), "nothing is made up of what was not recorded");

        sql(&connection, "UPDATE reading SET verdict = 'Refer' WHERE seq = 2");
        assert_eq!(journal.verify().unwrap(), Err(Break::Edited(2)), "an old row is as well protected as a new one");
    }
}

#[test]
fn rows_keep_their_order_when_the_clock_jumps_back_and_say_what_it_was_worth() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    // Set right, set back by ten years, and started again without anybody setting it.
    let moments =
        [("boot-1", 100, 1_800_000_000, true), ("boot-1", 200, 1_500_000_000, false), ("boot-2", 5, 0, false)];
    for (index, (boot, since_boot, wall, trusted)) in moments.into_iter().enumerate() {
        let tell = move || Moment {
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(wall),
            boot_id: Some(boot.into()),
            since_boot: Duration::from_secs(since_boot),
            trusted,
        };
        let mut journal = Journal::open(&path).unwrap().with_clock(Clock::new(tell));
        let row = record(&mut journal, &format!("{index}.png"), &normal());
        assert_eq!(row.seq, 3 * index as i64 + 1);
        let word = override_with(&mut journal, row.seq, Verdict::Refer);
        let note = journal.note(Event::Exported, word.seq, "to a stick").unwrap();
        let stamp = Stamp {
            boot_id: Some(boot.into()),
            boot_ms: Some(since_boot as i64 * 1_000),
            clock_trusted: Some(trusted),
        };
        assert_eq!([&row.stamp, &word.stamp, &note.stamp], [&stamp; 3]);
        assert_eq!(row.recorded_at, note.recorded_at);
    }
    let journal = Journal::open_read_only(&path).unwrap();
    let whole = journal.verify().unwrap().unwrap();
    assert_eq!((whole.last, whole.readings, whole.overrides, whole.notes), (9, 3, 3, 3));
    let mut seen = Vec::new();
    let see = |record: &Record| -> Result<(), JournalError> {
        seen.push(record.seq());
        Ok(())
    };
    journal.for_each_record(Some(4), see).unwrap();
    assert_eq!(seen, [6, 7, 8, 9], "the last ones are the last recorded, whatever the clock said");
    let mut newest = Vec::new();
    let see = |row: &Row| -> Result<(), JournalError> {
        newest.push(row.recorded_at[..4].to_owned());
        Ok(())
    };
    journal.for_each(None, see).unwrap();
    assert_eq!(newest, ["2027", "2017", "1970"]);

    for (what, change) in [
        ("made trusted", "UPDATE reading SET clock_trusted = 1 WHERE seq = 4"),
        ("another start", "UPDATE reading SET boot_id = 'boot-9' WHERE seq = 4"),
        ("a time taken out", "UPDATE reading SET boot_ms = NULL WHERE seq = 4"),
    ] {
        let copy = tempfile::tempdir().unwrap();
        let forged = copy.path().join("journal.db");
        Connection::open(&path).unwrap().execute("VACUUM INTO ?1", [forged.to_str().unwrap()]).unwrap();
        sql(&Connection::open(&forged).unwrap(), change);
        assert_eq!(Journal::open_read_only(&forged).unwrap().verify().unwrap(), Err(Break::Edited(4)), "{what}");
    }
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
    assert_eq!(before.last, after.last);
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
    assert_eq!(journal.get(1).unwrap(), Some(Record::Reading(row.clone())));
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
    database("newer.db", "PRAGMA application_id = 0x43485354; PRAGMA user_version = 4");
    let ours = "PRAGMA application_id = 0x43485354; PRAGMA user_version = 3";
    database("without.db", ours);
    let endless = "WITH RECURSIVE n(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n) SELECT seq FROM n";
    let tables = "CREATE TABLE head (seq INTEGER) STRICT; CREATE TABLE override (seq INTEGER) STRICT";
    database("endless.db", &format!("{tables}; CREATE VIEW reading AS {endless}; {ours}"));
    fs::write(path("text.db"), "this is no database at all, and it is longer than a header".repeat(99)).unwrap();
    for name in ["foreign.db", "marked.db", "newer.db", "text.db", "without.db", "endless.db"] {
        let newer = name == "newer.db";
        let before = fs::read(path(name)).unwrap();
        for opened in [Journal::open(&path(name)), Journal::open_read_only(&path(name))] {
            match opened {
                Err(JournalError::Newer { found: 4, .. }) if newer => {}
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
    let entry = Entry {
        input_digest: "b",
        file_name: "b",
        taken_at: SystemTime::now(),
        reading: &reading,
        patient_hash: None,
        model: &model,
    };
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
    let word = Word::new(2, Verdict::Refer, "=1+1", Some("@MK"), 7).unwrap();
    journal.override_reading(&word).unwrap();

    let (mut csv_text, mut jsonl) = (Vec::new(), Vec::new());
    journal::write_csv(&journal, &mut csv_text, Names::Told).unwrap();
    journal::write_jsonl(&journal, &mut jsonl, Names::Told).unwrap();

    let mut reader = csv::Reader::from_reader(csv_text.as_slice());
    let column = |name: &str, reader: &mut csv::Reader<&[u8]>| {
        reader.headers().unwrap().iter().position(|header| header == name).unwrap()
    };
    let (file, message, normal) =
        (column("file_name", &mut reader), column("message", &mut reader), column("p_normal", &mut reader));
    let [kind, of, operator, uid] = ["kind", "reading", "operator", "uid"].map(|name| column(name, &mut reader));
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 8);
    for (record, name) in records.iter().zip(names) {
        let safe = if name.starts_with(['=', '+', '-', '@']) { format!("'{name}") } else { name.to_owned() };
        assert_eq!(&record[file], safe);
    }
    assert!(records[6][message].starts_with("'=the file"));
    assert_eq!(&records[6][normal], "");
    assert_eq!((&records[6][kind], &records[6][of]), ("reading", ""));
    let word = &records[7];
    assert_eq!(
        [&word[kind], &word[of], &word[operator], &word[uid], &word[message]],
        ["override", "2", "'@MK", "7", "'=1+1"]
    );

    let lines: Vec<serde_json::Value> =
        str::from_utf8(&jsonl).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 8);
    assert_eq!((&lines[0]["kind"], &lines[7]["kind"]), (&"reading".into(), &"override".into()));
    assert_eq!(
        (&lines[7]["reading"], &lines[7]["message"], &lines[7]["verdict"]),
        (&2.into(), &"=1+1".into(), &"Refer".into())
    );
    assert_eq!(lines[0]["file"], names[0], "JSONL has names unchanged");
    assert_eq!(lines[0]["probabilities"]["normal"], serde_json::json!(0.9f32));
    assert_eq!(lines[6]["reason"], "empty");
    assert!(lines[6]["probabilities"].is_null());
}
