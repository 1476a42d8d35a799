//! Static quantization in the QDQ form: u8 asymmetric activations, s8 symmetric weights by output channel, s32 bias.
//! tract, onnxruntime and OpenVINO all load it.

use super::beside;
use super::graph::{Dense, Graph, Layer};
use super::observe::{Observed, Ranges};
use super::proto::{Builder, number};
use super::range::Range;
use crate::experiment::Int8;

/// A bias stays below it, half of what an i32 holds, so that sums have room.
const BIAS_MAX: f32 = (1 << 30) as f32;

/// How values become bytes: `value = (byte - zero_point) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    scale: f32,
    zero_point: u8,
}

impl Step {
    fn of(range: &Range) -> Self {
        let scale = ((range.high - range.low) / 255.0).max(f32::MIN_POSITIVE);
        Self { scale, zero_point: (-range.low / scale).round_ties_even().clamp(0.0, 255.0) as u8 }
    }
}

/// A layer's weights as integers: `weight = byte * scale`, `bias = number * scale * scale of the input`.
struct Quantized {
    scales: Vec<f32>,
    weight: Vec<i8>,
    bias: Vec<i32>,
}

impl Quantized {
    /// With the `means` of the input's channels, the bias takes what the rounded weights add on average.
    fn of(dense: &Dense, input: Step, bits: u8, means: Option<&[f32]>) -> Self {
        let most = ((1u32 << (bits - 1)) - 1) as f32;
        let per_output = dense.weight.len() / dense.bias.len().max(1);
        let mut quantized = Self { scales: Vec::new(), weight: Vec::new(), bias: Vec::new() };
        for (output, (weights, bias)) in dense.weight.chunks(per_output.max(1)).zip(&dense.bias).enumerate() {
            let largest = weights.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
            // A channel that is almost dead but has a bias needs the coarser scale, or its bias would overflow.
            let scale = (largest / most).max(bias.abs() / (input.scale * BIAS_MAX)).max(f32::MIN_POSITIVE);
            let byte = |weight: &f32| (weight / scale).round_ties_even().clamp(-most, most) as i8;
            let bytes: Vec<i8> = weights.iter().map(byte).collect();
            let corrected =
                bias - means.map_or(0.0, |means| mean_error(weights, &bytes, scale, means_of(dense, output, means)));
            quantized.weight.extend(bytes);
            quantized.bias.push((corrected / (scale * input.scale)).round_ties_even() as i32);
            quantized.scales.push(scale);
        }
        quantized
    }
}

/// What the rounding of an output channel's weights adds to it on average, `means` being those of the channels that
/// it reads.
fn mean_error(weights: &[f32], bytes: &[i8], scale: f32, means: &[f32]) -> f32 {
    let area = (weights.len() / means.len().max(1)).max(1);
    let errors: Vec<f32> = weights.iter().zip(bytes).map(|(weight, byte)| f32::from(*byte) * scale - weight).collect();
    errors.chunks(area).zip(means).map(|(errors, mean)| errors.iter().sum::<f32>() * mean).sum()
}

/// The means of the input channels that an output channel reads: all, or those of its group.
fn means_of<'a>(dense: &Dense, output: usize, means: &'a [f32]) -> &'a [f32] {
    let inputs = dense.shape.get(1).copied().unwrap_or(1).max(1);
    let groups = (means.len() / inputs).max(1);
    let group = output * groups / dense.bias.len().max(1);
    means.get(group * inputs..(group + 1) * inputs).unwrap_or_default()
}

/// The network as int8 ONNX. Every value that a layer reads passes `QuantizeLinear` and `DequantizeLinear` in its
/// range; a value without a range passes unquantized.
pub fn write_int8(graph: &Graph, observed: &Observed, settings: &Int8) -> Vec<u8> {
    let mut file = Builder::new(graph);
    let ranges = shared_by_pools(graph, &observed.ranges);
    let mut quantized = Vec::new();
    for node in &graph.nodes {
        let inputs: Vec<String> = node
            .inputs
            .iter()
            .map(|name| {
                let Some(range) = ranges.get(name) else { return name.clone() };
                if !quantized.contains(name) {
                    pass(&mut file, name, Step::of(range));
                    quantized.push(name.clone());
                }
                dequantized(name)
            })
            .collect();
        let read = node.inputs.first();
        let range = read.and_then(|name| ranges.get(name));
        let weights = node.dense().zip(range).map(|(dense, range)| {
            let means = read.and_then(|name| observed.means.get(name)).filter(|_| settings.bias_correction);
            let input = Step::of(range);
            let integers = Quantized::of(dense, input, settings.weight_bits, means.map(Vec::as_slice));
            constants(&mut file, &node.name, dense, &integers, input)
        });
        super::layer(&mut file, node, &inputs, weights, ranges.contains_key(&node.name));
    }
    beside::write(&mut file, graph, &|name| {
        if quantized.iter().any(|it| it == name) { dequantized(name) } else { name.to_owned() }
    });
    file.encode()
}

/// The largest of some values lies in their range: a pooled value keeps the steps of what was pooled, so that
/// pooling bytes is exact.
fn shared_by_pools(graph: &Graph, ranges: &Ranges) -> Ranges {
    let mut ranges = ranges.clone();
    for node in &graph.nodes {
        let pooled = matches!(node.layer, Layer::MaxPool { .. }) && ranges.contains_key(&node.name);
        let range = node.inputs.first().and_then(|input| ranges.get(input)).copied();
        if let Some(range) = range.filter(|_| pooled) {
            ranges.insert(node.name.clone(), range);
        }
    }
    ranges
}

