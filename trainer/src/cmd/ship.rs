//! `chestlight-trainer ship`: from a trained network to a model that units can read with.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use burn::prelude::Device;
use chestlight::digest::hex;
use chestlight::gate::{Ages, Bounds};
use chestlight::model::{DataCount, Engine, Golden, Manifest, Model, ModelFiles, Outputs, Provenance};
use chestlight::phantom::{Opacity, Phantom};
use chestlight::preprocess::{InputTensor, preprocess};
use chestlight::reading::{self, Judgement};
use chestlight::show::NOTICE;
use chestlight::verdict::{self, Calibration, Class, Logits, Probabilities};
use chestlight_trainer::card::{Facts, card};
use chestlight_trainer::distance::{self, Distance};
use chestlight_trainer::evaluate::{self, Evaluation};
use chestlight_trainer::experiment::{Experiment, Int8};
use chestlight_trainer::finding::Finding;
use chestlight_trainer::index::Index;
use chestlight_trainer::measure::calibrated;
use chestlight_trainer::onnx::{self, Graph};
use chestlight_trainer::split::{self, Part, Sample};
use chestlight_trainer::{augment, calibrate, dataset, judge, parallel, reference};
use sha2::{Digest, Sha256};

use super::{bar, bind, load_run, write};

/// How far a golden probability may be off on another processor.
const GOLDEN_TOLERANCE: f32 = 0.05;

/// Quantizes a trained network, calibrates and measures it, and writes model, manifest and card
#[derive(clap::Args)]
pub struct Args {
    /// The folder of a finished run of `train`
    #[arg(long, value_name = "FOLDER")]
    pub run: PathBuf,
    /// The index that it was trained from
    #[arg(long, value_name = "CSV")]
    pub index: PathBuf,
    /// The manifest to write, NAME.toml; NAME.onnx and NAME.md come beside it
    #[arg(long, value_name = "TOML")]
    pub out: PathBuf,
    /// Told in manifest and card as the command that trained it
    #[arg(long, value_name = "TEXT", default_value = "chestlight-trainer train")]
    pub command: String,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    ship(args)?;
    Ok(())
}

/// A finished run as files for the device's engine.
pub struct Quantized {
    /// The networks.
    pub files: onnx::Files,
    /// Inputs of the validation films, in the order of the parts.
    pub validation: Vec<InputTensor>,
    /// What was added to the outputs.
    pub offsets: [f32; 3],
}

/// Quantizes the network of a finished run over its validation films; the f32 file is kept beside it.
pub fn quantized(run: &Path, index: &Index, samples: &[Sample], int8: &Int8) -> anyhow::Result<Quantized> {
    let (experiment, net) = load_run(run, &Device::flex())?;
    let films = part(samples, Part::Validation);
    let validation = dataset::load_all(index, &films, &experiment.input, &|| {})?;
    let mut graph = Graph::of(&net, [experiment.input.height as usize, experiment.input.width as usize]);
    let mut offsets = [0.0; 3];
    if experiment.offsets {
        let engine = Engine::load(&onnx::write_f32(&graph), &experiment.input)?;
        offsets = calibrate::offsets(&answers(&engine, &validation, &films)?);
        graph.add_to_outputs(&offsets);
    }
    let observing = bar("learning ranges", 2 * validation.len());
    let files = onnx::files(graph, &validation, int8, &mut || observing.inc(1))?;
    observing.finish_and_clear();
    write(&run.join("f32.onnx"), &files.float)?;
    Ok(Quantized { files, validation, offsets })
}

/// Logits of the films whose class a device answers.
fn answers(engine: &Engine, inputs: &[InputTensor], films: &[&Sample]) -> anyhow::Result<Vec<(Logits, Class)>> {
    let known = inputs.iter().zip(films).filter_map(|(input, film)| Some((input, film.class.device()?)));
    known.map(|(input, class)| Ok((engine.infer(input)?.logits, class))).collect()
}

