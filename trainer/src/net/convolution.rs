//! Convolution of many planes and its gradients on the processor, several films at a time: one group of films is laid
//! out on lattices that fit into the second cache, and everything that is wanted of it is computed there. Most of what
//! layers with few places want is computed in [`super::columns`].
//!
//! Groups depend on the shapes alone, never on the number of threads, and what they give is added in their order: the
//! same numbers give the same bytes on any number of cores.
#![expect(clippy::indexing_slicing, reason = "every bound follows from the shapes that `Convolution` states")]

use std::ops::Range;

use pulp::Arch;
use rayon::prelude::*;

use super::lattice::{Lattice, Window};
use super::product::{Weights, combine, correlate};

/// Floats of the lattices of one group of films.
const GROUP: usize = 160 << 10;

/// Groups that a batch makes at least, where it has that many films.
const GROUPS: usize = 4;

/// Shapes: inputs are `[films, parts x inputs, height, width]`, weights `[parts x outputs, inputs, side, side]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Convolution {
    pub films: usize,
    /// Channels of one part meet each other alone; in a depthwise convolution every channel is a part.
    pub parts: usize,
    /// Channels of one part.
    pub inputs: usize,
    /// Outputs of one part.
    pub outputs: usize,
    pub window: Window,
}

/// The gradient by the output of a convolution, made from that by what came of it.
pub(super) struct Incoming<'a> {
    /// Gradient by what came of it.
    pub gradient: &'a [f32],
    /// Value by which the activation is told, of the same shape.
    pub value: &'a [f32],
    /// The activation cuts off what is not between.
    pub range: (f32, f32),
    /// By output channel.
    pub channels: &'a [Affine],
}

/// How the gradient of one channel passes activation and norm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine {
    /// `scale * value + shift` is what was activated.
    pub scale: f32,
    pub shift: f32,
    /// `of_gradient * gradient + of_value * value + rest` is the gradient by the convolution's output.
    pub of_gradient: f32,
    pub of_value: f32,
    pub rest: f32,
}

/// No less and no more than the range. What is no number stays none: a training that diverged must not look healthy.
#[inline(always)]
pub(super) fn bounded(value: f32, (low, high): (f32, f32)) -> f32 {
    if value < low {
        low
    } else if value > high {
        high
    } else {
        value
    }
}

impl Incoming<'_> {
    /// The part of a gradient that passes the activation.
    #[inline(always)]
    pub fn passed(&self, channel: &Affine, gradient: f32, value: f32) -> f32 {
        let (low, high) = self.range;
        let activated = channel.scale * value + channel.shift;
        if activated > low && activated < high { gradient } else { 0.0 }
    }

    /// What came in at `range`, which is of `channel`.
    #[inline(always)]
    pub fn row(&self, range: Range<usize>, channel: usize, out: &mut [f32]) {
        let channel = self.channels[channel];
        let pairs = self.gradient[range.clone()].iter().zip(&self.value[range]);
        for (out, (gradient, value)) in out.iter_mut().zip(pairs) {
            let passed = self.passed(&channel, *gradient, *value);
            *out = channel.of_gradient * passed + channel.of_value * value + channel.rest;
        }
    }
}

impl Convolution {
    /// Weights of an output.
    pub fn depth(&self) -> usize {
        self.inputs * self.window.taps()
    }

    /// Films of one group: they divide the batch, into an even number of groups where that is possible.
    fn group(&self) -> usize {
        let one = Lattice::new(self.window, 1);
        let floats = (self.inputs * one.channel() + self.outputs * one.gradient()).max(1);
        // Every group goes through all weights: where these are more than its films, more films share the way.
        let limit = GROUP.max(self.outputs * self.depth());
        let fits = |group: usize| {
            let groups = self.films / group;
            self.films.is_multiple_of(group) && groups.is_multiple_of(2) && groups >= GROUPS && group * floats <= limit
        };
        (1..=self.films).rev().find(|group| fits(*group)).unwrap_or(1)
    }

