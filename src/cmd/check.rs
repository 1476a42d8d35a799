//! `chestlight check`: is this unit fit to read? One line an answer, with what to do.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anstyle::{AnsiColor, Style};
use anyhow::Context;
use chestlight::choose::{self, Deaths};
use chestlight::clock;
use chestlight::config::{self, Config, Lamps, Screen};
use chestlight::gpio::{self, GpioError};
use chestlight::health;
use chestlight::intake::camera;
use chestlight::model::Manifest;
use chestlight::model::slots::{Slot, Slots};
use chestlight::outbox;
use chestlight::show::oled::Oled;
use chestlight::show::screen::{self, Geometry};
use chestlight::show::{LedError, NOTICE, open_leds};
use chestlight::tls;

use super::{Failure, Outcome, choose_model, told, usage};

/// Check configuration, model, folders, free space and clock
#[derive(clap::Args)]
pub struct Arguments {
    /// Configuration of the unit
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// What one check found: good news, or what is wrong and what to do.
type Finding = Result<String, String>;

/// Runs every check, whatever the others found, and prints a line for each.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    anstream::println!("chestlight {}: {NOTICE}", env!("CARGO_PKG_VERSION"));
    let config = match Config::read(&arguments.config) {
        Ok(config) => config,
        Err(error) => {
            print("configuration", &Err(error.to_string()));
            return Err(usage(anyhow::anyhow!("nothing else can be checked without a valid configuration")));
        }
    };
    let path = arguments.config.display().to_string();
    let checks = findings(&config, &path);
    for (subject, finding) in &checks {
        print(subject, finding);
    }
    let failed = checks.iter().filter(|(_, finding)| finding.is_err()).count();
    Ok(if failed == 0 { Outcome::Well } else { Outcome::Refused })
}

/// Every check of a valid configuration that was read from `path`, whatever the others found.
pub fn findings(config: &Config, path: &str) -> Vec<(&'static str, Finding)> {
    let mut checks: Vec<(&str, Finding)> = vec![
        ("configuration", Ok(format!("{path} is valid"))),
        ("model", model(config)),
        ("slots", slots(config)),
        ("inbox", folder(&config.inbox)),
        ("state", state(&config.state)),
        ("free space", free_space(config)),
        ("clock", time(SystemTime::now())),
    ];
    if let Some(camera) = &config.camera {
        let mode =
            camera::source(&camera.device, camera.format, camera.max_pixels).and_then(|mut source| source.check());
        checks
            .push(("camera", mode.map(|mode| format!("{}, {mode}", camera.device)).map_err(|error| error.to_string())));
    }
    if let Some(tls) = config.dicom.as_ref().and_then(|dicom| dicom.tls.as_ref()) {
        let found = format!("peers must show a certificate of {}", tls.peer_ca.display());
        checks.push(("TLS", tls::server(tls).map(|_| found).map_err(|error| error.to_string())));
    }
    if let Some(pacs) = config.dicom.as_ref().and_then(|dicom| dicom.pacs.as_ref()) {
        let found = format!("{} at {}:{} answers", pacs.ae_title, pacs.host, pacs.port);
        checks.push(("archive", outbox::echo(pacs).map(|()| found).map_err(|error| error.to_string())));
    }
    checks.extend(config.lamps.iter().map(|lamps| ("lamps", lamp_lines(lamps))));
    checks.extend(config.screen.iter().map(|screen| ("screen", a_screen(screen))));
    checks.extend(config.oled.iter().map(|oled| ("OLED", an_oled(oled))));
    checks
}

fn print(subject: &str, finding: &Finding) {
    let (style, word, text): (Style, _, _) = match finding {
        Ok(text) => (AnsiColor::Cyan.on_default(), "ok", text),
        Err(text) => (AnsiColor::Red.on_default().bold(), "FAIL", text),
    };
    anstream::println!("{style}{word:4}{style:#}  {subject:13}  {text}");
}

