//! A journal that is found damaged at a start: it is set aside as it is, and a new one begins that says so.
//!
//! Everything is read before anything is written: to look at a journal changes neither it nor its write-ahead log.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use thiserror::Error;

use super::override_row::line;
use super::{Event, Journal, JournalError, Note, Word, WordError, chain, record, schema, sqlite};
use crate::fault;
use crate::verdict::NOTICE;

/// Where damaged journals are kept, in the state folder.
pub const DAMAGED: &str = "damaged";
/// What stands beside a damaged journal.
const REASON: &str = "reason.txt";
/// Journals that are kept; the numbers of their folders are sought one by one.
const MOST_KEPT: u32 = 10_000;

/// What SQLite adds to the name of a database: its write-ahead log, and the index of that.
const COMPANIONS: [&str; 3] = ["", "-wal", "-shm"];

impl Journal {
    /// Opens the journal of a unit at its start. `highest` is the highest number that a film of the unit carries, 0 for
    /// none. A journal that is damaged or does not know that number is set aside, with what SQLite keeps beside it, in
    /// a folder of its own in `damaged/`, and a new one begins that says so and goes on behind the highest number.
    ///
    /// # Errors
    /// [`JournalError`]: somebody else holds the journal, it is a newer chestlight's, or the disc refuses; the damaged
    /// one is then where it was, or in its folder, and the next start goes on.
    pub fn open_at_start(path: &Path, highest: i64) -> Result<Self, JournalError> {
        let damage = match examine(path, highest)? {
            Some(damage) => damage,
            None => {
                let journal = Self::open(path)?;
                // A crash may have come between setting one aside and saying so.
                if journal.last_seq()? > 0 || !path.with_file_name(DAMAGED).exists() {
                    return Ok(journal);
                }
                Damage { wrong: "the journal before was damaged".to_owned(), last: 0 }
            }
        };
        let known = damage.last.max(highest);
        let kept = set_aside(path, &damage.wrong).map_err(JournalError::SetAside)?;
        let message = match &kept {
            Some(kept) => format!("{}; it is kept in {}", damage.wrong, kept.display()),
            None => damage.wrong,
        };
        log::error!("a new journal begins: {message}");
        let mut journal = Self::open(path)?;
        journal.begin_after(known, &message)?;
        Ok(journal)
    }

    /// The first row of a journal that was begun because of damage, as long as nobody has acknowledged it.
    ///
    /// # Errors
    /// SQLite's own.
    pub fn unacknowledged(&self) -> Result<Option<Note>, JournalError> {
        let reading = sqlite("read");
        let rest = format!(
            "WHERE event = '{}' AND NOT EXISTS (SELECT 1 FROM note AS later WHERE later.event = '{}' AND later.reading \
             = note.seq) ORDER BY seq LIMIT 1",
            Event::Begun.name(),
            Event::Acknowledged.name()
        );
        let mut statement = self.connection.prepare(&schema::select_notes(&rest)).map_err(&reading)?;
        let mut rows = statement.query_map([], Note::from_sql).map_err(&reading)?;
        rows.next().transpose().map_err(reading)
    }

    /// A person has seen that the journal before this one was damaged: the note of that, or `None` where there is nothing
    /// to acknowledge.
    ///
    /// # Errors
    /// [`WordError::Text`] when `who` is not a short line; SQLite's own.
    pub fn acknowledge(&mut self, who: &str) -> Result<Option<Note>, AcknowledgeError> {
        let who = line(who, "the name of who has seen it", Word::MAX_OPERATOR)?;
        let Some(begun) = self.unacknowledged()? else { return Ok(None) };
        Ok(Some(self.note(Event::Acknowledged, begun.seq, &format!("row {} was seen by {who}", begun.seq))?))
    }

    /// Begins a fresh journal with the note of what came before it.
    fn begin_after(&mut self, known: i64, message: &str) -> Result<(), JournalError> {
        let now = self.clock.now();
        let transaction = self.begin()?;
        let row = Note::next((known, chain::GENESIS.to_owned()), &now, Event::Begun, known, message);
        record(transaction, "note", &row.columns(), (row.seq, row.hash()))
    }
}

