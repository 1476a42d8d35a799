//! What `chestlight classify` promises on the command line.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

mod dicom_writer;
mod real_films;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use chestlight::phantom::{Opacity, Phantom};
use chestlight::radiograph::Grey;
use dicom_writer::{EXPLICIT, Film};
use image::GrayImage;
use serde_json::Value;

fn classify(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chestlight")).arg("classify").args(arguments).current_dir(folder).output().unwrap()
}

fn json_lines(output: &Output) -> Vec<Value> {
    String::from_utf8(output.stdout.clone()).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn field<'a>(lines: &'a [Value], name: &str) -> Vec<&'a str> {
    lines.iter().map(|line| line[name].as_str().unwrap()).collect()
}

fn save_phantom(path: &Path, seed: u64) {
    let film = Phantom::new(seed, Opacity::None).render().unwrap();
    let Grey::U8(samples) = film.pixels() else { panic!("a phantom has 8 bits") };
    GrayImage::from_raw(film.width(), film.height(), samples.clone()).unwrap().save(path).unwrap();
}

/// A folder with two films, one in a subfolder, and much that is none.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("sub")).unwrap();
    fs::create_dir(at(".hidden")).unwrap();
    save_phantom(&at("b.png"), 1);
    save_phantom(&at("sub/a.jpg"), 2);
    save_phantom(&at(".hidden/film.png"), 3);
    save_phantom(&at(".film.png"), 3);
    fs::write(at("index.csv"), "file,label").unwrap();
    fs::write(at("a.png"), "not a PNG").unwrap();
    fs::write(at("c.png"), "").unwrap();
    symlink("b.png", at("d.png")).unwrap();
    symlink("nowhere", at("e.png")).unwrap();
    folder
}

#[test]
fn every_file_of_a_folder_has_exactly_one_line_in_sorted_order_whatever_the_threads() {
    let folder = folder();
    for threads in ["1", "3"] {
        let output = classify(&[".", "--json", "--threads", threads], folder.path());
        let lines = json_lines(&output);
        assert_eq!(field(&lines, "file"), ["./a.png", "./b.png", "./c.png", "./d.png", "./e.png", "./sub/a.jpg"]);
        let refused: Vec<bool> = field(&lines, "verdict").into_iter().map(|verdict| verdict == "Refused").collect();
        assert_eq!(refused, [true, false, true, false, true, false]);
        assert_eq!(output.status.code(), Some(1));
    }
}

