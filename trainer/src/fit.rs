//! The training loop: two stages over rows that were computed before, with the rate lowered on a plateau, early
//! stopping, and a checkpoint after every epoch.

use std::error::Error;
use std::ops::ControlFlow;
use std::time::Instant;

use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::prelude::*;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::experiment::Stage;
use crate::net::Lite0;
use crate::rows::Rows;

/// The two stages of the paper's transfer learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageName {
    /// The classifier alone, on pooled features.
    Head,
    /// The later blocks too.
    Tune,
}

impl StageName {
    /// `head` or `tune`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Tune => "tune",
        }
    }
}

/// One line of the learning curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The stage.
    pub stage: StageName,
    /// Its number in the stage, from 1.
    pub epoch: usize,
    /// Adam's rate.
    pub learning_rate: f64,
    /// Mean cross entropy over the training films, as they were passed.
    pub train_loss: f64,
    /// Mean cross entropy over the validation films, after the epoch.
    pub validation_loss: f64,
    /// Fraction of the validation films whose highest logit is their class.
    pub validation_accuracy: f64,
    /// Wall time.
    pub seconds: f64,
}

/// How far the training is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The stage in which it is.
    pub stage: StageName,
    /// Whether that stage has ended.
    pub ended: bool,
    /// Adam's rate in the next epoch.
    pub learning_rate: f64,
    /// The lowest validation loss of this stage.
    pub best_loss: f64,
    /// The epoch that had it; 0 is the network as the stage began.
    pub best_epoch: usize,
    /// Epochs of this stage that are done.
    pub epochs: usize,
    /// Epochs since the last better one, or since the rate was reduced.
    pub since_better_or_reduced: usize,
    /// All epochs.
    pub curve: Vec<Epoch>,
}

/// A training between two epochs.
pub struct Fit {
    /// The network as it is trained, on a device with autodiff.
    pub net: Lite0,
    /// The network with the lowest validation loss of the stage, on the plain device.
    pub best: Lite0,
    /// Adam's moments.
    pub adam: ModuleOptimizer,
    /// How far it is.
    pub progress: Progress,
}

/// Training went wrong.
#[derive(Debug, Error)]
pub enum FitError {
    /// The loss is no number.
    #[error("the loss in {stage} epoch {epoch} is {loss}: lower the learning rate of that stage", stage = .stage.name())]
    Diverged {
        /// The stage.
        stage: StageName,
        /// The epoch.
        epoch: usize,
        /// The loss.
        loss: f64,
    },
    /// What is done after an epoch failed.
    #[error(transparent)]
    After(Box<dyn Error + Send + Sync>),
}

/// What is done after every epoch; it may end the training there.
pub type AfterEpoch<'a> = dyn FnMut(&Fit) -> Result<ControlFlow<()>, Box<dyn Error + Send + Sync>> + 'a;

/// Mean cross entropy and accuracy.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Score {
    loss: f64,
    accuracy: f64,
}

/// What one stage works on.
pub struct Work<'a> {
    /// Which stage.
    pub name: StageName,
    /// Its settings.
    pub settings: &'a Stage,
    /// The block before which the rows were taken; not used in the head stage.
    pub block: usize,
    /// Rows of the training films.
    pub train: &'a Rows,
    /// Rows of the validation films.
    pub validation: &'a Rows,
    /// From which the order of the films and their views are drawn.
    pub seed: u64,
}

impl Fit {
    /// A training that begins at `net`, on the plain device.
    pub fn begin(net: Lite0, stage: StageName, settings: &Stage) -> Self {
        let device = net.stem.weight.val().device();
        Self {
            net: net.clone().to_device(&device.autodiff()).train(),
            best: net,
            adam: adam(),
            progress: Progress {
                stage,
                ended: false,
                learning_rate: settings.learning_rate,
                best_loss: f64::INFINITY,
                best_epoch: 0,
                epochs: 0,
                since_better_or_reduced: 0,
                curve: Vec::new(),
            },
        }
    }

    /// The next stage, from the best network of this one.
    pub fn next(self, stage: StageName, settings: &Stage) -> Self {
        let mut next = Self::begin(self.best, stage, settings);
        next.progress.curve = self.progress.curve;
        next
    }

