//! `chestlight-trainer train`: from films and ImageNet weights to a network.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use burn::module::Module as _;
use burn::prelude::Device;
use chestlight::preprocess::InputTensor;
use chestlight::verdict::Class;
use chestlight_trainer::experiment::{Augment, Experiment};
use chestlight_trainer::fit::{Epoch, Fit, StageName, Work};
use chestlight_trainer::index::Index;
use chestlight_trainer::net::Lite0;
use chestlight_trainer::rows::{self, Rows};
use chestlight_trainer::split::{self, Part, Sample};
use chestlight_trainer::{checkpoint, dataset, weights};

use super::{bar, bind};

/// Trains a network: the classifier on a frozen backbone, then the later blocks too
#[derive(clap::Args)]
pub struct Args {
    /// What is trained on what; see trainer/experiments
    #[arg(long, value_name = "FILE")]
    experiment: PathBuf,
    /// The index of the films (docs/training.md has its columns)
    #[arg(long, value_name = "CSV")]
    index: PathBuf,
    /// ImageNet weights, from `fetch-weights`; without them the network begins at random
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// The folder of this run: checkpoints, learning curve and the network
    #[arg(long, value_name = "FOLDER")]
    run: PathBuf,
    /// Go on from the last checkpoint of the run
    #[arg(long)]
    resume: bool,
    /// Compute on the first CUDA device (a build with `--features cuda`)
    #[arg(long)]
    cuda: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let experiment = Experiment::read(&args.experiment)?;
    let index = Index::read(&args.index)?;
    let device = device(args.cuda)?;
    prepare_folder(args, &experiment)?;
    bind(&args.run, &index)?;
    let samples = split::deal(&index, &experiment)?;
    for part in Part::ALL {
        let [normal, bacterial, covid19] = split::counts(&samples, part);
        log::info!("{}: {normal} normal, {bacterial} bacterial, {covid19} COVID-19", part.name());
    }

    let imagenet = match &args.weights {
        Some(path) => weights::imagenet(path, &device)?.with_classes(Class::ALL.len()),
        None => Lite0::random(Class::ALL.len(), experiment.seed, &device),
    };
    let origin = args.weights.as_ref().map_or("random", |_| weights::digest());
    let train = frozen(args, &experiment, &index, &samples, Part::Train, &imagenet, origin)?;
    let validation = frozen(args, &experiment, &index, &samples, Part::Validation, &imagenet, origin)?;

    let resumed = if args.resume { checkpoint::read(&args.run, Class::ALL.len(), &device)? } else { None };
    if let Some(fit) = &resumed {
        log::info!("going on after {} epoch {}", fit.progress.stage.name(), fit.progress.epochs);
    }
    let mut fit = resumed.unwrap_or_else(|| Fit::begin(imagenet, StageName::Head, &experiment.head));
    let block = experiment.tune_from_block;
    let seed = experiment.seed;
    if fit.progress.stage == StageName::Head {
        let (train, validation) = (&train.features(&fit.best, block), &validation.features(&fit.best, block));
        let head = Work { name: StageName::Head, settings: &experiment.head, block, train, validation, seed };
        stage(args, &mut fit, &head)?;
        fit = fit.next(StageName::Tune, &experiment.tune);
    }
    let (train, validation) = (&train, &validation);
    stage(args, &mut fit, &Work { name: StageName::Tune, settings: &experiment.tune, block, train, validation, seed })?;

    let network = args.run.join("network.bpk");
    fit.best.clone().save_file(&network).with_context(|| format!("cannot write {}", network.display()))?;
    println!("{}: validation loss {:.4}; next: chestlight-trainer ship", network.display(), fit.progress.best_loss);
    Ok(())
}

/// Where to compute.
fn device(cuda: bool) -> anyhow::Result<Device> {
    match cuda {
        false => Ok(Device::flex()),
        #[cfg(feature = "cuda")]
        true => Ok(Device::cuda(0)),
        #[cfg(not(feature = "cuda"))]
        true => bail!("this chestlight-trainer was built without CUDA; build it with --features cuda"),
    }
}

/// Makes the run's folder with a copy of the experiment; an experiment never changes within a run.
fn prepare_folder(args: &Args, experiment: &Experiment) -> anyhow::Result<()> {
    let copy = args.run.join("experiment.toml");
    if copy.exists() {
        if !args.resume {
            bail!("{} holds a run already; go on with --resume, or name another folder", args.run.display());
        }
        if Experiment::read(&copy)? != *experiment {
            bail!("{} belongs to another experiment than {}", args.run.display(), args.experiment.display());
        }
        return Ok(());
    }
    fs::create_dir_all(&args.run)
        .and_then(|()| fs::copy(&args.experiment, &copy))
        .with_context(|| format!("cannot write {}", copy.display()))?;
    Ok(())
}

/// The rows of one part before the first trainable block, computed or taken from the run's cache.
fn frozen(
    args: &Args,
    experiment: &Experiment,
    index: &Index,
    samples: &[Sample],
    part: Part,
    net: &Lite0,
    origin: &str,
) -> anyhow::Result<Rows> {
    let samples: Vec<&Sample> = samples.iter().filter(|sample| sample.part == part).collect();
    let reading = bar(part.name(), samples.len());
    let films = samples
        .iter()
        .map(|sample| {
            let label = Class::ALL.iter().position(|class| *class == sample.class).unwrap_or_default();
            reading.inc(1);
            Ok((dataset::load(index, sample, &experiment.input)?, label))
        })
        .collect::<Result<Vec<(InputTensor, usize)>, dataset::FilmError>>()?;
    reading.finish_and_clear();

    let views = if part == Part::Train { experiment.augment.views } else { 1 };
    let augment = Augment { views, ..experiment.augment.clone() };
    let key = rows::key(&films, &augment, experiment.seed, experiment.tune_from_block, origin);
    let cache = args.run.join(format!("{}.rows", part.name()));
    let labels = films.iter().map(|(_, label)| *label).collect();
    if let Some(rows) = Rows::kept(&cache, &key, views, labels) {
        return Ok(rows);
    }
    let computing = bar("frozen blocks", films.len() * views);
    let rows = Rows::before_block(net, &films, &augment, experiment.seed, experiment.tune_from_block, &mut |views| {
        computing.inc(views as u64)
    });
    computing.finish_and_clear();
    rows.keep(&cache, &key).with_context(|| format!("cannot write {}", cache.display()))?;
    Ok(rows)
}

/// One stage, with its bar, its curve and its checkpoints.
fn stage(args: &Args, fit: &mut Fit, work: &Work<'_>) -> anyhow::Result<()> {
    let films = work.train.labels.len();
    let progress = bar(work.name.name(), films * work.settings.epochs);
    progress.set_position((films * fit.progress.epochs) as u64);
    fit.run(work, &mut |films| progress.inc(films as u64), &mut |fit| {
        checkpoint::write(&args.run, fit)?;
        write_curve(args, &fit.progress.curve).map_err(anyhow::Error::into_boxed_dyn_error)?;
        if let Some(last) = fit.progress.curve.last() {
            let Epoch { epoch, learning_rate, train_loss, validation_loss, validation_accuracy, seconds, .. } = last;
            progress.suspend(|| {
                log::info!(
                    "{} {epoch}: rate {learning_rate:.1e}, loss {train_loss:.4}, validation {validation_loss:.4}, \
                     {:.2}% right, {seconds:.0} s",
                    work.name.name(),
                    validation_accuracy * 100.0
                );
            });
        }
        Ok(ControlFlow::Continue(()))
    })?;
    progress.finish_and_clear();
    Ok(())
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
