//! A training that was broken off goes on as if it had not been.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it expects by unwrapping")]

mod phantom_films;

use std::ops::ControlFlow;

use burn::prelude::Device;
use chestlight::preprocess::InputTensor;
use chestlight_trainer::checkpoint;
use chestlight_trainer::dataset;
use chestlight_trainer::experiment::Experiment;
use chestlight_trainer::fit::{Epoch, Fit, FitError, StageName, Work};
use chestlight_trainer::index::Index;
use chestlight_trainer::net::Lite0;
use chestlight_trainer::rows::{self, Rows};
use chestlight_trainer::split::{Part, deal};

const BLOCK: usize = 13;

struct Prepared {
    net: Lite0,
    experiment: Experiment,
    train: Rows,
    validation: Rows,
    films: Vec<(InputTensor, usize)>,
}

fn prepare() -> Prepared {
    let drawn = phantom_films::draw();
    let experiment = Experiment::read(&drawn.experiment).unwrap();
    let index = Index::read(&drawn.index).unwrap();
    let samples = deal(&index, &experiment).unwrap();
    let net = Lite0::random(3, 1, &Device::flex());
    let films = |part: Part| -> Vec<(InputTensor, usize)> {
        let of_part = samples.iter().filter(|sample| sample.part == part);
        of_part.map(|it| (dataset::load(&index, it, &experiment.input).unwrap(), it.class as usize)).collect()
    };
    let rows = |films: &[_]| Rows::before_block(&net, films, &experiment.augment, experiment.seed, BLOCK, &mut |_| {});
    let (train, validation) = (rows(&films(Part::Train)), rows(&films(Part::Validation)));
    let films = films(Part::Validation);
    Prepared { net, experiment, train, validation, films }
}

impl Prepared {
    fn work(&self) -> Work<'_> {
        Work {
            name: StageName::Tune,
            settings: &self.experiment.tune,
            block: BLOCK,
            train: &self.train,
            validation: &self.validation,
            seed: self.experiment.seed,
        }
    }
}

fn told(curve: &[Epoch]) -> Vec<(usize, f64, f64, f64)> {
    curve.iter().map(|it| (it.epoch, it.learning_rate, it.train_loss, it.validation_loss)).collect()
}

#[test]
fn a_resumed_training_gives_the_curve_of_one_that_was_not_broken_off() {
    let prepared = prepare();
    let work = prepared.work();
    let mut whole = Fit::begin(prepared.net.clone(), StageName::Tune, work.settings);
    whole.run(&work, &mut |_| {}, &mut |_| Ok(ControlFlow::Continue(()))).unwrap();

    let run = tempfile::tempdir().unwrap();
    let mut broken = Fit::begin(prepared.net.clone(), StageName::Tune, work.settings);
    broken
        .run(&work, &mut |_| {}, &mut |fit| {
            checkpoint::write(run.path(), fit)?;
            Ok(ControlFlow::Break(()))
        })
        .unwrap();
    assert_eq!(broken.progress.epochs, 1);
    drop(broken);
    let mut resumed = checkpoint::read(run.path(), 3, &Device::flex()).unwrap().unwrap();
    resumed.run(&work, &mut |_| {}, &mut |_| Ok(ControlFlow::Continue(()))).unwrap();

    assert_eq!(told(&resumed.progress.curve), told(&whole.progress.curve));
    assert!(whole.progress.epochs > 1);
}

#[test]
fn training_learns_what_it_is_shown() {
    let prepared = prepare();
    let work = prepared.work();
    let mut fit = Fit::begin(prepared.net.clone(), StageName::Tune, work.settings);
    fit.run(&work, &mut |_| {}, &mut |_| Ok(ControlFlow::Continue(()))).unwrap();
    let curve = &fit.progress.curve;
    assert!(curve.last().unwrap().train_loss < curve.first().unwrap().train_loss, "{curve:?}");
}

#[test]
fn a_rate_that_is_too_high_is_told_and_not_hidden() {
    let prepared = prepare();
    let mut settings = prepared.experiment.tune.clone();
    settings.learning_rate = 1e20;
    let work = Work { settings: &settings, ..prepared.work() };
    let mut fit = Fit::begin(prepared.net.clone(), StageName::Tune, &settings);
    let error = fit.run(&work, &mut |_| {}, &mut |_| Ok(ControlFlow::Continue(()))).unwrap_err();
    assert!(matches!(error, FitError::Diverged { .. }), "{error}");
}

#[test]
fn kept_rows_come_back_only_under_their_key() {
    let Prepared { experiment, validation, films, .. } = prepare();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("validation.rows");
    let key = rows::key(&films, &experiment.augment, 1, BLOCK, "weights");
    validation.keep(&path, &key).unwrap();
    let kept = |key: &[u8; 32]| Rows::kept(&path, key, validation.views, validation.labels.clone());
    assert_eq!(kept(&key).as_ref(), Some(&validation));
    for other in [
        rows::key(&films, &experiment.augment, 2, BLOCK, "weights"),
        rows::key(&films, &experiment.augment, 1, BLOCK + 1, "weights"),
        rows::key(&films, &experiment.augment, 1, BLOCK, "others"),
        rows::key(&films[1..], &experiment.augment, 1, BLOCK, "weights"),
    ] {
        assert_eq!(kept(&other), None);
    }
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(kept(&key), None, "a file that was cut off");
}
