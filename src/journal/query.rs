//! Reading the journal, row by row: no listing is held in memory as a whole.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};

use super::chain::{Break, Walk, Whole};
use super::{Event, Journal, JournalError, Note, Override, Row, schema, sqlite};

/// One row of any kind.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "nearly all records are readings")]
pub enum Record {
    /// What the unit said of a film.
    Reading(Row),
    /// What a person said of a reading.
    Override(Override),
    /// What else happened.
    Note(Note),
}

impl Record {
    /// Number of the row; readings, overrides and notes are numbered together.
    pub fn seq(&self) -> i64 {
        match self {
            Self::Reading(row) => row.seq,
            Self::Override(row) => row.seq,
            Self::Note(row) => row.seq,
        }
    }

    /// The row as a JSON object, with its `kind`.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Reading(row) => row.to_json(),
            Self::Override(row) => row.to_json(),
            Self::Note(row) => row.to_json(),
        }
    }
}

pub(super) fn by_digest(connection: &Connection, input_digest: &str) -> rusqlite::Result<Option<Row>> {
    let select = schema::select_readings("WHERE input_digest = ?1");
    connection.query_row(&select, [input_digest], Row::from_sql).optional()
}

pub(super) fn by_seq(connection: &Connection, seq: i64) -> rusqlite::Result<Option<Record>> {
    for (select, read) in TABLES {
        let found = connection.query_row(&select("WHERE seq = ?1"), [seq], read).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Makes a statement that selects rows of one table.
type Select = fn(&str) -> String;
/// Reads one of them.
type Read = fn(&rusqlite::Row<'_>) -> rusqlite::Result<Record>;

/// The tables of rows.
const TABLES: [(Select, Read); 3] = [
    (schema::select_readings, |row| Row::from_sql(row).map(Record::Reading)),
    (schema::select_overrides, |row| Override::from_sql(row).map(Record::Override)),
    (schema::select_notes, |row| Note::from_sql(row).map(Record::Note)),
];

/// Hands the rows of all kinds, from the number `from` on, to `each` in the order of their numbers; a row that
/// does not hold what its table promises comes as an error.
fn merge<E>(
    connection: &Connection,
    from: i64,
    sql: impl Fn(rusqlite::Error) -> E,
    mut each: impl FnMut(rusqlite::Result<Record>) -> Result<(), E>,
) -> Result<(), E> {
    let mut statements = Vec::new();
    for (select, read) in TABLES {
        statements.push((connection.prepare(&select("WHERE seq >= ?1 ORDER BY seq")).map_err(&sql)?, read));
    }
    let mut tables = Vec::new();
    for (statement, read) in &mut statements {
        let read = *read;
        let rows = statement.query_map([from], move |row| Ok((row.get::<_, i64>("seq")?, read(row)))).map_err(&sql)?;
        tables.push(rows);
    }
    let mut next: Vec<_> = tables.iter_mut().map(Iterator::next).collect();
    loop {
        // What cannot be read at all comes first, and the end of a table last.
        let number = |next: &Option<rusqlite::Result<(i64, _)>>| {
            next.as_ref().map_or(i64::MAX, |next| next.as_ref().map_or(i64::MIN, |(seq, _)| *seq))
        };
        let first = next.iter_mut().zip(&mut tables).min_by_key(|(next, _)| number(next));
        let Some(record) = first.and_then(|(next, table)| std::mem::replace(next, table.next())) else {
            return Ok(());
        };
        each(record.map_err(&sql)?.1)?;
    }
}

impl Journal {
    /// Number of readings.
    ///
    /// # Errors
    /// SQLite's own.
    pub fn count(&self) -> Result<i64, JournalError> {
        self.connection.query_one("SELECT count(*) FROM reading", [], |row| row.get(0)).map_err(sqlite("read"))
    }

    /// Number of the last row; 0 where there is none.
    ///
    /// # Errors
    /// SQLite's own.
    pub fn last_seq(&self) -> Result<i64, JournalError> {
        self.connection.query_one("SELECT seq FROM head", [], |row| row.get(0)).map_err(sqlite("read"))
    }

    /// Number of the last reading or override; 0 where there is none.
    ///
    /// # Errors
    /// SQLite's own.
    pub fn last_result(&self) -> Result<i64, JournalError> {
        let last = "SELECT coalesce(max(seq), 0) FROM (SELECT max(seq) AS seq FROM reading UNION ALL SELECT max(seq) \
                    FROM override)";
        self.connection.query_one(last, [], |row| row.get(0)).map_err(sqlite("read"))
    }

    /// The row with this number.
    ///
    /// # Errors
    /// SQLite's own.
    pub fn get(&self, seq: i64) -> Result<Option<Record>, JournalError> {
        by_seq(&self.connection, seq).map_err(sqlite("read"))
    }

    /// What people said of the reading with this number, oldest first; the last one counts.
    ///
    /// # Errors
    /// SQLite's own.
    pub fn overrides_of(&self, reading: i64) -> Result<Vec<Override>, JournalError> {
        let read = || -> rusqlite::Result<Vec<Override>> {
            let mut statement =
                self.connection.prepare(&schema::select_overrides("WHERE reading = ?1 ORDER BY seq"))?;
            statement.query_map([reading], Override::from_sql)?.collect()
        };
        read().map_err(sqlite("read"))
    }

    /// Number of the last row that left the unit; 0 where none did.
    ///
    /// # Errors
    /// SQLite's own.
    pub fn exported(&self) -> Result<i64, JournalError> {
        let last = "SELECT coalesce(max(reading), 0) FROM note WHERE event = ?1";
        self.connection.query_one(last, [Event::Exported.name()], |row| row.get(0)).map_err(sqlite("read"))
    }

    /// Whether the last note on drift says that it began.
    ///
    /// # Errors
    /// SQLite's own.
    pub fn drifts(&self) -> Result<bool, JournalError> {
        let last =
            "SELECT coalesce((SELECT event = ?1 FROM note WHERE event IN (?1, ?2) ORDER BY seq DESC LIMIT 1), 0)";
        let events = [Event::DriftBegan.name(), Event::DriftEnded.name()];
        self.connection.query_one(last, events, |row| row.get(0)).map_err(sqlite("read"))
    }

    /// Numbers of the readings on which a person has said a word.
    ///
    /// # Errors
    /// SQLite's own.
    pub fn reviewed(&self) -> Result<BTreeSet<i64>, JournalError> {
        let read = || -> rusqlite::Result<BTreeSet<i64>> {
            let mut statement = self.connection.prepare("SELECT DISTINCT reading FROM override")?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        read().map_err(sqlite("read"))
    }

    /// Hands the readings to `each`, oldest first; of more than `last` only the last ones.
    ///
    /// # Errors
    /// SQLite's own, and whatever `each` fails with.
    pub fn for_each<E: From<JournalError>>(
        &self,
        last: Option<u32>,
        mut each: impl FnMut(&Row) -> Result<(), E>,
    ) -> Result<(), E> {
        let reading = |error| E::from(sqlite("read")(error));
        let last = last.map_or(-1, i64::from);
        let newest = format!("SELECT seq FROM reading ORDER BY seq DESC LIMIT {last}");
        let mut statement = self
            .connection
            .prepare(&schema::select_readings(&format!("WHERE seq IN ({newest}) ORDER BY seq")))
            .map_err(reading)?;
        let mut rows = statement.query([]).map_err(reading)?;
        while let Some(row) = rows.next().map_err(reading)? {
            each(&Row::from_sql(row).map_err(reading)?)?;
        }
        Ok(())
    }

    /// Hands rows of all kinds to `each` in the order in which they were recorded; of more than `last` rows
    /// only the last ones.
    ///
    /// # Errors
    /// SQLite's own, and whatever `each` fails with.
    pub fn for_each_record<E: From<JournalError>>(
        &self,
        last: Option<u32>,
        mut each: impl FnMut(&Record) -> Result<(), E>,
    ) -> Result<(), E> {
        let reading = |error| E::from(sqlite("read")(error));
        // One transaction, so that the tables are of the same moment beside a daemon that appends.
        let transaction = self.connection.unchecked_transaction().map_err(reading)?;
        let last = last.map_or(-1, i64::from);
        let first = format!(
            "SELECT min(seq) FROM (SELECT seq FROM reading UNION ALL SELECT seq FROM override
             UNION ALL SELECT seq FROM note ORDER BY seq DESC LIMIT {last})"
        );
        let first: Option<i64> = transaction.query_one(&first, [], |row| row.get(0)).map_err(reading)?;
        merge(&transaction, first.unwrap_or(0), reading, |record| each(&record.map_err(reading)?))
    }

    /// Follows the chain from the first row to the head.
    ///
    /// # Errors
    /// The outer error when the journal cannot be read at all, the inner one with the first [`Break`].
    pub fn verify(&self) -> Result<Result<Whole, Break>, JournalError> {
        enum Ended {
            Unread(JournalError),
            Broken(Break),
        }
        let reading = sqlite("read");
        // One transaction, so that rows and head are of the same moment beside a daemon that appends.
        let transaction = self.connection.unchecked_transaction().map_err(&reading)?;
        let mut walk = Walk::new();
        let walked = merge(
            &transaction,
            i64::MIN,
            |error| Ended::Unread(reading(error)),
            |record| {
                let unreadable =
                    |error: rusqlite::Error| Break::Unreadable { seq: walk.expected(), detail: error.to_string() };
                let record = record.map_err(|error| Ended::Broken(unreadable(error)))?;
                walk.follow(&record).map_err(Ended::Broken)
            },
        );
        match walked {
            Ok(()) => {}
            Err(Ended::Broken(broken)) => return Ok(Err(broken)),
            Err(Ended::Unread(error)) => return Err(error),
        }
        let head = transaction
            .query_row("SELECT seq, hash FROM head", [], |head| Ok((head.get(0)?, head.get(1)?)))
            .optional()
            .map_err(&reading)?;
        Ok(walk.end(head))
    }
}
