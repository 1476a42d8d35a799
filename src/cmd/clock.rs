//! `chestlight clock`: what time the unit believes it is, and setting it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Error, anyhow};
use chestlight::clock::{self, Clock, SetError};
use chestlight::show::NOTICE;
use clap::Subcommand;
use jiff::Timestamp;

use super::{Failure, Outcome, usage};

/// Show or set the clock (docs/storage.md)
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Print the time, the time since the board started, and whether the clock is trusted
    Show,
    /// Set the system's clock; needs root: `sudo chestlight clock set ...`
    Set {
        /// In UTC, or with the offset of the local time behind it: '2026-11-25 17:10+03:00'
        #[arg(value_name = "YYYY-MM-DD HH:MM", value_parser = parse)]
        time: Timestamp,
    },
}

/// A date and a time of day to the minute, in UTC where no offset follows.
fn parse(text: &str) -> Result<Timestamp, String> {
    let wanted = || format!("must be as in '2026-11-25 14:10' (UTC) or '2026-11-25 17:10+03:00', not {text:?}");
    let (time, offset) = text.trim().split_at_checked("YYYY-MM-DD HH:MM".len()).ok_or_else(wanted)?;
    let offset = if offset.is_empty() { "Z" } else { offset };
    format!("{time}:00{offset}").parse().map_err(|_| wanted())
}

/// Hands the time to the board's own clock, where there is one: with a battery it knows the time after the next start.
fn keep() {
    if !Path::new("/dev/rtc0").exists() {
        return;
    }
    let kept = Command::new("hwclock").args(["--systohc", "--utc"]).stdin(Stdio::null()).status();
    match kept {
        Ok(status) if status.success() => {}
        Ok(status) => log::warn!("the board's own clock was not set: hwclock: {status}"),
        Err(error) => log::warn!("the board's own clock was not set: hwclock: {error}"),
    }
}

/// Shows or sets the clock.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    anstream::eprintln!("chestlight: {NOTICE}");
    if let Task::Set { time } = &arguments.command {
        let wall = SystemTime::try_from(*time).map_err(usage)?;
        clock::set(wall).map_err(|error| match error {
            SetError::TooEarly(_) | SetError::NotAllowed => usage(error),
            SetError::Refused(_) | SetError::NotNoted { .. } => Error::new(error).into(),
        })?;
        keep();
    }
    let now = Clock::system().now();
    let wall = Timestamp::try_from(now.wall).map_err(|error| anyhow!("the clock makes no sense: {error}"))?;
    let worth = if now.trusted {
        "trusted: it was set since the board started"
    } else {
        "not trusted: nobody has set it since the board started; use: sudo chestlight clock set 'YYYY-MM-DD HH:MM'"
    };
    anstream::println!("{wall:.0}, {} s since the board started, {worth}", now.since_boot.as_secs());
    Ok(Outcome::Well)
}