fn model(config: &Config) -> Finding {
    let chosen = choose_model(config, Deaths::NotCounted).map_err(|failure| told(&failure.error))?;
    let manifest = &chosen.model.manifest;
    let digest = manifest.digest.get(..12).unwrap_or_default();
    let (name, origin, golden) = (&manifest.name, &chosen.origin, manifest.golden.len());
    let found = format!("{name} ({digest}, {origin}) answers its {golden} golden phantoms");
    match &chosen.instead {
        None => Ok(found),
        Some(why) => Err(format!("{found}, but it is not the one that should read: {why}")),
    }
}

fn lamp_lines(lamps: &Lamps) -> Finding {
    let places = lamps.lines.places().into_iter().map(|(colour, place)| format!("{} on {place}", colour.name()));
    let places = places.collect::<Vec<_>>().join(", ");
    match open_leds(&lamps.lines) {
        Ok(_) => Ok(places),
        Err(LedError::Gpio(GpioError::Busy { consumer, .. })) if consumer == gpio::CONSUMER => {
            Ok(format!("{places}: a running unit has them"))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Every installed model, also those that do not read now.
fn slots(config: &Config) -> Finding {
    let check = || -> anyhow::Result<String> {
        let keys = choose::trusted_keys(config)?;
        let slots = Slots::new(&config.state);
        let mut found = Vec::new();
        for slot in Slot::ALL {
            let name = slot.name();
            let signed = slots.read(slot, &keys).with_context(|| format!("slot {name}; install its model again"))?;
            found.push(match signed {
                None => format!("{name} is empty"),
                Some(signed) => {
                    let manifest = Manifest::parse(&signed.bundle.files.manifest)?;
                    format!(
                        "{name} holds {} version {}, signed with {}",
                        manifest.name, signed.bundle.version, signed.signer.key
                    )
                }
            });
        }
        Ok(format!("{}; {} keys are trusted", found.join(", "), keys.len()))
    };
    check().map_err(|error| told(&error))
}

fn folder(folder: &Path) -> Finding {
    health::check_folder(folder)
        .map(|()| format!("{} can be read and written", folder.display()))
        .map_err(|error| error.to_string())
}

/// The state folder may be missing: the daemon makes it, if it can.
fn state(state: &Path) -> Finding {
    if state.exists() {
        return folder(state);
    }
    let above = nearest_existing(state);
    folder(above).map(|_| format!("{} will be made in {}", state.display(), above.display()))
}

fn nearest_existing(path: &Path) -> &Path {
    path.ancestors().find(|above| above.exists()).unwrap_or(path)
}

fn free_space(config: &Config) -> Finding {
    let folder = nearest_existing(&config.state);
    let free = health::free_bytes(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let found = format!("{} MiB are free on the disc of {}", free >> 20, config.state.display());
    if free >= config.min_free {
        Ok(found)
    } else {
        let needed = config.min_free >> 20;
        Err(format!("{found}, min_free_mib wants {needed}; export and remove old films from its archive"))
    }
}

fn a_screen(config: &Screen) -> Finding {
    let screen = screen::open(config).map_err(|error| error.to_string())?;
    let Geometry { width, height, .. } = screen.geometry();
    Ok(format!("{} has {width} x {height} pixels", config.device.display()))
}

fn an_oled(config: &config::Oled) -> Finding {
    let found = format!("a display answers at {:#04x} of {}", config.address, config.bus.display());
    Oled::open(config).map(|_| found).map_err(|error| error.to_string())
}

fn time(now: SystemTime) -> Finding {
    let shown = jiff::Timestamp::try_from(now).map_or_else(|error| error.to_string(), |now| format!("{now:.0}"));
    if clock::is_plausible(now) {
        Ok(shown)
    } else {
        Err(format!("{shown} is before this software was made; set it: chestlight clock set 'YYYY-MM-DD HH:MM'"))
    }
}
