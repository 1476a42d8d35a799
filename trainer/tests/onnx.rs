//! The ONNX files say what the network says.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it expects by unwrapping")]

use burn::prelude::*;
use burn::tensor::TensorData;
use chestlight::model::{Engine, EngineKind, EngineOptions, Outputs};
use chestlight::phantom::{Opacity, Phantom};
use chestlight::preprocess::{Fit, InputGeometry, InputTensor, preprocess};
use chestlight::verdict::Class;
use chestlight_trainer::distance::Distance;
use chestlight_trainer::experiment::{Int8, Observer};
use chestlight_trainer::net::{Architecture, Net, Norm};
use chestlight_trainer::onnx::{self, Graph, Node, equalise, noise, write_f32};
use chestlight_trainer::saliency;

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
fn every_int8_network_runs_in_integers_and_an_f32_one_is_refused_there() {
    let in_integers = |onnx: &[u8]| {
        let options = EngineOptions { kind: EngineKind::Qnn, ..EngineOptions::default() };
        Engine::load_with(onnx, &geometry(), &options).map(|engine| engine.kind())
    };
    for architecture in Architecture::ALL {
        let graph = Graph::of(&net(architecture), [64, 64]);
        let files = onnx::files(graph, &films(), &Int8::default(), &mut || {}).unwrap();
        assert_eq!(in_integers(&files.int8).unwrap(), EngineKind::Qnn, "{architecture:?}");
        let refused = in_integers(&files.float).unwrap_err().to_string();
        assert!(refused.contains("it cannot be run in integers: 0 layers"), "{refused}");
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

#[test]
fn the_class_map_is_what_the_logits_are_the_mean_of() {
    for architecture in Architecture::ALL {
        let graph = Graph::of(&net(architecture), [64, 64]);
        let bias = graph.nodes.last().and_then(Node::dense).unwrap().bias.clone();
        let whole = Int8 { observer: Observer::Percentile(1.0), ..Int8::default() };
        let files = onnx::files(graph, &films(), &whole, &mut || {}).unwrap();
        for (form, onnx, tolerance) in [("f32", &files.float, 1e-3), ("int8", &files.int8, 0.1)] {
            let engine = Engine::load(onnx, &geometry()).unwrap();
            for film in films() {
                let Outputs { logits, map, .. } = engine.infer(&film).unwrap();
                let map = map.unwrap();
                let scale = span(&logits.0).max(1.0);
                for (class, (logit, bias)) in Class::ALL.into_iter().zip(logits.0.iter().zip(&bias)) {
                    let plane = map.plane(class);
                    let mean = plane.iter().sum::<f32>() / plane.len() as f32;
                    assert!(
                        (mean + bias - logit).abs() <= tolerance * scale,
                        "{architecture:?} {form}: {mean} {logit}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_distance_in_the_file_is_the_one_that_was_fitted() {
    let seen: Vec<InputTensor> = (1..=40)
        .map(|seed| preprocess(&Phantom::new(seed, Opacity::Focal).render().unwrap(), &geometry()).unwrap())
        .collect();
    for architecture in Architecture::ALL {
        let graph = Graph::of(&net(architecture), [64, 64]);
        let value = graph.value_of_block(architecture.blocks() * 4 / 5).unwrap().to_owned();
        let mut files = onnx::files(graph, &films(), &Int8::default(), &mut || {}).unwrap();
        let probe = files.probe(&value).unwrap();
        let means: Vec<Vec<f32>> = seen.iter().map(|film| probe.channel_means(film).unwrap()).collect();
        let distance = Distance::fit(&value, &means).unwrap();
        files.tell_distance(distance.clone(), &Int8::default());
        // The engine that the probe computes with: another one rounds otherwise, and a network that was never trained
        // hardly tells phantoms apart, so that its distance makes much of a rounding.
        let tract = EngineOptions { kind: EngineKind::Tract, ..EngineOptions::default() };
        let engine = Engine::load_with(&files.int8, &geometry(), &tract).unwrap();
        for (film, means) in seen.iter().zip(&means).take(5) {
            let (told, fitted) = (engine.infer(film).unwrap().distance.unwrap(), distance.of(means));
            assert!((told - fitted).abs() <= 0.02 * fitted.max(1.0), "{architecture:?}: {told} {fitted}");
        }
        let float = Engine::load(&files.float, &geometry()).unwrap();
        assert!(float.infer(&seen[0]).unwrap().distance.unwrap().is_finite(), "{architecture:?}");
    }
}

#[test]
fn shuffled_weights_change_the_map_from_the_stated_block_on() {
    let graph = Graph::of(&net(Architecture::SmallCnn), [64, 64]);
    let files = onnx::files(graph, &films(), &Int8::default(), &mut || {}).unwrap();
    let film = &films()[0];
    let map = |onnx: &[u8]| Engine::load(onnx, &geometry()).unwrap().infer(film).unwrap().map.unwrap();
    let before = map(&files.int8);
    for from_block in [5, 2, 0] {
        let after = map(&onnx::shuffled(&files.int8, from_block, 3).unwrap());
        assert_ne!(before, after, "from block {from_block}");
        assert_eq!((before.width(), before.height()), (after.width(), after.height()));
    }
    let saliency = saliency::examine(&files.int8, &geometry(), &films(), 5).unwrap().unwrap();
    assert_eq!((saliency.films, saliency.randomised.len()), (3, 4));
    assert!(saliency.occlusion.abs() <= 1.0 && saliency.randomised.iter().all(|(_, it)| it.abs() <= 1.0));
}
