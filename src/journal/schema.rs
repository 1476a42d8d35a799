//! The tables, and whose file this is.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::row::COLUMNS;
use super::{GENESIS, JournalError, sqlite};

/// SQLite's `application_id` of a chestlight journal, "CHST".
pub const APPLICATION_ID: i64 = 0x4348_5354;
/// SQLite's `user_version` of the tables below.
pub const SCHEMA_VERSION: i64 = 1;

/// `STRICT` keeps every value in its type, which the hash depends on.
const TABLES: &str = "
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

/// Whether the file is still empty; an error if it is not a journal of this or an older version.
pub(super) fn is_fresh(connection: &Connection, path: &Path) -> Result<bool, JournalError> {
    let number = |sql: &str| connection.query_one(sql, [], |row| row.get::<_, i64>(0));
    let found = number("PRAGMA application_id").and_then(|application| {
        Ok((application, number("PRAGMA user_version")?, number("SELECT count(*) FROM sqlite_schema")?))
    });
    match found {
        Ok((0, 0, 0)) => Ok(true),
        Ok((APPLICATION_ID, SCHEMA_VERSION, _)) => Ok(false),
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
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;")
        .map_err(sqlite("opened"))
}

pub(super) fn create(connection: &mut Connection) -> Result<(), JournalError> {
    let mut create = || {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(TABLES)?;
        transaction.execute("INSERT INTO head (one, seq, hash) VALUES (1, 0, ?1)", [GENESIS])?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.commit()
    };
    create().map_err(sqlite("made"))
}

pub(super) fn insert() -> String {
    let places = vec!["?"; COLUMNS.len()].join(", ");
    format!("INSERT INTO reading ({}) VALUES ({places})", COLUMNS.join(", "))
}

pub(super) fn select(rest: &str) -> String {
    format!("SELECT {} FROM reading {rest}", COLUMNS.join(", "))
}
