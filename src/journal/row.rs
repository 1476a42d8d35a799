//! One recorded reading.

use std::time::SystemTime;

use jiff::Timestamp;
use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};
use serde_json::json;

use super::stamp::Stamp;
use super::{Entry, chain};
use crate::clock::Moment;
use crate::refusal::Refusal;
use crate::verdict::{Fault, NOTICE, Probabilities, Verdict};

/// The columns of the table `reading`, in the order in which they are hashed and exported.
pub(super) const COLUMNS: [&str; 29] = [
    "seq",
    "input_digest",
    "file_name",
    "taken_at",
    "recorded_at",
    "verdict",
    "reason",
    "message",
    "p_normal",
    "p_bacterial",
    "p_covid19",
    "model_name",
    "model_digest",
    "software_version",
    "decode_ms",
    "gate_ms",
    "preprocess_ms",
    "infer_ms",
    "total_ms",
    "previous_hash",
    "hash",
    "study_uid",
    "series_uid",
    "sop_uid",
    "patient_hash",
    "feature_distance",
    "boot_id",
    "boot_ms",
    "clock_trusted",
];

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a str),
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(number),
            Self::Real(number) => ValueRef::Real(number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// One recorded reading, as it stands in the journal.
///
/// Only the journal makes one, so whoever holds one holds something that was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Number of the reading: 1, 2, 3, ... without gaps.
    pub seq: i64,
    /// SHA-256 of the film.
    pub input_digest: String,
    /// The film's path below the inbox, made harmless.
    pub file_name: String,
    /// When the film was taken in, RFC 3339, UTC.
    pub taken_at: String,
    /// When the reading was recorded, RFC 3339, UTC.
    pub recorded_at: String,
    /// [`Verdict::name`].
    pub verdict: String,
    /// [`Verdict::reason`].
    pub reason: Option<String>,
    /// One sentence in plain words.
    pub message: String,
    /// Calibrated probability of no pneumonia, when the network ran.
    pub p_normal: Option<f64>,
    /// Calibrated probability of bacterial pneumonia, when the network ran.
    pub p_bacterial: Option<f64>,
    /// Calibrated probability of COVID-19 pneumonia, when the network ran.
    pub p_covid19: Option<f64>,
    /// The model's name.
    pub model_name: String,
    /// SHA-256 of the model's network.
    pub model_digest: String,
    /// The chestlight that read.
    pub software_version: String,
    /// Milliseconds in `decode`.
    pub decode_ms: f64,
    /// Milliseconds in `gate`.
    pub gate_ms: f64,
    /// Milliseconds in `preprocess`.
    pub preprocess_ms: f64,
    /// Milliseconds in `infer`.
    pub infer_ms: f64,
    /// Milliseconds in all.
    pub total_ms: f64,
    /// The hash of the row before.
    pub previous_hash: String,
    /// Private, so that no other room can make a row.
    hash: String,
    /// DICOM Study Instance UID, of a film that came as DICOM.
    pub study_uid: Option<String>,
    /// DICOM Series Instance UID.
    pub series_uid: Option<String>,
    /// DICOM SOP Instance UID.
    pub sop_uid: Option<String>,
    /// What tells patients apart on this unit without naming them.
    pub patient_hash: Option<String>,
    /// How far the film lies from those that the model was trained on, as the network itself measures it.
    pub feature_distance: Option<f64>,
    /// The clocks when the reading was recorded.
    pub stamp: Stamp,
}

impl Row {
    /// The row that follows the row `seq` with the hash `previous_hash`.
    pub(super) fn next((seq, previous_hash): (i64, String), now: &Moment, entry: &Entry<'_>) -> Self {
        let Entry { reading, model, .. } = entry;
        let origin = reading.origin.as_ref();
        let probability = |of: fn(Probabilities) -> f32| reading.probabilities.map(|all| f64::from(of(all)));
        let ms = |ms: f64| (ms * 1e3).round() / 1e3;
        let mut row = Self {
            seq: seq.saturating_add(1),
            input_digest: entry.input_digest.to_owned(),
            file_name: entry.file_name.to_owned(),
            taken_at: utc(entry.taken_at),
            recorded_at: utc(now.wall),
            verdict: reading.verdict.name().to_owned(),
            reason: reading.verdict.reason().map(str::to_owned),
            // SQLite's text ends at a NUL for many of its tools.
            message: reading.message.replace('\0', "\u{fffd}"),
            p_normal: probability(|all| all.normal),
            p_bacterial: probability(|all| all.bacterial),
            p_covid19: probability(|all| all.covid19),
            model_name: model.name.clone(),
            model_digest: model.digest.clone(),
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            decode_ms: ms(reading.ms.decode),
            gate_ms: ms(reading.ms.gate),
            preprocess_ms: ms(reading.ms.preprocess),
            infer_ms: ms(reading.ms.infer),
            total_ms: ms(reading.ms.total),
            previous_hash,
            hash: String::new(),
            study_uid: origin.and_then(|origin| origin.study_uid.clone()),
            series_uid: origin.and_then(|origin| origin.series_uid.clone()),
            sop_uid: origin.and_then(|origin| origin.sop_uid.clone()),
            patient_hash: entry.patient_hash.map(str::to_owned),
            feature_distance: entry.reading.distance.map(f64::from),
            stamp: Stamp::of(now),
        };
        row.hash = row.computed_hash();
        row
    }

