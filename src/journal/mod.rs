//! The durable result log: one row a reading, one a person's override of a reading, and one for whatever else must not
//! be forgotten, each chained to the row before it by SHA-256.
//!
//! SQLite in WAL mode with `synchronous=FULL`: what [`Journal::append`] has returned survives a power cut.
//! `docs/storage.md` has the schema, the definition of the hash, and what it can and cannot find.

mod chain;
mod damage;
mod export;
mod note;
mod override_row;
mod query;
mod row;
mod schema;
mod stamp;

pub use chain::{Break, GENESIS, Whole};
pub use damage::{AcknowledgeError, DAMAGED};
pub use export::{Names, write_csv, write_jsonl};
pub use note::{Event, Note};
pub use override_row::{Override, Word, WordError};
pub use query::Record;
pub use row::Row;
pub use schema::{APPLICATION_ID, SCHEMA_VERSION};
pub use stamp::Stamp;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params, params_from_iter};
use thiserror::Error;

use crate::clock::Clock;
use crate::fault;
use crate::model::Manifest;
use crate::reading::Reading;
use row::Cell;

/// How long a step waits for another process that has the journal locked.
const BUSY: Duration = Duration::from_secs(2);
/// Largest value and largest row, bytes; a long one of the unit's own has under 2 000.
const MAX_ROW: i32 = 1 << 20;

/// The journal cannot be used, or a step in it failed.
#[derive(Debug, Error)]
pub enum JournalError {
    /// There is no such file.
    #[error("there is no journal at {0}")]
    Missing(PathBuf),
    /// The file is something else.
    #[error("{0} is not a chestlight journal")]
    Foreign(PathBuf),
    /// The file was made by a newer chestlight.
    #[error("{path} has schema version {found}, this chestlight knows {SCHEMA_VERSION}; update chestlight")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
    },
    /// The open journal is no longer the file at its path, so rows written to it would be lost.
    #[error("{0} was removed or replaced while it was in use; put it back or restart")]
    Replaced(PathBuf),
    /// An override of what was never recorded.
    #[error("there is no reading {asked}; the journal's last row is {last}")]
    NoSuchReading {
        /// The number asked for.
        asked: i64,
        /// Number of the last row.
        last: i64,
    },
    /// An override of an override.
    #[error("row {asked} is an override of reading {reading}; override reading {reading}, the last word counts")]
    NotAReading {
        /// The number asked for.
        asked: i64,
        /// The reading that it is about.
        reading: i64,
    },
    /// An override of a note.
    #[error("row {0} is a note, not a reading; chestlight log list has the numbers of the readings")]
    NotOfAReading(i64),
    /// A damaged journal could not be moved away.
    #[error("the damaged journal cannot be set aside: {0}")]
    SetAside(io::Error),
    /// SQLite failed.
    #[error("the journal cannot be {doing}: {source}")]
    Sqlite {
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Writing an export failed.
    #[error("the export cannot be written: {0}")]
    Export(#[from] io::Error),
}

fn sqlite(doing: &'static str) -> impl Fn(rusqlite::Error) -> JournalError {
    move |source| JournalError::Sqlite { doing, source }
}

/// What is to be recorded of one film.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// SHA-256 of the film, 64 lower-case hexadecimal digits.
    pub input_digest: &'a str,
    /// The film's name, made harmless.
    pub file_name: &'a str,
    /// When it was taken in.
    pub taken_at: SystemTime,
    /// What came of it.
    pub reading: &'a Reading,
    /// What stands for the patient whom the film names ([`crate::privacy::PatientKey::patient_hash`]).
    pub patient_hash: Option<&'a str>,
    /// The model that read it.
    pub model: &'a Manifest,
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    connection: Connection,
    path: PathBuf,
    /// Device and inode of the file when it was opened.
    identity: (u64, u64),
    clock: Clock,
}

