//! The tables, and whose file this is.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::{GENESIS, JournalError, override_row, row, sqlite};
use crate::fault;

/// SQLite's `application_id` of a chestlight journal, "CHST".
pub const APPLICATION_ID: i64 = 0x4348_5354;
/// SQLite's `user_version` of the tables below.
pub const SCHEMA_VERSION: i64 = 2;

/// `STRICT` keeps every value in its type, which the hash depends on.
const SCHEMA_1: &str = "
    CREATE TABLE reading (
        seq INTEGER PRIMARY KEY,
        input_digest TEXT NOT NULL UNIQUE,
        file_name TEXT NOT NULL,
        taken_at TEXT NOT NULL,
        recorded_at TEXT NOT NULL,
        verdict TEXT NOT NULL,
        reason TEXT,
        message TEXT NOT NULL,
        p_normal REAL,
        p_bacterial REAL,
        p_covid19 REAL,
        model_name TEXT NOT NULL,
        model_digest TEXT NOT NULL,
        software_version TEXT NOT NULL,
        decode_ms REAL NOT NULL,
        gate_ms REAL NOT NULL,
        preprocess_ms REAL NOT NULL,
        infer_ms REAL NOT NULL,
        total_ms REAL NOT NULL,
        previous_hash TEXT NOT NULL,
        hash TEXT NOT NULL
    ) STRICT;
    CREATE TABLE head (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        seq INTEGER NOT NULL,
        hash TEXT NOT NULL
    ) STRICT;";

/// What version 2 added. Added columns stand at the end and may be null, so that rows of version 1 stay as they are,
/// and so do their hashes ([`super::chain`]).
const READING_2: [&str; 5] =
    ["study_uid TEXT", "series_uid TEXT", "sop_uid TEXT", "patient_hash TEXT", "feature_distance REAL"];
const OVERRIDE_2: &str = "
    CREATE TABLE override (
        seq INTEGER PRIMARY KEY,
        reading INTEGER NOT NULL,
        recorded_at TEXT NOT NULL,
        verdict TEXT NOT NULL,
        message TEXT NOT NULL,
        operator TEXT,
        uid INTEGER NOT NULL,
        software_version TEXT NOT NULL,
        previous_hash TEXT NOT NULL,
        hash TEXT NOT NULL
    ) STRICT;";

/// What a file is before anything is changed in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Empty, or just made.
    Fresh,
    /// A journal of version 1.
    Older,
    /// A journal of this version.
    Current,
}

/// Whose file it is; an error if it is not a journal of this or an older version.
pub(super) fn look(connection: &Connection, path: &Path) -> Result<Found, JournalError> {
    let number = |sql: &str| connection.query_one(sql, [], |row| row.get::<_, i64>(0));
    let found = number("PRAGMA application_id").and_then(|application| {
        Ok((application, number("PRAGMA user_version")?, number("SELECT count(*) FROM sqlite_schema")?))
    });
    // Tables of values and nothing else: no view that never ends, no trigger, no virtual table.
    let is_plain = |tables: i64| {
        let ours = "schema = 'main' AND type = 'table' AND strict AND name IN ('reading', 'head', 'override')";
        let others = "type IN ('view', 'trigger')";
        number(&format!("SELECT count(*) FROM pragma_table_list WHERE {ours}")).is_ok_and(|found| found == tables)
            && number(&format!("SELECT count(*) FROM sqlite_schema WHERE {others}")).is_ok_and(|found| found == 0)
    };
    match found {
        Ok((0, 0, 0)) => Ok(Found::Fresh),
        Ok((APPLICATION_ID, 1, _)) if is_plain(2) => Ok(Found::Older),
        Ok((APPLICATION_ID, SCHEMA_VERSION, _)) if is_plain(3) => Ok(Found::Current),
        Ok((APPLICATION_ID, found, _)) if found > SCHEMA_VERSION => {
            Err(JournalError::Newer { path: path.to_owned(), found })
        }
        Ok(_) => Err(JournalError::Foreign(path.to_owned())),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            Err(JournalError::Foreign(path.to_owned()))
        }
        Err(error) => Err(sqlite("opened")(error)),
    }
}

/// A commit is on the disc when it returns, and readers do not stop the daemon.
pub(super) fn make_durable(connection: &Connection) -> Result<(), JournalError> {
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;").map_err(sqlite("opened"))
}

/// Makes the tables of this version in a file that is fresh or older; does nothing to a current one.
///
/// One transaction: a power cut leaves the version that was there, or this one.
pub(super) fn bring_up_to_date(connection: &mut Connection, path: &Path) -> Result<(), JournalError> {
    let making = sqlite("brought up to date");
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&making)?;
    // Asked again under the lock: another process may have been quicker.
    let found = look(&transaction, path)?;
    let update = || {
        if found == Found::Fresh {
            transaction.execute_batch(SCHEMA_1)?;
            transaction.execute("INSERT INTO head (one, seq, hash) VALUES (1, 0, ?1)", [GENESIS])?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        for column in READING_2 {
            transaction.execute(&format!("ALTER TABLE reading ADD COLUMN {column}"), [])?;
        }
        transaction.execute_batch(OVERRIDE_2)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)
    };
    if found != Found::Current {
        update().map_err(&making)?;
        fault::point("journal.migrated");
        transaction.commit().map_err(&making)?;
        if found == Found::Older {
            log::info!("the journal was brought from schema version 1 to {SCHEMA_VERSION}");
        }
    }
    Ok(())
}

/// Dresses a journal of version 1, which may not be written to, as one of this version: for this connection alone,
/// views and tables in memory stand before those of the file.
pub(super) fn dress(connection: &Connection) -> Result<(), JournalError> {
    let added: String = READING_2
        .iter()
        .filter_map(|column| column.split_once(' '))
        .map(|(name, _)| format!(", NULL AS {name}"))
        .collect();
    let views = format!(
        "PRAGMA temp_store = MEMORY;
         CREATE TEMP VIEW reading AS SELECT *{added} FROM main.reading;
         {};",
        OVERRIDE_2.replace("CREATE TABLE", "CREATE TEMP TABLE").trim_end_matches(';')
    );
    connection.execute_batch(&views).map_err(sqlite("read"))
}

pub(super) fn insert_reading() -> String {
    insert("reading", &row::COLUMNS)
}

pub(super) fn insert_override() -> String {
    insert("override", &override_row::COLUMNS)
}

fn insert(table: &str, columns: &[&str]) -> String {
    let places = vec!["?"; columns.len()].join(", ");
    format!("INSERT INTO {table} ({}) VALUES ({places})", columns.join(", "))
}

pub(super) fn select_readings(rest: &str) -> String {
    format!("SELECT {} FROM reading {rest}", row::COLUMNS.join(", "))
}

pub(super) fn select_overrides(rest: &str) -> String {
    format!("SELECT {} FROM override {rest}", override_row::COLUMNS.join(", "))
}
