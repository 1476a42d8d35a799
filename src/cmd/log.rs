//! `chestlight log`: what the unit has recorded.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anstyle::Style;
use anyhow::{Context, anyhow};
use chestlight::choose::Deaths;
use chestlight::config::Config;
use chestlight::daemon::last_readings;
use chestlight::drift;
use chestlight::journal::{
    Event, Journal, JournalError, Names, Note, Override, Record, Row, Whole, write_csv, write_jsonl,
};
use chestlight::model::{Manifest, ModelFiles, shipped};
use chestlight::show::{NOTICE, style};
use chestlight::verdict::{Probabilities, Verdict};
use clap::Subcommand;

use super::{Failure, Outcome, choose_model, usage};

/// List, show, export and verify readings and overrides
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print a line for each reading, each override and each note, oldest first
    List {
        #[command(flatten)]
        place: JournalPlace,
        /// Print one JSON object a line (docs/storage.md)
        #[arg(long)]
        json: bool,
        /// Print only the last N lines
        #[arg(long, value_name = "N")]
        last: Option<u32>,
    },
    /// Print everything about one reading and what people said of it, as JSON
    Show {
        #[command(flatten)]
        place: JournalPlace,
        /// Number of the reading, or of one override
        seq: i64,
    },
    /// Print every row for another program
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
        /// Record that these rows have left the unit, so that their films may be removed (docs/storage.md)
        #[arg(long)]
        mark_exported: bool,
    },
    /// Compare the last readings with what the model's readings were like when it was made
    Drift {
        #[command(flatten)]
        place: JournalPlace,
        /// The manifest of the model that read them, instead of the one that the unit reads with
        #[arg(long, value_name = "MANIFEST")]
        model: Option<PathBuf>,
        /// Print one JSON object (docs/gate.md)
        #[arg(long)]
        json: bool,
    },
    /// Find out whether rows were edited, removed or reordered
    Verify {
        #[command(flatten)]
        place: JournalPlace,
    },
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub struct JournalPlace {
    /// Configuration of the unit whose journal is meant
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The journal itself, such as a copy of it
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

impl JournalPlace {
    /// The manifest at `model`, or that of the model that the unit reads with, or of the shipped one.
    fn manifest(&self, model: Option<&Path>) -> anyhow::Result<Manifest> {
        let files = match (model, &self.config) {
            (Some(model), _) => ModelFiles::read(model)?,
            (None, Some(config)) => {
                let chosen = choose_model(&Config::read(config)?, Deaths::NotCounted);
                return Ok(chosen.map_err(|failure| failure.error)?.model.manifest);
            }
            (None, None) => shipped(),
        };
        Ok(Manifest::parse(&files.manifest)?)
    }

    /// The journal, opened by `open`.
    pub fn open(&self, open: fn(&Path) -> Result<Journal, JournalError>) -> Result<Journal, Failure> {
        let path = match (&self.journal, &self.config) {
            (Some(journal), _) => journal.clone(),
            (None, Some(config)) => Config::read(config).map_err(usage)?.journal(),
            (None, None) => return Err(usage(anyhow!("--config or --journal is needed"))),
        };
        open(&path).map_err(|error| match error {
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
            | Self::Drift { place, .. }
            | Self::Verify { place } => place,
        }
    }

    fn print(&self, journal: &Journal) -> anyhow::Result<Outcome> {
        match self {
            Self::List { json, last, .. } => list(journal, *json, *last),
            Self::Show { seq, .. } => show(journal, *seq),
            Self::Export { csv, mark_exported, place, .. } => {
                let last = journal.last_seq()?;
                export(journal, *csv)?;
                if *mark_exported {
                    let mut journal = place.open(Journal::open_existing).map_err(|failure| failure.error)?;
                    journal.note(Event::Exported, last, &format!("the rows up to {last} were exported"))?;
                }
                Ok(Outcome::Well)
            }
            Self::Drift { place, model, json } => drift(journal, place.manifest(model.as_deref())?, *json),
            Self::Verify { .. } => verify(journal),
        }
    }
}

/// Prints what is asked for.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let journal = arguments.command.place().open(Journal::open_read_only)?;
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

/// Prints a line for each row.
pub fn list(journal: &Journal, json: bool, last: Option<u32>) -> anyhow::Result<Outcome> {
    let mut out = anstream::stdout().lock();
    if !json {
        writeln!(
            out,
            "{:>6} {:24} {:20} {:>6} {:>9} {:>8}  FILE",
            "SEQ", "RECORDED", "VERDICT", "NORMAL", "BACTERIAL", "COVID-19"
        )?;
    }
    journal.for_each_record(last, |record| -> anyhow::Result<()> {
        match record {
            _ if json => writeln!(out, "{}", record.to_json())?,
            Record::Reading(row) => print_reading(&mut out, row)?,
            Record::Override(row) => print_override(&mut out, row)?,
            Record::Note(row) => print_note(&mut out, row)?,
        }
        Ok(())
    })?;
    Ok(Outcome::Well)
}

fn print_beginning(
    out: &mut impl Write,
    (seq, recorded_at): (i64, &str),
    (verdict, name): (Option<Verdict>, &str),
) -> io::Result<()> {
    let (style, words) = verdict.map_or((Style::new(), name), |verdict| (style(verdict), verdict.words()));
    write!(out, "{seq:>6} {recorded_at:24} {style}{words:20}{style:#} ")
}

fn print_override(out: &mut impl Write, row: &Override) -> io::Result<()> {
    print_beginning(out, (row.seq, &row.recorded_at), (row.verdict(), &row.verdict))?;
    let by = row.operator.as_ref().map(|operator| format!(" by {operator}")).unwrap_or_default();
    writeln!(out, "{:>6} {:>9} {:>8}  override of reading {}{by}: {}", "-", "-", "-", row.reading, row.message)
}

fn print_note(out: &mut impl Write, row: &Note) -> io::Result<()> {
    print_beginning(out, (row.seq, &row.recorded_at), (None, &row.event))?;
    writeln!(out, "{:>6} {:>9} {:>8}  {}", "-", "-", "-", row.message)
}

fn print_reading(out: &mut impl Write, row: &Row) -> io::Result<()> {
    print_beginning(out, (row.seq, &row.recorded_at), (row.verdict(), &row.verdict))?;
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
    let Some(record) = journal.get(seq)? else {
        anstream::eprintln!("chestlight: there is no reading {seq}; {} are recorded", journal.count()?);
        return Ok(Outcome::Refused);
    };
    let mut out = anstream::stdout();
    writeln!(out, "{:#}", record.to_json())?;
    for word in journal.overrides_of(seq)? {
        writeln!(out, "{:#}", word.to_json())?;
    }
    Ok(Outcome::Well)
}

fn export(journal: &Journal, csv: bool) -> anyhow::Result<()> {
    let out = io::BufWriter::new(io::stdout().lock());
    if csv {
        write_csv(journal, out, Names::Told)?
    } else {
        write_jsonl(journal, out, Names::Told)?
    }
    Ok(())
}

/// Prints what the last readings are like.
fn drift(journal: &Journal, manifest: Manifest, json: bool) -> anyhow::Result<Outcome> {
    let summary = last_readings(journal, &manifest)?.summary(manifest.reference.as_ref());
    let found = summary.check();
    let mut out = anstream::stdout();
    if json {
        let drift = found.err().map(|drift| drift.to_string());
        let line = serde_json::json!({
            "schema": 1, "notice": NOTICE, "model": manifest.name, "digest": manifest.digest, "least": drift::LEAST,
            "window": drift::WINDOW, "summary": summary, "drift": drift,
        });
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "the last {} readings of {}, at most {}", summary.readings, manifest.name, drift::WINDOW)?;
        let share = |count: usize| count as f64 / summary.readings.max(1) as f64 * 100.0;
        for (name, count) in
            [("normal", summary.normal), ("bacterial", summary.bacterial), ("COVID-19", summary.covid19)]
        {
            writeln!(out, "{name:18} {:>6.1}%", share(count))?;
        }
        for (name, figure, unit, scale) in [
            ("referred", summary.referred, "%", 100.0),
            ("refused", summary.refused, "%", 100.0),
            ("distance", summary.distance, "", 1.0),
        ] {
            let value = figure.value.map_or("-".into(), |value| format!("{:.2}", value * scale));
            let band = figure.band.map_or("the manifest states no reference".into(), |[low, high]| {
                format!("usual is {:.2} to {:.2}{unit}", low * scale, high * scale)
            });
            writeln!(out, "{name:18} {value:>6}{unit:1}  {band}")?;
        }
        match found {
            Ok(()) if summary.readings < drift::LEAST => {
                writeln!(out, "fewer than {} readings tell nothing", drift::LEAST)?;
            }
            Ok(()) => writeln!(out, "as when the model was made")?,
            Err(drift) => writeln!(out, "CHECK: {drift}")?,
        }
    }
    Ok(if found.is_ok() { Outcome::Well } else { Outcome::Refused })
}

/// Prints whether the chain is whole.
pub fn verify(journal: &Journal) -> anyhow::Result<Outcome> {
    match journal.verify()? {
        Ok(whole) => {
            let Whole { last, readings, overrides, notes, head } = whole;
            writeln!(
                anstream::stdout(),
                "whole: {readings} readings, {overrides} overrides and {notes} notes; the hash of row {last}, the last, is {head}"
            )?;
            Ok(Outcome::Well)
        }
        Err(broken) => {
            writeln!(anstream::stdout(), "BROKEN: {broken}")?;
            Ok(Outcome::Refused)
        }
    }
}
