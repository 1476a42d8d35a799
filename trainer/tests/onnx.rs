//! The ONNX files say what the network says.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it expects by unwrapping")]

use burn::prelude::*;
use burn::tensor::TensorData;
use chestlight::model::Engine;
use chestlight::phantom::{Opacity, Phantom};
use chestlight::preprocess::{Fit, InputGeometry, InputTensor, preprocess};
use chestlight_trainer::experiment::{Int8, Observer};
use chestlight_trainer::net::{Architecture, Net, Norm};
use chestlight_trainer::onnx::{self, Graph, equalise, noise, write_f32};

const SIDE: u32 = 64;

fn geometry() -> InputGeometry {
    InputGeometry {
        width: SIDE,
        height: SIDE,
        fit: Fit::Stretch,
        exposure_low: 0.01,
        exposure_high: 0.99,
        mean: 127.0,
        std: 128.0,
        margin: 0.0,
    }
}

/// A network with a classifier, so that its logits depend on everything before.
fn net(architecture: Architecture) -> Net {
    let device = Device::flex();
    let mut net = Net::random(architecture, Norm::Frozen, 3, 7, &device);
    let features = architecture.features();
    let weight: Vec<f32> = (0..features * 3).map(|i| ((i as f32) * 0.7).sin()).collect();
    net.classifier.weight =
        burn::module::Param::from_tensor(Tensor::from_data(TensorData::new(weight, [features, 3]), &device));
    net
}

fn films() -> Vec<InputTensor> {
    let film = |seed| preprocess(&Phantom::new(seed, Opacity::Diffuse).render().unwrap(), &geometry()).unwrap();
    (1..=3).map(film).collect()
}

fn by_burn(net: &Net, film: &InputTensor) -> Vec<f32> {
    let shape = [1, 3, film.height, film.width];
    let input = Tensor::<4>::from_data(TensorData::new(film.plane.repeat(3), shape), &Device::flex());
    net.logits(input, 0).into_data().try_to_vec().unwrap()
}

fn by_chestlight(onnx: &[u8], film: &InputTensor) -> Vec<f32> {
    Engine::load(onnx, &geometry()).unwrap().infer(film).unwrap().logits.0.to_vec()
}

fn span(values: &[f32]) -> f32 {
    let (low, high) = values.iter().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    high - low
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn f32_onnx_gives_the_networks_logits() {
    for architecture in Architecture::ALL {
        let net = net(architecture);
        let onnx = write_f32(&Graph::of(&net, [64, 64]));
        for film in films() {
            let (trained, shipped) = (by_burn(&net, &film), by_chestlight(&onnx, &film));
            assert!(span(&trained) > 0.1, "the test needs logits that differ: {trained:?}");
            for (a, b) in trained.iter().zip(&shipped) {
                let apart = (a - b).abs();
                assert!(apart <= 1e-4 * span(&trained).max(1.0), "{architecture:?}: {trained:?} against {shipped:?}");
            }
        }
    }
}

#[test]
fn int8_onnx_gives_almost_the_same_and_no_weight_stays_in_f32() {
    for architecture in Architecture::ALL {
        let films = films();
        let mut ticks = 0;
        let whole = Int8 { observer: Observer::Percentile(1.0), ..Int8::default() };
        let graph = Graph::of(&net(architecture), [64, 64]);
        let files = onnx::files(graph, &films, &whole, &mut || ticks += 1).unwrap();
        assert_eq!(ticks, 2 * films.len());
        let (float, int8) = (&files.float, &files.int8);
        assert!(int8.len() * 3 < float.len(), "{} against {} bytes", int8.len(), float.len());
        for film in &films {
            let (exact, rounded) = (by_chestlight(float, film), by_chestlight(int8, film));
            // Random weights amplify rounding more than trained ones do; a wrong scale anywhere turns the logits.
            assert!(cosine(&exact, &rounded) > 0.98, "{architecture:?}: {exact:?} against {rounded:?}");
        }
    }
}

#[test]
fn every_setting_keeps_the_logits_near_those_of_the_network() {
    let films = films();
    let plain = Int8 { observer: Observer::Percentile(1.0), weight_bits: 8, bias_correction: false, equalise: false };
    // Entropy clips the tails of a random network's values, which a trained one has less of.
    for (name, settings, least) in [
        ("plain", plain, 25.0),
        ("7 bits", Int8 { weight_bits: 7, ..plain }, 20.0),
        ("corrected", Int8 { bias_correction: true, ..plain }, 25.0),
        ("equalised", Int8 { equalise: true, ..plain }, 25.0),
        ("entropy", Int8 { observer: Observer::Entropy, ..plain }, 8.0),
        ("mse", Int8 { observer: Observer::Mse, ..plain }, 25.0),
    ] {
        let graph = Graph::of(&net(Architecture::SmallCnn), [64, 64]);
        let files = onnx::files(graph, &films, &settings, &mut || {}).unwrap();
        let noise = noise(&files, &films).unwrap();
        assert_eq!(noise.len(), 7, "five convolutions, the features and the logits");
        for layer in &noise {
            let decibels = layer.decibels.unwrap_or(f64::INFINITY);
            assert!(decibels > least, "{name}: {} has {decibels:.1} dB", layer.name);
        }
    }
}

#[test]
fn an_equalised_network_is_the_same_function() {
    for architecture in [Architecture::SmallCnn, Architecture::Resnet50] {
        let mut graph = Graph::of(&net(architecture), [64, 64]);
        let before = write_f32(&graph);
        equalise(&mut graph);
        let after = write_f32(&graph);
        assert_ne!(before, after, "{architecture:?}");
        for film in films() {
            let (a, b) = (by_chestlight(&before, &film), by_chestlight(&after, &film));
            assert!(a.iter().zip(&b).all(|(x, y)| (x - y).abs() <= 2e-3 * span(&a).max(1.0)), "{a:?} against {b:?}");
        }
    }
}
