//! `chestlight bench`: what each room and each layer of the network costs on this machine.

pub mod machine;
mod report;

use std::fs;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, anyhow};
use chestlight::decode::{Limits, decode_reduced};
use chestlight::digest::hex;
use chestlight::journal::{Entry, Journal};
use chestlight::model::{EngineKind, EngineOptions, Model};
use chestlight::phantom::{Opacity, Phantom};
use chestlight::preprocess::{InputTensor, preprocess};
use chestlight::radiograph::Grey;
use chestlight::reading;
use chestlight::verdict::Verdict;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};

use super::{EngineArgument, Failure, Outcome, load_model_with, usage};
use report::{Layer, Report, Spread, Stage};

/// Measure every stage of the road, every layer of the network, and the memory
///
/// Films are read one after the other and recorded in a journal in a temporary folder. Close other programs first.
#[derive(clap::Args)]
pub struct Arguments {
    /// Films to read; without any, phantoms of 2,348 x 1,851 pixels as JPEG
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Readings to make, the films in turn
    #[arg(long, value_name = "N", default_value = "30")]
    films: NonZeroU32,
    /// Measure with this model's manifest instead of the shipped model
    #[arg(long, value_name = "MANIFEST")]
    model: Option<PathBuf>,
    /// What runs the network, as for classify
    #[arg(long, value_enum, default_value = "auto")]
    engine: EngineArgument,
    /// Threads that the network of one film uses
    #[arg(long, value_name = "N", default_value = "1")]
    threads: NonZeroUsize,
    /// Where to put the journal for the while; its disc decides how long recording takes
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Print one JSON object (docs/bench-json.md)
    #[arg(long)]
    json: bool,
}

/// Loads the model, reads the films and prints what it took.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let start = Instant::now();
    let options = EngineOptions { kind: arguments.engine.into(), threads: arguments.threads };
    let model = load_model_with(arguments.model.as_deref(), &options)?;
    let load_ms = milliseconds(start.elapsed());
    let films = if arguments.files.is_empty() { phantoms()? } else { read_files(&arguments.files)? };
    let prepared: Vec<InputTensor> = films.iter().map(|film| prepare(film, &model)).collect::<Result<_, _>>()?;
    let readings = arguments.films.get() as usize;

    let mut clocks = Clocks::default();
    let folder = temporary(arguments.state.as_deref())?;
    let mut journal = Journal::open(&folder.path().join("journal.db")).context("the journal for the while")?;
    // The first one finds cold caches and is not counted.
    for number in 0..=readings {
        let Some(film) = films.get(number % films.len()) else { break };
        let digest = hex(&Sha256::new().chain_update(number.to_le_bytes()).chain_update(&film.bytes).finalize());
        let clock = Clock::start();
        let reading = reading::read(&model, &film.bytes, &Limits::default());
        let read = Instant::now();
        let entry = Entry {
            input_digest: &digest,
            file_name: &film.name,
            taken_at: SystemTime::now(),
            reading: &reading,
            patient_hash: None,
            model: &model.manifest,
        };
        journal.append(&entry).context("a reading cannot be recorded")?;
        if let Verdict::Refused(_) | Verdict::Fault(_) = reading.verdict {
            return Err(usage(anyhow!("{} is not read: {}", film.name, reading.message)));
        }
        if number > 0 {
            clocks.add(&reading.ms, read.elapsed(), clock);
        }
    }
    let layers = layers(&model, &prepared, readings).context("the network cannot be run")?;

    let report = Report {
        schema: report::SCHEMA,
        chestlight: env!("CARGO_PKG_VERSION"),
        machine: machine::describe(),
        model: report::ModelPart {
            name: &model.manifest.name,
            digest: &model.manifest.digest,
            engine: match model.engine.kind() {
                EngineKind::Qnn => "qnn",
                EngineKind::Cuda => "cuda",
                EngineKind::Auto | EngineKind::Tract => "tract",
            },
            threads: arguments.threads,
            load_ms,
        },
        films: films.iter().map(|film| report::FilmPart { name: &film.name, bytes: film.bytes.len() }).collect(),
        readings,
        stages: clocks.stages(),
        layers,
        peak_memory_mib: machine::peak_memory_mib(),
    };
    report.print(arguments.json).context("the report cannot be printed")?;
    Ok(Outcome::Well)
}

