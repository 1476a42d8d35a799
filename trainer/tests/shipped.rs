//! The shipped model's card tells what is measured.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by unwrapping")]

#[path = "../../tests/real_films/mod.rs"]
mod real_films;

use std::fs;
use std::path::Path;

use chestlight::model::shipped;
use chestlight_trainer::evaluate::Evaluation;
use chestlight_trainer::experiment::Experiment;
use chestlight_trainer::index::Index;
use chestlight_trainer::judge;
use chestlight_trainer::split::{Part, Sample, deal};

#[test]
fn the_card_tells_what_the_int8_file_reads_right_and_it_passes_the_papers_model_2() {
    let Some(films) = real_films::folder("cxr", "the shipped model's confusion matrix") else { return };
    let trainer = Path::new(env!("CARGO_MANIFEST_DIR"));
    let experiment = Experiment::read(&trainer.join("experiments/chestlight-lite0.toml")).unwrap();
    let index = Index::read(&films.join("index.csv")).unwrap();
    let samples = deal(&index, &experiment).unwrap();
    let test: Vec<&Sample> = samples.iter().filter(|sample| sample.part == Part::Test).collect();
    let model = shipped().load().unwrap();
    assert_eq!(model.manifest.provenance.index_digest, index.digest, "trained from another index");

    let judged = judge::by_device(&model, &index, &test, &mut || {}).unwrap();
    let measured = Evaluation::of(&judged, &test);
    let card = fs::read_to_string(trainer.join("../models/chestlight-lite0.md")).unwrap();
    let told = card.split("- accuracy ").nth(1).and_then(|rest| rest.split(['(', ' ']).nth(2)).unwrap();
    let (told, accuracy): (u32, _) = (told.parse().unwrap(), measured.all.accuracy());
    // Another processor rounds otherwise, and a film that lies on a border may fall on its other side.
    assert!(told.abs_diff(accuracy.of) <= 2, "the card tells {told} right; measured:\n{}", measured.all.table());
    assert!(accuracy.rate >= 0.9565, "{accuracy}");
}