/// An acknowledgement that was not recorded.
#[derive(Debug, Error)]
pub enum AcknowledgeError {
    /// The name is none.
    #[error(transparent)]
    Who(#[from] WordError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What is wrong with a journal.
struct Damage {
    wrong: String,
    /// The number of its last row, as far as it tells one.
    last: i64,
}

/// Reads the whole journal; `None` if it is whole, or if there is none and none is missed.
fn examine(path: &Path, highest: i64) -> Result<Option<Damage>, JournalError> {
    let damage = |wrong: String, last| Ok(Some(Damage { wrong, last }));
    if fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        // SQLite would throw a log away that has no journal.
        return match (beside(path, "-wal").exists(), highest) {
            (true, _) => damage("the journal was gone, and its write-ahead log was there".into(), 0),
            (false, 1..) => damage(format!("the journal was gone; there are films up to reading {highest}"), 0),
            (false, _) => Ok(None),
        };
    }
    let mut last = 0;
    match read_through(path, &mut last) {
        Ok(_) if last < highest => {
            damage(format!("the journal ended at row {last}, and there is a film of reading {highest}"), last)
        }
        Ok(Ok(())) => Ok(None),
        Ok(Err(wrong)) => damage(format!("the journal was damaged: {wrong}"), last),
        Err(JournalError::Foreign(_)) => damage("the journal was damaged: it is none any more".into(), last),
        Err(error) if is_of_the_file(&error) => damage(format!("the journal was damaged: {error}"), last),
        Err(error) => Err(error),
    }
}

/// Follows the chain and asks SQLite to check its own pages and indices.
fn read_through(path: &Path, last: &mut i64) -> Result<Result<(), String>, JournalError> {
    // Just made, and not yet filled: a crash may leave that.
    let (journal, schema::Found::Version(_)) = Journal::look_at(path)? else { return Ok(Ok(())) };
    let reading = sqlite("read");
    *last = journal.last_seq()?;
    if let Err(broken) = journal.verify()? {
        return Ok(Err(broken.to_string()));
    }
    let check = "PRAGMA integrity_check(1)";
    let found: String = journal.connection.query_one(check, [], |row| row.get(0)).map_err(reading)?;
    Ok(if found == "ok" { Ok(()) } else { Err(found.lines().last().unwrap_or_default().to_owned()) })
}

/// Whether an error says that the file is not as it was written; not so when it cannot be had at all.
fn is_of_the_file(error: &JournalError) -> bool {
    let JournalError::Sqlite { source, .. } = error else { return false };
    match source.sqlite_error_code() {
        // A value of another kind than its column has.
        None => true,
        Some(code) => matches!(
            code,
            ErrorCode::NotADatabase
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::SystemIoFailure
                | ErrorCode::Unknown
                | ErrorCode::TypeMismatch
                | ErrorCode::TooBig
        ),
    }
}

/// Moves the journal and what SQLite keeps beside it into a folder of its own, with the reason; where.
///
/// The journal goes before its log: what is left by a crash between the two is a log without a journal, which the next
/// start sets aside as well. A journal without its log could pass for whole.
fn set_aside(path: &Path, wrong: &str) -> io::Result<Option<PathBuf>> {
    let state = path.parent().unwrap_or(Path::new("."));
    if !COMPANIONS.iter().any(|ending| beside(path, ending).exists()) {
        return Ok(None);
    }
    let damaged = state.join(DAMAGED);
    DirBuilder::new().recursive(true).mode(0o700).create(&damaged)?;
    let mut numbers = (1..MOST_KEPT).map(|number| damaged.join(format!("{number:04}")));
    let folder = loop {
        let Some(folder) = numbers.next() else { return Err(io::Error::other("too many damaged journals are kept")) };
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => break made.map(|()| folder)?,
        }
    };
    let mut reason = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(REASON))?;
    write!(reason, "{wrong}.\n\nThe files here are as they were found.\n{NOTICE}\n")?;
    reason.sync_all()?;
    fault::point("journal.reason_written");
    for ending in COMPANIONS {
        let file = beside(path, ending);
        match (file.file_name(), file.exists()) {
            (Some(name), true) => fs::rename(&file, folder.join(name))?,
            _ => continue,
        }
        if ending.is_empty() {
            fault::point("journal.set_aside");
        }
    }
    for folder in [folder.as_path(), &damaged, state] {
        File::open(folder)?.sync_all()?;
    }
    let kept = folder.strip_prefix(state).unwrap_or(&folder);
    Ok(Some(kept.to_owned()))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}
