//! The tables, and whose file this is.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::row::Cell;
use super::{GENESIS, JournalError, note, override_row, row, sqlite};
use crate::fault;

/// SQLite's `application_id` of a chestlight journal, "CHST".
pub const APPLICATION_ID: i64 = 0x4348_5354;
/// SQLite's `user_version` of the tables below.
pub const SCHEMA_VERSION: i64 = 3;

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

/// What version 2 added. Added columns stand at the end and may be null, so that older rows stay as they are, and so do
/// their hashes ([`super::chain`]).
const SCHEMA_2: &str = "
    ALTER TABLE reading ADD COLUMN study_uid TEXT;
    ALTER TABLE reading ADD COLUMN series_uid TEXT;
    ALTER TABLE reading ADD COLUMN sop_uid TEXT;
    ALTER TABLE reading ADD COLUMN patient_hash TEXT;
    ALTER TABLE reading ADD COLUMN feature_distance REAL;
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

/// What version 3 added.
const SCHEMA_3: &str = "
    ALTER TABLE reading ADD COLUMN boot_id TEXT;
    ALTER TABLE reading ADD COLUMN boot_ms INTEGER;
    ALTER TABLE reading ADD COLUMN clock_trusted INTEGER;
    ALTER TABLE override ADD COLUMN boot_id TEXT;
    ALTER TABLE override ADD COLUMN boot_ms INTEGER;
    ALTER TABLE override ADD COLUMN clock_trusted INTEGER;
    CREATE TABLE note (
        seq INTEGER PRIMARY KEY,
        event TEXT NOT NULL,
        reading INTEGER NOT NULL,
        recorded_at TEXT NOT NULL,
        message TEXT NOT NULL,
        software_version TEXT NOT NULL,
        previous_hash TEXT NOT NULL,
        hash TEXT NOT NULL,
        boot_id TEXT,
        boot_ms INTEGER,
        clock_trusted INTEGER
    ) STRICT;";

/// What makes each version of the one before; of nothing at first.
const STEPS: [(i64, &str); SCHEMA_VERSION as usize] = [(1, SCHEMA_1), (2, SCHEMA_2), (3, SCHEMA_3)];

/// What a file is before anything is changed in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Empty, or just made.
    Fresh,
    /// A journal of this version or of an older one.
    Version(i64),
}

/// Whose file it is; an error if it is not a journal of this or an older version.
pub(super) fn look(connection: &Connection, path: &Path) -> Result<Found, JournalError> {
    let number = |sql: &str| connection.query_one(sql, [], |row| row.get::<_, i64>(0));
    let found = number("PRAGMA application_id")
        .and_then(|application| Ok((application, number("PRAGMA user_version")?, tables(connection)?)));
    match found {
        Ok((0, 0, tables)) if tables.is_empty() => Ok(Found::Fresh),
        // Exactly these tables: no view that never ends, no trigger, no virtual table, no bit that has flipped.
        Ok((APPLICATION_ID, version, tables)) if made(version).is_some_and(|made| made == tables) => {
            Ok(Found::Version(version))
        }
        // The tables of a newer version are others. With the tables of this one the number is damaged.
        Ok((APPLICATION_ID, found, tables))
            if found > SCHEMA_VERSION && made(SCHEMA_VERSION) != Some(tables.clone()) =>
        {
            Err(JournalError::Newer { path: path.to_owned(), found })
        }
        Ok(_) => Err(JournalError::Foreign(path.to_owned())),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            Err(JournalError::Foreign(path.to_owned()))
        }
        Err(error) => Err(sqlite("opened")(error)),
    }
}

/// What a file consists of: each table and index with the statement that made it.
fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let all =
        "SELECT type || ' ' || name || ' ' || tbl_name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY name";
    let mut statement = connection.prepare(all)?;
    let spaced = |row: &rusqlite::Row<'_>| {
        let text: String = row.get(0)?;
        Ok(text.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
    };
    statement.query_map([], spaced)?.take(100).collect()
}

/// What a file of a version consists of; `None` for one that this chestlight does not know.
fn made(version: i64) -> Option<Vec<String>> {
    STEPS.iter().find(|(known, _)| *known == version)?;
    let memory = Connection::open_in_memory().ok()?;
    steps(0, version).try_for_each(|step| memory.execute_batch(step)).ok()?;
    tables(&memory).ok()
}

/// The statements that bring a file from one version to another.
fn steps(from: i64, to: i64) -> impl Iterator<Item = &'static str> {
    STEPS.into_iter().filter(move |(version, _)| (from + 1..=to).contains(version)).map(|(_, step)| step)
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
    let before = match look(&transaction, path)? {
        Found::Fresh => 0,
        Found::Version(version) => version,
    };
    if before == SCHEMA_VERSION {
        return Ok(());
    }
    let update = || {
        steps(before, SCHEMA_VERSION).try_for_each(|step| transaction.execute_batch(step))?;
        if before == 0 {
            transaction.execute("INSERT INTO head (one, seq, hash) VALUES (1, 0, ?1)", [GENESIS])?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)
    };
    update().map_err(&making)?;
    fault::point("journal.migrated");
    transaction.commit().map_err(&making)?;
    if before > 0 {
        log::info!("the journal was brought from schema version {before} to {SCHEMA_VERSION}");
    }
    Ok(())
}

/// Dresses an older journal, which may not be written to, as one of this version: for this connection alone, views in
/// memory stand before the tables of the file.
pub(super) fn dress(connection: &Connection, version: i64) -> Result<(), JournalError> {
    if version == SCHEMA_VERSION {
        return Ok(());
    }
    let reading = sqlite("read");
    let mut views = "PRAGMA temp_store = MEMORY;".to_owned();
    let tables: [(&str, &[&str]); 3] =
        [("reading", &row::COLUMNS), ("override", &override_row::COLUMNS), ("note", &note::COLUMNS)];
    for (table, columns) in tables {
        let has = |column: &str| {
            let count = "SELECT count(*) FROM pragma_table_info(?1, 'main') WHERE name = ?2";
            connection.query_one(count, [table, column], |row| row.get::<_, bool>(0))
        };
        let mut parts = Vec::new();
        let mut is_there = false;
        for column in columns {
            let found = has(column).map_err(&reading)?;
            is_there |= found;
            parts.push(if found { (*column).to_owned() } else { format!("NULL AS {column}") });
        }
        let rows = if is_there { format!("FROM main.{table}") } else { "WHERE FALSE".to_owned() };
        views.push_str(&format!("CREATE TEMP VIEW {table} AS SELECT {} {rows};", parts.join(", ")));
    }
    connection.execute_batch(&views).map_err(reading)
}

pub(super) fn insert(table: &str, columns: &[(&str, Cell<'_>)]) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let places = vec!["?"; names.len()].join(", ");
    format!("INSERT INTO {table} ({}) VALUES ({places})", names.join(", "))
}

pub(super) fn select_readings(rest: &str) -> String {
    format!("SELECT {} FROM reading {rest}", row::COLUMNS.join(", "))
}

pub(super) fn select_overrides(rest: &str) -> String {
    format!("SELECT {} FROM override {rest}", override_row::COLUMNS.join(", "))
}

pub(super) fn select_notes(rest: &str) -> String {
    format!("SELECT {} FROM note {rest}", note::COLUMNS.join(", "))
}
