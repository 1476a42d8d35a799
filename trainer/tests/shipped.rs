//! The cards of the models in `models/` tell what is measured.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by unwrapping")]

#[path = "../../tests/real_films/mod.rs"]
mod real_films;

use std::fs;
use std::path::Path;

use chestlight::model::{ModelFiles, shipped};
use chestlight_trainer::evaluate::Evaluation;
use chestlight_trainer::experiment::Experiment;
use chestlight_trainer::finding::Finding;
use chestlight_trainer::index::Index;
use chestlight_trainer::judge;
use chestlight_trainer::split::{Part, Sample, deal};

/// Measures a model of `models/` on the test part of its experiment: what its card tells, and that the network alone
/// reads at least `least` right.
fn holds(name: &str, files: &ModelFiles, least: f64) {
    let Some(films) = real_films::folder("cxr", &format!("the confusion matrix of {name}")) else { return };
    let trainer = Path::new(env!("CARGO_MANIFEST_DIR"));
    let experiment = Experiment::read(&trainer.join("experiments").join(name).with_extension("toml")).unwrap();
    let index = Index::read(&films.join("index.csv")).unwrap();
    let samples = deal(&index, &experiment).unwrap();
    let test: Vec<&Sample> = samples.iter().filter(|sample| sample.part == Part::Test).collect();
    let model = files.load().unwrap();
    assert_eq!(model.manifest.provenance.index_digest, index.digest, "trained from another index");

    let unit = judge::by_device(&model, &index, &test, &mut || {}).unwrap();
    let outputs = (&model.engine, &model.manifest.input, &Finding::DEVICE);
    let alone = judge::by_engine(outputs, &index, &test, &mut || {}).unwrap();
    let card = fs::read_to_string(trainer.join("../models").join(name).with_extension("md")).unwrap();
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
