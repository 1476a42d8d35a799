//! `chestlight fault`: what the displays of a unit that has ended should say.

use std::env;
use std::io;
use std::path::PathBuf;

use chestlight::config::Config;
use chestlight::show::display::last_word;
use chestlight::show::oled::Oled;
use chestlight::show::{NOTICE, lamps, screen};

use super::{Failure, Outcome, usage};

/// Show a fault on the lamps and screens of a unit that has ended by itself
///
/// For systemd's ExecStopPost=: a unit that was killed cannot say so itself, and its last verdict would stay. Does
/// nothing where systemd says that the unit ended as it should (SERVICE_RESULT=success).
#[derive(clap::Args)]
pub struct Arguments {
    /// Configuration of the unit
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Says it on every display of the configuration.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let config = Config::read(&arguments.config).map_err(usage)?;
    if env::var_os("SERVICE_RESULT").is_some_and(|result| result == "success") {
        println!("the unit ended as it should; nothing is shown ({NOTICE})");
        return Ok(Outcome::Well);
    }
    let mut shown: Vec<(&str, io::Result<()>)> = Vec::new();
    if let Some(lamps) = &config.lamps {
        shown.push(("lamps", lamps::last_word(lamps).map_err(io::Error::other)));
    }
    if let Some(config) = &config.screen {
        let draw = screen::open(config).and_then(|mut screen| last_word(&mut screen, config.scene));
        shown.push(("screen", draw));
    }
    if let Some(config) = &config.oled {
        shown.push(("OLED", Oled::open(config).and_then(|mut oled| last_word(&mut oled, config.scene))));
    }
    let mut outcome = Outcome::Well;
    for (name, drawn) in &shown {
        if let Err(error) = drawn {
            log::error!("the {name} cannot say that the unit has ended: {error}");
            outcome = Outcome::Fault;
        }
    }
    let well = shown.iter().filter(|(_, drawn)| drawn.is_ok()).count();
    println!("{well} of {} displays say that the unit has ended ({NOTICE})", shown.len());
    Ok(outcome)
}
