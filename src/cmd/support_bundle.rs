//! `chestlight support-bundle`: what helps a stranger to help, in one archive that names no patient and no film.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, anyhow};
use chestlight::choose::{self, Deaths, Origin};
use chestlight::config::Config;
use chestlight::journal::{Journal, JournalError};
use chestlight::model::shipped;
use chestlight::model::slots::Slots;
use chestlight::show::NOTICE;
use serde::Serialize;
use toml::{Table, Value};

use super::bench::machine;
use super::{Failure, Outcome, check, choose_model, status, told, usage};

/// Whatever the shipped example says is no secret.
const EXAMPLE: &str = include_str!("../../chestlight.example.toml");
/// Sections that name hardware alone.
const HARDWARE: [&str; 4] = ["camera", "lamps", "oled", "screen"];
/// What stands for what was taken out.
const TAKEN_OUT: &str = "(taken out)";
/// Shorter texts are taken out of the configuration alone: elsewhere they are parts of other words.
const SHORTEST: usize = 4;
/// Most of the log that is taken.
const LOG_LINES: &str = "1000";
const MOST_LOG: u64 = 1 << 20;

/// Pack what helps others to find out what is wrong with the unit; no film and no patient is named in it
///
/// A tar archive with the configuration without paths and addresses of the site, the vitals, what `check` finds,
/// figures of the journal, the model's manifest and the last lines of the system's log. Look through it before you send
/// it: `tar -xOf OUT`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Configuration of the unit
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The archive to write; there must be no such file yet
    #[arg(value_name = "OUT")]
    out: PathBuf,
}

/// Gathers everything first: an archive is either whole or not there.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let config = Config::read(&arguments.config).map_err(usage)?;
    let text = fs::read_to_string(&arguments.config).context("the configuration cannot be read").map_err(usage)?;
    let (configuration, secrets) = without_secrets(&text, &config, &arguments.config)?;
    let log = last_log_lines();
    let entries = [
        ("about.json", about()?),
        ("configuration.toml", configuration),
        ("status.json", json(&status::Told::of(&config))?),
        ("checks.txt", checks(&config)),
        ("journal.json", json(&Figures::of(&config))?),
        ("model.toml", manifest(&config).unwrap_or_else(|error| format!("# no manifest: {}\n", told(&error)))),
        ("log.txt", log.unwrap_or_else(|error| format!("no log: journalctl: {error}\n"))),
    ];

    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in entries {
        let text = secrets.iter().fold(text, |text, secret| text.replace(secret, TAKEN_OUT));
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        let path = Path::new("chestlight-support").join(name);
        archive.append_data(&mut header, path, text.as_bytes()).context("the archive cannot be made")?;
    }
    let bytes = archive.into_inner().context("the archive cannot be made")?;
    let out = arguments.out.display();
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&arguments.out);
    let written = written.and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()));
    written.with_context(|| format!("{out} cannot be written")).map_err(usage)?;
    anstream::println!("{out} holds no film and no patient's name; look at it before you send it ({NOTICE})");
    Ok(Outcome::Well)
}

fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

fn about() -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct About {
        notice: &'static str,
        version: &'static str,
        machine: machine::Machine,
        system: Option<String>,
        uptime_seconds: Option<f64>,
    }
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    json(&About {
        notice: NOTICE,
        version: env!("CARGO_PKG_VERSION"),
        machine: machine::describe(),
        system: release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).map(str::to_owned),
        uptime_seconds: uptime.split(' ').next().and_then(|seconds| seconds.parse().ok()),
    })
}

/// The configuration without remarks and without what is the site's own, and that, the longest first.
fn without_secrets(text: &str, config: &Config, path: &Path) -> anyhow::Result<(String, Vec<String>)> {
    let mut table: Table = text.parse()?;
    let mut secrets = Vec::new();
    for (section, value) in &mut table {
        if !HARDWARE.contains(&section.as_str()) {
            take_out(value, &mut secrets);
        }
    }
    // Messages tell paths in full.
    let folder = fs::canonicalize(path).ok().and_then(|path| Some(path.parent()?.to_owned()));
    let folders = [Some(config.inbox.clone()), Some(config.state.clone()), folder];
    let models = [config.model.clone(), config.trusted_keys.clone()];
    let paths = folders.into_iter().chain(models).flatten().chain([path.to_owned()]);
    secrets.extend(paths.map(|path| path.display().to_string()).filter(|path| !EXAMPLE.contains(path)));
    secrets.retain(|secret| secret.len() >= SHORTEST);
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    Ok((toml::to_string(&table)?, secrets))
}

