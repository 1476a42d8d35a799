//! `chestlight-trainer phantoms`: something to try every command on.

use std::path::PathBuf;

use anyhow::bail;
use chestlight::show::NOTICE;
use chestlight_trainer::phantoms;

/// Draws a small data set of phantoms, to try the other commands without a radiograph
#[derive(clap::Args)]
pub struct Args {
    /// A new folder for the films and index.csv
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Films of each kind
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(4..=10_000))]
    each: u64,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.out.exists() {
        bail!("{} exists; name a new folder", args.out.display());
    }
    println!("{}\n{NOTICE}", phantoms::draw(&args.out, args.each)?.display());
    Ok(())
}