impl Journal {
    /// Opens a journal for appending; makes it where there is none, and brings an older one up to date.
    ///
    /// # Errors
    /// [`JournalError::Foreign`] and [`JournalError::Newer`] before anything is changed in the file; SQLite's own.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let mut journal = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        // Before the file is touched: it may be somebody else's.
        schema::look(&journal.connection, path)?;
        schema::make_durable(&journal.connection)?;
        schema::bring_up_to_date(&mut journal.connection, path)?;
        Ok(journal)
    }

    /// Opens an existing journal for appending.
    ///
    /// # Errors
    /// As [`Journal::open`], and [`JournalError::Missing`].
    pub fn open_existing(path: &Path) -> Result<Self, JournalError> {
        if !path.is_file() {
            return Err(JournalError::Missing(path.to_owned()));
        }
        Self::open(path)
    }

    /// Opens an existing journal for reading, beside a daemon that may be appending to it.
    ///
    /// # Errors
    /// As [`Journal::open`], and [`JournalError::Missing`].
    pub fn open_read_only(path: &Path) -> Result<Self, JournalError> {
        if !path.is_file() {
            return Err(JournalError::Missing(path.to_owned()));
        }
        match Self::look_at(path)? {
            (_, schema::Found::Fresh) => Err(JournalError::Foreign(path.to_owned())),
            (journal, schema::Found::Version(_)) => Ok(journal),
        }
    }

    /// Opens a file for reading, and tells what it is.
    fn look_at(path: &Path) -> Result<(Self, schema::Found), JournalError> {
        let journal = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let found = schema::look(&journal.connection, path)?;
        if let schema::Found::Version(version) = found {
            schema::dress(&journal.connection, version)?;
        }
        Ok((journal, found))
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self, JournalError> {
        let opening = sqlite("opened");
        let connection =
            Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(&opening)?;
        connection.busy_timeout(BUSY).map_err(&opening)?;
        // The file may be anybody's (`log verify --journal`): what it holds runs nothing and allocates little.
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_ROW).map_err(&opening)?;
        for (option, on) in
            [(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false), (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)]
        {
            connection.set_db_config(option, on).map_err(&opening)?;
        }
        let identity = identity(path).ok_or_else(|| JournalError::Missing(path.to_owned()))?;
        Ok(Self { connection, path: path.to_owned(), identity, clock: Clock::system() })
    }

    /// Rows get their time from this clock instead of the system's.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Records a reading durably and returns its row. If the film already has a row, that row is returned and
    /// nothing is written, so appending again after an error that came too late is harmless.
    ///
    /// # Errors
    /// [`JournalError`]; nothing was recorded, or it was recorded and the next attempt will find it.
    pub fn append(&mut self, entry: &Entry<'_>) -> Result<Row, JournalError> {
        let now = self.clock.now();
        let transaction = self.begin()?;
        if let Some(row) = query::by_digest(&transaction, entry.input_digest).map_err(sqlite("written"))? {
            return Ok(row);
        }
        let row = Row::next(head(&transaction)?, &now, entry);
        record(transaction, "reading", &row.columns(), (row.seq, row.hash()))?;
        Ok(row)
    }

    /// Records a person's word on a reading durably, as a row of its own: the reading stays as it is. A second
    /// override of the same reading is one more row.
    ///
    /// # Errors
    /// [`JournalError::NoSuchReading`] and [`JournalError::NotAReading`]; SQLite's own.
    pub fn override_reading(&mut self, word: &Word) -> Result<Override, JournalError> {
        let now = self.clock.now();
        let transaction = self.begin()?;
        let (seq, hash) = head(&transaction)?;
        let asked = word.reading();
        match query::by_seq(&transaction, asked).map_err(sqlite("written"))? {
            Some(Record::Reading(_)) => {}
            Some(Record::Override(row)) => return Err(JournalError::NotAReading { asked, reading: row.reading }),
            Some(Record::Note(_)) => return Err(JournalError::NotOfAReading(asked)),
            None => return Err(JournalError::NoSuchReading { asked, last: seq }),
        }
        let row = Override::next((seq, hash), &now, word);
        record(transaction, "override", &row.columns(), (row.seq, row.hash()))?;
        self.empty_log();
        Ok(row)
    }

    /// Records durably that something happened; `reading` is the number that it is about.
    ///
    /// # Errors
    /// SQLite's own.
    pub fn note(&mut self, event: Event, reading: i64, message: &str) -> Result<Note, JournalError> {
        let now = self.clock.now();
        let transaction = self.begin()?;
        let row = Note::next(head(&transaction)?, &now, event, reading, message);
        record(transaction, "note", &row.columns(), (row.seq, row.hash()))?;
        self.empty_log();
        Ok(row)
    }

    /// Moves what stands in the write-ahead log into the journal itself. A log that is damaged later ends early, and
    /// SQLite takes that for its end: a reading is then missed by its film, but nothing would miss a person's word.
    fn empty_log(&self) {
        let emptied = self.connection.query_one("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
        if !matches!(emptied, Ok(false)) {
            log::debug!("the write-ahead log stays as it is, because somebody reads the journal");
        }
    }

    /// Begins to write, alone.
    fn begin(&mut self) -> Result<Transaction<'_>, JournalError> {
        // SQLite would go on writing into a file that has been deleted.
        if identity(&self.path) != Some(self.identity) {
            return Err(JournalError::Replaced(self.path.clone()));
        }
        self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite("written"))
    }

    /// The reading of the film with this digest.
    ///
    /// # Errors
    /// SQLite's own.
    pub fn find(&self, input_digest: &str) -> Result<Option<Row>, JournalError> {
        query::by_digest(&self.connection, input_digest).map_err(sqlite("read"))
    }
}

/// Number and hash of the last row.
fn head(transaction: &Transaction<'_>) -> Result<(i64, String), JournalError> {
    let columns = |head: &rusqlite::Row<'_>| Ok((head.get(0)?, head.get(1)?));
    transaction.query_one("SELECT seq, hash FROM head", [], columns).map_err(sqlite("written"))
}

/// Inserts a row and makes it the last one, durably.
fn record(
    transaction: Transaction<'_>,
    table: &str,
    columns: &[(&'static str, Cell<'_>)],
    (seq, hash): (i64, &str),
) -> Result<(), JournalError> {
    let writing = sqlite("written");
    let cells = columns.iter().map(|(_, cell)| cell);
    transaction.execute(&schema::insert(table, columns), params_from_iter(cells)).map_err(&writing)?;
    transaction.execute("UPDATE head SET seq = ?1, hash = ?2", params![seq, hash]).map_err(&writing)?;
    fault::point("journal.inserted");
    transaction.commit().map_err(&writing)?;
    fault::point("journal.committed");
    Ok(())
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}
