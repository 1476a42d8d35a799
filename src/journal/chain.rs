//! The hash of a row, and whether rows follow one another. Pure.

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::row::Cell;
use super::{Event, Note, Record};
use crate::digest::hex;

/// What the first row names as the hash of the row before it.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// SHA-256 over every column but `hash` itself: a line a column, with its name and its value; the kind of row, and the
/// type and the length of each value are part of it, so that no two rows have the same text.
///
/// The columns after `hash` came with later versions. A null there is as good as no column, so that rows of an earlier
/// version keep their hashes.
pub(super) fn hash<'a>(kind: &str, columns: impl IntoIterator<Item = (&'static str, Cell<'a>)>) -> String {
    let mut digest = Sha256::new();
    digest.update(format!("chestlight {kind} 1\n"));
    let mut added = false;
    for (name, cell) in columns {
        if name == "hash" {
            added = true;
            continue;
        }
        if added && cell == Cell::Null {
            continue;
        }
        digest.update(match cell {
            Cell::Null => format!("{name} n\n"),
            Cell::Integer(number) => format!("{name} i{number}\n"),
            Cell::Real(number) => format!("{name} r{:016x}\n", number.to_bits()),
            Cell::Text(text) => format!("{name} t{}:{text}\n", text.len()),
        });
    }
    hex(&digest.finalize())
}

/// A chain without a break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Number of the last row.
    pub last: i64,
    /// Number of readings.
    pub readings: i64,
    /// Number of overrides.
    pub overrides: i64,
    /// Number of notes.
    pub notes: i64,
    /// The last row's hash. Kept elsewhere it proves later that nothing up to here was changed.
    pub head: String,
}

/// The first place at which the journal is not as it was written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Break {
    /// A number is left out.
    #[error("row {expected} is missing; the next one is {found}")]
    Missing {
        /// The number that should come.
        expected: i64,
        /// The number that comes.
        found: i64,
    },
    /// A number before the first.
    #[error("row {0} was inserted; numbers begin at 1")]
    Inserted(i64),
    /// The row is not what its own hash says.
    #[error("row {0} does not have the hash of its contents: it was edited, moved or inserted")]
    Edited(i64),
    /// The row names another predecessor.
    #[error(
        "row {0} does not follow the one before it: that one was edited, moved, inserted or removed, with its \
         hash made to fit"
    )]
    Unlinked(i64),
    /// The row cannot be read as what its table holds.
    #[error("row {seq} is unreadable: {detail}")]
    Unreadable {
        /// The number that should have come.
        seq: i64,
        /// What SQLite said.
        detail: String,
    },
    /// The rows end elsewhere than the head says.
    #[error(
        "the journal's head says that {head} rows were recorded, but the last is {last}: rows were removed or added at the end, or the head was edited"
    )]
    Tail {
        /// Number in the head.
        head: i64,
        /// Number of the last row.
        last: i64,
    },
    /// The last row is not the one that the head names.
    #[error("row {0} is not the one that the journal's head names: it was replaced, or the head was edited")]
    Head(i64),
    /// There is not exactly one head.
    #[error("the journal's head is missing")]
    NoHead,
}

/// Walks along the rows in the order of their numbers.
#[derive(Debug)]
pub(super) struct Walk {
    whole: Whole,
}

impl Walk {
    pub(super) fn new() -> Self {
        Self { whole: Whole { last: 0, readings: 0, overrides: 0, notes: 0, head: GENESIS.to_owned() } }
    }

    /// The number of the row that should come next.
    pub(super) fn expected(&self) -> i64 {
        self.whole.last.saturating_add(1)
    }

    /// Whether the row may be the first: number 1, or the note that the journal was begun because the one before was
    /// damaged, which goes on with its numbers.
    fn begins(&self, record: &Record) -> bool {
        let is_begun = |note: &Note| note.event == Event::Begun.name() && note.seq == note.reading.saturating_add(1);
        self.whole.last == 0 && matches!(record, Record::Note(note) if is_begun(note))
    }

    pub(super) fn follow(&mut self, record: &Record) -> Result<(), Break> {
        let (seq, expected) = (record.seq(), self.expected());
        if seq > expected && !self.begins(record) {
            return Err(Break::Missing { expected, found: seq });
        }
        if seq < expected {
            return Err(Break::Inserted(seq));
        }
        let (previous, stated, computed) = match record {
            Record::Reading(row) => (&row.previous_hash, row.hash(), row.computed_hash()),
            Record::Override(row) => (&row.previous_hash, row.hash(), row.computed_hash()),
            Record::Note(row) => (&row.previous_hash, row.hash(), row.computed_hash()),
        };
        if computed != stated {
            return Err(Break::Edited(seq));
        }
        if *previous != self.whole.head {
            return Err(Break::Unlinked(seq));
        }
        *match record {
            Record::Reading(_) => &mut self.whole.readings,
            Record::Override(_) => &mut self.whole.overrides,
            Record::Note(_) => &mut self.whole.notes,
        } += 1;
        self.whole.last = seq;
        self.whole.head = computed;
        Ok(())
    }

    /// Compares the end with the head, which is kept apart from the rows.
    pub(super) fn end(self, head: Option<(i64, String)>) -> Result<Whole, Break> {
        let Whole { last, head: hash, .. } = &self.whole;
        match head {
            None => Err(Break::NoHead),
            Some((seq, _)) if seq != *last => Err(Break::Tail { head: seq, last: *last }),
            Some((seq, stated)) if stated != *hash => Err(Break::Head(seq)),
            Some(_) => Ok(self.whole),
        }
    }
}