/// Fits the distance to what the int8 network makes of the training films, in two views of each, and of phantoms.
fn fit_distance(
    files: &mut onnx::Files,
    experiment: &Experiment,
    index: &Index,
    samples: &[Sample],
) -> anyhow::Result<()> {
    let block = experiment.gate_block();
    let value = files.rounded.value_of_block(block).with_context(|| format!("there is no block {block}"))?.to_owned();
    let probe = files.probe(&value)?;
    let films: Vec<(usize, &Sample)> = part(samples, Part::Train).into_iter().enumerate().collect();
    let fitting = bar("fitting the gate", films.len());
    let means = parallel::each(&films, |(place, film)| -> anyhow::Result<_> {
        fitting.inc(1);
        let input = dataset::load(index, film, &experiment.input)?;
        [0, 1]
            .map(|view| probe.channel_means(&augment::view(&input, &experiment.augment, experiment.seed, *place, view)))
            .into_iter()
            .map(|means| Ok(means?))
            .collect::<anyhow::Result<Vec<_>>>()
    });
    fitting.finish_and_clear();
    let mut means: Vec<Vec<f32>> = means.into_iter().collect::<anyhow::Result<Vec<_>>>()?.concat();
    for phantom in distance::phantoms()? {
        means.push(probe.channel_means(&preprocess(&phantom, &experiment.input)?)?);
    }
    let distance = Distance::fit(&value, &means).context("the training films do not differ from each other")?;
    files.tell_distance(distance, &experiment.int8);
    Ok(())
}

