//! The cards of the models in `models/` tell what is measured.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by unwrapping")]

#[path = "../../tests/real_films/mod.rs"]
mod real_films;

use std::fs;
use std::path::Path;

use chestlight::decode::{Limits, decode};
use chestlight::gate;
use chestlight::model::{Model, ModelFiles, shipped};
use chestlight::phantom::{Opacity, Phantom};
use chestlight::preprocess::preprocess;
use chestlight::reading;
use chestlight_trainer::evaluate::Evaluation;
use chestlight_trainer::experiment::Experiment;
use chestlight_trainer::finding::Finding;
use chestlight_trainer::index::Index;
use chestlight_trainer::judge;
use chestlight_trainer::measure::calibrated;
use chestlight_trainer::net::Architecture;
use chestlight_trainer::outlier::Outlier;
use chestlight_trainer::saliency::examine;
use chestlight_trainer::split::{Part, Sample, deal};

/// The films of the test part of a model's experiment; none where there are no radiographs.
fn test_part(name: &str, test: &str, model: &Model) -> Option<(Index, Vec<Sample>)> {
    let films = real_films::folder("cxr", test)?;
    let experiments = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    let experiment = Experiment::read(&experiments.join(name).with_extension("toml")).unwrap();
    let index = Index::read(&films.join("index.csv")).unwrap();
    assert_eq!(model.manifest.provenance.index_digest, index.digest, "trained from another index");
    let mut samples = deal(&index, &experiment).unwrap();
    samples.retain(|sample| sample.part == Part::Test);
    Some((index, samples))
}

/// Measures a model of `models/` on the test part of its experiment: what its card tells, and that the network alone
/// reads at least `least` right.
fn holds(name: &str, files: &ModelFiles, least: f64) {
    let model = files.load().unwrap();
    let Some((index, samples)) = test_part(name, &format!("the confusion matrix of {name}"), &model) else { return };
    let test: Vec<&Sample> = samples.iter().collect();

    let unit = judge::by_device(&model, &index, &test, &mut || {}).unwrap();
    let outputs = (&model.engine, &model.manifest.input, &Finding::DEVICE);
    let alone = judge::by_engine(outputs, &index, &test, &mut || {}).unwrap();
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let card = fs::read_to_string(models.join(name).with_extension("md")).unwrap();
    for (line, judged) in [("- accuracy ", &unit), ("operating points: accuracy ", &alone)] {
        let measured = Evaluation::of(judged, &test).all;
        let told = card.split(line).nth(1).and_then(|rest| rest.split(['(', ' ']).nth(2)).unwrap();
        let told: u32 = told.parse().unwrap();
        // Another processor rounds otherwise, and a film that lies on a border may fall on its other side.
        assert!(told.abs_diff(measured.accuracy().of) <= 2, "{line}{told}; measured:\n{}", measured.table());
    }
    // The paper's networks answer every film.
    let accuracy = Evaluation::of(&alone, &test).all.accuracy();
    assert!(accuracy.rate >= least, "{accuracy}");
}

#[test]
fn the_shipped_models_card_tells_what_the_int8_file_reads_right_and_it_passes_the_papers_model_2() {
    holds("chestlight-lite0", &shipped(), 0.9565);
}

#[test]
fn the_card_of_the_papers_model_2_tells_what_its_int8_file_reads_right() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/paper-model2.toml");
    holds("paper-model2", &ModelFiles::read(&manifest).unwrap(), 0.9);
}

/// The bars of docs/gate.md that need the test part: 3% refused, a calibration error of 0.03.
#[test]
fn the_shipped_model_refuses_few_of_the_test_films_and_is_as_sure_of_the_others_as_it_is_right() {
    let test = "the_shipped_model_refuses_few_of_the_test_films_and_is_as_sure_of_the_others_as_it_is_right";
    let model = shipped().load().unwrap();
    let Some((index, samples)) = test_part("chestlight-lite0", test, &model) else { return };
    let films: Vec<&Sample> = samples.iter().collect();
    let judged = judge::by_device(&model, &index, &films, &mut || {}).unwrap();
    let refused = Evaluation::of(&judged, &films).all.refused();
    let answers: Vec<_> = judged.iter().filter_map(|film| Some((film.probabilities?, film.truth))).collect();
    let calibration_error = calibrated(&answers).expected_error;
    println!("refused: {refused}; expected calibration error {calibration_error:.4}");
    assert!(refused.rate <= 0.03, "{refused}");
    assert!(calibration_error <= 0.03, "{calibration_error}");
}

/// Hiding parts of a film is what a heat map is checked with; the report has more films and the randomisation test.
#[test]
fn a_films_heat_map_agrees_with_hiding_parts_of_it_better_than_that_of_another_film() {
    let test = "a_films_heat_map_agrees_with_hiding_parts_of_it_better_than_that_of_another_film";
    let (files, model) = (shipped(), shipped().load().unwrap());
    let Some((index, samples)) = test_part("chestlight-lite0", test, &model) else { return };
    let films: Vec<_> = samples
        .iter()
        .step_by(samples.len() / 12)
        .map(|sample| {
            let film = decode(&fs::read(index.path(&sample.film)).unwrap(), &Limits::default()).unwrap();
            preprocess(&film, &model.manifest.input).unwrap()
        })
        .collect();
    let blocks = Architecture::EfficientnetLite0.blocks();
    let found = examine(&files.onnx, &model.manifest.input, &films, blocks).unwrap().unwrap();
    println!("{found:?}");
    assert!(found.occlusion > found.occlusion_of_others + 0.1 && 3 * found.better > 2 * found.films, "{found:?}");
    for (randomised, correlation) in &found.randomised {
        assert!(correlation.abs() < 0.5, "with {randomised} without meaning the maps are what they were: {found:?}");
    }
}

/// What docs/gate.md calls drawn; no film is needed to make it.
#[test]
fn everything_that_is_drawn_and_no_chest_is_refused() {
    let model = shipped().load().unwrap();
    let film = Phantom::new(1, Opacity::None).render().unwrap();
    for kind in [Outlier::Limb, Outlier::Skull, Outlier::Grain, Outlier::Gradient, Outlier::Squares, Outlier::Spots] {
        for seed in 0..10 {
            let drawn = kind.made(&film, seed).unwrap();
            let distance = reading::judge(&model, &drawn).unwrap().distance;
            let passes =
                gate::judge(&drawn).and_then(|()| gate::judge_distance(distance, model.manifest.gate.as_ref()));
            assert!(passes.is_err(), "{} {seed}", kind.name());
        }
    }
}