    /// Trains until the stage ends or `after_epoch` breaks. `tick` hears the films of every step.
    ///
    /// # Errors
    /// [`FitError`].
    pub fn run(
        &mut self,
        work: &Work<'_>,
        tick: &mut dyn FnMut(usize),
        after_epoch: &mut AfterEpoch<'_>,
    ) -> Result<(), FitError> {
        if self.progress.best_loss.is_infinite() {
            // A stage must end better than it began, or as it began.
            self.progress.best_loss = score(&self.best, work, work.validation).loss;
        }
        while !self.progress.ended {
            self.epoch(work, tick)?;
            if after_epoch(self).map_err(FitError::After)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn epoch(&mut self, work: &Work<'_>, tick: &mut dyn FnMut(usize)) -> Result<(), FitError> {
        let start = Instant::now();
        let epoch = self.progress.epochs + 1;
        let learning_rate = self.progress.learning_rate;
        let device = self.net.stem.weight.val().device();
        let mut sum = 0.0;
        for picks in drawn(work, epoch).chunks(work.settings.batch) {
            let loss = loss(logits(&self.net, work, work.train.batch(picks, &device)), &work.train.labels_of(picks));
            let value = f64::from(loss.clone().into_scalar::<f32>());
            if !value.is_finite() {
                return Err(FitError::Diverged { stage: work.name, epoch, loss: value });
            }
            sum += value * picks.len() as f64;
            let gradients = GradientsParams::from_grads(loss.backward(), &self.net);
            self.net = self.adam.step(learning_rate, self.net.clone(), gradients);
            tick(picks.len());
        }
        let now = self.net.valid();
        let validation = score(&now, work, work.validation);
        if !validation.loss.is_finite() {
            return Err(FitError::Diverged { stage: work.name, epoch, loss: validation.loss });
        }
        let progress = &mut self.progress;
        progress.curve.push(Epoch {
            stage: work.name,
            epoch,
            learning_rate,
            train_loss: sum / work.train.labels.len().max(1) as f64,
            validation_loss: validation.loss,
            validation_accuracy: validation.accuracy,
            seconds: start.elapsed().as_secs_f64(),
        });
        progress.epochs = epoch;
        progress.since_better_or_reduced += 1;
        if validation.loss < progress.best_loss {
            progress.best_loss = validation.loss;
            progress.best_epoch = epoch;
            progress.since_better_or_reduced = 0;
            self.best = now;
        } else if progress.since_better_or_reduced >= work.settings.reduce_after {
            progress.learning_rate *= work.settings.reduce_by;
            progress.since_better_or_reduced = 0;
        }
        progress.ended = epoch >= work.settings.epochs || epoch - progress.best_epoch >= work.settings.stop_after;
        Ok(())
    }
}

/// Adam (Kingma and Ba, arXiv:1412.6980) with its usual moments.
pub fn adam() -> ModuleOptimizer {
    AdamConfig::new().with_epsilon(1e-8).init()
}

/// Every film once, in an order and each in a view that depend on the seed, the stage and the epoch alone, so that
/// a resumed training goes on as if it had not stopped.
fn drawn(work: &Work<'_>, epoch: usize) -> Vec<(usize, usize)> {
    let mut rng = StdRng::seed_from_u64(work.seed ^ ((work.name as u64) << 32 | epoch as u64));
    let mut picks: Vec<(usize, usize)> =
        (0..work.train.labels.len()).map(|film| (film, rng.random_range(0..work.train.views.max(1)))).collect();
    picks.shuffle(&mut rng);
    picks
}

fn logits(net: &Lite0, work: &Work<'_>, rows: Tensor<4>) -> Tensor<2> {
    match work.name {
        StageName::Head => net.classifier.forward(rows.flatten(1, 3)),
        StageName::Tune => net.forward_trainable(rows, work.block),
    }
}

fn loss(logits: Tensor<2>, labels: &[i64]) -> Tensor<1> {
    let device = logits.device();
    let labels = Tensor::<1, Int>::from_data(labels, &device);
    CrossEntropyLossConfig::new().init(&device).forward(logits, labels)
}

/// Scores the first view of every film.
fn score(net: &Lite0, work: &Work<'_>, rows: &Rows) -> Score {
    let device = net.stem.weight.val().device();
    let films: Vec<(usize, usize)> = (0..rows.labels.len()).map(|film| (film, 0)).collect();
    let (mut sum, mut right) = (0.0, 0);
    for picks in films.chunks(work.settings.batch) {
        let labels = rows.labels_of(picks);
        let logits = logits(net, work, rows.batch(picks, &device));
        let hits = logits.clone().argmax(1).flatten::<1>(0, 1).equal(Tensor::from_data(labels.as_slice(), &device));
        right += hits.int().sum().into_scalar::<i64>();
        sum += f64::from(loss(logits, &labels).into_scalar::<f32>()) * picks.len() as f64;
    }
    let films = films.len().max(1) as f64;
    Score { loss: sum / films, accuracy: right as f64 / films }
}