/// Name of a value after its bytes.
pub(super) fn dequantized(name: &str) -> String {
    format!("{name}.dequantized")
}

/// Writes the pair that takes `name` through bytes.
fn pass(file: &mut Builder, name: &str, activation: Step) {
    let scale = file.scalar(&format!("{name}.scale"), activation.scale);
    let zero_point = file.u8(&format!("{name}.zero_point"), activation.zero_point);
    let bytes = format!("{name}.quantized");
    file.node("QuantizeLinear", &bytes, &[name.into(), scale.clone(), zero_point.clone()], Vec::new());
    file.node("DequantizeLinear", &dequantized(name), &[bytes, scale, zero_point], Vec::new());
}

/// Writes a layer's weights and bias as integers with their `DequantizeLinear`, and returns the names of these.
fn constants(file: &mut Builder, name: &str, dense: &Dense, integers: &Quantized, input: Step) -> [String; 2] {
    let channels = integers.scales.len();
    let bias_scales: Vec<f32> = integers.scales.iter().map(|scale| scale * input.scale).collect();
    let [weight, bias] = ["weight", "bias"].map(|what| format!("{name}.{what}"));
    let weights = [
        file.i8s(&format!("{weight}.quantized"), &dense.shape, &integers.weight),
        file.floats(&format!("{weight}.scale"), &[channels], &integers.scales),
        file.i8s(&format!("{weight}.zero_point"), &[channels], &vec![0; channels]),
    ];
    let biases = [
        file.i32s(&format!("{bias}.quantized"), &integers.bias),
        file.floats(&format!("{bias}.scale"), &[channels], &bias_scales),
        file.i32s(&format!("{bias}.zero_point"), &vec![0; channels]),
    ];
    file.node("DequantizeLinear", &weight, &weights, vec![number("axis", 0)]);
    file.node("DequantizeLinear", &bias, &biases, vec![number("axis", 0)]);
    [weight, bias]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn zero_is_exact_and_every_value_in_range_is_off_by_half_a_step_at_most(
            low in -50.0f32..=0.0, span in 0.001f32..100.0, at in 0.0f32..=1.0,
        ) {
            let range = Range { low, high: (low + span).max(0.0) };
            let activation = Step::of(&range);
            let through = |value: f32| {
                let byte = (value / activation.scale).round_ties_even() + f32::from(activation.zero_point);
                (byte.clamp(0.0, 255.0) - f32::from(activation.zero_point)) * activation.scale
            };
            prop_assert_eq!(through(0.0), 0.0);
            let value = range.low + (range.high - range.low) * at;
            // At the ends the rounded zero point costs up to half a step more.
            prop_assert!((through(value) - value).abs() <= activation.scale * 1.001);
        }

        #[test]
        fn weights_are_off_by_half_a_step_and_no_bias_overflows(
            weight in prop::collection::vec(-3.0f32..3.0, 8),
            bias in prop::collection::vec(-100.0f32..100.0, 2),
            dead in any::<bool>(),
            bits in 7u8..=8,
        ) {
            let weight = if dead { vec![1e-30; 8] } else { weight };
            let dense = Dense { shape: vec![2, 4, 1, 1], weight, bias };
            let input = Step { scale: 1e-3, zero_point: 7 };
            let integers = Quantized::of(&dense, input, bits, None);
            for (index, weight) in dense.weight.iter().enumerate() {
                let scale = integers.scales[index / 4];
                prop_assert!((f32::from(integers.weight[index]) * scale - weight).abs() <= scale * 0.501);
                prop_assert!(integers.weight[index].unsigned_abs() < 1 << (bits - 1));
            }
            for (index, bias) in dense.bias.iter().enumerate() {
                let scale = integers.scales[index] * input.scale;
                // An f32 of that size has steps of 64 and 128.
                prop_assert!(integers.bias[index].unsigned_abs() <= (1 << 30) + 256);
                prop_assert!((integers.bias[index] as f32 * scale - bias).abs() <= scale * 0.6 + bias.abs() * 1e-6);
            }
        }
    }

    #[test]
    fn a_corrected_bias_takes_out_what_rounding_adds_on_average() {
        // Three input channels of one weight each, and a mean for each.
        let (weight, means) = (vec![1.0, 0.301, -0.204], [10.0, 4.0, 7.0]);
        let dense = Dense { shape: vec![1, 3, 1, 1], weight, bias: vec![0.5] };
        let input = Step { scale: 1e-3, zero_point: 0 };
        let exact: f32 = dense.weight.iter().zip(means).map(|(weight, mean)| weight * mean).sum::<f32>() + 0.5;
        let told = |means: Option<&[f32]>| {
            let integers = Quantized::of(&dense, input, 7, means);
            let products = integers.weight.iter().zip([10.0, 4.0, 7.0]).map(|(byte, mean)| f32::from(*byte) * mean);
            (products.sum::<f32>() + integers.bias[0] as f32 * input.scale) * integers.scales[0]
        };
        assert!((told(None) - exact).abs() > 5e-3, "the test needs an error to correct");
        assert!((told(Some(&means)) - exact).abs() < 1e-4);
    }

    #[test]
    fn an_output_reads_the_means_of_its_group() {
        let dense = |shape: [usize; 4]| Dense { shape: shape.to_vec(), weight: vec![], bias: vec![0.0; shape[0]] };
        let means = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(means_of(&dense([2, 4, 3, 3]), 1, &means), means);
        assert_eq!(means_of(&dense([4, 1, 3, 3]), 2, &means), [3.0]);
        assert_eq!(means_of(&dense([6, 2, 1, 1]), 3, &means), [3.0, 4.0]);
    }
}