    pub(super) fn from_sql(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get("seq")?,
            input_digest: row.get("input_digest")?,
            file_name: row.get("file_name")?,
            taken_at: row.get("taken_at")?,
            recorded_at: row.get("recorded_at")?,
            verdict: row.get("verdict")?,
            reason: row.get("reason")?,
            message: row.get("message")?,
            p_normal: row.get("p_normal")?,
            p_bacterial: row.get("p_bacterial")?,
            p_covid19: row.get("p_covid19")?,
            model_name: row.get("model_name")?,
            model_digest: row.get("model_digest")?,
            software_version: row.get("software_version")?,
            decode_ms: row.get("decode_ms")?,
            gate_ms: row.get("gate_ms")?,
            preprocess_ms: row.get("preprocess_ms")?,
            infer_ms: row.get("infer_ms")?,
            total_ms: row.get("total_ms")?,
            previous_hash: row.get("previous_hash")?,
            hash: row.get("hash")?,
            study_uid: row.get("study_uid")?,
            series_uid: row.get("series_uid")?,
            sop_uid: row.get("sop_uid")?,
            patient_hash: row.get("patient_hash")?,
            feature_distance: row.get("feature_distance")?,
            stamp: Stamp::from_sql(row)?,
        })
    }

    /// SHA-256 over the other columns, 64 lower-case hexadecimal digits.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    pub(super) fn computed_hash(&self) -> String {
        chain::hash("reading", self.columns())
    }

    /// The first eight digits of the film's digest: names a film where its name must not be told.
    pub fn short_digest(&self) -> &str {
        self.input_digest.get(..8).unwrap_or(&self.input_digest)
    }

    /// The verdict as a value; `None` for one that only a newer chestlight knows.
    pub fn verdict(&self) -> Option<Verdict> {
        match (self.verdict.as_str(), self.reason.as_deref()) {
            ("Normal", None) => Some(Verdict::Normal),
            ("BacterialPneumonia", None) => Some(Verdict::BacterialPneumonia),
            ("Covid19Pneumonia", None) => Some(Verdict::Covid19Pneumonia),
            ("Refer", Some("not_sure")) => Some(Verdict::Refer),
            ("Refused", Some(code)) => Refusal::from_code(code).map(Verdict::Refused),
            ("Fault", Some(code)) => {
                [Fault::Engine, Fault::Panic].into_iter().find(|fault| fault.code() == code).map(Verdict::Fault)
            }
            _ => None,
        }
    }

    /// Whether the film was not read: its file belongs in `refused/`.
    pub fn is_unread(&self) -> bool {
        !matches!(self.verdict.as_str(), "Normal" | "BacterialPneumonia" | "Covid19Pneumonia" | "Refer")
    }

    /// The calibrated probabilities, when the network ran.
    pub fn probabilities(&self) -> Option<Probabilities> {
        // They were f32 before they were stored, so nothing is lost.
        let (normal, bacterial, covid19) = (self.p_normal? as f32, self.p_bacterial? as f32, self.p_covid19? as f32);
        Some(Probabilities { normal, bacterial, covid19 })
    }

    /// The row as a JSON object: the contract of `classify --json`, and what only the journal knows.
    pub fn to_json(&self) -> serde_json::Value {
        json!({
            "schema": 1,
            "kind": "reading",
            "seq": self.seq,
            "file": self.file_name,
            "verdict": self.verdict,
            "reason": self.reason,
            "message": self.message,
            "probabilities": self.probabilities(),
            "model": { "name": self.model_name, "digest": self.model_digest },
            "ms": {
                "decode": self.decode_ms,
                "gate": self.gate_ms,
                "preprocess": self.preprocess_ms,
                "infer": self.infer_ms,
                "total": self.total_ms,
            },
            "input_digest": self.input_digest,
            "taken_at": self.taken_at,
            "recorded_at": self.recorded_at,
            "software_version": self.software_version,
            "previous_hash": self.previous_hash,
            "hash": self.hash,
            "study_uid": self.study_uid,
            "series_uid": self.series_uid,
            "sop_uid": self.sop_uid,
            "patient_hash": self.patient_hash,
            "feature_distance": self.feature_distance,
            "boot_id": self.stamp.boot_id,
            "boot_ms": self.stamp.boot_ms,
            "clock_trusted": self.stamp.clock_trusted,
            "notice": NOTICE,
        })
    }

    /// Every column with its name, in the order of [`COLUMNS`].
    pub(super) fn columns<'a>(&'a self) -> [(&'static str, Cell<'a>); COLUMNS.len()] {
        let text = |text| Cell::Text(text);
        // SQLite stores what is not a number as null.
        let maybe = |number: Option<f64>| number.filter(|number| !number.is_nan()).map_or(Cell::Null, Cell::Real);
        let maybe_text = |value: &'a Option<String>| value.as_deref().map_or(Cell::Null, Cell::Text);
        let [boot_id, boot_ms, clock_trusted] = self.stamp.cells();
        named(
            COLUMNS,
            [
                Cell::Integer(self.seq),
                text(&self.input_digest),
                text(&self.file_name),
                text(&self.taken_at),
                text(&self.recorded_at),
                text(&self.verdict),
                maybe_text(&self.reason),
                text(&self.message),
                maybe(self.p_normal),
                maybe(self.p_bacterial),
                maybe(self.p_covid19),
                text(&self.model_name),
                text(&self.model_digest),
                text(&self.software_version),
                Cell::Real(self.decode_ms),
                Cell::Real(self.gate_ms),
                Cell::Real(self.preprocess_ms),
                Cell::Real(self.infer_ms),
                Cell::Real(self.total_ms),
                text(&self.previous_hash),
                text(&self.hash),
                maybe_text(&self.study_uid),
                maybe_text(&self.series_uid),
                maybe_text(&self.sop_uid),
                maybe_text(&self.patient_hash),
                maybe(self.feature_distance),
                boot_id,
                boot_ms,
                clock_trusted,
            ],
        )
    }
}