/// As X-ray units and workstations write media: names without extensions below an index (PS3.10 8).
#[test]
fn dicom_media_are_walked_and_their_index_is_passed_over_whatever_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let phantom = Phantom::new(1, Opacity::None).render().unwrap();
    let Grey::U8(samples) = phantom.pixels() else { panic!("a phantom has 8 bits") };
    let film = Film::new(phantom.width() as u16, phantom.height() as u16, 8, 8).pixels8(samples).write(EXPLICIT);
    // Media Storage Directory Storage, padded with zeros to the length of the film's class.
    let class = b"1.2.840.10008.5.1.4.1.1.1\0";
    let at = film.windows(class.len()).position(|part| part == class).unwrap();
    let mut index = film.clone();
    index[at..at + class.len()].copy_from_slice(b"1.2.840.10008.1.3.10\0\0\0\0\0\0");
    fs::create_dir_all(folder.path().join("IMAGES/PAT00001")).unwrap();
    for (name, bytes) in [
        ("DICOMDIR", &index),
        ("IMAGES/OTHER", &index),
        ("IMAGES/PAT00001/IM000001", &film),
        ("IMAGES/PAT00001/IM000002.tmp", &film),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let output = classify(&[".", "--json"], folder.path());
    let lines = json_lines(&output);
    assert_eq!(field(&lines, "file"), ["./IMAGES/PAT00001/IM000001", "./IMAGES/PAT00001/IM000002.tmp"]);
    assert!(!field(&lines, "verdict").contains(&"Refused"), "{lines:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("2 index files passed over"), "{told}");
}

#[test]
fn films_are_printed_in_the_order_of_the_command_line_and_a_named_file_is_never_passed_over() {
    let folder = folder();
    let output = classify(&["sub", "index.csv", "b.png", ".film.png", "b.png", "--json"], folder.path());
    let lines = json_lines(&output);
    assert_eq!(field(&lines, "file"), ["sub/a.jpg", "index.csv", "b.png", ".film.png", "b.png"]);
}

#[test]
fn a_line_of_json_has_the_documented_fields() {
    let folder = folder();
    let mut lines = json_lines(&classify(&["--json", "b.png", "a.png"], folder.path()));
    for line in &mut lines {
        let ms = line["ms"].as_object().unwrap();
        assert_eq!(ms.keys().collect::<Vec<_>>(), ["decode", "gate", "infer", "preprocess", "total"]);
        let rooms: f64 = ms.iter().filter(|(room, _)| *room != "total").map(|(_, ms)| ms.as_f64().unwrap()).sum();
        assert!(rooms <= ms["total"].as_f64().unwrap() + 0.01);
        if let Some(probabilities) = line["probabilities"].as_object() {
            let sum: f64 = probabilities.values().map(|p| p.as_f64().unwrap()).sum();
            assert!((sum - 1.0).abs() < 1e-5);
            assert_eq!(probabilities.keys().collect::<Vec<_>>(), ["bacterial", "covid19", "normal"]);
            assert!(line["message"].as_str().unwrap().ends_with("% sure"));
            // What the model says of a phantom is the golden results' business.
            for field in ["verdict", "reason", "message", "probabilities", "distance"] {
                line[field] = "[of the model]".into();
            }
        }
        assert_eq!(line["model"]["digest"].as_str().unwrap().len(), 64);
        line["ms"] = "[measured]".into();
        line["model"] = "[of the model]".into();
    }
    insta::assert_json_snapshot!(lines, @r#"
    [
      {
        "distance": "[of the model]",
        "file": "b.png",
        "message": "[of the model]",
        "model": "[of the model]",
        "ms": "[measured]",
        "notice": "research use, not a diagnosis",
        "probabilities": "[of the model]",
        "reason": "[of the model]",
        "schema": 1,
        "verdict": "[of the model]"
      },
      {
        "distance": null,
        "file": "a.png",
        "message": "the content is not DICOM, JPEG, PNG or TIFF (it begins with 6e 6f 74 20 61 20 50 4e); export the film as DICOM, JPEG, PNG or TIFF",
        "model": "[of the model]",
        "ms": "[measured]",
        "notice": "research use, not a diagnosis",
        "probabilities": null,
        "reason": "unknown_format",
        "schema": 1,
        "verdict": "Refused"
      }
    ]
    "#);
}

#[test]
fn exit_codes_are_as_documented() {
    let folder = folder();
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::write(folder.path().join("bad.toml"), "schema = 1").unwrap();
    for (arguments, code, words) in [
        (&["b.png"][..], 0, "research use, not a diagnosis"),
        (&["b.png", "a.png"], 1, "research use, not a diagnosis"),
        (&["missing.png"], 1, ""),
        (&[], 2, "Usage"),
        (&["b.png", "--threads", "0"], 2, "--threads"),
        (&["empty"], 2, "there are no films in empty"),
        (&["b.png", "--model", "missing.toml"], 2, "missing.toml"),
        (&["b.png", "--model", "bad.toml"], 2, "bad.onnx"),
    ] {
        let output = classify(arguments, folder.path());
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
}

#[test]
fn the_table_has_no_colour_when_it_is_not_read_on_a_terminal() {
    let folder = folder();
    let output = classify(&["b.png", "a.png"], folder.path());
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(!table.contains('\x1b'), "{table}");
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains("repeat the film"), "{table}");
}

#[test]
fn the_eleven_full_size_films_are_all_read() {
    let Some(folder) = real_films::folder("full_size", "the_eleven_full_size_films_are_all_read") else { return };
    let output = classify(&[".", "--json"], &folder);
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 11);
    assert_eq!(output.status.code(), Some(0), "{lines:?}");
}

#[test]
fn nothing_that_is_no_frontal_chest_film_brings_the_reader_down() {
    let Some(folder) =
        real_films::folder("not_frontal_chest", "nothing_that_is_no_frontal_chest_film_brings_the_reader_down")
    else {
        return;
    };
    let output = classify(&[".", "--json", "--threads", "2"], &folder);
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 72);
    assert!(!field(&lines, "verdict").contains(&"Fault"), "{lines:?}");
}

#[test]
fn an_age_outside_the_models_limits_is_refused_and_a_senseless_one_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    save_phantom(&folder.path().join("a.png"), 1);
    for (age, code) in [("200", 2), ("-1", 2), ("old", 2), ("40", 0)] {
        let output = classify(&[&format!("--age={age}"), "a.png"], folder.path());
        assert_eq!(output.status.code(), Some(code), "{age}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn explain_writes_a_picture_for_each_film_that_was_judged_where_the_network_tells_a_map() {
    let folder = tempfile::tempdir().unwrap();
    save_phantom(&folder.path().join("a.png"), 1);
    fs::write(folder.path().join("b.png"), "no film").unwrap();
    let output = classify(&["--json", "--explain", "maps", "a.png", "b.png"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let pictures: Vec<_> =
        fs::read_dir(folder.path().join("maps")).unwrap().map(|it| it.unwrap().file_name()).collect();
    let tells_a_map = !json_lines(&output)[0]["distance"].is_null();
    let expected = if tells_a_map { vec!["0001-a.png.png"] } else { vec![] };
    assert_eq!(pictures, expected);
}
