//! What the fuzz targets of `fuzz/` are begun with, and every input on which one of them ever failed, in every test run;
//! and a fixed number of mutations of each, the same ones every time.

#![allow(clippy::type_complexity, reason = "a table of targets and what they run")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what it expects by unwrapping")]

#[path = "../fuzz/bodies/bundle.rs"]
mod bundle;
#[path = "../fuzz/bodies/config.rs"]
mod config;
#[path = "../fuzz/bodies/decode.rs"]
mod decode;
#[path = "../fuzz/bodies/dicom.rs"]
mod dicom;
#[path = "../fuzz/bodies/dicom_pixels.rs"]
mod dicom_pixels;
#[path = "../fuzz/bodies/frame.rs"]
mod frame;
#[path = "../fuzz/bodies/journal.rs"]
mod journal;
#[path = "../fuzz/bodies/manifest.rs"]
mod manifest;
#[path = "../fuzz/bodies/pdu.rs"]
mod pdu;

use std::fs;
use std::path::Path;

const MUTATIONS: usize = 60;

/// SplitMix64 (Steele, Lea and Flood 2014, DOI 10.1145/2660193.2660195): the same numbers every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) as usize % end
    }
}

/// A few bytes of `input` changed, cut out, doubled or cut off.
fn mutated(input: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len() + 1);
        let end = bytes.len().min(at + 1 + numbers.below(16));
        let some = bytes.get(at..end).unwrap_or_default().to_vec();
        match numbers.below(4) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, some)),
            2 => drop(bytes.drain(at..end)),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = numbers.below(256) as u8),
        }
    }
    bytes
}

fn replay(target: &str, body: Body) {
    let mut numbers = Numbers(0);
    let mut inputs = 0;
    for folder in ["seeds", "regressions"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder).join(target);
        // A target that never failed has no regressions.
        for entry in walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().flatten() {
            if entry.file_type().is_file() {
                let input = fs::read(entry.path()).unwrap();
                body(&input);
                (0..MUTATIONS).for_each(|_| body(&mutated(&input, &mut numbers)));
                inputs += 1;
            }
        }
    }
    assert!(inputs > 0, "{target} has no seeds");
}

#[test]
fn every_fuzz_target_has_a_corpus_that_is_replayed_here() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut names: Vec<String> = fs::read_dir(targets)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let replayed: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, replayed);
    for (target, body) in TARGETS {
        replay(target, body);
    }
}

type Body = fn(&[u8]);

const TARGETS: [(&str, Body); 9] = [
    ("bundle", bundle::run),
    ("config", config::run),
    ("decode", decode::run),
    ("dicom", dicom::run),
    ("dicom_pixels", dicom_pixels::run),
    ("frame", frame::run),
    ("journal", journal::run),
    ("manifest", manifest::run),
    ("pdu", pdu::run),
];