/// The values of a row with the names of its columns.
pub(super) fn named<'a, const COUNT: usize>(
    names: [&'static str; COUNT],
    cells: [Cell<'a>; COUNT],
) -> [(&'static str, Cell<'a>); COUNT] {
    let mut names = names.into_iter();
    cells.map(|cell| (names.next().unwrap_or_default(), cell))
}

/// RFC 3339 in UTC to the millisecond.
pub(super) fn utc(time: SystemTime) -> String {
    format!("{:.3}", Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::model::{Manifest, shipped};
    use crate::reading::{Milliseconds, Reading};

    #[test]
    fn every_verdict_comes_back_from_its_row_as_it_was_recorded() {
        let model = Manifest::parse(&shipped().manifest).unwrap();
        let read = [Verdict::Normal, Verdict::BacterialPneumonia, Verdict::Covid19Pneumonia, Verdict::Refer];
        let refused = Refusal::ALL.into_iter().map(Verdict::Refused);
        let faults = [Fault::Engine, Fault::Panic].into_iter().map(Verdict::Fault);
        for verdict in read.into_iter().chain(refused).chain(faults) {
            let reading = Reading {
                verdict,
                message: String::new(),
                probabilities: None,
                distance: None,
                map: None,
                ms: Milliseconds::default(),
                origin: None,
            };
            let entry = Entry {
                input_digest: "",
                file_name: "",
                taken_at: SystemTime::UNIX_EPOCH,
                reading: &reading,
                patient_hash: None,
                model: &model,
            };
            let row = Row::next((0, String::new()), &Clock::system().now(), &entry);
            assert_eq!(row.verdict(), Some(verdict));
            assert_eq!(row.is_unread(), !read.contains(&verdict), "{verdict:?}");
            assert_eq!(row.taken_at, "1970-01-01T00:00:00.000Z");
        }
    }
}
