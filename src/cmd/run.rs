//! `chestlight run`: the daemon on a watched folder.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Error};
use chestlight::choose::Deaths;
use chestlight::daemon::{Daemon, DaemonError, Handle};
use chestlight::health::SharedVitals;
use chestlight::journal::JournalError;
use chestlight::journald::Journald;
use chestlight::show::lamps::BlinkingLamps;
use chestlight::show::{Panel, SystemLog, Terminal, oled, screen};
use chestlight::spool::SpoolError;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{Failure, Outcome, choose_model, gpu, usage};

/// Read films as they arrive in a folder
///
/// Ends after the film in hand on SIGTERM or SIGINT; rereads the configuration on SIGHUP.
#[derive(clap::Args)]
pub struct Arguments {
    /// Configuration of the unit
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs until a signal ends it.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    // First of all, so that no signal kills a unit that is starting.
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).context("signals cannot be had")?;
    let config = gpu::read_config(&arguments.config).map_err(usage)?;
    let chosen = choose_model(&config, Deaths::Counted)?;
    // Lines that do not go to a terminal end in a log, and file names are patient data.
    let names = io::stdout().is_terminal();
    let vitals = SharedVitals::default();
    let mut panel = match Journald::behind(io::stdout()) {
        Some(journald) => Panel::new(vitals.clone()).with("system log", SystemLog::new(journald)),
        None => Panel::new(vitals.clone()).with("terminal", Terminal::new(anstream::stdout(), names)),
    };
    if let Some(lamps) = &config.lamps {
        panel = panel.with("lamps", BlinkingLamps::start(lamps).context("no thread for the lamps can be had")?);
    }
    if let Some(screen) = &config.screen {
        panel = panel.with("screen", screen::start(screen, &vitals).context("no thread for the screen can be had")?);
    }
    if let Some(oled) = &config.oled {
        panel = panel.with("oled", oled::start(oled, &vitals).context("no thread for the OLED can be had")?);
    }
    let (daemon, handle) = Daemon::open(config, chosen, panel).map_err(failure)?;
    let path = arguments.config.clone();
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || pass_on(signals, &handle, &path))
        .context("no thread for signals can be had")?;
    daemon.run().context("the unit had to stop; nothing is lost, start it again")?;
    Ok(Outcome::Well)
}

fn pass_on(mut signals: Signals, daemon: &Handle, config: &std::path::Path) {
    for signal in signals.forever() {
        match signal {
            SIGHUP => daemon.reconfigure(gpu::read_config(config)),
            _ => daemon.stop(),
        }
    }
}

/// A unit that cannot begin: mostly what its configuration names is not as it must be.
fn failure(error: DaemonError) -> Failure {
    match error {
        DaemonError::Spool(SpoolError::Unsynced { .. }) => Error::new(error).into(),
        DaemonError::Journal(JournalError::Foreign(_) | JournalError::Newer { .. })
        | DaemonError::Spool(_)
        | DaemonError::Key(_)
        | DaemonError::Camera(_) => usage(error),
        DaemonError::Journal(_) | DaemonError::Outbox(_) | DaemonError::Thread { .. } => Error::new(error).into(),
    }
}
