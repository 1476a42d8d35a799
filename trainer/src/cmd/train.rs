//! `chestlight-trainer train`: from films, and the weights it begins with, to a network.

use std::fs;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use burn::module::Module as _;
use burn::prelude::Device;
use chestlight_trainer::average::averaged;
use chestlight_trainer::experiment::{Augment, Begin, Experiment};
use chestlight_trainer::finding::Finding;
use chestlight_trainer::fit::{Epoch, Fit, Set, Work};
use chestlight_trainer::index::Index;
use chestlight_trainer::inputs::{Films, Inputs, Rows};
use chestlight_trainer::loss::{self, Target};
use chestlight_trainer::net::{Architecture, Net};
use chestlight_trainer::provenance::Provenance;
use chestlight_trainer::split::{self, Part, Sample};
use chestlight_trainer::{checkpoint, dataset, teacher, weights};
use clap::ValueEnum;

use super::{Variant, bar, bind, load_run, write};

/// Trains a network: one stage after the other, as the experiment says
#[derive(clap::Args, Clone)]
pub struct Args {
    /// What is trained on what; see trainer/experiments
    #[arg(long, value_name = "FILE")]
    pub experiment: PathBuf,
    /// The index of the films (docs/training.md has its columns)
    #[arg(long, value_name = "CSV")]
    pub index: PathBuf,
    /// The folder of this run: checkpoints, learning curve and the network
    #[arg(long, value_name = "FOLDER")]
    pub run: PathBuf,
    #[command(flatten)]
    pub begin: Beginning,
    #[command(flatten)]
    pub variant: Variant,
    /// Go on from the last checkpoint of the run, or do nothing if it has finished
    #[arg(long)]
    pub resume: bool,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    pub device: Place,
}

/// What a training takes from others.
#[derive(clap::Args, Clone, Default)]
pub struct Beginning {
    /// Published weights, .pth or .safetensors with torchvision's names, or from `fetch-weights`; for
    /// `begin = "weights"`
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// A finished run whose network this one begins with; for `begin = "run"`. May be repeated for runs of one experiment
    /// that differ in the seed alone: it begins with the mean of their weights
    #[arg(long, value_name = "FOLDER")]
    pub from: Vec<PathBuf>,
    /// A finished run on the same parts whose answers are taught too; may be repeated, for `loss.teacher`
    #[arg(long, value_name = "FOLDER")]
    pub teacher: Vec<PathBuf>,
}

/// Where to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// The processor's cores.
    Cpu,
    /// The first CUDA device; needs a build with `--features cuda`.
    Cuda,
    /// CUDA where this build and this machine have it, else the processor.
    Auto,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Auto => "auto",
        }
    }

    /// The device.
    pub fn device(self) -> anyhow::Result<Device> {
        #[cfg(feature = "cuda")]
        let cuda = Some(Device::cuda(0));
        #[cfg(not(feature = "cuda"))]
        let cuda = None;
        match (self, cuda) {
            (Self::Cuda, None) => {
                bail!("this chestlight-trainer was built without CUDA; build it with --features cuda")
            }
            // The driver's control node: without it there is no CUDA, and asking for it would abort.
            (Self::Auto, Some(device)) if Path::new("/dev/nvidiactl").exists() => Ok(device),
            (Self::Cuda, Some(device)) => Ok(device),
            (Self::Cpu | Self::Auto, _) => Ok(Device::flex()),
        }
    }
}

/// One part, ready to be trained on.
struct Ready {
    films: Films,
    targets: Vec<Target>,
    /// What the blocks that are never trained make of the films; none where every block is trained.
    rows: Option<Rows>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let experiment = args.variant.applied(Experiment::read(&args.experiment)?)?;
    let index = Index::read(&args.index)?;
    let device = args.device.device()?;
    let network = args.run.join("network.bpk");
    prepare_folder(args, &experiment)?;
    bind(&args.run, &index)?;
    if network.exists() {
        log::info!("{} has finished", args.run.display());
        return Ok(());
    }
    let samples = split::deal(&index, &experiment)?;
    split::check(&samples, &experiment)?;
    write(&args.run.join("split.csv"), split::to_csv(&samples)?.as_bytes())?;
    for part in Part::ALL {
        log::info!("{}: {}", part.name(), told(split::counts(&samples, part)));
    }

