//! Reading the journal, row by row: no listing is held in memory as a whole.

use rusqlite::{Connection, OptionalExtension};

use super::chain::{Break, Walk, Whole};
use super::{Journal, JournalError, Row, schema, sqlite};

pub(super) fn by_digest(connection: &Connection, input_digest: &str) -> rusqlite::Result<Option<Row>> {
    connection.query_row(&schema::select("WHERE input_digest = ?1"), [input_digest], Row::from_sql).optional()
}

impl Journal {
    /// Number of readings.
    ///
    /// # Errors
    /// SQLite's own.
    pub fn count(&self) -> Result<i64, JournalError> {
        self.connection.query_one("SELECT count(*) FROM reading", [], |row| row.get(0)).map_err(sqlite("read"))
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
            .prepare(&schema::select(&format!("WHERE seq IN ({newest}) ORDER BY seq")))
            .map_err(reading)?;
        let mut rows = statement.query([]).map_err(reading)?;
        while let Some(row) = rows.next().map_err(reading)? {
            each(&Row::from_sql(row).map_err(reading)?)?;
        }
        Ok(())
    }

    /// Follows the chain from the first row to the head.
    ///
    /// # Errors
    /// The outer error when the journal cannot be read at all, the inner one with the first [`Break`].
    pub fn verify(&self) -> Result<Result<Whole, Break>, JournalError> {
        let reading = sqlite("read");
        // One transaction, so that rows and head are of the same moment beside a daemon that appends.
        let transaction = self.connection.unchecked_transaction().map_err(&reading)?;
        let mut statement = transaction.prepare(&schema::select("ORDER BY seq")).map_err(&reading)?;
        let mut rows = statement.query([]).map_err(&reading)?;
        let mut walk = Walk::new();
        while let Some(row) = rows.next().map_err(&reading)? {
            let followed = match Row::from_sql(row) {
                Ok(row) => walk.follow(&row),
                Err(error) => Err(Break::Unreadable { seq: walk.expected(), detail: error.to_string() }),
            };
            if let Err(broken) = followed {
                return Ok(Err(broken));
            }
        }
        let head = transaction
            .query_row("SELECT seq, hash FROM head", [], |head| Ok((head.get(0)?, head.get(1)?)))
            .optional()
            .map_err(&reading)?;
        Ok(walk.end(head))
    }
}