fn take_out(value: &mut Value, secrets: &mut Vec<String>) {
    match value {
        Value::String(text) if !EXAMPLE.contains(text.as_str()) => {
            secrets.push(std::mem::replace(text, TAKEN_OUT.to_owned()));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| take_out(value, secrets)),
        Value::Table(table) => table.iter_mut().for_each(|(_, value)| take_out(value, secrets)),
        _ => {}
    }
}

fn checks(config: &Config) -> String {
    let line = |(subject, finding): (&str, Result<String, String>)| match finding {
        Ok(found) => format!("ok    {subject}  {found}\n"),
        Err(wrong) => format!("FAIL  {subject}  {wrong}\n"),
    };
    check::findings(config, "the configuration").into_iter().map(line).collect()
}

/// What the journal holds, in figures alone.
#[derive(Default, Serialize)]
struct Figures {
    /// Why there are none, or not all.
    wrong: Option<String>,
    bytes: u64,
    schema_known: i64,
    readings: u64,
    first_recorded_at: Option<String>,
    last_recorded_at: Option<String>,
    /// By software, model, verdict and refusal.
    verdicts: BTreeMap<String, u64>,
    slowest_ms: f64,
    /// Whether the chain is whole.
    chain: Option<String>,
}

impl Figures {
    fn of(config: &Config) -> Self {
        let bytes = fs::metadata(config.journal()).map_or(0, |file| file.len());
        let mut figures = Self { bytes, schema_known: chestlight::journal::SCHEMA_VERSION, ..Self::default() };
        if let Err(error) = figures.count(config) {
            figures.wrong = Some(error.to_string());
        }
        figures
    }

    fn count(&mut self, config: &Config) -> Result<(), JournalError> {
        let journal = Journal::open_read_only(&config.journal())?;
        self.chain = Some(match journal.verify()? {
            Ok(whole) => {
                format!("whole, {} readings, {} overrides, {} notes", whole.readings, whole.overrides, whole.notes)
            }
            Err(broken) => format!("BROKEN: {broken}"),
        });
        journal.for_each(None, |row| {
            self.readings += 1;
            self.first_recorded_at.get_or_insert_with(|| row.recorded_at.clone());
            self.last_recorded_at = Some(row.recorded_at.clone());
            self.slowest_ms = self.slowest_ms.max(row.total_ms);
            let words = [&row.software_version, &row.model_name, &row.verdict, row.reason.as_deref().unwrap_or("-")];
            *self.verdicts.entry(words.join(" ")).or_default() += 1;
            Ok(())
        })
    }
}

/// The manifest of the model that the unit reads with.
fn manifest(config: &Config) -> anyhow::Result<String> {
    let chosen = choose_model(config, Deaths::NotCounted).map_err(|failure| failure.error)?;
    match chosen.origin {
        Origin::Configured(path) => Ok(fs::read_to_string(path)?),
        Origin::Shipped => Ok(shipped().manifest.clone()),
        Origin::Installed { slot, .. } => {
            let signed = Slots::new(&config.state).read(slot, &choose::trusted_keys(config)?)?;
            Ok(signed.ok_or_else(|| anyhow!("the slot is empty"))?.bundle.files.manifest)
        }
    }
}

/// The last lines of the unit in the system's log, which name no film.
fn last_log_lines() -> io::Result<String> {
    let arguments = ["--unit=chestlight", "--lines", LOG_LINES, "--no-pager", "--no-hostname", "--output=short-iso"];
    let mut child = Command::new("journalctl")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut lines = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(MOST_LOG).read_to_end(&mut lines)?;
    }
    // It may still want to tell more than is taken.
    let _ = child.kill();
    child.wait()?;
    Ok(String::from_utf8_lossy(&lines).into_owned())
}