    let (first, origin) = first_network(args, &experiment, &samples, &device)?;
    let provenance = Provenance::now(&index.digest, &origin, args.device.name());
    write(&args.run.join("run.json"), provenance.to_json().as_bytes())?;
    let mut train = ready(args, &experiment, &index, &samples, Part::Train, &first, &origin)?;
    let validation = ready(args, &experiment, &index, &samples, Part::Validation, &first, &origin)?;
    teach(args, &samples, &experiment, &device, &mut train)?;

    let (architecture, norm) = (experiment.architecture, experiment.norm);
    let resumed = match args.resume {
        true => checkpoint::read(&args.run, architecture, norm, experiment.classes.len(), &device)?,
        false => None,
    };
    let [stage, rest @ ..] = experiment.stages.as_slice() else { bail!("the experiment has no stage") };
    let mut fit = resumed.unwrap_or_else(|| Fit::begin(first, 0, stage));
    for (number, stage) in [stage].into_iter().chain(rest).enumerate().skip(fit.progress.stage) {
        if number > fit.progress.stage {
            fit = fit.next(stage);
        }
        if !fit.progress.ended {
            one_stage(args, &experiment, &mut fit, number, &train, &validation)?;
        }
    }

    save(&fit.best, &network)?;
    let loss = fit.progress.best_loss.unwrap_or(f64::NAN);
    println!("{}: validation loss {loss:.4}; next: chestlight-trainer ship", network.display());
    Ok(())
}

/// Writes the network whole or not at all: its presence says that the run has finished.
fn save(net: &Net, path: &Path) -> anyhow::Result<()> {
    let unfinished = path.with_extension("new.bpk");
    net.clone().save_file(&unfinished).with_context(|| format!("cannot write {}", unfinished.display()))?;
    fs::rename(&unfinished, path).with_context(|| format!("cannot write {}", path.display()))
}

fn told(counts: [u32; Finding::ALL.len()]) -> String {
    let counted = Finding::ALL.iter().zip(counts).filter(|(_, films)| *films > 0);
    counted.map(|(finding, films)| format!("{films} {}", finding.name())).collect::<Vec<_>>().join(", ")
}

/// The network before the first step, and what the report says of where it came from.
fn first_network(
    args: &Args,
    experiment: &Experiment,
    samples: &[Sample],
    device: &Device,
) -> anyhow::Result<(Net, String)> {
    let Experiment { architecture, norm, seed, .. } = *experiment;
    let classes = experiment.classes.len();
    let Beginning { weights, from, .. } = &args.begin;
    match (experiment.begin, weights, from.as_slice()) {
        (Begin::Random, None, []) => {
            Ok((Net::random(architecture, norm, classes, seed, device), format!("random, seed {seed}")))
        }
        (Begin::Weights, Some(path), []) => {
            let published = weights::load(Net::new(architecture, norm, classes, device), architecture, path, false)?;
            Ok((published.net, format!("weights {}", published.digest)))
        }
        (Begin::Run, None, [first, others @ ..]) => {
            let (theirs, mut net) = network_of(first, experiment, samples, device)?;
            let mut seeds = vec![theirs.seed.to_string()];
            for (run, taken) in others.iter().zip(1u32..) {
                let (other, another) = network_of(run, experiment, samples, device)?;
                if (Experiment { seed: theirs.seed, ..other.clone() }) != theirs {
                    bail!("{} differs from {} in more than the seed", run.display(), first.display());
                }
                seeds.push(other.seed.to_string());
                net = averaged(&net, &another, f64::from(taken) / f64::from(taken + 1));
            }
            // The norms' mode is this experiment's, the weights are theirs.
            let net = Net { blocks: net.blocks, ..Net::new(architecture, norm, classes, device) }.with_norm(norm);
            Ok((net, format!("network of experiment with seed {}", seeds.join(", "))))
        }
        (begin, ..) => bail!(
            "{} begins with {begin:?}: that takes {}",
            args.experiment.display(),
            match begin {
                Begin::Random => "neither --weights nor --from",
                Begin::Weights => "--weights FILE and no --from",
                Begin::Run => "--from RUN and no --weights",
            }
        ),
    }
}

