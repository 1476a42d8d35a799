//! `chestlight-trainer quantize`: the int8 file of a finished run, and what rounding costs.

use std::path::PathBuf;

use chestlight::model::Engine;
use chestlight::show::NOTICE;
use chestlight_trainer::evaluate::Rate;
use chestlight_trainer::experiment::{Experiment, Observer};
use chestlight_trainer::index::Index;
use chestlight_trainer::judge::{self, Judged};
use chestlight_trainer::onnx::{LayerNoise, noise};
use chestlight_trainer::split::{self, Part, Sample};
use clap::ValueEnum;
use serde::Serialize;

use super::{bar, bind, ship, write};

/// Largest loss of accuracy that passes, percentage points.
const MOST_LOST: f64 = 0.3;

/// Films over which the noise of the layers is measured; more change nothing.
const NOISE_FILMS: usize = 32;

/// Quantizes the network of a finished run, and reports what that costs
#[derive(clap::Args)]
pub struct Args {
    /// The folder of a finished run of `train`
    #[arg(long, value_name = "FOLDER")]
    run: PathBuf,
    /// The index that it was trained from
    #[arg(long, value_name = "CSV")]
    index: PathBuf,
    /// The int8 file to write
    #[arg(long, value_name = "ONNX")]
    out: PathBuf,
    /// Error of every layer, and the accuracy before and after through chestlight's engine: Markdown into this file,
    /// and JSON beside it
    #[arg(long, value_name = "MD")]
    report: Option<PathBuf>,
    /// The part on which the report measures accuracy
    #[arg(long, value_enum, default_value = "validation")]
    part: Part,
    /// Instead of the experiment's observer
    #[arg(long, value_enum)]
    observer: Option<ObserverName>,
    /// The share of the samples that `--observer percentile` keeps at either end
    #[arg(long, value_name = "FRACTION", default_value_t = 0.9999)]
    percentile: f64,
    /// Instead of the experiment's bits of a weight, 7 or 8
    #[arg(long, value_name = "BITS")]
    weight_bits: Option<u8>,
    /// Instead of the experiment's bias correction
    #[arg(long, value_name = "BOOL")]
    bias_correction: Option<bool>,
    /// Instead of the experiment's equalisation
    #[arg(long, value_name = "BOOL")]
    equalise: Option<bool>,
}

/// The observers by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ObserverName {
    Percentile,
    Entropy,
    Mse,
}

/// What quantization costs.
#[derive(Serialize)]
struct Report {
    schema: u32,
    notice: &'static str,
    settings: chestlight_trainer::experiment::Int8,
    part: Part,
    f32: Rate,
    int8: Rate,
    /// Percentage points.
    lost: f64,
    passes: bool,
    layers: Vec<LayerNoise>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut experiment = Experiment::read(&args.run.join("experiment.toml"))?;
    let int8 = &mut experiment.int8;
    int8.observer = match args.observer {
        Some(ObserverName::Percentile) => Observer::Percentile(args.percentile),
        Some(ObserverName::Entropy) => Observer::Entropy,
        Some(ObserverName::Mse) => Observer::Mse,
        None => int8.observer,
    };
    int8.weight_bits = args.weight_bits.unwrap_or(int8.weight_bits);
    int8.bias_correction = args.bias_correction.unwrap_or(int8.bias_correction);
    int8.equalise = args.equalise.unwrap_or(int8.equalise);
    if let Some((key, wrong)) = experiment.wrong() {
        anyhow::bail!("{key} {wrong}");
    }
    let index = Index::read(&args.index)?;
    bind(&args.run, &index)?;
    let samples = split::deal(&index, &experiment)?;
    let quantized = ship::quantized(&args.run, &index, &samples, &experiment.int8)?;
    write(&args.out, &quantized.files.int8)?;
    println!("{}: {:.1} MiB", args.out.display(), quantized.files.int8.len() as f64 / f64::from(1 << 20));
    let Some(path) = &args.report else { return Ok(()) };

    let films: Vec<&Sample> = samples.iter().filter(|sample| sample.part == args.part).collect();
    let accuracy = |onnx: &[u8]| -> anyhow::Result<Rate> {
        let engine = Engine::load(onnx, &experiment.input)?;
        let bar = bar("measuring", films.len());
        let outputs = (&engine, &experiment.input, &experiment.classes);
        let judged = judge::by_engine(outputs, &index, &films, &mut || bar.inc(1))?;
        bar.finish_and_clear();
        let right = |film: &&Judged| film.answer == Some(film.truth);
        Ok(Rate::new(judged.iter().filter(right).count() as u32, judged.len() as u32))
    };
    let (f32, int8) = (accuracy(&quantized.files.float)?, accuracy(&quantized.files.int8)?);
    let some = quantized.validation.get(..NOISE_FILMS).unwrap_or(&quantized.validation);
    let lost = (f32.rate - int8.rate) * 100.0;
    let report = Report {
        schema: 1,
        notice: NOTICE,
        settings: experiment.int8,
        part: args.part,
        f32,
        int8,
        lost,
        passes: lost <= MOST_LOST,
        layers: noise(&quantized.files, some)?,
    };
    write(path, markdown(&report).as_bytes())?;
    write(&path.with_extension("json"), serde_json::to_string_pretty(&report)?.as_bytes())?;
    println!("{}: {}", path.display(), verdict(&report));
    Ok(())
}

fn verdict(report: &Report) -> String {
    let passes = if report.passes { "passes" } else { "does not pass" };
    format!("{:+.2} percentage points on the {} part; {passes}", -report.lost, report.part.name())
}

fn markdown(report: &Report) -> String {
    let mut text = format!(
        "# Quantization\n\n{NOTICE}\n\n\
         Settings: {:?}\n\n\
         Accuracy on the {} part through chestlight's engine, by the highest logit:\n\n\
         - f32: {}\n- int8: {}\n- change: {} (at most {MOST_LOST} may be lost)\n\n\
         Signal to quantization noise of every value, the noisiest first:\n\n| value | dB |\n|---|---:|\n",
        report.settings,
        report.part.name(),
        report.f32,
        report.int8,
        verdict(report),
    );
    let mut layers: Vec<&LayerNoise> = report.layers.iter().collect();
    let decibels = |layer: &LayerNoise| layer.decibels.unwrap_or(f64::INFINITY);
    layers.sort_by(|a, b| decibels(a).total_cmp(&decibels(b)));
    for layer in layers {
        text += &format!("| {} | {:.1} |\n", layer.name, decibels(layer));
    }
    text
}