/// A film in memory.
struct Film {
    name: String,
    bytes: Vec<u8>,
}

fn read_files(paths: &[PathBuf]) -> Result<Vec<Film>, Failure> {
    let read = |path: &PathBuf| {
        let bytes = fs::read(path).with_context(|| path.display().to_string()).map_err(usage)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(Film { name: name.unwrap_or_default(), bytes })
    };
    paths.iter().map(read).collect()
}

/// One phantom of each kind, of the size of the largest film of the paper's data.
fn phantoms() -> anyhow::Result<Vec<Film>> {
    let draw = |(name, opacity)| {
        let film = Phantom::new(7, opacity).sized(2_348, 1_851).render()?;
        let Grey::U8(samples) = film.pixels() else { return Err(anyhow!("phantoms have 8 bits")) };
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 90).encode(
            samples,
            film.width(),
            film.height(),
            ExtendedColorType::L8,
        )?;
        Ok(Film { name: format!("phantom-{name}.jpg"), bytes })
    };
    [("clear", Opacity::None), ("focal", Opacity::Focal), ("diffuse", Opacity::Diffuse)].into_iter().map(draw).collect()
}

/// The network's input of a film, for measuring the network alone.
fn prepare(film: &Film, model: &Model) -> Result<InputTensor, Failure> {
    let input = &model.manifest.input;
    let tensor = || -> anyhow::Result<InputTensor> {
        Ok(preprocess(&decode_reduced(&film.bytes, &Limits::default(), input.at_least())?, input)?)
    };
    tensor().with_context(|| film.name.clone()).map_err(usage)
}

fn temporary(folder: Option<&Path>) -> Result<tempfile::TempDir, Failure> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("chestlight-bench-");
    match folder {
        None => Ok(builder.tempdir().context("no temporary folder")?),
        Some(folder) => builder.tempdir_in(folder).with_context(|| folder.display().to_string()).map_err(usage),
    }
}

/// Wall and processor time since a moment.
struct Clock {
    wall: Instant,
    cpu: Duration,
}

impl Clock {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu_time() }
    }
}

/// Processor time of all threads of this process.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e6
}

/// The milliseconds of every reading, by stage.
#[derive(Default)]
struct Clocks {
    decode: Vec<f64>,
    gate: Vec<f64>,
    preprocess: Vec<f64>,
    infer: Vec<f64>,
    record: Vec<f64>,
    road: Vec<f64>,
    road_cpu: Vec<f64>,
}

impl Clocks {
    fn add(&mut self, rooms: &reading::Milliseconds, record: Duration, road: Clock) {
        let (wall, cpu) = (road.wall.elapsed(), cpu_time().saturating_sub(road.cpu));
        self.decode.push(rooms.decode);
        self.gate.push(rooms.gate);
        self.preprocess.push(rooms.preprocess);
        self.infer.push(rooms.infer);
        self.record.push(milliseconds(record));
        self.road.push(milliseconds(wall));
        self.road_cpu.push(milliseconds(cpu));
    }

    fn stages(self) -> Vec<Stage> {
        let stages = [
            ("decode", self.decode),
            ("gate", self.gate),
            ("preprocess", self.preprocess),
            ("infer", self.infer),
            ("record", self.record),
            ("road", self.road),
            ("road_cpu", self.road_cpu),
        ];
        stages.into_iter().map(|(stage, times)| Stage { stage, ms: Spread::of(times) }).collect()
    }
}

/// Every layer's time, in the order in which the network runs them.
fn layers(model: &Model, inputs: &[InputTensor], runs: usize) -> anyhow::Result<Vec<Layer>> {
    let mut names: Vec<(String, String)> = Vec::new();
    let mut times: Vec<Vec<f64>> = Vec::new();
    for (run, input) in inputs.iter().cycle().take(runs + 1).enumerate() {
        let mut place = 0;
        let mut since = Instant::now();
        model.engine.walk(input, &mut |layer| {
            let ms = milliseconds(since.elapsed());
            if run == 0 {
                names.push((layer.name.to_owned(), layer.operator.to_owned()));
                times.push(Vec::new());
            } else if let Some(times) = times.get_mut(place) {
                times.push(ms);
            }
            place += 1;
            since = Instant::now();
        })?;
    }
    let layer = |((layer, operator), times)| Layer { layer, operator, ms: Spread::of(times) };
    Ok(names.into_iter().zip(times).map(layer).collect())
}