    /// Outputs, plus `bias` by output, no less and no more than `range`.
    pub fn forward(&self, x: &[f32], weight: Vec<f32>, bias: &[f32], range: (f32, f32)) -> Vec<f32> {
        let Self { parts, inputs, outputs, window, .. } = *self;
        if self.few_places() && window.taps() == 1 {
            return self.forward_by_columns(x, weight, bias, range);
        }
        let (group, depth, places) = (self.group(), self.depth(), window.places());
        let lattice = Lattice::new(window, group);
        let offsets = self.seen_by(&lattice);
        let weights: Vec<Weights> = weight
            .chunks_exact(outputs * depth)
            .map(|weight| Weights::new(outputs, depth, |output, k| weight[output * depth + k]))
            .collect();
        let mut out = vec![0.0; self.films * parts * outputs * places];
        out.par_chunks_mut(group * parts * outputs * places).enumerate().for_each_init(
            || (vec![0.0; inputs * lattice.channel()], vec![0.0; outputs * lattice.line()]),
            |(seen, lines), (number, out)| {
                Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        for (part, weights) in weights.iter().enumerate() {
                            self.lay(&lattice, x, number * group..(number + 1) * group, part, seen);
                            combine(weights, &offsets, seen, lattice.line(), lines);
                            for (film, out) in out.chunks_exact_mut(parts * outputs * places).enumerate() {
                                let out = out[part * outputs * places..].chunks_exact_mut(places);
                                let lines = lines.chunks_exact(lattice.line());
                                for ((out, line), bias) in out.zip(lines).zip(&bias[part * outputs..]) {
                                    let width = window.out_width();
                                    for (row, out) in out.chunks_exact_mut(width).enumerate() {
                                        let line = &line[lattice.place(film, row)..][..width];
                                        out.iter_mut()
                                            .zip(line)
                                            .for_each(|(out, sum)| *out = bounded(sum + bias, range));
                                    }
                                }
                            }
                        }
                    },
                );
            },
        );
        out
    }

    /// Gradients by input and weight, each where it is wanted.
    pub fn backward(
        &self,
        x: &[f32],
        weight: Vec<f32>,
        incoming: &Incoming<'_>,
        (by_input, by_weight): (bool, bool),
    ) -> (Option<Vec<f32>>, Option<Vec<f32>>) {
        if !self.few_places() {
            return self.backward_on_lattices(x, &weight, incoming, (by_input, by_weight));
        }
        let gradients = self.gradients(incoming);
        let of_x = by_input.then(|| match self.window.is_one_pixel() {
            true => self.input_by_columns(weight, &gradients),
            false => self.backward_on_lattices(x, &weight, incoming, (true, false)).0.unwrap_or_default(),
        });
        (of_x, by_weight.then(|| self.weight_by_columns(x, &gradients)))
    }

    fn backward_on_lattices(
        &self,
        x: &[f32],
        weight: &[f32],
        incoming: &Incoming<'_>,
        (by_input, by_weight): (bool, bool),
    ) -> (Option<Vec<f32>>, Option<Vec<f32>>) {
        let Self { films, parts, inputs, outputs, window, .. } = *self;
        let (group, depth, places) = (self.group(), self.depth(), window.places());
        let lattice = Lattice::new(window, group);
        let offsets = self.seen_by(&lattice);
        let back: Vec<Vec<Phase>> = match by_input {
            true => weight.chunks_exact(outputs * depth).map(|weight| self.phases(&lattice, weight)).collect(),
            false => Vec::new(),
        };
        let film = parts * inputs * window.pixels();
        let mut of_x = vec![0.0; if by_input { films * film } else { 0 }];
        let mut chunks: Vec<Option<&mut [f32]>> = of_x.chunks_mut(group * film).map(Some).collect();
        chunks.resize_with(films / group, || None);
        let sums: Vec<Vec<f32>> = chunks
            .into_par_iter()
            .enumerate()
            .map_init(
                || {
                    let seen = vec![0.0; if by_weight { inputs * lattice.channel() } else { 0 }];
                    let cells = vec![0.0; if by_input { inputs * lattice.phase() } else { 0 }];
                    (seen, vec![0.0; outputs * lattice.gradient()], cells)
                },
                |(seen, gradients, cells), (number, of_x)| {
                    let of_x = of_x.unwrap_or_default();
                    let mut of_weight = vec![0.0; if by_weight { weight.len() } else { 0 }];
                    let of_group = number * group..(number + 1) * group;
                    Arch::new().dispatch(
                        #[inline(always)]
                        || {
                            for part in 0..parts {
                                for output in 0..outputs {
                                    let channel = part * outputs + output;
                                    let line = &mut gradients[output * lattice.gradient() + lattice.begin()..];
                                    for (film, number) in of_group.clone().enumerate() {
                                        let plane = (number * parts * outputs + channel) * places;
                                        for row in 0..window.out_height() {
                                            let start = plane + row * window.out_width();
                                            let line = &mut line[lattice.place(film, row)..][..window.out_width()];
                                            incoming.row(start..start + window.out_width(), channel, line);
                                        }
                                    }
                                }
                                if by_weight {
                                    self.lay(&lattice, x, of_group.clone(), part, seen);
                                    let of_part = &mut of_weight[part * outputs * depth..][..outputs * depth];
                                    let (gradients, pitch) = (&gradients[lattice.begin()..], lattice.gradient());
                                    correlate(gradients, pitch, &offsets, seen, lattice.line(), of_part);
                                }
                                for (number, phase) in back.get(part).into_iter().flatten().enumerate() {
                                    combine(&phase.weights, &phase.offsets, gradients, lattice.phase(), cells);
                                    for (film, of_x) in of_x.chunks_exact_mut(film).enumerate() {
                                        let planes =
                                            of_x[part * inputs * window.pixels()..].chunks_exact_mut(window.pixels());
                                        for (cells, plane) in cells.chunks_exact(lattice.phase()).zip(planes) {
                                            lattice.take(film, number, cells, plane);
                                        }
                                    }
                                }
                            }
                        },
                    );
                    of_weight
                },
            )
            .collect();
        let of_weight = by_weight.then(|| {
            let mut sum = vec![0.0; weight.len()];
            for part in &sums {
                sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
            sum
        });
        (by_input.then_some(of_x), of_weight)
    }

    /// What each weight sees at the first place: offsets in the lattice of one part.
    fn seen_by(&self, lattice: &Lattice) -> Vec<usize> {
        let taps = self.window.taps();
        (0..self.depth()).map(|k| k / taps * lattice.channel() + lattice.offset(k % taps)).collect()
    }

    /// The input planes of one part.
    #[inline(always)]
    fn lay(&self, lattice: &Lattice, x: &[f32], films: Range<usize>, part: usize, seen: &mut [f32]) {
        let pixels = self.window.pixels();
        for (input, channel) in seen.chunks_exact_mut(lattice.channel()).enumerate() {
            for (film, number) in films.clone().enumerate() {
                let plane = (number * self.parts + part) * self.inputs + input;
                lattice.lay(film, &x[plane * pixels..][..pixels], channel);
            }
        }
    }

    /// How each phase of the input got into the output.
    fn phases(&self, lattice: &Lattice, weight: &[f32]) -> Vec<Phase> {
        let (depth, taps) = (self.depth(), self.window.taps());
        let phase = |number| {
            let seeing: Vec<usize> = (0..taps).filter(|tap| lattice.tap(*tap).0 == number).collect();
            let at =
                |input: usize, k: usize| weight[k / seeing.len() * depth + input * taps + seeing[k % seeing.len()]];
            let offset = |k: usize| {
                let (_, offset) = lattice.tap(seeing[k % seeing.len()]);
                k / seeing.len() * lattice.gradient() + lattice.begin() - offset
            };
            let deep = self.outputs * seeing.len();
            Phase { weights: Weights::new(self.inputs, deep, at), offsets: (0..deep).map(offset).collect() }
        };
        (0..lattice.phase_count()).map(phase).collect()
    }
}

