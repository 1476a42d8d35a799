//! `chestlight log`: what the unit has recorded.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use chestlight::config::Config;
use chestlight::journal::{Journal, JournalError, Row, write_csv, write_jsonl};
use chestlight::show::{NOTICE, style};
use chestlight::verdict::Probabilities;
use clap::Subcommand;

use super::{Failure, Outcome, usage};

/// List, show, export and verify what was recorded
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print a line for each reading, oldest first
    List {
        #[command(flatten)]
        place: JournalPlace,
        /// Print one JSON object a line (docs/storage.md)
        #[arg(long)]
        json: bool,
        /// Print only the last N readings
        #[arg(long, value_name = "N")]
        last: Option<u32>,
    },
    /// Print everything about one reading, as JSON
    Show {
        #[command(flatten)]
        place: JournalPlace,
        /// Number of the reading
        seq: i64,
    },
    /// Print every reading for another program
    #[command(group = clap::ArgGroup::new("format").required(true))]
    Export {
        #[command(flatten)]
        place: JournalPlace,
        /// As a table for spreadsheets
        #[arg(long, group = "format")]
        csv: bool,
        /// As one JSON object a line
        #[arg(long, group = "format")]
        jsonl: bool,
    },
    /// Find out whether readings were edited, removed or reordered
    Verify {
        #[command(flatten)]
        place: JournalPlace,
    },
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct JournalPlace {
    /// Configuration of the unit whose journal is meant
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The journal itself, such as a copy of it
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

impl JournalPlace {
    fn open(&self) -> Result<Journal, Failure> {
        let path = match (&self.journal, &self.config) {
            (Some(journal), _) => journal.clone(),
            (None, Some(config)) => Config::read(config).map_err(usage)?.journal(),
            (None, None) => return Err(usage(anyhow!("--config or --journal is needed"))),
        };
        Journal::open_read_only(&path).map_err(|error| match error {
            JournalError::Sqlite { .. } => Failure::from(anyhow::Error::new(error)),
            error => usage(error),
        })
    }
}

impl Command {
    fn place(&self) -> &JournalPlace {
        match self {
            Self::List { place, .. }
            | Self::Show { place, .. }
            | Self::Export { place, .. }
            | Self::Verify { place } => place,
        }
    }

    fn print(&self, journal: &Journal) -> anyhow::Result<Outcome> {
        match self {
            Self::List { json, last, .. } => list(journal, *json, *last),
            Self::Show { seq, .. } => show(journal, *seq),
            Self::Export { csv, .. } => export(journal, *csv),
            Self::Verify { .. } => verify(journal),
        }
    }
}

/// Prints what is asked for.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let journal = arguments.command.place().open()?;
    anstream::eprintln!("chestlight: {NOTICE}");
    match arguments.command.print(&journal) {
        // Whoever reads the output has seen enough (`| head`).
        Err(error) if is_broken_pipe(&error) => Ok(Outcome::Well),
        outcome => Ok(outcome.context("the journal cannot be printed")?),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = match error.downcast_ref() {
        Some(JournalError::Export(error)) => Some(error),
        _ => error.downcast_ref::<io::Error>(),
    };
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints a line for each reading.
pub fn list(journal: &Journal, json: bool, last: Option<u32>) -> anyhow::Result<Outcome> {
    let mut out = anstream::stdout().lock();
    if !json {
        writeln!(
            out,
            "{:>6} {:24} {:20} {:>6} {:>9} {:>8}  FILE",
            "SEQ", "RECORDED", "VERDICT", "NORMAL", "BACTERIAL", "COVID-19"
        )?;
    }
    journal.for_each(last, |row| -> anyhow::Result<()> {
        if json {
            writeln!(out, "{}", row.to_json())?
        } else {
            print_line(&mut out, row)?
        };
        Ok(())
    })?;
    Ok(Outcome::Well)
}

fn print_line(out: &mut impl Write, row: &Row) -> io::Result<()> {
    let (style, words) = row.verdict().map_or_else(Default::default, |it| (style(it), it.words()));
    let words = if words.is_empty() { &row.verdict } else { words };
    write!(out, "{:>6} {:24} {style}{words:20}{style:#} ", row.seq, row.recorded_at)?;
    match row.probabilities() {
        Some(Probabilities { normal, bacterial, covid19 }) => writeln!(
            out,
            "{:>5.1}% {:>8.1}% {:>7.1}%  {}",
            normal * 100.0,
            bacterial * 100.0,
            covid19 * 100.0,
            row.file_name
        ),
        None => writeln!(out, "{:>6} {:>9} {:>8}  {}: {}", "-", "-", "-", row.file_name, row.message),
    }
}

fn show(journal: &Journal, seq: i64) -> anyhow::Result<Outcome> {
    let Some(row) = journal.get(seq)? else {
        anstream::eprintln!("chestlight: there is no reading {seq}; {} are recorded", journal.count()?);
        return Ok(Outcome::Refused);
    };
    writeln!(anstream::stdout(), "{:#}", row.to_json())?;
    Ok(Outcome::Well)
}

fn export(journal: &Journal, csv: bool) -> anyhow::Result<Outcome> {
    let out = io::BufWriter::new(io::stdout().lock());
    if csv {
        write_csv(journal, out)?
    } else {
        write_jsonl(journal, out)?
    }
    Ok(Outcome::Well)
}

/// Prints whether the chain is whole.
pub fn verify(journal: &Journal) -> anyhow::Result<Outcome> {
    match journal.verify()? {
        Ok(whole) => {
            writeln!(anstream::stdout(), "whole: {} readings, the last one's hash is {}", whole.rows, whole.head)?;
            Ok(Outcome::Well)
        }
        Err(broken) => {
            writeln!(anstream::stdout(), "BROKEN: {broken}")?;
            Ok(Outcome::Refused)
        }
    }
}
