//! One recorded note: what the unit or a person did that is no reading and no word on one, and must not be lost.

use rusqlite::Row as SqlRow;
use serde_json::json;

use super::chain;
use super::row::{Cell, named, utc};
use super::stamp::Stamp;
use crate::clock::Moment;
use crate::verdict::NOTICE;

/// The columns of the table `note`, in the order in which they are hashed and exported.
pub(super) const COLUMNS: [&str; 11] = [
    "seq",
    "event",
    "reading",
    "recorded_at",
    "message",
    "software_version",
    "previous_hash",
    "hash",
    "boot_id",
    "boot_ms",
    "clock_trusted",
];

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The film of a reading is removed from the disc; `reading` is its number.
    FilmRemoved,
    /// Results left the unit; `reading` is the number of the last row that did.
    Exported,
    /// This journal was begun because the one before was damaged or gone; `reading` is the highest number that is
    /// known of it. Always the first row.
    Begun,
    /// A person has seen that a journal was begun; `reading` is the number of that note.
    Acknowledged,
    /// The last readings are no longer like the model's; `reading` is the number of the last result.
    DriftBegan,
    /// They are again, or another model reads.
    DriftEnded,
}

impl Event {
    /// Its name in the journal.
    pub fn name(self) -> &'static str {
        match self {
            Self::FilmRemoved => "film_removed",
            Self::Exported => "exported",
            Self::Begun => "begun",
            Self::Acknowledged => "acknowledged",
            Self::DriftBegan => "drift_began",
            Self::DriftEnded => "drift_ended",
        }
    }
}

/// One recorded note, as it stands in the journal.
///
/// Only the journal makes one, so whoever holds one holds something that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Number of the row; readings, overrides and notes are numbered together.
    pub seq: i64,
    /// [`Event::name`].
    pub event: String,
    /// The number that the event is about.
    pub reading: i64,
    /// When it was recorded, RFC 3339, UTC.
    pub recorded_at: String,
    /// What happened, in words; names no film and no patient.
    pub message: String,
    /// The chestlight that recorded it.
    pub software_version: String,
    /// The hash of the row before.
    pub previous_hash: String,
    /// Private, so that no other room can make one.
    hash: String,
    /// The clocks when it was recorded.
    pub stamp: Stamp,
}

impl Note {
    /// The row that follows the row `seq` with the hash `previous_hash`.
    pub(super) fn next(
        (seq, previous_hash): (i64, String),
        now: &Moment,
        event: Event,
        reading: i64,
        message: &str,
    ) -> Self {
        let mut row = Self {
            seq: seq.saturating_add(1),
            event: event.name().to_owned(),
            reading,
            recorded_at: utc(now.wall),
            message: message.to_owned(),
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            previous_hash,
            hash: String::new(),
            stamp: Stamp::of(now),
        };
        row.hash = row.computed_hash();
        row
    }

    pub(super) fn from_sql(row: &SqlRow<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get("seq")?,
            event: row.get("event")?,
            reading: row.get("reading")?,
            recorded_at: row.get("recorded_at")?,
            message: row.get("message")?,
            software_version: row.get("software_version")?,
            previous_hash: row.get("previous_hash")?,
            hash: row.get("hash")?,
            stamp: Stamp::from_sql(row)?,
        })
    }

    /// SHA-256 over the other columns, 64 lower-case hexadecimal digits.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    pub(super) fn computed_hash(&self) -> String {
        chain::hash("note", self.columns())
    }

    /// The row as a JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        json!({
            "schema": 1,
            "kind": "note",
            "seq": self.seq,
            "event": self.event,
            "reading": self.reading,
            "recorded_at": self.recorded_at,
            "message": self.message,
            "software_version": self.software_version,
            "previous_hash": self.previous_hash,
            "hash": self.hash,
            "boot_id": self.stamp.boot_id,
            "boot_ms": self.stamp.boot_ms,
            "clock_trusted": self.stamp.clock_trusted,
            "notice": NOTICE,
        })
    }

    /// Every column with its name, in the order of [`COLUMNS`].
    pub(super) fn columns(&self) -> [(&'static str, Cell<'_>); COLUMNS.len()] {
        let [boot_id, boot_ms, clock_trusted] = self.stamp.cells();
        named(
            COLUMNS,
            [
                Cell::Integer(self.seq),
                Cell::Text(&self.event),
                Cell::Integer(self.reading),
                Cell::Text(&self.recorded_at),
                Cell::Text(&self.message),
                Cell::Text(&self.software_version),
                Cell::Text(&self.previous_hash),
                Cell::Text(&self.hash),
                boot_id,
                boot_ms,
                clock_trusted,
            ],
        )
    }
}
