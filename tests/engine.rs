//! The integer engine says of a film what tract says of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by unwrapping")]

mod real_films;
mod skipping;

use std::num::NonZeroUsize;

use chestlight::decode::{self, Limits};
use chestlight::model::{EngineKind, EngineOptions, Model, shipped};
use chestlight::phantom::{Opacity, Phantom};
use chestlight::radiograph::Radiograph;
use chestlight::reading;
use chestlight::self_test;
use skipping::skip;
use walkdir::WalkDir;

/// Furthest that a probability may be from tract's. tract adds products in floats, and wherever the exact sum lies
/// halfway between two bytes its rounding errors choose; some sixty layers later that is what onnxruntime's integer
/// and float evaluation of this very file are apart too (docs/performance.md).
const APART: f32 = 0.08;

/// The same on average.
const APART_ON_AVERAGE: f32 = 0.02;

fn loaded(kind: EngineKind, threads: usize) -> Model {
    let threads = NonZeroUsize::new(threads).unwrap();
    shipped().load_with(&EngineOptions { kind, threads }).unwrap()
}

fn agree<'n>(films: impl Iterator<Item = (String, Radiograph)> + 'n) -> usize {
    let [tract, qnn] = [EngineKind::Tract, EngineKind::Qnn].map(|kind| loaded(kind, 1));
    let mut apart = Vec::new();
    for (name, film) in films {
        let [tract, qnn] = [&tract, &qnn].map(|model| reading::judge(model, &film).unwrap().probabilities);
        let [one, other] = [tract, qnn].map(|probabilities| probabilities.to_array());
        let most = one.into_iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
        assert!(most <= APART, "{name}: {tract:?} by tract, {qnn:?} by qnn");
        let mut sorted = one;
        sorted.sort_by(f32::total_cmp);
        let [_, second, first] = sorted;
        // Two classes that are closer than that may change places.
        assert!(tract.top().0 == qnn.top().0 || first - second < APART, "{name}: {tract:?}, {qnn:?}");
        apart.push(most);
    }
    let mean = apart.iter().sum::<f32>() / apart.len().max(1) as f32;
    assert!(mean <= APART_ON_AVERAGE, "{mean} apart on average");
    apart.len()
}

#[test]
fn the_shipped_network_runs_in_integers_by_default() {
    let model = shipped().load().unwrap();
    assert_eq!(model.engine.kind(), EngineKind::Qnn);
    let layers = model.engine.layers();
    assert!(layers.is_complete() && layers.layers.len() > 50, "{layers}");
    assert_eq!(loaded(EngineKind::Tract, 1).engine.kind(), EngineKind::Tract);
}

#[test]
fn where_no_gpu_is_the_cpu_answers_and_the_reason_is_told() {
    if std::path::Path::new("/dev/nvidiactl").exists() {
        skip("where_no_gpu_is_the_cpu_answers_and_the_reason_is_told", "there is an NVIDIA GPU");
        return;
    }
    let options = EngineOptions { kind: EngineKind::Cuda, ..EngineOptions::default() };
    let model = shipped().load_with(&options).unwrap();
    self_test::run(&model).unwrap();
    let wrong = model.engine.offload_wrong().unwrap();
    assert!(wrong.contains("GPU") || wrong.contains("CUDA"), "{wrong}");
    let phantom = Phantom::new(7, Opacity::Focal).render().unwrap();
    let [gpu, cpu] = [&model, &shipped().load().unwrap()].map(|it| reading::judge(it, &phantom).unwrap().probabilities);
    assert_eq!(gpu, cpu);
}

#[test]
fn both_engines_agree_on_phantoms() {
    let opacities = [Opacity::None, Opacity::Focal, Opacity::Diffuse];
    let films = opacities.into_iter().flat_map(|opacity| {
        (1..=4).map(move |seed| (format!("{opacity:?} {seed}"), Phantom::new(seed, opacity).render().unwrap()))
    });
    assert_eq!(agree(films), 4 * opacities.len());
}

#[test]
fn both_engines_agree_on_real_films() {
    let Some(folder) = real_films::folder("cxr", "both_engines_agree_on_real_films") else { return };
    // Every 199th of some thousands: all hospitals, and seconds instead of minutes.
    let files = WalkDir::new(folder).sort_by_file_name().into_iter().filter_map(Result::ok);
    let files = files.filter(|entry| entry.file_type().is_file()).step_by(199);
    let films = files.filter_map(|entry| {
        let bytes = std::fs::read(entry.path()).unwrap();
        Some((entry.path().display().to_string(), decode::decode(&bytes, &Limits::default()).ok()?))
    });
    assert!(agree(films) > 5);
}

#[test]
fn two_threads_give_the_numbers_of_one() {
    let [one, two] = [1, 2].map(|threads| loaded(EngineKind::Qnn, threads));
    let film = Phantom::new(3, Opacity::Diffuse).render().unwrap();
    let [one, two] = [one, two].map(|model| reading::judge(&model, &film).unwrap().probabilities);
    assert_eq!(one, two);
}
