//! What `chestlight bench` promises on the command line.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it expects by unwrapping")]

use std::path::Path;
use std::process::{Command, Output};

use chestlight::phantom::{Opacity, Phantom};
use chestlight::radiograph::Grey;
use image::GrayImage;
use serde_json::Value;

fn bench(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chestlight")).arg("bench").args(arguments).current_dir(folder).output().unwrap()
}

/// A folder with a film and a file that is none.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let film = Phantom::new(1, Opacity::Focal).render().unwrap();
    let Grey::U8(samples) = film.pixels() else { unreachable!("a phantom has 8 bits") };
    let film = GrayImage::from_raw(film.width(), film.height(), samples.clone()).unwrap();
    film.save(folder.path().join("film.jpg")).unwrap();
    std::fs::write(folder.path().join("none.jpg"), "no film").unwrap();
    folder
}

/// The same value with every number, and every text that depends on the machine or the model, replaced by its kind.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        Value::Array(values) => Value::Array(values.iter().take(1).map(shape).collect()),
        Value::Number(_) => "number".into(),
        Value::String(_) => "text".into(),
        other => other.clone(),
    }
}

#[test]
fn the_json_has_the_documented_shape_and_everything_was_measured() {
    let folder = folder();
    let output = bench(&["--json", "--films", "3", "film.jpg"], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let mut json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((json["schema"].as_u64(), json["readings"].as_u64()), (Some(1), Some(3)));
    let stages: Vec<&str> =
        json["stages"].as_array().unwrap().iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["decode", "gate", "preprocess", "infer", "record", "road", "road_cpu"]);
    for measured in json["stages"].as_array().unwrap().iter().chain(json["layers"].as_array().unwrap()) {
        let ms = |name: &str| measured["ms"][name].as_f64().unwrap();
        let spread = ["min", "p50", "p90", "p99", "max"].map(ms);
        assert!(spread.is_sorted() && spread[0] >= 0.0, "{measured}");
    }
    assert!(json["layers"].as_array().unwrap().len() > 50);
    assert!(json["peak_memory_mib"].as_f64().unwrap() > 5.0);
    // A processor may have none.
    json["machine"]["vector_units"] = "list of texts".into();
    insta::assert_json_snapshot!(shape(&json));
}

#[test]
fn the_table_names_every_stage_and_says_what_it_is_not() {
    let folder = folder();
    let output = bench(&["--films", "1", "film.jpg"], folder.path());
    let table = String::from_utf8(output.stdout).unwrap();
    for words in ["research use, not a diagnosis", "decode", "record", "road", "SLOWEST OF", "peak memory", "film.jpg"]
    {
        assert!(table.contains(words), "{words}: {table}");
    }
}

#[test]
fn what_cannot_be_measured_is_told_with_exit_code_2() {
    let folder = folder();
    for (arguments, words) in [
        (&["missing.jpg"][..], "missing.jpg"),
        (&["none.jpg"], "none.jpg"),
        (&["film.jpg", "--films", "0"], "--films"),
        (&["film.jpg", "--model", "missing.toml"], "missing.toml"),
        (&["film.jpg", "--state", "missing"], "missing"),
    ] {
        let output = bench(arguments, folder.path());
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
}
