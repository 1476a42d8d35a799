//! `chestlight override`: a person's word on a reading, as a row of its own.

use anyhow::Error;
use chestlight::journal::{Journal, JournalError, Record, Word};
use chestlight::show::NOTICE;
use chestlight::verdict::Verdict;
use clap::ValueEnum;

use super::log::JournalPlace;
use super::{Failure, Outcome, usage};

/// Record that a person judges a film otherwise than the unit did
///
/// The reading stays as it is; list, show and export have both. Works beside a running unit. Whoever may write the
/// state folder may override.
#[derive(clap::Args)]
pub struct Arguments {
    /// Number of the reading, as `log list` has it
    #[arg(value_name = "READING")]
    reading: i64,
    /// What the person says
    #[arg(long, value_enum)]
    verdict: Said,
    /// Why, on one line of at most 500 bytes. It is exported with the journal: write no name, no birth date and no
    /// number of a patient
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who says so, name or initials; the system's user is recorded in any case
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    #[command(flatten)]
    place: JournalPlace,
}

/// The verdicts that a person can give.
#[derive(Clone, Copy, ValueEnum)]
enum Said {
    Normal,
    BacterialPneumonia,
    Covid19Pneumonia,
    /// A doctor must look at it
    Refer,
}

impl Said {
    fn verdict(self) -> Verdict {
        match self {
            Self::Normal => Verdict::Normal,
            Self::BacterialPneumonia => Verdict::BacterialPneumonia,
            Self::Covid19Pneumonia => Verdict::Covid19Pneumonia,
            Self::Refer => Verdict::Refer,
        }
    }
}

/// Records the override and prints what it stands beside.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let Arguments { reading, verdict, reason, by, place } = arguments;
    let uid = rustix::process::getuid().as_raw();
    let word = Word::new(*reading, verdict.verdict(), reason, by.as_deref(), uid).map_err(usage)?;
    let mut journal = place.open(Journal::open_existing)?;
    let row = match journal.override_reading(&word) {
        Ok(row) => row,
        Err(
            error @ (JournalError::NoSuchReading { .. }
            | JournalError::NotAReading { .. }
            | JournalError::NotOfAReading(_)),
        ) => {
            anstream::eprintln!("chestlight: {error}");
            return Ok(Outcome::Refused);
        }
        Err(error) => return Err(Error::new(error).into()),
    };
    let said = match journal.get(*reading).map_err(Error::new)? {
        Some(Record::Reading(reading)) => reading.verdict().map_or(reading.verdict, |it| it.words().to_owned()),
        _ => "nothing".to_owned(),
    };
    anstream::println!(
        "row {}: reading {reading} is overridden with {}; the unit said {said} ({NOTICE})",
        row.seq,
        verdict.verdict().words(),
    );
    Ok(Outcome::Well)
}
