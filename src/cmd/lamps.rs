//! `chestlight lamps`: the lamps by hand, and what they say when the unit cannot.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Error};
use chestlight::config::{Config, LampColour, Lamps};
use chestlight::show::lamps::{BlinkingLamps, Signal, card};
use chestlight::show::{Indicator, NOTICE, Status, open_leds};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{Failure, Outcome, usage};

/// Light the lamps by hand; print the card beside them
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Light each lamp for a second, then all of them; the unit must not run
    Test {
        /// Configuration of the unit
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Say *fault* until SIGTERM: for a service that OnFailure= starts when the unit has died for good
    Fault {
        /// Configuration of the unit
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Print what the lamps say as SVG, for the wall beside the unit
    Card {
        /// Configuration of the unit; without it a card for three lamps
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// Lights, or prints.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    match &arguments.command {
        Command::Test { config } => test(config),
        Command::Fault { config } => fault(config),
        Command::Card { config } => {
            let lamps = config.as_deref().map(Config::read).transpose().map_err(usage)?.and_then(|config| config.lamps);
            let colours = lamps.map_or(LampColour::ALL.to_vec(), |lamps| lamps.lines.colours());
            anstream::print!("{}", card(&colours));
            Ok(Outcome::Well)
        }
    }
}

/// The lamps of a configuration; none is no failure, so that a service can have the command on every unit.
fn configured(config: &Path) -> Result<Option<Lamps>, Failure> {
    let lamps = Config::read(config).map_err(usage)?.lamps;
    if lamps.is_none() {
        anstream::println!("no lamps are configured: {} has no [lamps] ({NOTICE})", config.display());
    }
    Ok(lamps)
}

fn test(config: &Path) -> Result<Outcome, Failure> {
    let Some(lamps) = configured(config)? else { return Ok(Outcome::Well) };
    let mut leds = open_leds(&lamps.lines).context("the lamps cannot be lit")?;
    let mut light = |lit: &[bool]| leds.set(lit).context("the lamps cannot be lit");
    let places = lamps.lines.places();
    for (index, (colour, place)) in places.iter().enumerate() {
        anstream::println!("{:8}{place}", colour.name());
        light(&places.iter().enumerate().map(|(other, _)| other == index).collect::<Vec<_>>())?;
        thread::sleep(Duration::from_secs(1));
    }
    anstream::println!("all; one that stayed dark is broken or wired to another line ({NOTICE})");
    light(&vec![true; places.len()])?;
    thread::sleep(Duration::from_secs(1));
    light(&vec![false; places.len()])?;
    Ok(Outcome::Well)
}

fn fault(config: &Path) -> Result<Outcome, Failure> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("signals cannot be had")?;
    let Some(lamps) = configured(config)? else { return Ok(Outcome::Well) };
    let mut blinking = BlinkingLamps::start(&lamps).context("no thread for the lamps can be had")?;
    let status = Status::Fault { wrong: "the unit has died".into(), advice: "see: systemctl status chestlight" };
    blinking.show(&status).map_err(Error::new)?;
    anstream::println!("the lamps say: {} ({NOTICE})", Signal::Fault.words());
    signals.forever().next();
    Ok(Outcome::Well)
}
