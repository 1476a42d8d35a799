//! The training loop: one stage after the other, with the rate lowered on a plateau, early stopping, and a hook
//! after every epoch.

use std::error::Error;
use std::ops::ControlFlow;
use std::time::Instant;

use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::prelude::*;
use burn::tensor::TensorData;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::adam::adam;
use crate::average::averaged;
use crate::experiment::{Loss, Stage};
use crate::inputs::{Inputs, Pick};
use crate::loss::{self, Target};
use crate::net::Net;

/// One line of the learning curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The stage.
    pub stage: String,
    /// Its number in the stage, from 1.
    pub epoch: usize,
    /// Adam's rate.
    pub learning_rate: f64,
    /// Mean loss over the training films, as they were passed.
    pub train_loss: f64,
    /// Mean cross entropy over the validation films, after the epoch.
    pub validation_loss: f64,
    /// Fraction of the validation films whose highest logit is right.
    pub validation_accuracy: f64,
    /// Wall time.
    pub seconds: f64,
}

/// How far the training is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Number of the stage in which it is, from 0.
    pub stage: usize,
    /// Whether that stage has ended.
    pub ended: bool,
    /// Adam's rate in the next epoch.
    pub learning_rate: f64,
    /// The lowest validation loss of this stage; infinite before the stage began.
    pub best_loss: Option<f64>,
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
    pub net: Net,
    /// The moving average of its weights, where one is kept, on the plain device.
    pub average: Option<Net>,
    /// The network with the lowest validation loss of the stage, on the plain device.
    pub best: Net,
    /// Adam's moments.
    pub adam: ModuleOptimizer,
    /// How far it is.
    pub progress: Progress,
}

/// Training went wrong.
#[derive(Debug, Error)]
pub enum FitError {
    /// The loss is no number.
    #[error("the loss in epoch {epoch} of stage {stage:?} is {loss}: lower the learning rate of that stage")]
    Diverged {
        /// The stage.
        stage: String,
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

/// Films and what the network shall answer of each.
#[derive(Clone, Copy, Debug)]
pub struct Set<'a> {
    /// The films, as inputs of the stage's first trained block.
    pub inputs: Inputs<'a>,
    /// A target for each.
    pub targets: &'a [Target],
}

impl Set<'_> {
    fn targets_of(&self, picks: &[Pick]) -> Vec<&Target> {
        picks.iter().filter_map(|(film, _)| self.targets.get(*film)).collect()
    }
}

/// What one stage works on.
pub struct Work<'a> {
    /// Its settings.
    pub stage: &'a Stage,
    /// What it minimises.
    pub loss: &'a Loss,
    /// The share of the old average that a step keeps.
    pub average: Option<f64>,
    /// The training films.
    pub train: Set<'a>,
    /// The validation films.
    pub validation: Set<'a>,
    /// From which the order of the films, their views and mixtures are drawn.
    pub seed: u64,
}

impl Fit {
    /// A training that begins at `net`, on the plain device, with stage `number`.
    pub fn begin(net: Net, number: usize, stage: &Stage) -> Self {
        Self {
            // Clones share the running statistics of norms; `valid` does not.
            net: net.valid().to_device(&net.device().autodiff()).train(),
            average: None,
            best: net,
            adam: adam(),
            progress: Progress {
                stage: number,
                ended: false,
                learning_rate: stage.learning_rate,
                best_loss: None,
                best_epoch: 0,
                epochs: 0,
                since_better_or_reduced: 0,
                curve: Vec::new(),
            },
        }
    }

