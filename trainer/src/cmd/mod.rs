//! One file a subcommand.

pub mod bundle;
pub mod evaluate;
pub mod experiment;
pub mod fetch_weights;
pub mod logits;
pub mod phantoms;
pub mod prepare;
pub mod quantize;
pub mod ship;
pub mod train;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, bail};
use burn::module::Module as _;
use burn::prelude::Device;
use chestlight_trainer::experiment::{Experiment, Fold};
use chestlight_trainer::fit::Epoch;
use chestlight_trainer::index::Index;
use chestlight_trainer::net::Net;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar with the time left, on standard error and only on a terminal.
fn bar(what: &'static str, length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:22} {wide_bar} {pos}/{len}, {eta} left {msg}");
    ProgressBar::new(length as u64).with_prefix(what).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Binds a run to its index: another one would deal films of the test part to training, or the other way round.
fn bind(run: &Path, index: &Index) -> anyhow::Result<()> {
    let path = run.join("index.sha256");
    match fs::read_to_string(&path) {
        Ok(bound) if bound.trim() == index.digest => Ok(()),
        Ok(_) => bail!("{} was trained from another index; its parts would not be the same", run.display()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::write(&path, &index.digest).with_context(|| format!("cannot write {}", path.display()))
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// A finished run: its experiment and its network.
fn load_run(run: &Path, device: &Device) -> anyhow::Result<(Experiment, Net)> {
    let experiment = Experiment::read(&run.join("experiment.toml"))?;
    let network = run.join("network.bpk");
    let net = Net::new(experiment.architecture, experiment.norm, experiment.classes.len(), device)
        .try_load_file(&network)
        .with_context(|| format!("{}; has `train` finished?", network.display()))?;
    Ok((experiment, net))
}

/// The learning curve of a run.
fn read_curve(run: &Path) -> anyhow::Result<Vec<Epoch>> {
    let path = run.join("curve.csv");
    let mut file = csv::Reader::from_path(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let epochs = file.deserialize().collect::<Result<Vec<Epoch>, _>>();
    epochs.with_context(|| format!("{} is no learning curve", path.display()))
}

/// What one job of a sweep changes of its experiment.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub struct Variant {
    /// Instead of the experiment's seed
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Cross validation: which fold is the test part
    #[arg(long, value_name = "NUMBER/OF")]
    pub fold: Option<Fold>,
    /// The films of this source are the test part, and no others
    #[arg(long, value_name = "SOURCE", conflicts_with = "fold")]
    pub leave_out: Option<String>,
}

impl Variant {
    /// The experiment with these changes.
    pub fn applied(&self, mut experiment: Experiment) -> anyhow::Result<Experiment> {
        experiment.seed = self.seed.unwrap_or(experiment.seed);
        if self.fold.is_some() || self.leave_out.is_some() {
            experiment.split.fold = self.fold;
            experiment.split.leave_out.clone_from(&self.leave_out);
        }
        match experiment.wrong() {
            None => Ok(experiment),
            Some((key, wrong)) => bail!("{key} {wrong}"),
        }
    }
}
