//! `experiment run`: one job from films to a measured int8 model.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chestlight::model::{Engine, ModelFiles};
use chestlight::show::NOTICE;
use chestlight_trainer::evaluate::Rate;
use chestlight_trainer::experiment::Experiment;
use chestlight_trainer::finding::Finding;
use chestlight_trainer::index::Index;
use chestlight_trainer::judge::{self, Judged, median_milliseconds};
use chestlight_trainer::measure::{recalls, scores};
use chestlight_trainer::result::JobResult;
use chestlight_trainer::split::{self, Part, Sample};

use crate::cmd::{bar, read_curve, ship, train, write};

/// Runs the command.
pub fn run(args: &train::Args) -> anyhow::Result<()> {
    let result = job(args)?;
    println!("{}: accuracy {:.2}%\n{NOTICE}", args.run.display(), result.scores.accuracy.value * 100.0);
    Ok(())
}

/// Where a finished job keeps what it found.
pub fn result_file(run: &Path) -> PathBuf {
    run.join("result.json")
}

/// The result of a finished job; `None` where there is none.
pub fn finished(run: &Path) -> anyhow::Result<Option<JobResult>> {
    let path = result_file(run);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).map(Some).with_context(|| format!("{} is no result of a job", path.display()))
}

/// One job.
pub fn job(args: &train::Args) -> anyhow::Result<JobResult> {
    let args = &train::Args { resume: true, ..args.clone() };
    // Also where the job is done: it tells when the folder belongs to another experiment or another index.
    train::run(args)?;
    if let Some(result) = finished(&args.run)? {
        return Ok(result);
    }
    let experiment = Experiment::read(&args.run.join("experiment.toml"))?;
    let index = Index::read(&args.index)?;
    let samples = split::deal(&index, &experiment)?;
    let test: Vec<&Sample> = samples.iter().filter(|sample| sample.part == Part::Test).collect();
    let (judged, controls) = if experiment.classes == Finding::DEVICE {
        let out = args.run.join("model.toml");
        let controls = ship::ship(&ship::Args {
            run: args.run.clone(),
            index: args.index.clone(),
            out: out.clone(),
            command: format!("chestlight-trainer experiment run --experiment {}", args.experiment.display()),
        })?;
        let model = ModelFiles::read(&out)?.load()?;
        let bar = bar("measuring", test.len());
        let judged = judge::by_device(&model, &index, &test, &mut || bar.inc(1))?;
        bar.finish_and_clear();
        (judged, controls)
    } else {
        (by_engine(args, &experiment, &index, &samples, &test)?, Vec::new())
    };

    let curve = read_curve(&args.run)?;
    let covid19 = |answers: [u32; 6]| Rate::new(answers[2], answers.iter().sum());
    let result = JobResult {
        schema: 1,
        notice: NOTICE.into(),
        name: args.experiment.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        architecture: experiment.architecture,
        seed: experiment.seed,
        fold: experiment.split.fold,
        leave_out: experiment.split.leave_out.clone(),
        classes: experiment.classes,
        trained: split::counts(&samples, Part::Train).iter().sum(),
        scores: scores(&judged),
        recalls: recalls(&judged),
        milliseconds: median_milliseconds(&judged),
        controls: controls.into_iter().map(|(name, answers)| (name, covid19(answers))).collect(),
        epochs: curve.len(),
        seconds: curve.iter().map(|epoch| epoch.seconds).sum(),
    };
    let path = result_file(&args.run);
    let unfinished = path.with_extension("tmp");
    write(&unfinished, serde_json::to_string_pretty(&result)?.as_bytes())?;
    fs::rename(&unfinished, &path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(result)
}

/// A network that no device reads with is measured by the device's engine all the same.
fn by_engine(
    args: &train::Args,
    experiment: &Experiment,
    index: &Index,
    samples: &[Sample],
    test: &[&Sample],
) -> anyhow::Result<Vec<Judged>> {
    let int8 = ship::quantized(&args.run, index, samples, &experiment.int8)?.files.int8;
    write(&args.run.join("model.onnx"), &int8)?;
    let engine = Engine::load(&int8, &experiment.input)?;
    let bar = bar("measuring", test.len());
    let outputs = (&engine, &experiment.input, &experiment.classes);
    let judged = judge::by_engine(outputs, index, test, &mut || bar.inc(1))?;
    bar.finish_and_clear();
    Ok(judged)
}
