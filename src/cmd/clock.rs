//! `chestlight clock`: what time the unit believes it is, and setting it.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Error, anyhow};
use chestlight::clock::{self, Clock, SetError};
use chestlight::decode::{self, Limits};
use chestlight::show::NOTICE;
use clap::Subcommand;
use jiff::Timestamp;

use super::{Failure, Outcome, film_bytes, usage};

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
        #[arg(value_name = "YYYY-MM-DD HH:MM", value_parser = parse, required_unless_present = "film")]
        time: Option<Timestamp>,
        /// The time at which this DICOM film was made, by the clock of the X-ray unit: take one just before
        #[arg(long, value_name = "FILM", conflicts_with = "time")]
        film: Option<PathBuf>,
        /// How far the X-ray unit's local time is ahead of UTC, as in +03:00
        #[arg(long, value_name = "+HH:MM", default_value = "+00:00", allow_hyphen_values = true, requires = "film")]
        offset: String,
    },
}

/// A date and a time of day to the minute, in UTC where no offset follows.
fn parse(text: &str) -> Result<Timestamp, String> {
    let wanted = || format!("must be as in '2026-11-25 14:10' (UTC) or '2026-11-25 17:10+03:00', not {text:?}");
    let (time, offset) = text.trim().split_at_checked("YYYY-MM-DD HH:MM".len()).ok_or_else(wanted)?;
    let offset = if offset.is_empty() { "Z" } else { offset };
    format!("{time}:00{offset}").parse().map_err(|_| wanted())
}

/// The time at which a DICOM film was made, by the clock of the X-ray unit.
fn time_of(film: &Path, offset: &str) -> Result<Timestamp, Failure> {
    let limits = Limits::default();
    let wrong = |wrong: &dyn Display| usage(anyhow!("{}: {wrong}", film.display()));
    let bytes = film_bytes(film, limits.max_bytes).map_err(|hindrance| wrong(&hindrance))?;
    let made = decode::origin(&bytes, &limits).and_then(|origin| origin.study_at);
    made_at(made.as_deref(), offset).map_err(|told| wrong(&told))
}

/// `made` is a film's study date and time.
fn made_at(made: Option<&str>, offset: &str) -> Result<Timestamp, String> {
    let made = made.ok_or("this is no DICOM film, or it does not say when it was made")?;
    let time = made.get(.."YYYY-MM-DD HH:MM".len()).ok_or("the film says on which day it was made, and not when")?;
    parse(&format!("{}{offset}", time.replace('T', " ")))
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
    if let Task::Set { time, film, offset } = &arguments.command {
        let of_film = film.as_ref().map(|film| time_of(film, offset)).transpose()?;
        let time = time.or(of_film).ok_or_else(|| usage(anyhow!("which time?")))?;
        let wall = SystemTime::try_from(time).map_err(usage)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_film_is_that_of_its_header_less_the_offset_and_a_day_alone_is_no_time() {
        for (made, offset, told) in [
            (Some("2026-11-25T09:13:42"), "+03:00", Some("2026-11-25T06:13:00Z")),
            (Some("2026-11-25T09:13:00"), "-05:30", Some("2026-11-25T14:43:00Z")),
            (Some("2026-11-25T09:13:00"), "+00:00", Some("2026-11-25T09:13:00Z")),
            (Some("2026-11-25T09:13:00"), "noon", None),
            (Some("2026-11-25"), "+03:00", None),
            (None, "+03:00", None),
        ] {
            let time = made_at(made, offset).ok().map(|time| time.to_string());
            assert_eq!(time.as_deref(), told, "{made:?} {offset}");
        }
    }
}
