//! A training that was broken off goes on as if it had not been.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it expects by unwrapping")]

mod phantom_films;

use std::ops::ControlFlow;

use burn::prelude::Device;
use chestlight_trainer::checkpoint;
use chestlight_trainer::dataset;
use chestlight_trainer::experiment::{Augment, Experiment, Loss, Stage};
use chestlight_trainer::finding::Finding;
use chestlight_trainer::fit::{Epoch, Fit, FitError, Set, Work};
use chestlight_trainer::index::Index;
use chestlight_trainer::inputs::{Films, Inputs, Rows};
use chestlight_trainer::loss::{self, Target};
use chestlight_trainer::net::{Architecture, Net, Norm};
use chestlight_trainer::split::{Part, Sample, deal};

const BLOCK: usize = 14;

/// One part of the drawn films.
struct Prepared {
    films: Films,
    rows: Rows,
    targets: Vec<Target>,
}

/// What is trained in these tests.
struct Training {
    net: Net,
    stage: Stage,
    loss: Loss,
    average: Option<f64>,
    train: Prepared,
    validation: Prepared,
}

fn training(architecture: Architecture, train_from_block: usize) -> Training {
    let drawn = phantom_films::draw();
    let experiment = Experiment::read(&drawn.experiment).unwrap();
    let index = Index::read(&drawn.index).unwrap();
    let samples = deal(&index, &experiment).unwrap();
    let norm = if train_from_block == 0 { Norm::Batch } else { Norm::Frozen };
    let net = Net::random(architecture, norm, 3, 1, &Device::flex());
    let prepared = |part: Part, augment: Augment| {
        let samples: Vec<&Sample> = samples.iter().filter(|sample| sample.part == part).collect();
        let tensors = dataset::load_all(&index, &samples, &experiment.input, &|| {}).unwrap();
        let films = Films { tensors, augment, seed: experiment.seed };
        let findings: Vec<Finding> = samples.iter().map(|sample| sample.class).collect();
        let rows = Rows::of(&net, &films, train_from_block, &mut |_| {});
        Prepared { films, rows, targets: loss::targets(&findings, &experiment.classes, true) }
    };
    Training {
        train: prepared(Part::Train, experiment.augment.clone()),
        validation: prepared(Part::Validation, Augment { views: 1, ..Augment::default() }),
        stage: Stage { train_from_block, ..experiment.stages[1].clone() },
        loss: experiment.loss,
        average: None,
        net,
    }
}

impl Training {
    fn work(&self) -> Work<'_> {
        Work {
            stage: &self.stage,
            loss: &self.loss,
            average: self.average,
            train: self.train.set(self.stage.train_from_block),
            validation: self.validation.set(self.stage.train_from_block),
            seed: 1,
        }
    }

    fn begin(&self) -> Fit {
        Fit::begin(self.net.clone(), 0, &self.stage)
    }
}

impl Prepared {
    fn set(&self, block: usize) -> Set<'_> {
        let inputs = if block == 0 { Inputs::Fresh(&self.films) } else { Inputs::Kept(&self.rows) };
        Set { inputs, targets: &self.targets }
    }
}

fn told(curve: &[Epoch]) -> Vec<(usize, f64, f64, f64)> {
    curve.iter().map(|it| (it.epoch, it.learning_rate, it.train_loss, it.validation_loss)).collect()
}

fn resumed(architecture: Architecture, norm: Norm, training: &Training) {
    let work = training.work();
    let mut whole = training.begin();
    whole.run(&work, &mut |_| {}, &mut |_| Ok(ControlFlow::Continue(()))).unwrap();

    let run = tempfile::tempdir().unwrap();
    let mut broken = training.begin();
    broken
        .run(&work, &mut |_| {}, &mut |fit| {
            checkpoint::write(run.path(), architecture, fit)?;
            Ok(ControlFlow::Break(()))
        })
        .unwrap();
    assert_eq!(broken.progress.epochs, 1);
    drop(broken);
    let mut resumed = checkpoint::read(run.path(), architecture, norm, 3, &Device::flex()).unwrap().unwrap();
    resumed.run(&work, &mut |_| {}, &mut |_| Ok(ControlFlow::Continue(()))).unwrap();

    assert_eq!(told(&resumed.progress.curve), told(&whole.progress.curve));
    assert!(whole.progress.epochs > 1);
}

#[test]
fn a_resumed_training_gives_the_curve_of_one_that_was_not_broken_off() {
    let training = training(Architecture::EfficientnetLite0, BLOCK);
    resumed(Architecture::EfficientnetLite0, Norm::Frozen, &training);
}

#[test]
fn a_resumed_training_goes_on_with_its_norms_its_average_and_its_mixtures() {
    let training = Training {
        average: Some(0.9),
        loss: Loss { balance: true, smoothing: 0.1, mixup: 0.3, teacher: 0.0, temperature: 1.0 },
        ..training(Architecture::SmallCnn, 0)
    };
    resumed(Architecture::SmallCnn, Norm::Batch, &training);
}

#[test]
fn training_learns_what_it_is_shown() {
    let training = training(Architecture::EfficientnetLite0, BLOCK);
    let mut fit = training.begin();
    fit.run(&training.work(), &mut |_| {}, &mut |_| Ok(ControlFlow::Continue(()))).unwrap();
    let curve = &fit.progress.curve;
    assert!(curve.last().unwrap().train_loss < curve.first().unwrap().train_loss, "{curve:?}");
}

#[test]
fn a_rate_that_is_too_high_is_told_and_not_hidden() {
    let mut training = training(Architecture::EfficientnetLite0, BLOCK);
    training.stage.learning_rate = 1e38;
    let error =
        training.begin().run(&training.work(), &mut |_| {}, &mut |_| Ok(ControlFlow::Continue(()))).unwrap_err();
    assert!(matches!(error, FitError::Diverged { .. }), "{error}");
}

#[test]
fn a_checkpoint_of_another_architecture_is_refused() {
    let training = training(Architecture::SmallCnn, 0);
    let run = tempfile::tempdir().unwrap();
    checkpoint::write(run.path(), Architecture::SmallCnn, &training.begin()).unwrap();
    let read = checkpoint::read(run.path(), Architecture::Resnet18, Norm::Batch, 3, &Device::flex());
    let told = read.err().unwrap().to_string();
    assert!(told.contains("small-cnn") && told.contains("resnet18"), "{told}");
}

#[test]
fn kept_rows_come_back_only_under_their_key() {
    let Prepared { films, rows, .. } = training(Architecture::EfficientnetLite0, BLOCK).validation;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("validation.rows");
    let key = films.key(BLOCK, "weights");
    rows.keep(&path, &key).unwrap();
    let count = films.tensors.len();
    let kept = |key: &[u8; 32]| Rows::kept(&path, key, count, rows.views);
    assert_eq!(kept(&key).as_ref(), Some(&rows));
    let fewer = Films { tensors: films.tensors[1..].to_vec(), ..films.clone() };
    let others = Films { seed: 2, ..films.clone() };
    let keys = [others.key(BLOCK, "weights"), films.key(BLOCK + 1, "weights"), films.key(BLOCK, "others")];
    for other in keys.into_iter().chain([fewer.key(BLOCK, "weights")]) {
        assert_eq!(kept(&other), None);
    }
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(kept(&key), None, "a file that was cut off");
}
