//! What a model promises of itself, and how a model that breaks its promises is found out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

use chestlight::model::{LoadError, Manifest, ManifestError, ModelFiles, shipped};
use chestlight::self_test;

#[test]
fn the_shipped_model_answers_its_golden_phantoms() {
    self_test::run(&shipped().load().unwrap()).unwrap();
}

#[test]
fn a_golden_result_that_the_model_does_not_give_is_found() {
    let mut model = shipped().load().unwrap();
    let golden = model.manifest.golden.first_mut().unwrap();
    golden.probabilities.normal = if golden.probabilities.normal > 0.5 { 0.0 } else { 1.0 };
    golden.tolerance = 0.1;
    let mismatch = self_test::run(&model).unwrap_err().to_string();
    assert!(mismatch.contains("golden phantom"), "{mismatch}");
}

#[test]
fn one_changed_byte_of_the_network_is_found_before_it_is_run() {
    let mut files = shipped();
    *files.onnx.to_mut().last_mut().unwrap() ^= 1;
    assert!(matches!(files.load(), Err(LoadError::Manifest(ManifestError::Digest { .. }))));
}

#[test]
fn a_network_that_is_none_is_an_error_and_no_panic() {
    use sha2::{Digest, Sha256};
    for onnx in [&b""[..], b"not ONNX", &[0xFF; 64]] {
        let digest = chestlight::digest::hex(&Sha256::digest(onnx));
        let manifest = shipped().manifest.replace(&shipped().load().unwrap().manifest.digest, &digest);
        let files = ModelFiles { manifest, onnx: onnx.to_vec().into() };
        assert!(matches!(files.load(), Err(LoadError::Engine(_))));
    }
}

#[test]
fn a_gate_that_the_network_cannot_serve_is_refused() {
    use sha2::{Digest, Sha256};
    let files = shipped();
    let mut onnx = files.onnx.to_vec();
    // The same network, whose output has another name.
    let name = b"distance";
    for place in 0..onnx.len() - name.len() {
        if onnx[place..].starts_with(name) {
            onnx[place] = b'D';
        }
    }
    let mut manifest = files
        .manifest
        .replace(&files.load().unwrap().manifest.digest, &chestlight::digest::hex(&Sha256::digest(&onnx)));
    if !manifest.contains("[gate]") {
        manifest = manifest.replace("[provenance]", "[gate]\ndistance_at_most = 1.4\n\n[provenance]");
    }
    let error = ModelFiles { manifest, onnx: onnx.into() }.load().map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("gate.distance_at_most") && error.contains("no output distance"), "{error}");
}

#[test]
fn a_manifest_value_outside_its_range_is_refused_with_its_key() {
    let manifest = shipped().manifest;
    let with = |from: &str, to: &str| {
        let line = manifest.lines().find(|line| line.starts_with(from)).unwrap_or_else(|| panic!("no line {from}"));
        manifest.replacen(line, to, 1)
    };
    for (from, to, words) in [
        ("schema", "schema = 2", "schema"),
        ("name", "name = \"a/b\"", "name"),
        ("classes", "classes = [\"covid19\", \"bacterial\", \"normal\"]", "classes"),
        ("width", "width = 100000", "input"),
        ("exposure_low", "exposure_low = 0.7", "exposure_low"),
        ("std", "std = 0.0", "input.std"),
        ("mean", "mean = nan", "input.std"),
        ("temperature", "temperature = 0.0", "calibration.temperature"),
        ("refer_below", "refer_below = 1.5", "calibration.refer_below"),
        ("tolerance", "tolerance = -0.1", "golden"),
        ("[calibration.points.bacterial]", "[calibration.points.viral]", "bacterial"),
        ("distance_at_most", "distance_at_most = 0.0", "gate.distance_at_most"),
        ("distance_at_most", "distance_at_most = 1.4\nages = { from = 9, to = 1 }", "gate.ages"),
        ("distance_deviation", "distance_deviation = -1.0", "reference"),
        ("fit", "fit = \"crop\"", "fit"),
        ("height", "height = 224\ndepth = 3", "depth"),
    ] {
        let error = Manifest::parse(&with(from, to)).unwrap_err().to_string();
        assert!(error.contains(words), "{to}: {error}");
    }
}
