//! The journal for spreadsheets and for programs.

use std::borrow::Cow;
use std::io::{self, Write};

use super::row::{COLUMNS, Cell};
use super::{Journal, JournalError};

/// Writes every reading as CSV (RFC 4180), a column of the table a column.
///
/// Text that a spreadsheet would run as a formula (it begins with `=`, `+`, `-`, `@`, a tab or a carriage return)
/// gets a `'` in front, as the OWASP rules on CSV injection advise; JSONL has it unchanged.
///
/// # Errors
/// [`JournalError`].
pub fn write_csv(journal: &Journal, out: impl Write) -> Result<(), JournalError> {
    let mut csv = csv::Writer::from_writer(out);
    let written = |result: csv::Result<()>| {
        result.map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) => JournalError::Export(error),
            other => JournalError::Export(io::Error::other(format!("{other:?}"))),
        })
    };
    written(csv.write_record(COLUMNS))?;
    journal.for_each(None, |row| written(csv.write_record(row.columns().map(|(_, cell)| field(cell).into_owned()))))?;
    Ok(csv.flush()?)
}

/// Writes every reading as one JSON object a line ([`super::Row::to_json`]).
///
/// # Errors
/// [`JournalError`].
pub fn write_jsonl(journal: &Journal, mut out: impl Write) -> Result<(), JournalError> {
    journal.for_each(None, |row| writeln!(out, "{}", row.to_json()).map_err(JournalError::Export))?;
    Ok(out.flush()?)
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
