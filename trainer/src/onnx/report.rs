//! What quantization does to each value of a network.

use chestlight::preprocess::InputTensor;
use serde::Serialize;

use super::graph::OUTPUT;
use super::observe::{ObserveError, for_each};
use super::quantize::dequantized;
use super::{Files, write_f32};

/// Signal and quantization noise of one value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerNoise {
    /// The value's name: that of the layer that computes it.
    pub name: String,
    /// Signal to quantization noise, decibels: 10 times the logarithm of the ratio of the mean squares; no number
    /// (`null`) where there is no noise at all.
    pub decibels: Option<f64>,
}

/// Compares every quantized value of a network, and its logits, with the same in f32 over the films.
///
/// # Errors
/// [`ObserveError`] when tract cannot run one of the two.
pub fn noise(files: &Files, films: &[InputTensor]) -> Result<Vec<LayerNoise>, ObserveError> {
    let graph = &files.rounded;
    let float = write_f32(graph);
    let read = graph.nodes.iter().filter(|node| graph.reads(&node.name));
    let names: Vec<String> = read.map(|node| node.name.clone()).chain([OUTPUT.to_owned()]).collect();
    // What a layer of the int8 network reads is the value after its bytes.
    let after = |name: &String| if name == OUTPUT { name.clone() } else { dequantized(name) };
    let quantized: Vec<String> = names.iter().map(after).collect();
    let mut sums = vec![(0.0f64, 0.0f64); names.len()];
    // One film at a time: the values of all films would take gigabytes.
    for film in films {
        let film = std::slice::from_ref(film);
        let mut exact = Vec::new();
        for_each(&float, &names, film, &mut |_, values| exact = values)?;
        for_each(&files.int8, &quantized, film, &mut |_, values| {
            for (sum, (exact, rounded)) in sums.iter_mut().zip(exact.iter().zip(&values)) {
                for (exact, rounded) in exact.values.iter().zip(&rounded.values) {
                    sum.0 += f64::from(*exact).powi(2);
                    sum.1 += f64::from(exact - rounded).powi(2);
                }
            }
        })?;
    }
    let decibels = |(signal, noise): (f64, f64)| (noise > 0.0).then(|| 10.0 * (signal / noise).log10());
    Ok(names.into_iter().zip(sums).map(|(name, sum)| LayerNoise { name, decibels: decibels(sum) }).collect())
}
