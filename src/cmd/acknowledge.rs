//! `chestlight acknowledge`: a person has seen that the journal was damaged.

use anyhow::Error;
use chestlight::journal::{AcknowledgeError, Journal};
use chestlight::show::NOTICE;

use super::log::JournalPlace;
use super::{Failure, Outcome, usage};

/// Say that you have seen that the journal before this one was damaged
///
/// The unit then stops warning of it. The damaged journal stays where it is kept, and the acknowledgement is a row of
/// the new one.
#[derive(clap::Args)]
pub struct Arguments {
    /// Who you are, name or initials
    #[arg(long, value_name = "WHO")]
    by: String,
    #[command(flatten)]
    place: JournalPlace,
}

/// Records the acknowledgement.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    anstream::eprintln!("chestlight: {NOTICE}");
    let mut journal = arguments.place.open(Journal::open_existing)?;
    let note = journal.acknowledge(&arguments.by).map_err(|error| match error {
        AcknowledgeError::Who(error) => usage(error),
        AcknowledgeError::Journal(error) => Error::new(error).into(),
    })?;
    let Some(note) = note else {
        anstream::eprintln!("chestlight: there is nothing to acknowledge");
        return Ok(Outcome::Refused);
    };
    anstream::println!("row {}: {}", note.seq, note.message);
    Ok(Outcome::Well)
}
