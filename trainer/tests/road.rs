//! The whole road of a model, from films to a shipped manifest, through the real program at 64 x 64 pixels.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it expects by unwrapping")]

mod phantom_films;
mod program;

use std::fs;

use chestlight::decode::Limits;
use chestlight::model::ModelFiles;
use chestlight::verdict::Verdict;
use chestlight::{reading, self_test};
use phantom_films::EACH;
use program::{done, text, trainer};

#[test]
fn films_become_a_model_that_chestlight_reads_with() {
    let films = phantom_films::draw();
    let (index, experiment) = (text(&films.index), text(&films.experiment));
    let (run, out) = (films.folder.path().join("run"), films.folder.path().join("phantom-lite0.toml"));
    done(&["train", "--experiment", experiment, "--index", index, "--run", text(&run)]);
    let curve = fs::read_to_string(run.join("curve.csv")).unwrap();
    assert!(curve.contains("\nhead,1,") && curve.contains("\ntune,1,"), "{curve}");

    done(&["ship", "--run", text(&run), "--index", index, "--out", text(&out), "--command", "the test"]);
    let model = ModelFiles::read(&out).unwrap().load().unwrap();
    self_test::run(&model).unwrap();
    assert_eq!(model.manifest.provenance.command, "the test");
    let counted: u32 =
        model.manifest.provenance.data.iter().map(|part| part.normal + part.bacterial + part.covid19).sum();
    assert_eq!(u64::from(counted), 3 * EACH);
    let film = fs::read(films.folder.path().join("drawn-covid-1.png")).unwrap();
    let reading = reading::read(&model, &film, &Limits::default());
    assert!(!matches!(reading.verdict, Verdict::Refused(_) | Verdict::Fault(_)), "{reading:?}");

    assert!(reading.distance.unwrap() <= model.manifest.gate.unwrap().distance_at_most);
    assert!(reading.map.is_some() && model.manifest.calibration.points.is_some() && model.manifest.reference.is_some());
    let golden = &model.manifest.golden[0];
    assert!(golden.distance.is_some() && golden.map.is_some());
    let mut turned = ModelFiles::read(&out).unwrap().load().unwrap();
    if let Some(map) = &mut turned.manifest.golden[0].map {
        map[0] += 1.0;
    }
    assert!(self_test::run(&turned).unwrap_err().to_string().contains("map"), "a map that changed is found");

    let other = films.folder.path().join("other.csv");
    fs::write(&other, fs::read_to_string(&films.index).unwrap() + "more.png,other,drawn,more,CC0\n").unwrap();
    let refused = trainer(&["ship", "--run", text(&run), "--index", text(&other), "--out", text(&out)]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("another index"));

    let report = done(&["evaluate", "--model", text(&out), "--experiment", experiment, "--index", index, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let accuracy = &report["accuracy"];
    assert_eq!(accuracy["all"], 12, "a fifth of the films");
    let card = fs::read_to_string(out.with_extension("md")).unwrap();
    let measured = format!("({} of 12;", accuracy["of"]);
    assert!(card.contains(&measured), "the card tells {measured}\n{card}");
    assert!(
        card.contains("| CC0 | 60 |") && card.contains("Phantoms show no disease.") && card.contains("not a diagnosis"),
        "{card}"
    );
}

#[test]
fn a_run_is_never_overwritten_nor_mixed_with_another_experiment() {
    let films = phantom_films::draw();
    let (index, experiment) = (text(&films.index), text(&films.experiment));
    let run = films.folder.path().join("run");
    fs::create_dir(&run).unwrap();
    fs::copy(&films.experiment, run.join("experiment.toml")).unwrap();
    let train = ["train", "--experiment", experiment, "--index", index, "--run", text(&run)];
    let told = String::from_utf8(trainer(&train).stderr).unwrap();
    assert!(told.contains("--resume"), "{told}");

    let other = fs::read_to_string(&films.experiment).unwrap().replace("seed = 1", "seed = 2");
    fs::write(&films.experiment, other).unwrap();
    let output = trainer(&[train.as_slice(), &["--resume"]].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && told.contains("another experiment"), "{told}");
}

#[test]
fn what_is_missing_is_told() {
    let films = phantom_films::draw();
    let (index, experiment) = (text(&films.index), text(&films.experiment));
    let run = films.folder.path().join("run");
    let train = |index, experiment| ["train", "--experiment", experiment, "--index", index, "--run", text(&run)];
    fs::remove_file(films.folder.path().join("drawn-normal-3.png")).unwrap();
    for (arguments, told) in [
        (train("absent.csv", experiment).to_vec(), "absent.csv"),
        (train(index, "absent.toml").to_vec(), "absent.toml"),
        (train(index, experiment).to_vec(), "drawn-normal-3.png"),
        (vec!["ship", "--run", text(&run), "--index", index, "--out", "x.toml"], "has `train` finished?"),
        (vec!["fetch-weights", "--from", experiment], "SHA-256"),
    ] {
        let output = trainer(&arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr.contains(told), "{arguments:?}: {stderr}");
    }
}