    /// The next stage, from the best network of this one.
    #[must_use]
    pub fn next(self, stage: &Stage) -> Self {
        let mut next = Self::begin(self.best, self.progress.stage + 1, stage);
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
        if self.progress.best_loss.is_none() {
            // A stage must end better than it began, or as it began.
            self.progress.best_loss = Some(score(&self.best, work).loss);
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
        let stage = &work.stage.name;
        let mut rng = StdRng::seed_from_u64(work.seed ^ ((self.progress.stage as u64) << 32 | epoch as u64));
        let mut sum = 0.0;
        for picks in drawn(work, &mut rng).chunks(work.stage.batch) {
            let loss = step_loss(&self.net, work, picks, &mut rng);
            let value = f64::from(loss.clone().into_scalar::<f32>());
            if !value.is_finite() {
                return Err(FitError::Diverged { stage: stage.clone(), epoch, loss: value });
            }
            sum += value * picks.len() as f64;
            let gradients = GradientsParams::from_grads(loss.backward(), &self.net);
            self.net = self.adam.step(learning_rate, self.net.clone(), gradients);
            if let Some(keep) = work.average {
                let now = self.net.valid();
                self.average = Some(match &self.average {
                    Some(average) => averaged(average, &now, keep),
                    None => now,
                });
            }
            tick(picks.len());
        }
        let now = self.average.clone().unwrap_or_else(|| self.net.valid());
        let validation = score(&now, work);
        if !validation.loss.is_finite() {
            return Err(FitError::Diverged { stage: stage.clone(), epoch, loss: validation.loss });
        }
        let progress = &mut self.progress;
        progress.curve.push(Epoch {
            stage: stage.clone(),
            epoch,
            learning_rate,
            train_loss: sum / work.train.inputs.films().max(1) as f64,
            validation_loss: validation.loss,
            validation_accuracy: validation.accuracy,
            seconds: start.elapsed().as_secs_f64(),
        });
        progress.epochs = epoch;
        progress.since_better_or_reduced += 1;
        if progress.best_loss.is_none_or(|best| validation.loss < best) {
            progress.best_loss = Some(validation.loss);
            progress.best_epoch = epoch;
            progress.since_better_or_reduced = 0;
            self.best = now;
        } else if progress.since_better_or_reduced >= work.stage.reduce_after {
            progress.learning_rate *= work.stage.reduce_by;
            progress.since_better_or_reduced = 0;
        }
        progress.ended = epoch >= work.stage.epochs || epoch - progress.best_epoch >= work.stage.stop_after;
        Ok(())
    }
}

/// Every film once, in an order and each in a view that depend on the seed, the stage and the epoch alone, so that
/// a resumed training goes on as if it had not stopped.
fn drawn(work: &Work<'_>, rng: &mut StdRng) -> Vec<Pick> {
    let inputs = work.train.inputs;
    let mut picks: Vec<Pick> = (0..inputs.films()).map(|film| (film, inputs.draw(rng))).collect();
    picks.shuffle(rng);
    picks
}

/// Mean loss of one batch, every film mixed with another one of it where that is asked for.
fn step_loss(net: &Net, work: &Work<'_>, picks: &[Pick], rng: &mut StdRng) -> Tensor<1> {
    let device = net.device();
    let inputs = work.train.inputs.batch(picks, &device);
    let targets = work.train.targets_of(picks);
    let block = work.stage.train_from_block;
    if work.loss.mixup <= 0.0 {
        return loss::each(net.logits(inputs, block), &targets, work.loss).mean();
    }
    let mut order: Vec<usize> = (0..picks.len()).collect();
    order.shuffle(rng);
    let shares: Vec<f32> = picks.iter().map(|_| rng.random_range(0.0..=work.loss.mixup)).collect();
    let share = Tensor::<1>::from_data(TensorData::new(shares, [picks.len()]), &device);
    let positions: Vec<i64> = order.iter().map(|place| *place as i64).collect();
    let others = inputs.clone().select(0, Tensor::<1, Int>::from_data(positions.as_slice(), &device));
    let in_planes = share.clone().reshape([-1, 1, 1, 1]);
    let mixed = inputs * (in_planes.clone().neg() + 1.0) + others * in_planes;
    let logits = net.logits(mixed, block);
    let other_targets: Vec<&Target> = order.iter().filter_map(|place| targets.get(*place).copied()).collect();
    let own = loss::each(logits.clone(), &targets, work.loss);
    let other = loss::each(logits, &other_targets, work.loss);
    (own * (share.clone().neg() + 1.0) + other * share).mean()
}

/// Scores the first view of every validation film, each with the same weight.
fn score(net: &Net, work: &Work<'_>) -> Score {
    let device = net.device();
    let Set { inputs, targets } = work.validation;
    let films: Vec<Pick> = (0..inputs.films()).map(|film| (film, 0)).collect();
    let (mut sum, mut right) = (0.0, 0);
    for picks in films.chunks(work.stage.batch) {
        let plain: Vec<Target> = work
            .validation
            .targets_of(picks)
            .iter()
            .map(|target| Target { weight: 1.0, teacher: None, ..**target })
            .collect();
        let logits = net.logits(inputs.batch(picks, &device), work.stage.train_from_block);
        let answers: Vec<i64> = logits.clone().argmax(1).into_data().convert::<i64>().try_to_vec().unwrap_or_default();
        let hit = |(answer, target): (&i64, &Target)| {
            usize::try_from(*answer).ok().and_then(|answer| target.allowed.get(answer)).is_some_and(|allowed| *allowed)
        };
        right += answers.iter().zip(&plain).filter(|pair| hit(*pair)).count();
        let plain: Vec<&Target> = plain.iter().collect();
        sum += f64::from(loss::each(logits, &plain, &Loss::default()).sum().into_scalar::<f32>());
    }
    let films = targets.len().max(1) as f64;
    Score { loss: sum / films, accuracy: right as f64 / films }
}