/// The transposed convolution of one phase.
struct Phase {
    weights: Weights,
    offsets: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use burn::prelude::*;
    use burn::tensor::TensorData;
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;

    use super::*;

    const EVERYTHING: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

    fn waves(count: usize, pace: f32) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * pace).sin()).collect()
    }

    /// Input, weights and bias.
    fn operands(convolution: &Convolution) -> [Vec<f32>; 3] {
        let Convolution { films, parts, inputs, outputs, window } = *convolution;
        let x = waves(films * parts * inputs * window.pixels(), 0.37);
        [x, waves(parts * outputs * inputs * window.taps(), 0.73), waves(parts * outputs, 1.1)]
    }

    /// Output, and the gradients by input and weight of the sum of the output times waves.
    fn ours(convolution: &Convolution, x: &[f32], weight: &[f32], bias: &[f32]) -> [Vec<f32>; 3] {
        let out = convolution.forward(x, weight.to_vec(), bias, EVERYTHING);
        let same = Affine { scale: 1.0, shift: 0.0, of_gradient: 1.0, of_value: 0.0, rest: 0.0 };
        let channels = vec![same; bias.len()];
        let gradient = waves(out.len(), 0.91);
        let incoming = Incoming { gradient: &gradient, value: &out, range: EVERYTHING, channels: &channels };
        let (of_x, of_weight) = convolution.backward(x, weight.to_vec(), &incoming, (true, true));
        let alone = convolution.backward(x, weight.to_vec(), &incoming, (false, true));
        assert_eq!((None, of_weight.clone()), alone, "whether the other is wanted changes nothing");
        [out, of_x.unwrap(), of_weight.unwrap()]
    }

    fn burns(convolution: &Convolution, x: &[f32], weight: &[f32], bias: &[f32]) -> [Vec<f32>; 3] {
        let Convolution { films, parts, inputs, outputs, window, .. } = *convolution;
        let Window { height, width, side, stride, top, left, bottom, right } = window;
        let device = Device::flex().autodiff();
        let tensor = |values: &[f32], shape| Tensor::<4>::from_data(TensorData::new(values.to_vec(), shape), &device);
        let x = tensor(x, [films, parts * inputs, height, width]).require_grad();
        let weight = tensor(weight, [parts * outputs, inputs, side, side]).require_grad();
        let bias = Tensor::<1>::from_data(TensorData::new(bias.to_vec(), [bias.len()]), &device);
        let padding = [(top, bottom), (left, right)];
        let options = ConvOptions::new_with_padding([stride; 2], padding, [1, 1], parts);
        let out = conv2d(x.clone(), weight.clone(), Some(bias), options);
        let values = waves(out.shape().num_elements(), 0.91);
        let grads = (out.clone() * tensor(&values, out.dims())).sum().backward();
        let values = |tensor: Tensor<4>| tensor.into_data().try_to_vec::<f32>().unwrap();
        [values(out), values(x.grad(&grads).unwrap()), values(weight.grad(&grads).unwrap())]
    }

    #[test]
    fn output_and_gradients_equal_those_of_burn() {
        // Films, parts, inputs and outputs of a part, height, width, side, stride, padding down and across.
        let cases = [
            (1, 1, 1, 1, 1, 1, 1, 1, (0, 0), (0, 0)),
            (3, 1, 5, 4, 6, 7, 1, 1, (0, 0), (0, 0)),
            (3, 1, 5, 4, 6, 7, 1, 2, (0, 0), (0, 0)),
            (2, 1, 3, 4, 9, 7, 3, 1, (1, 1), (1, 1)),
            (2, 1, 3, 4, 9, 8, 3, 2, (1, 1), (1, 1)),
            (2, 1, 3, 4, 10, 8, 3, 2, (0, 1), (0, 1)),
            (2, 1, 2, 3, 16, 12, 7, 2, (3, 3), (3, 3)),
            (2, 1, 3, 2, 4, 4, 1, 1, (1, 0), (0, 1)),
            (2, 1, 1, 1, 5, 5, 2, 3, (0, 0), (0, 0)),
            (3, 6, 1, 1, 7, 9, 3, 1, (1, 1), (1, 1)),
            (3, 6, 1, 1, 8, 10, 3, 2, (0, 1), (0, 1)),
            (2, 4, 1, 1, 14, 14, 5, 1, (2, 2), (2, 2)),
            (2, 4, 1, 1, 13, 14, 5, 2, (2, 2), (1, 2)),
            (1, 2, 1, 1, 2, 1, 5, 1, (2, 2), (2, 2)),
            (2, 4, 1, 1, 9, 9, 3, 3, (0, 0), (1, 1)),
            (2, 2, 3, 2, 7, 7, 3, 1, (1, 1), (1, 1)),
            // Several films in a group, panels and tiles with and without remainders, more columns than one pass has.
            (20, 1, 16, 24, 14, 14, 3, 2, (1, 1), (1, 1)),
            (8, 1, 4, 13, 15, 40, 3, 1, (1, 1), (1, 1)),
            (8, 16, 1, 1, 30, 28, 3, 1, (1, 1), (1, 1)),
            (1, 1, 1, 9, 48, 48, 3, 1, (1, 1), (1, 1)),
            // Few places and many weights.
            (8, 1, 50, 24, 6, 7, 3, 2, (1, 1), (1, 1)),
            (2, 1, 200, 10, 5, 7, 1, 1, (0, 0), (0, 0)),
            (2, 2, 41, 10, 5, 7, 3, 1, (1, 1), (1, 1)),
            (4, 1, 70, 5, 13, 14, 1, 2, (0, 0), (0, 0)),
            (20, 1, 70, 3, 7, 7, 3, 1, (1, 1), (1, 1)),
        ];
        for case @ (films, parts, inputs, outputs, height, width, side, stride, (top, bottom), (left, right)) in cases {
            let window = Window { height, width, side, stride, top, left, bottom, right };
            let convolution = Convolution { films, parts, inputs, outputs, window };
            let in_one_row = Convolution { window: window.in_one_row(), ..convolution };
            let [x, weight, bias] = operands(&convolution);
            let pairs = ours(&in_one_row, &x, &weight, &bias).into_iter().zip(burns(&convolution, &x, &weight, &bias));
            for (part, (ours, burns)) in ["output", "input", "weight"].iter().zip(pairs) {
                assert_eq!(ours.len(), burns.len(), "{part} of {case:?}");
                // Thousands of products of up to 1 may add up to nearly nothing, but not their roundings.
                let scale = burns.iter().fold(10.0f32, |most, value| most.max(value.abs()));
                for (ours, burns) in ours.iter().zip(&burns) {
                    assert!((ours - burns).abs() <= 1e-5 * scale, "{part} of {case:?}: {ours} and {burns}");
                }
            }
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_numbers() {
        let with = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let pools = [with(1), with(3)];
        // Inputs, outputs, side of the plane and of the window: with few places and with many.
        for (inputs, outputs, size, side) in [(600, 70, 7, 1), (70, 130, 7, 3), (16, 24, 28, 3)] {
            let (height, width, padding) = (size, size, side / 2);
            let window =
                Window { height, width, side, stride: 1, top: padding, left: padding, bottom: padding, right: padding };
            let convolution = Convolution { films: 20, parts: 1, inputs, outputs, window };
            let [x, weight, bias] = operands(&convolution);
            let [one, three] = pools.each_ref().map(|pool| pool.install(|| ours(&convolution, &x, &weight, &bias)));
            assert!(one == three, "{convolution:?}");
        }
    }

    #[test]
    fn what_is_no_number_passes_the_activation() {
        let window = Window { height: 1, width: 1, side: 1, stride: 1, top: 0, left: 0, bottom: 0, right: 0 };
        let convolution = Convolution { films: 1, parts: 1, inputs: 1, outputs: 1, window };
        for (x, expected) in [(-1.0, 0.0), (2.0, 2.0), (9.0, 6.0), (f32::INFINITY, 6.0)] {
            assert_eq!(convolution.forward(&[x], vec![1.0], &[0.0], (0.0, 6.0)), [expected]);
        }
        assert!(convolution.forward(&[f32::NAN], vec![1.0], &[0.0], (0.0, 6.0)).iter().all(|value| value.is_nan()));
    }
}
