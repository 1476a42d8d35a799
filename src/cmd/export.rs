//! `chestlight export`: films for other people's eyes.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::Context;
use chestlight::config::Config;
use chestlight::decode;
use chestlight::deidentify::deidentify;
use chestlight::journal::{Journal, JournalError, Row};
use chestlight::privacy::PatientKey;
use chestlight::radiograph::Encoding;
use chestlight::show::NOTICE;
use chestlight::spool::{Whereabouts, whereabouts};

use super::{Failure, Outcome, usage};

/// Copy recorded DICOM films without what tells who they are of (docs/dicom-network.md)
#[derive(clap::Args)]
pub struct Arguments {
    /// Take away names, dates and identifiers by the DICOM Basic Profile; there is no export with them
    #[arg(long = "deidentify", required = true)]
    _deidentify: bool,
    /// Configuration of the unit whose films are meant
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Folder for the copies; made where it is missing
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Export only the films of the last N readings
    #[arg(long, value_name = "N")]
    last: Option<u32>,
}

/// What became of the films.
#[derive(Default)]
struct Tally {
    exported: u32,
    to_look_at: u32,
    other_formats: u32,
    failed: u32,
}

/// Exports film by film and says what was left out and why.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let config = Config::read(&arguments.config).map_err(usage)?;
    let journal = Journal::open_read_only(&config.journal()).map_err(usage)?;
    let key = PatientKey::open_existing(&config.state).map_err(usage)?;
    fs::create_dir_all(&arguments.out)
        .with_context(|| format!("the folder {} cannot be made", arguments.out.display()))
        .map_err(usage)?;
    anstream::eprintln!("chestlight: {NOTICE}");
    let mut tally = Tally::default();
    journal
        .for_each(arguments.last, |row| -> Result<(), JournalError> {
            if let Err(error) = export(row, &config, &key, &arguments.out, &mut tally) {
                tally.failed += 1;
                anstream::eprintln!("reading {}: not exported: {error:#}", row.seq);
            }
            Ok(())
        })
        .context("the journal cannot be read")?;
    let Tally { exported, to_look_at, other_formats, failed } = tally;
    anstream::println!(
        "{exported} films exported to {}; {other_formats} left out, which are no DICOM; {failed} failed",
        arguments.out.display()
    );
    if to_look_at > 0 {
        anstream::println!(
            "Look at the pixels of {to_look_at} of them before they leave: nothing says that no name is burnt in."
        );
    }
    Ok(if failed == 0 { Outcome::Well } else { Outcome::Refused })
}

fn export(
    row: &Row,
    config: &Config,
    key: &PatientKey,
    out: &std::path::Path,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let path = match whereabouts(&config.state, row.seq, &row.input_digest, &row.file_name) {
        Whereabouts::Settled(path) => path,
        Whereabouts::Waiting => anyhow::bail!("it is not settled yet"),
        Whereabouts::Gone => anyhow::bail!("its film was taken away"),
    };
    let mut film = Vec::new();
    File::open(path)?.take(config.limits.max_bytes).read_to_end(&mut film)?;
    if decode::sniff(&film) != Some(Encoding::Dicom) {
        tally.other_formats += 1;
        return Ok(());
    }
    let copy = deidentify(&film, &config.limits, key)?;
    let place = out.join(format!("{}.dcm", copy.sop_instance));
    let mut file = File::create(&place).with_context(|| format!("{} cannot be made", place.display()))?;
    file.write_all(&copy.file).and_then(|()| file.sync_all())?;
    tally.exported += 1;
    if copy.may_name_the_patient {
        tally.to_look_at += 1;
        anstream::eprintln!("reading {}: look at its pixels: words may be burnt in", row.seq);
    }
    Ok(())
}
