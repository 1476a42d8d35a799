//! `chestlight classify`: reads films and prints what came of each, in the order given.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, anyhow};
use chestlight::decode::{Limits, dicom};
use chestlight::model::{EngineOptions, Model};
use chestlight::reading::{self, Milliseconds, Reading};
use chestlight::refusal::Refusal;
use chestlight::show::{NOTICE, style};
use chestlight::verdict::{Probabilities, Verdict};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use walkdir::WalkDir;

use super::{EngineArgument, Failure, Hindrance, Outcome, film_bytes, load_model_with, usage};

/// Read films and print a verdict for each
#[derive(clap::Args)]
pub struct Arguments {
    /// Films, or folders that are searched for films
    #[arg(required = true, value_name = "FILE|FOLDER")]
    paths: Vec<PathBuf>,
    /// Print one JSON object a line (docs/classify-json.md)
    #[arg(long)]
    json: bool,
    /// Films that are read at the same time
    #[arg(long, value_name = "N", default_value = "1")]
    threads: NonZeroUsize,
    /// Age of the patient, years, of all these films; the model may be made for some ages alone
    #[arg(long, value_name = "YEARS", value_parser = years)]
    age: Option<f32>,
    /// Write each film under what speaks for its verdict as a PNG into this folder
    #[arg(long, value_name = "OUT_DIR")]
    explain: Option<PathBuf>,
    /// Read with this model's manifest instead of the shipped model
    #[arg(long, value_name = "MANIFEST")]
    model: Option<PathBuf>,
    /// What runs the network: auto takes qnn (integers) where it can run every quantized layer, else tract (floats)
    #[arg(long, value_enum, default_value = "auto")]
    engine: EngineArgument,
}

/// Reads every film once and prints it in its place.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let options = EngineOptions { kind: arguments.engine.into(), ..EngineOptions::default() };
    let model = load_model_with(arguments.model.as_deref(), &options)?;
    let mut passed_over = 0;
    let films: Vec<Input> = arguments.paths.iter().flat_map(|path| inputs(path, &mut passed_over)).collect();
    if passed_over > 0 {
        anstream::eprintln!("chestlight: {passed_over} index files passed over (DICOMDIR and the like)");
    }
    if films.is_empty() {
        return Err(usage(anyhow!("there are no films in {}", listed(&arguments.paths))));
    }
    match print_readings(arguments, &films, &model) {
        // Whoever reads the output has seen enough (`| head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::Well),
        outcome => Ok(outcome.context("the results cannot be printed")?),
    }
}

fn print_readings(arguments: &Arguments, films: &[Input], model: &Model) -> io::Result<Outcome> {
    if let Some(folder) = &arguments.explain {
        fs::create_dir_all(folder)?;
    }
    let printer = Printer::new(arguments.json, model, films.len() as u64)?;
    let mut outcome = Outcome::Well;
    let mut number = 0;
    read_in_order(
        films,
        arguments.threads,
        &|film| read(film, arguments, model),
        |film, ReadFilm { reading, heat_map }| {
            number += 1;
            if let Some((folder, png)) = arguments.explain.as_ref().zip(heat_map.as_ref()) {
                // Films of several folders may have one name.
                let name = film.path.file_name().unwrap_or_default().to_string_lossy();
                fs::write(folder.join(format!("{number:04}-{name}.png")), png)?;
            }
            outcome = worse(outcome, reading.verdict);
            printer.print(&film.path, reading)
        },
    )?;
    Ok(outcome)
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn worse(so_far: Outcome, verdict: Verdict) -> Outcome {
    match (so_far, verdict) {
        (Outcome::Fault, _) | (_, Verdict::Fault(_)) => Outcome::Fault,
        (_, Verdict::Refused(_)) => Outcome::Refused,
        (so_far, _) => so_far,
    }
}

/// One line of output to be.
struct Input {
    path: PathBuf,
    /// Why it cannot even be opened.
    hindrance: Option<String>,
}

/// Files that lie beside films and are none.
const INDEX_FILES: [&str; 5] = ["index.csv", "index.html", "DICOMDIR", "Thumbs.db", "desktop.ini"];

/// The file itself, or what a folder holds, sorted; a file named by the user is never passed over. Counts the index
/// files that are.
fn inputs(path: &Path, passed_over: &mut usize) -> Vec<Input> {
    if !path.is_dir() {
        return vec![Input { path: path.to_owned(), hindrance: None }];
    }
    let is_index = |name: &str| INDEX_FILES.iter().any(|index| name.eq_ignore_ascii_case(index));
    WalkDir::new(path)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.'))
        .filter_map(|entry| match entry {
            Ok(entry) if entry.file_type().is_dir() => None,
            Ok(entry) if is_index(&entry.file_name().to_string_lossy()) || is_dicom_directory(entry.path()) => {
                *passed_over += 1;
                None
            }
            Ok(entry) => Some(Input { path: entry.into_path(), hindrance: None }),
            Err(error) => {
                Some(Input { path: error.path().unwrap_or(path).to_owned(), hindrance: Some(error.to_string()) })
            }
        })
        .collect()
}

/// Whether the file is a DICOMDIR under another name; its meta information, which tells, is at its beginning.
fn is_dicom_directory(path: &Path) -> bool {
    const META: u64 = 4_096;
    film_bytes(path, META).is_ok_and(|head| dicom::is_directory(&head))
}

/// A reading, and the film under what speaks for its verdict where that is asked for.
struct ReadFilm {
    reading: Reading,
    heat_map: Option<Vec<u8>>,
}

/// Reads with `threads` workers and hands each film and its reading to `print` in the order of `films`.
fn read_in_order(
    films: &[Input],
    threads: NonZeroUsize,
    read: &(dyn Fn(&Input) -> ReadFilm + Sync),
    mut print: impl FnMut(&Input, &ReadFilm) -> io::Result<()>,
) -> io::Result<()> {
    let threads = threads.get().min(films.len());
    if threads == 1 {
        // Here, where what loading the model has freed is used again: the allocator gives every thread memory of its own.
        return films.iter().try_for_each(|film| print(film, &read(film)));
    }
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (sender, readings) = mpsc::channel();
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(film) = films.get(place) else { break };
                    // The printer is gone when printing failed: nothing is left to do.
                    if sender.send((place, read(film))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut early: BTreeMap<usize, ReadFilm> = BTreeMap::new();
        let mut films = films.iter().enumerate();
        for (place, reading) in readings {
            early.insert(place, reading);
            while let Some((turn, film)) = films.clone().next()
                && let Some(reading) = early.remove(&turn)
            {
                print(film, &reading)?;
                films.next();
            }
        }
        Ok(())
    })
}