/// Writes model, manifest and card of a finished run. Returns name and answers of each control.
pub fn ship(args: &Args) -> anyhow::Result<Vec<(String, [u32; 6])>> {
    let Some(name) = args.out.file_stem().and_then(|name| name.to_str()) else {
        bail!("{} does not end in a name", args.out.display());
    };
    let (experiment, _) = load_run(&args.run, &Device::flex())?;
    if experiment.classes != Finding::DEVICE {
        bail!("{} answers other classes than a device does; it can be begun with, not shipped", args.run.display());
    }
    let index = Index::read(&args.index)?;
    bind(&args.run, &index)?;
    let samples = split::deal(&index, &experiment)?;
    let Quantized { mut files, validation, offsets } = quantized(&args.run, &index, &samples, &experiment.int8)?;
    fit_distance(&mut files, &experiment, &index, &samples)?;
    let onnx::Files { float, int8, .. } = files;
    write(&args.run.join("f32.onnx"), &float)?;

    let engine = Engine::load(&int8, &experiment.input)?;
    let films = part(&samples, Part::Validation);
    let outputs = parallel::each(&validation, |input| engine.infer(input));
    let outputs: Vec<Outputs> = outputs.into_iter().collect::<Result<_, _>>()?;
    let known = |tested: &[bool]| -> Vec<(Logits, Class)> {
        let films = outputs.iter().zip(&films).filter(|(_, film)| tested.contains(&film.tested));
        films.filter_map(|(outputs, film)| Some((outputs.logits, film.class.device()?))).collect()
    };
    let (logits, tested, others) = (known(&[true, false]), known(&[true]), known(&[false]));
    // What is measured is how probabilities hold on films as they are tested. Films that only teach are harder, and with
    // them the others would look less certain than they are.
    let measured_on = if tested.is_empty() { &logits } else { &tested };
    let temperature = calibrate::temperature(measured_on);
    let refer_below = experiment.refer_below;
    let mut calibration = Calibration { temperature, refer_below, points: None };
    let probabilities =
        logits.iter().filter_map(|(logits, class)| Some((verdict::calibrate(*logits, &calibration)?, *class)));
    let points = calibrate::points(&probabilities.collect::<Vec<_>>(), refer_below, experiment.sensitivity);
    calibration.points = Some(points);
    let distances: Vec<f32> = outputs.iter().filter_map(|outputs| outputs.distance).collect();
    let distance_at_most = reference::bound(&distances, experiment.gate.refused).context("no film has a distance")?;
    let read = outputs.iter().zip(&films).filter_map(|(outputs, film)| {
        let distance = outputs.distance?;
        let verdict = verdict::Verdict::decide(verdict::calibrate(outputs.logits, &calibration)?, &calibration);
        let (refused, referred) = (distance > distance_at_most, verdict == verdict::Verdict::Refer);
        Some(reference::Read { source: film.film.source.clone(), distance, refused, referred: referred && !refused })
    });
    let mut manifest = Manifest {
        schema: 1,
        name: name.into(),
        digest: hex(&Sha256::digest(&int8)),
        classes: Class::ALL.to_vec(),
        input: experiment.input.clone(),
        calibration,
        gate: Some(Bounds { distance_at_most, ages: experiment.gate.ages.map(|[from, to]| Ages { from, to }) }),
        reference: reference::of(&read.collect::<Vec<_>>()),
        provenance: Provenance {
            command: args.command.clone(),
            trainer: env!("CARGO_PKG_VERSION").into(),
            index_digest: index.digest.clone(),
            data: data_counts(&samples),
        },
        golden: Vec::new(),
    };
    let model = Model { manifest: manifest.clone(), engine };
    manifest.golden = golden(&model)?;

    write(&args.out, toml::to_string(&manifest)?.as_bytes())?;
    write(&args.out.with_extension("onnx"), &int8)?;
    // What is measured is what was written, read back as a unit reads it.
    let shipped = ModelFiles::read(&args.out)?.load()?;
    let test = part(&samples, Part::Test);
    let (int8_on_test, expected_error) = measured(&shipped, &index, &test)?;
    let alone = |engine: &Engine| -> anyhow::Result<Evaluation> {
        let outputs = (engine, &experiment.input, &Finding::DEVICE);
        Ok(Evaluation::of(&judge::by_engine(outputs, &index, &test, &mut || {})?, &test))
    };
    let controls = experiment
        .controls
        .iter()
        .map(|control| {
            let films = split::control(&index, control, &samples);
            let bar = bar("controls", films.len());
            let columns = evaluate::columns(&shipped, &index, &films, &|| bar.inc(1));
            bar.finish_and_clear();
            Ok((control.name.clone(), evaluate::counted(&columns.context("a film of the index cannot be read")?)))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let evaluation = format!(
        "chestlight-trainer evaluate --model models/{name}.toml --experiment EXPERIMENT --index INDEX --part test"
    );
    let text = card(&Facts {
        manifest: &manifest,
        samples: &samples,
        int8: &int8_on_test,
        alone: &alone(&shipped.engine)?,
        f32: &alone(&Engine::load(&float, &experiment.input)?)?,
        likelihood: [1.0, temperature].map(|temperature| calibrate::loss(measured_on, temperature)),
        error_on_others: (!others.is_empty()).then(|| error_at(&others, temperature)),
        offsets,
        experiment: &experiment,
        controls: &controls,
        expected_error,
        bytes: int8.len(),
        evaluation: &evaluation,
    });
    write(&args.out.with_extension("md"), text.as_bytes())?;
    println!("{}: accuracy on the test part {}\n{NOTICE}", args.out.display(), int8_on_test.all.accuracy());
    Ok(controls)
}

pub fn part(samples: &[Sample], part: Part) -> Vec<&Sample> {
    samples.iter().filter(|sample| sample.part == part).collect()
}

fn data_counts(samples: &[Sample]) -> Vec<DataCount> {
    let of = |part| {
        let [normal, bacterial, covid19, _viral, not_covid19] = split::counts(samples, part);
        DataCount { part: part.name().into(), normal, bacterial, covid19, not_covid19 }
    };
    Part::ALL.map(of).to_vec()
}

/// What the model says of phantoms: every installation must find the same.
fn golden(model: &Model) -> anyhow::Result<Vec<Golden>> {
    [(1, Opacity::None), (2, Opacity::Focal), (3, Opacity::Diffuse)]
        .map(|(seed, opacity)| {
            let Judgement { probabilities, distance, map } =
                reading::judge(model, &Phantom::new(seed, opacity).render()?)?;
            // Four digits are more than processors agree on, and people can read them.
            let rounded = |value: f32| (value * 1e4).round() / 1e4;
            let [normal, bacterial, covid19] = probabilities.to_array().map(rounded);
            let probabilities = Probabilities { normal, bacterial, covid19 };
            let map = map.as_ref().map(|map| Golden::quarters(map).map(rounded));
            let distance = distance.map(rounded);
            Ok(Golden { seed, opacity, probabilities, tolerance: GOLDEN_TOLERANCE, distance, map })
        })
        .into_iter()
        .collect()
}

/// The expected calibration error of logits at a temperature.
fn error_at(films: &[(Logits, Class)], temperature: f32) -> f64 {
    let calibration = Calibration { temperature, refer_below: 0.0, points: None };
    let answer = |(logits, class): &(Logits, Class)| {
        let probabilities = verdict::calibrate(*logits, &calibration)?;
        Some((probabilities.to_array(), Class::ALL.iter().position(|it| it == class)?))
    };
    calibrated(&films.iter().filter_map(answer).collect::<Vec<_>>()).expected_error
}

/// What the device says of films, and the expected calibration error of what it does not refuse.
fn measured(model: &Model, index: &Index, films: &[&Sample]) -> anyhow::Result<(Evaluation, f64)> {
    let bar = bar("measuring", films.len());
    let judged = judge::by_device(model, index, films, &mut || bar.inc(1))?;
    bar.finish_and_clear();
    let answers: Vec<_> = judged.iter().filter_map(|film| Some((film.probabilities?, film.truth))).collect();
    Ok((Evaluation::of(&judged, films), calibrated(&answers).expected_error))
}
