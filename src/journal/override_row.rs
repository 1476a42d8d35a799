//! One recorded override: what a person says of a film after the model has said something else.

use rusqlite::Row as SqlRow;
use serde_json::json;
use thiserror::Error;

use super::chain;
use super::row::{Cell, named, utc};
use super::stamp::Stamp;
use crate::clock::Moment;
use crate::verdict::{NOTICE, Verdict};

/// The columns of the table `override`, in the order in which they are hashed and exported.
pub(super) const COLUMNS: [&str; 13] = [
    "seq",
    "reading",
    "recorded_at",
    "verdict",
    "message",
    "operator",
    "uid",
    "software_version",
    "previous_hash",
    "hash",
    "boot_id",
    "boot_ms",
    "clock_trusted",
];

/// A person's word on a reading, checked but not yet recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    reading: i64,
    verdict: Verdict,
    reason: String,
    operator: Option<String>,
    uid: u32,
}

/// A word that cannot be recorded as it is.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum WordError {
    /// `Refused` and `Fault` are about the unit.
    #[error("{0} says nothing of the patient and cannot be a person's verdict")]
    NotOfThePatient(&'static str),
    /// Empty, too long, or with signs that a terminal would act on.
    #[error("{what} must be 1 to {most} bytes of text on one line")]
    Text {
        /// Which text.
        what: &'static str,
        /// Its largest length.
        most: usize,
    },
}

impl Word {
    /// Longest reason, bytes: a few sentences.
    pub const MAX_REASON: usize = 500;
    /// Longest operator, bytes: initials or a name.
    pub const MAX_OPERATOR: usize = 40;

    /// The word on the reading `reading` of `operator`, who runs as the system's user `uid`.
    ///
    /// # Errors
    /// [`WordError`].
    pub fn new(
        reading: i64,
        verdict: Verdict,
        reason: &str,
        operator: Option<&str>,
        uid: u32,
    ) -> Result<Self, WordError> {
        match verdict {
            Verdict::Normal | Verdict::BacterialPneumonia | Verdict::Covid19Pneumonia | Verdict::Refer => {}
            Verdict::Refused(_) | Verdict::Fault(_) => return Err(WordError::NotOfThePatient(verdict.name())),
        }
        let reason = line(reason, "the reason", Self::MAX_REASON)?;
        let operator = operator.map(|name| line(name, "the operator", Self::MAX_OPERATOR)).transpose()?;
        Ok(Self { reading, verdict, reason, operator, uid })
    }

    /// Number of the reading that it is about.
    pub fn reading(&self) -> i64 {
        self.reading
    }
}

/// A line without signs that would change how a terminal or a page shows what comes after it.
pub(super) fn line(text: &str, what: &'static str, most: usize) -> Result<String, WordError> {
    let text = text.trim();
    let acts = |sign: char| sign.is_control() || matches!(sign, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if text.is_empty() || text.len() > most || text.contains(acts) {
        return Err(WordError::Text { what, most });
    }
    Ok(text.to_owned())
}

/// One recorded override, as it stands in the journal.
///
/// Only the journal makes one, so whoever holds one holds something that was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// Number of the row; readings and overrides are numbered together.
    pub seq: i64,
    /// Number of the reading that it is about.
    pub reading: i64,
    /// When it was recorded, RFC 3339, UTC.
    pub recorded_at: String,
    /// [`Verdict::name`] of the person's verdict.
    pub verdict: String,
    /// The person's reason.
    pub message: String,
    /// The name or the initials that the person gave.
    pub operator: Option<String>,
    /// The system's user that recorded it.
    pub uid: i64,
    /// The chestlight that recorded it.
    pub software_version: String,
    /// The hash of the row before.
    pub previous_hash: String,
    /// Private, so that no other room can make one.
    hash: String,
    /// The clocks when it was recorded.
    pub stamp: Stamp,
}

impl Override {
    /// The row that follows the row `seq` with the hash `previous_hash`.
    pub(super) fn next((seq, previous_hash): (i64, String), now: &Moment, word: &Word) -> Self {
        let mut row = Self {
            seq: seq.saturating_add(1),
            reading: word.reading,
            recorded_at: utc(now.wall),
            verdict: word.verdict.name().to_owned(),
            message: word.reason.clone(),
            operator: word.operator.clone(),
            uid: word.uid.into(),
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
            reading: row.get("reading")?,
            recorded_at: row.get("recorded_at")?,
            verdict: row.get("verdict")?,
            message: row.get("message")?,
            operator: row.get("operator")?,
            uid: row.get("uid")?,
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
        chain::hash("override", self.columns())
    }

    /// The person's verdict as a value; `None` for one that only a newer chestlight knows.
    pub fn verdict(&self) -> Option<Verdict> {
        [Verdict::Normal, Verdict::BacterialPneumonia, Verdict::Covid19Pneumonia, Verdict::Refer]
            .into_iter()
            .find(|verdict| verdict.name() == self.verdict)
    }

    /// The row as a JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        json!({
            "schema": 1,
            "kind": "override",
            "seq": self.seq,
            "reading": self.reading,
            "recorded_at": self.recorded_at,
            "verdict": self.verdict,
            "message": self.message,
            "operator": self.operator,
            "uid": self.uid,
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
                Cell::Integer(self.reading),
                Cell::Text(&self.recorded_at),
                Cell::Text(&self.verdict),
                Cell::Text(&self.message),
                self.operator.as_deref().map_or(Cell::Null, Cell::Text),
                Cell::Integer(self.uid),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Refusal;
    use crate::verdict::Fault;

    #[test]
    fn a_word_is_one_short_line_about_the_patient() {
        let word = |verdict, reason: &str, operator| Word::new(1, verdict, reason, operator, 0).map(|word| word.reason);
        let long = "x".repeat(Word::MAX_REASON + 1);
        let text = |what, most| Err(WordError::Text { what, most });
        for (reason, operator, expected) in [
            (" seen by Dr N. ", None, Ok("seen by Dr N.".to_owned())),
            (&long[1..], Some("MK"), Ok(long[1..].to_owned())),
            (&long, None, text("the reason", Word::MAX_REASON)),
            ("", None, text("the reason", Word::MAX_REASON)),
            (" \n", None, text("the reason", Word::MAX_REASON)),
            ("two\nlines", None, text("the reason", Word::MAX_REASON)),
            ("\u{1b}[2J", None, text("the reason", Word::MAX_REASON)),
            ("a\u{202e}b", None, text("the reason", Word::MAX_REASON)),
            ("a", Some(""), text("the operator", Word::MAX_OPERATOR)),
            ("a", Some(&long[..41]), text("the operator", Word::MAX_OPERATOR)),
        ] {
            assert_eq!(word(Verdict::Normal, reason, operator), expected, "{reason:?} {operator:?}");
        }
        for verdict in [Verdict::Refused(Refusal::Empty), Verdict::Fault(Fault::Engine)] {
            assert_eq!(word(verdict, "a", None), Err(WordError::NotOfThePatient(verdict.name())));
        }
    }
}