fn read(film: &Input, arguments: &Arguments, model: &Model) -> ReadFilm {
    let unread = |refusal, detail: &str| ReadFilm { reading: Reading::refused(refusal, detail), heat_map: None };
    if let Some(hindrance) = &film.hindrance {
        return unread(Refusal::Unreadable, hindrance);
    }
    let limits = Limits::default();
    let bytes = match film_bytes(&film.path, limits.max_bytes) {
        Ok(bytes) => bytes,
        Err(hindrance @ Hindrance::NotAFile) => return unread(Refusal::NotAFile, &hindrance.to_string()),
        Err(hindrance @ Hindrance::Io(_)) => return unread(Refusal::Unreadable, &hindrance.to_string()),
    };
    let reading = reading::read_of_age(model, &bytes, &limits, arguments.age);
    let heat_map = arguments.explain.as_ref().and_then(|_| {
        let drawn = || -> anyhow::Result<Option<Vec<u8>>> {
            let heat_map = reading::heat_map(model, &reading, &bytes, &limits)?;
            Ok(heat_map.map(|map| map.sheet(&reading.message, NOTICE).png()).transpose()?)
        };
        drawn().unwrap_or_else(|error| {
            log::warn!("{}: no heat map: {error}", film.path.display());
            None
        })
    });
    ReadFilm { reading, heat_map }
}

/// An age as the operator states it.
fn years(text: &str) -> Result<f32, String> {
    let told = || format!("{text:?} is not an age of 0 to 150 years");
    let years: f32 = text.parse().map_err(|_| told())?;
    if (0.0..=150.0).contains(&years) { Ok(years) } else { Err(told()) }
}

/// Layout of a line of `--json`; `docs/classify-json.md` documents it.
#[derive(Serialize)]
struct JsonLine<'a> {
    schema: u32,
    file: &'a str,
    verdict: &'static str,
    reason: Option<&'static str>,
    message: &'a str,
    probabilities: Option<Probabilities>,
    distance: Option<f32>,
    model: JsonModel<'a>,
    ms: Milliseconds,
    notice: &'static str,
}

#[derive(Serialize)]
struct JsonModel<'a> {
    name: &'a str,
    digest: &'a str,
}

struct Printer<'a> {
    json: bool,
    model: &'a Model,
    progress: ProgressBar,
}

impl<'a> Printer<'a> {
    fn new(json: bool, model: &'a Model, films: u64) -> io::Result<Self> {
        // On a terminal the lines themselves are the progress.
        let progress = if io::stdout().is_terminal() { ProgressBar::hidden() } else { ProgressBar::new(films) };
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} films, {eta} left") {
            progress.set_style(style);
        }
        anstream::eprintln!("chestlight: {NOTICE}; model {}", model.manifest.name);
        if !json {
            let mut out = anstream::stdout();
            writeln!(out, "{:20} {:>6} {:>9} {:>8} {:>8}  FILE", "VERDICT", "NORMAL", "BACTERIAL", "COVID-19", "MS")?;
        }
        Ok(Self { json, model, progress })
    }

    fn print(&self, path: &Path, reading: &Reading) -> io::Result<()> {
        let file = path.to_string_lossy();
        self.progress.inc(1);
        self.progress.suspend(|| {
            let mut out = anstream::stdout().lock();
            if self.json {
                let manifest = &self.model.manifest;
                let line = JsonLine {
                    schema: 1,
                    file: &file,
                    verdict: reading.verdict.name(),
                    reason: reading.verdict.reason(),
                    message: &reading.message,
                    probabilities: reading.probabilities,
                    distance: reading.distance,
                    model: JsonModel { name: &manifest.name, digest: &manifest.digest },
                    ms: reading.ms,
                    notice: NOTICE,
                };
                return writeln!(out, "{}", serde_json::to_string(&line)?);
            }
            let style = style(reading.verdict);
            let words = reading.verdict.words();
            let ms = reading.ms.total;
            match reading.probabilities {
                Some(Probabilities { normal, bacterial, covid19 }) => writeln!(
                    out,
                    "{style}{words:20}{style:#} {:>5.1}% {:>8.1}% {:>7.1}% {ms:>8.1}  {file}",
                    normal * 100.0,
                    bacterial * 100.0,
                    covid19 * 100.0
                ),
                None => writeln!(
                    out,
                    "{style}{words:20}{style:#} {:>6} {:>9} {:>8} {ms:>8.1}  {file}: {}",
                    "-", "-", "-", reading.message
                ),
            }
        })
    }
}
