//! Cross-layer equalisation (Nagel et al., arXiv:1906.04721): between two layers every channel may be scaled as long
//! as the next layer takes it back; the scales are chosen so that the channels use their bytes alike.

use super::graph::{Activation, Dense, Graph, Layer};

/// Rounds over all pairs; they converge quickly.
const ROUNDS: usize = 4;

/// Largest scale either way: a channel that is almost dead must not be blown up.
const LARGEST: f32 = 64.0;

/// Scales the channels between each two layers of which the second reads nothing but the first and the first is
/// read by nothing else, where what stands between is linear or ReLU. The network stays the same function; ReLU6
/// would not let it.
pub fn equalise(graph: &mut Graph) {
    for _ in 0..ROUNDS {
        for first in 0..graph.nodes.len() {
            if let Some(second) = follower(graph, first) {
                balance(graph, first, second);
            }
        }
    }
}

/// The only layer that reads a layer whose channels may be scaled.
fn follower(graph: &Graph, first: usize) -> Option<usize> {
    let node = graph.nodes.get(first)?;
    let Layer::Conv { activation: Activation::None | Activation::Relu, .. } = &node.layer else { return None };
    let mut readers = graph.nodes.iter().enumerate().filter(|(_, reader)| reader.inputs.contains(&node.name));
    let (second, reader) = readers.next()?;
    (readers.next().is_none() && matches!(reader.layer, Layer::Conv { .. })).then_some(second)
}

fn balance(graph: &mut Graph, first: usize, second: usize) {
    let largest =
        |values: &mut dyn Iterator<Item = f32>| values.fold(0.0f32, |largest, value| largest.max(value.abs()));
    let scales: Vec<f32> = {
        let [Some(one), Some(two)] = [first, second].map(|node| graph.nodes.get(node).and_then(|node| node.dense()))
        else {
            return;
        };
        let (rows, columns) = (Rows::of(one), Columns::of(two, one.bias.len()));
        (0..one.bias.len())
            .map(|channel| {
                let out = largest(&mut rows.of_channel(channel).filter_map(|at| one.weight.get(at)).copied());
                let into = largest(&mut columns.of_channel(channel).filter_map(|at| two.weight.get(at)).copied());
                let scale = (out / into).sqrt();
                if scale.is_finite() && scale > 0.0 { scale.clamp(1.0 / LARGEST, LARGEST) } else { 1.0 }
            })
            .collect()
    };
    if let Some(one) = graph.nodes.get_mut(first).and_then(|node| node.dense_mut()) {
        let rows = Rows::of(one);
        for (channel, scale) in scales.iter().enumerate() {
            rows.of_channel(channel).for_each(|at| divide(&mut one.weight, at, *scale));
            divide(&mut one.bias, channel, *scale);
        }
    }
    if let Some(two) = graph.nodes.get_mut(second).and_then(|node| node.dense_mut()) {
        let columns = Columns::of(two, scales.len());
        for (channel, scale) in scales.iter().enumerate() {
            columns.of_channel(channel).for_each(|at| divide(&mut two.weight, at, 1.0 / scale));
        }
    }
}

fn divide(values: &mut [f32], at: usize, by: f32) {
    if let Some(value) = values.get_mut(at) {
        *value /= by;
    }
}

/// Where the weights of an output channel stand.
struct Rows {
    each: usize,
}

impl Rows {
    fn of(dense: &Dense) -> Self {
        Self { each: dense.weight.len() / dense.bias.len().max(1) }
    }

    fn of_channel(&self, channel: usize) -> impl Iterator<Item = usize> + use<> {
        channel * self.each..(channel + 1) * self.each
    }
}

/// Where the weights that read an input channel stand.
struct Columns {
    outputs: usize,
    /// Input channels that each output reads: all of them, or its group's.
    inputs: usize,
    per_group: usize,
    area: usize,
}

impl Columns {
    fn of(dense: &Dense, channels: usize) -> Self {
        let inputs = dense.shape.get(1).copied().unwrap_or(1).max(1);
        let groups = (channels / inputs).max(1);
        let outputs = dense.bias.len();
        let area = dense.weight.len() / (outputs * inputs).max(1);
        Self { outputs, inputs, per_group: (outputs / groups).max(1), area }
    }

    fn of_channel(&self, channel: usize) -> impl Iterator<Item = usize> + use<> {
        let &Self { outputs, inputs, per_group, area } = self;
        let (group, within) = (channel / inputs, channel % inputs);
        let readers = group * per_group..((group + 1) * per_group).min(outputs);
        readers.flat_map(move |output| {
            let start = (output * inputs + within) * area;
            start..start + area
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_find_the_weights_of_an_input_channel_in_dense_and_depthwise_layers() {
        let dense = |shape: [usize; 4]| Dense {
            shape: shape.to_vec(),
            weight: vec![0.0; shape.iter().product()],
            bias: vec![0.0; shape[0]],
        };
        let found = |shape, channels, channel| -> Vec<usize> {
            Columns::of(&dense(shape), channels).of_channel(channel).collect()
        };
        assert_eq!(found([2, 3, 1, 1], 3, 1), [1, 4]);
        assert_eq!(found([2, 2, 1, 2], 2, 1), [2, 3, 6, 7]);
        assert_eq!(found([3, 1, 2, 2], 3, 2), [8, 9, 10, 11], "each channel its own");
        assert_eq!(found([4, 2, 1, 1], 4, 3), [5, 7], "two groups");
    }
}
