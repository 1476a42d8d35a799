//! `chestlight capture`: the unit that runs takes a film with its camera.

use std::path::PathBuf;

use anyhow::anyhow;
use chestlight::config::Config;
use chestlight::control::{self, Answer, Request};
use chestlight::show::NOTICE;

use super::{Failure, Outcome, usage};

/// Take a film with the camera of the unit that runs
///
/// Answers when the film is durably in the spool, or says why it is not. The verdict is shown by the unit.
#[derive(clap::Args)]
pub struct Arguments {
    /// Configuration of the unit
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Asks for a film and waits for it.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    anstream::println!("{NOTICE}");
    let config = Config::read(&arguments.config).map_err(usage)?;
    match control::ask(&config.state, Request::Capture).map_err(usage)? {
        Answer::Captured { digest } => {
            anstream::println!("film {digest} was taken and is safe; its verdict follows on the unit");
            Ok(Outcome::Well)
        }
        Answer::Failed { wrong } => {
            anstream::println!("no film was taken: {wrong}");
            Ok(Outcome::Refused)
        }
        Answer::Status { .. } => Err(anyhow!("the unit answered something else than it was asked").into()),
    }
}