/// The experiment and the network of a finished run that this one may begin with.
fn network_of(
    run: &Path,
    experiment: &Experiment,
    samples: &[Sample],
    device: &Device,
) -> anyhow::Result<(Experiment, Net)> {
    let (theirs, net) = load_run(run, device)?;
    let [architecture, wanted] = [theirs.architecture, experiment.architecture].map(Architecture::name);
    if architecture != wanted {
        bail!("{} is of architecture {architecture}, this experiment of {wanted}", run.display());
    }
    let seen = split::seen(&fs::read_to_string(run.join("split.csv"))?, samples)?;
    if seen > 0 {
        bail!(
            "{} was trained on patients of {seen} of this experiment's test films; give it the same split.seed and a \
             larger split.test",
            run.display()
        );
    }
    Ok((theirs, net))
}

/// Makes the run's folder with the experiment as it is run; an experiment never changes within a run.
fn prepare_folder(args: &Args, experiment: &Experiment) -> anyhow::Result<()> {
    let copy = args.run.join("experiment.toml");
    match Experiment::read(&copy) {
        Ok(_) if !args.resume => {
            bail!("{} holds a run already; go on with --resume, or name another folder", args.run.display())
        }
        Ok(theirs) if theirs != *experiment => {
            bail!("{} belongs to another experiment than {}", args.run.display(), args.experiment.display())
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == Some(ErrorKind::NotFound) => {
            fs::create_dir_all(&args.run).with_context(|| format!("cannot make {}", args.run.display()))?;
            write(&copy, toml::to_string(experiment)?.as_bytes())
        }
        Err(error) => Err(error.into()),
    }
}

/// The films of one part, their targets, and their rows before the first block that is ever trained, computed or
/// taken from the run's cache.
fn ready(
    args: &Args,
    experiment: &Experiment,
    index: &Index,
    samples: &[Sample],
    part: Part,
    net: &Net,
    origin: &str,
) -> anyhow::Result<Ready> {
    let samples: Vec<&Sample> = samples.iter().filter(|sample| sample.part == part).collect();
    let reading = bar(part.name(), samples.len());
    let tensors = dataset::load_all(index, &samples, &experiment.input, &|| reading.inc(1))?;
    reading.finish_and_clear();
    let augment = match part {
        Part::Train => experiment.augment.clone(),
        Part::Validation | Part::Test => Augment { views: 1, ..Augment::default() },
    };
    let films = Films { tensors, augment, seed: experiment.seed };
    let findings: Vec<Finding> = samples.iter().map(|sample| sample.class).collect();
    let targets = loss::targets(&findings, &experiment.classes, experiment.loss.balance);
    let block = experiment.standing_blocks();
    if block == 0 {
        return Ok(Ready { films, targets, rows: None });
    }

    let key = films.key(block, origin);
    let cache = args.run.join(format!("{}.rows", part.name()));
    let (count, views) = (films.tensors.len(), films.augment.views);
    if let Some(rows) = Rows::kept(&cache, &key, count, views) {
        return Ok(Ready { films, targets, rows: Some(rows) });
    }
    let computing = bar("standing blocks", count * views);
    let rows = Rows::of(net, &films, block, &mut |views| computing.inc(views as u64));
    computing.finish_and_clear();
    rows.keep(&cache, &key).with_context(|| format!("cannot write {}", cache.display()))?;
    Ok(Ready { films, targets, rows: Some(rows) })
}

/// Adds what the teachers answer to the targets of the training films.
fn teach(
    args: &Args,
    samples: &[Sample],
    experiment: &Experiment,
    device: &Device,
    train: &mut Ready,
) -> anyhow::Result<()> {
    if args.begin.teacher.is_empty() != (experiment.loss.teacher == 0.0) {
        bail!("--teacher and the experiment's loss.teacher go together: one is given, the other is not");
    }
    let mut teachers = Vec::new();
    for run in &args.begin.teacher {
        let (theirs, net) = load_run(run, device)?;
        if theirs.classes != experiment.classes || theirs.input != experiment.input {
            bail!("{} has other classes or another input than this experiment", run.display());
        }
        // A teacher that has seen a test film would whisper its answer.
        let parts = fs::read_to_string(run.join("split.csv"))
            .with_context(|| format!("cannot read {}", run.join("split.csv").display()))?;
        if parts != split::to_csv(samples)? {
            bail!("{} was trained on other parts; a teacher must not have seen the test films", run.display());
        }
        teachers.push(net);
    }
    if !teachers.is_empty() {
        let answers = teacher::answers(&teachers, &train.films, experiment.loss.temperature);
        train.targets.iter_mut().zip(answers).for_each(|(target, answer)| target.teacher = Some(answer));
    }
    Ok(())
}

/// One stage, with its bar, its curve and its checkpoints.
fn one_stage(
    args: &Args,
    experiment: &Experiment,
    fit: &mut Fit,
    number: usize,
    train: &Ready,
    validation: &Ready,
) -> anyhow::Result<()> {
    let Some(stage) = experiment.stages.get(number) else { return Ok(()) };
    let standing = experiment.standing_blocks();
    // What this stage does not train has not changed since it began: a resumed stage finds the same rows.
    let advanced = |ready: &Ready| match &ready.rows {
        _ if stage.train_from_block == standing => None,
        Some(rows) => Some(rows.advanced(&fit.best, standing, stage.train_from_block, &mut |_| {})),
        None => Some(Rows::of(&fit.best, &ready.films, stage.train_from_block, &mut |_| {})),
    };
    let (train_rows, validation_rows) = (advanced(train), advanced(validation));
    let (train, validation) = (set(train, train_rows.as_ref()), set(validation, validation_rows.as_ref()));
    let Experiment { loss, average, seed, .. } = experiment;
    let work = Work { stage, loss, average: *average, train, validation, seed: *seed };

    let films = work.train.inputs.films();
    let progress = bar("training", films * stage.epochs);
    progress.set_position((films * fit.progress.epochs) as u64);
    fit.run(&work, &mut |films| progress.inc(films as u64), &mut |fit| {
        checkpoint::write(&args.run, experiment.architecture, fit)?;
        write_curve(args, &fit.progress.curve).map_err(anyhow::Error::into_boxed_dyn_error)?;
        if let Some(last) = fit.progress.curve.last() {
            let Epoch { stage, epoch, learning_rate, train_loss, validation_loss, validation_accuracy, seconds } = last;
            progress.suspend(|| {
                log::info!(
                    "{stage} {epoch}: rate {learning_rate:.1e}, loss {train_loss:.4}, validation {validation_loss:.4}, \
                     {:.2}% right, {seconds:.0} s",
                    validation_accuracy * 100.0
                );
            });
        }
        Ok(ControlFlow::Continue(()))
    })?;
    progress.finish_and_clear();
    Ok(())
}

fn set<'a>(ready: &'a Ready, advanced: Option<&'a Rows>) -> Set<'a> {
    let rows = advanced.or(ready.rows.as_ref());
    Set { inputs: rows.map_or(Inputs::Fresh(&ready.films), Inputs::Kept), targets: &ready.targets }
}

fn write_curve(args: &Args, curve: &[Epoch]) -> anyhow::Result<()> {
    let path = args.run.join("curve.csv");
    let write = || -> Result<(), csv::Error> {
        let mut file = csv::Writer::from_path(&path)?;
        curve.iter().try_for_each(|epoch| file.serialize(epoch))?;
        Ok(file.flush()?)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
