//! The journal for spreadsheets and for programs.

use std::borrow::Cow;
use std::io::{self, Write};

use super::row::{COLUMNS, Cell};
use super::{Journal, JournalError, Record};
use crate::verdict::NOTICE;

/// Whether an export tells what may name a patient: file names, and the identifiers of DICOM studies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// As the journal has them.
    Told,
    /// A film is named by the first digits of its digest, and its DICOM identifiers are left out; the hash of a row then
    /// cannot be computed from the export.
    LeftOut,
}

/// Columns that are left out with names.
const IDENTIFIERS: [&str; 3] = ["study_uid", "series_uid", "sop_uid"];

/// Columns of the CSV after those of the readings; but for the kind and the notice, only overrides and notes fill them.
const OF_OTHERS: [&str; 6] = ["kind", "reading", "operator", "uid", "event", "notice"];

/// Writes every row as CSV (RFC 4180): the columns of the table `reading`, then `kind` (`reading`, `override` or
/// `note`), the columns that overrides and notes have of their own, and the notice.
///
/// Text that a spreadsheet would run as a formula (it begins with `=`, `+`, `-`, `@`, a tab or a carriage return)
/// gets a `'` in front, as the OWASP rules on CSV injection advise; JSONL has it unchanged.
///
/// # Errors
/// [`JournalError`].
pub fn write_csv(journal: &Journal, out: impl Write, names: Names) -> Result<(), JournalError> {
    let mut csv = csv::Writer::from_writer(out);
    let written = |result: csv::Result<()>| {
        result.map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) => JournalError::Export(error),
            other => JournalError::Export(io::Error::other(format!("{other:?}"))),
        })
    };
    let header = || COLUMNS.into_iter().chain(OF_OTHERS);
    written(csv.write_record(header()))?;
    journal.for_each_record(None, |record| {
        let (kind, cells) = match record {
            Record::Reading(row) => ("reading", row.columns().to_vec()),
            Record::Override(row) => ("override", row.columns().to_vec()),
            Record::Note(row) => ("note", row.columns().to_vec()),
        };
        let cell = |name| match name {
            "file_name" if names == Names::LeftOut => short_digest(record).into(),
            name if names == Names::LeftOut && IDENTIFIERS.contains(&name) => "".into(),
            "kind" => kind.into(),
            "notice" => NOTICE.into(),
            _ => cells.iter().find(|(column, _)| *column == name).map_or("".into(), |(_, cell)| field(*cell)),
        };
        written(csv.write_record(header().map(|name| cell(name).into_owned())))
    })?;
    Ok(csv.flush()?)
}

/// Writes every row as one JSON object a line ([`Record::to_json`]).
///
/// # Errors
/// [`JournalError`].
pub fn write_jsonl(journal: &Journal, mut out: impl Write, names: Names) -> Result<(), JournalError> {
    journal.for_each_record(None, |record| {
        let mut line = record.to_json();
        if let (Names::LeftOut, Record::Reading(_), Some(object)) = (names, record, line.as_object_mut()) {
            object.insert("file".to_owned(), short_digest(record).into());
            for identifier in IDENTIFIERS {
                object.insert(identifier.to_owned(), serde_json::Value::Null);
            }
        }
        writeln!(out, "{line}").map_err(JournalError::Export)
    })?;
    Ok(out.flush()?)
}

/// What a film is called where its name is left out.
fn short_digest(record: &Record) -> &str {
    match record {
        Record::Reading(row) => row.short_digest(),
        Record::Override(_) | Record::Note(_) => "",
    }
}

fn field(cell: Cell<'_>) -> Cow<'_, str> {
    match cell {
        Cell::Null => "".into(),
        Cell::Integer(number) => number.to_string().into(),
        Cell::Real(number) => number.to_string().into(),
        Cell::Text(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}").into(),
        Cell::Text(text) => text.into(),
    }
}
