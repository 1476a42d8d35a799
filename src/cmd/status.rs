//! `chestlight status`: how the unit is, asked of the one that runs, or else read off its disc.

use std::fs;
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use anyhow::Context;
use chestlight::config::Config;
use chestlight::control::{self, Answer, Request};
use chestlight::health::{self, DiscVitals, LastReading, Vitals};
use chestlight::journal::{Journal, JournalError};
use chestlight::show::NOTICE;
use serde::Serialize;

use super::{Failure, Outcome, usage};

/// Tell how the unit is: model, films, disc, heat, power, displays, camera and clock
///
/// Exit codes: 0 it runs and nothing is wrong, 1 it runs and something wants attention, 2 usage or configuration,
/// 3 it does not run or does not answer; then its disc tells the rest.
#[derive(clap::Args)]
pub struct Arguments {
    /// Configuration of the unit
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print one JSON object (docs/appliance.md)
    #[arg(long)]
    json: bool,
}

/// What is told; as JSON with these names.
#[derive(Serialize)]
pub struct Told {
    notice: &'static str,
    /// Of this program, which need not be the one that runs.
    version: &'static str,
    /// Whether a unit answered.
    running: bool,
    /// Why none answered.
    why: Option<String>,
    /// What wants attention, the gravest first.
    attention: Vec<String>,
    /// What the unit says, or what its disc does.
    vitals: Vitals,
}

impl Told {
    /// Asks the unit of a configuration.
    pub fn of(config: &Config) -> Self {
        let (vitals, why) = match control::ask(&config.state, Request::Status) {
            Ok(Answer::Status { vitals }) => (*vitals, None),
            Ok(Answer::Failed { wrong }) => (on_disc(config), Some(wrong)),
            Ok(Answer::Captured { .. }) => (on_disc(config), Some("the unit answered another request".into())),
            Err(error) => (on_disc(config), Some(error.to_string())),
        };
        let running = why.is_none();
        Self { notice: NOTICE, version: env!("CARGO_PKG_VERSION"), running, why, attention: attention(&vitals), vitals }
    }
}

/// Asks, and prints the answer.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let config = Config::read(&arguments.config).map_err(usage)?;
    let told = Told::of(&config);
    if arguments.json {
        anstream::println!("{}", serde_json::to_string(&told).context("the status cannot be written as JSON")?);
    } else {
        print(&told);
    }
    Ok(match &told {
        Told { running: false, .. } => Outcome::Fault,
        Told { attention, .. } if attention.is_empty() => Outcome::Well,
        Told { .. } => Outcome::Refused,
    })
}

/// What can be told of a unit that does not answer. What cannot be found out stays open.
fn on_disc(config: &Config) -> Vitals {
    let last = || -> Result<Option<LastReading>, JournalError> {
        let mut last = None;
        Journal::open_read_only(&config.journal())?.for_each(Some(1), |row| {
            last = Some(LastReading::from(row));
            Ok::<(), JournalError>(())
        })?;
        Ok(last)
    };
    let films = fs::read_dir(config.state.join("spool")).into_iter().flatten().flatten();
    Vitals {
        waiting: films.filter(|film| !film.file_name().to_string_lossy().starts_with('.')).count(),
        last_reading: last().ok().flatten(),
        disc: health::space(&config.state).ok().map(|(free_bytes, total_bytes)| DiscVitals {
            free_bytes,
            total_bytes,
            min_free_bytes: config.min_free,
        }),
        ..Vitals::default()
    }
}

/// Everything that is not as it should be, each with what to do.
fn attention(vitals: &Vitals) -> Vec<String> {
    let faults = vitals.faults.iter().map(|fault| format!("{}; {}", fault.wrong, fault.advice));
    let parts = vitals.displays.iter().chain(&vitals.camera).chain(&vitals.gpu);
    let parts = parts.filter_map(|part| Some(format!("the {} fails: {}", part.name, part.wrong.as_ref()?)));
    let board = vitals.board_warnings().into_iter().map(|warning| format!("{}; {}", warning.wrong, warning.advice));
    let films = vitals.warnings.iter().map(|warning| format!("{}; {}", warning.wrong, warning.advice));
    faults.chain(parts).chain(board).chain(films).collect()
}

fn print(told: &Told) {
    let Told { vitals, .. } = told;
    let line = |style: Style, subject: &str, text: &str| {
        anstream::println!("{style}{subject:13}{style:#}  {text}");
    };
    let plain = Style::new();
    anstream::println!("chestlight {}: {NOTICE}", told.version);
    let bad = AnsiColor::Red.on_default().bold();
    match &told.why {
        None => line(AnsiColor::Cyan.on_default(), "unit", "runs"),
        Some(why) => line(bad, "unit", &format!("DOES NOT ANSWER: {why}. What follows was found on its disc")),
    }
    for attention in &told.attention {
        line(bad, "CHECK", attention);
    }
    if let Some(model) = &vitals.model {
        let digest = model.digest.get(..12).unwrap_or_default();
        line(plain, "model", &format!("{} ({digest}, {})", model.name, model.origin));
    }
    line(plain, "waiting", &format!("{} films", vitals.waiting));
    line(
        plain,
        "last reading",
        &match &vitals.last_reading {
            Some(LastReading { seq, recorded_at, verdict }) => format!("number {seq}, {recorded_at}, {verdict}"),
            None => "none is known".to_owned(),
        },
    );
    if let Some(DiscVitals { free_bytes, total_bytes, min_free_bytes }) = vitals.disc {
        let [free, total, least] = [free_bytes, total_bytes, min_free_bytes].map(|bytes| bytes >> 20);
        line(plain, "disc", &format!("{free} of {total} MiB are free; films are read down to {least} MiB"));
    }
    if let Some(celsius) = vitals.celsius {
        line(plain, "heat", &format!("{celsius:.0} degrees Celsius"));
    }
    if let Some(throttled) = vitals.throttled {
        line(plain, "speed", if throttled { "slowed down" } else { "full" });
    }
    if let Some(percent) = vitals.battery_percent {
        line(plain, "battery", &format!("{percent}%"));
    }
    for display in &vitals.displays {
        line(plain, "display", &format!("{} {}", display.name, works(display.wrong.is_none())));
    }
    if let Some(camera) = &vitals.camera {
        line(plain, "camera", &format!("{} {}", camera.name, works(camera.wrong.is_none())));
    }
    if let Some(gpu) = &vitals.gpu {
        line(plain, "GPU", works(gpu.wrong.is_none()));
    }
    if told.running {
        line(plain, "clock", if vitals.clock_trusted { "trusted" } else { "not set since the board started" });
    }
}

fn works(works: bool) -> &'static str {
    if works { "works" } else { "FAILS" }
}
