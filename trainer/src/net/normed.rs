//! A convolution, its batch norm and its activation as one step, with gradients of its own: on a processor each pass
//! over the activations counts, and burn makes one for every operation and its gradient.
#![expect(clippy::indexing_slicing, reason = "parameters have one number for each output channel")]

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend as _, Backend, Flex, TensorMetadata as _, backend_extension};
use burn::tensor::TensorData;
use pulp::Arch;
use rayon::prelude::*;

use super::convolution::{Affine, Convolution, Incoming, bounded};
use super::lattice::Window;

/// What the step is besides its tensors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub window: Window,
    /// Parts of the channels that do not meet: 1, or every channel of a depthwise convolution.
    pub parts: usize,
    /// Whether the norm takes the statistics of the batch; else those that are given.
    pub live: bool,
    pub epsilon: f64,
    /// The activation cuts off what is not between.
    pub range: (f32, f32),
}

/// The step on the processor; burn's own operations are for the other devices.
#[backend_extension(Flex, Autodiff)]
pub(super) trait Normed: Backend {
    /// `[films, outputs, rows, columns]` after the activation, and the batch's mean and variance by output, or those
    /// that were given.
    ///
    /// `x` is `[films, channels, height, width]`, `weight` `[outputs, channels / parts, side, side]`, the others
    /// `[outputs]`.
    fn normed(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        settings: Settings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl Normed for Flex {
    fn normed(
        x: FlexTensor,
        weight: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        settings: Settings,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let done = Done::of([x, weight, gamma, beta, mean, variance], settings);
        (done.out, vector(done.mean), vector(done.variance))
    }
}

impl<C: CheckpointStrategy> Normed for Autodiff<Flex, C> {
    fn normed(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        settings: Settings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [x.node(), weight.node(), gamma.node(), beta.node()];
        let done = Done::of([x, weight, gamma, beta, mean, variance].map(|it| it.into_primitive()), settings);
        let (out, mean, variance) = (done.out.clone(), done.mean.clone(), done.variance.clone());
        let out = match Step.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(done, out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        };
        (out, Self::from_inner(vector(mean)), Self::from_inner(vector(variance)))
    }
}

/// The step after it was computed, with all that its gradients need.
#[derive(Clone, Debug)]
struct Done {
    convolution: Convolution,
    settings: Settings,
    x: FlexTensor,
    weight: FlexTensor,
    gamma: FlexTensor,
    mean: Vec<f32>,
    variance: Vec<f32>,
    /// What came of the convolution, where the norm is live; else what came of everything.
    value: FlexTensor,
    out: FlexTensor,
    /// What was added after the multiplication with [`Self::scale`].
    shift: Vec<f32>,
}

impl Done {
    fn of([x, weight, gamma, beta, mean, variance]: [FlexTensor; 6], settings: Settings) -> Self {
        let [x, weight, gamma, beta] = [x, weight, gamma, beta].map(|it| it.to_contiguous());
        let ([films, channels, _, _], [outputs, inputs, _, _]) = (x.shape().dims(), weight.shape().dims());
        let Settings { window, parts, live, range, .. } = settings;
        debug_assert_eq!(channels, parts * inputs);
        let convolution = Convolution { films, parts, inputs, outputs: outputs / parts, window: window.in_one_row() };
        let shape = [films, outputs, window.out_height(), window.out_width()];
        let [mean, variance] = [mean, variance].map(|it| it.to_contiguous().storage::<f32>().to_vec());
        let mut done = Self {
            convolution,
            settings,
            x,
            weight,
            gamma,
            mean,
            variance,
            shift: Vec::new(),
            value: vector(Vec::new()),
            out: vector(Vec::new()),
        };
        let shift = |done: &Self| {
            let scale = done.scale();
            (0..outputs).map(|it| beta.storage::<f32>()[it] - done.mean[it] * scale[it]).collect()
        };
        if live {
            let everything = (f32::NEG_INFINITY, f32::INFINITY);
            let sums =
                convolution.forward(done.x.storage(), done.weight.storage().to_vec(), &vec![0.0; outputs], everything);
            (done.mean, done.variance) = moments(&sums, outputs, window.places());
            done.shift = shift(&done);
            done.out = tensor(activated(&sums, window.places(), &done.scale(), &done.shift, range), shape);
            done.value = tensor(sums, shape);
        } else {
            done.shift = shift(&done);
            let out = convolution.forward(done.x.storage(), done.folded(), &done.shift, range);
            done.out = tensor(out, shape);
            done.value = done.out.clone();
        }
        done
    }

    /// What the norm divides by, inverted.
    fn inverse(&self) -> Vec<f32> {
        self.variance.iter().map(|it| 1.0 / (it + self.settings.epsilon as f32).sqrt()).collect()
    }

    fn scale(&self) -> Vec<f32> {
        self.gamma.storage::<f32>().iter().zip(self.inverse()).map(|(gamma, inverse)| gamma * inverse).collect()
    }

    /// The weights times the norm's scale.
    fn folded(&self) -> Vec<f32> {
        let mut folded = self.weight.storage::<f32>().to_vec();
        let depth = folded.len() / self.mean.len();
        folded.par_chunks_exact_mut(depth).zip(self.scale()).for_each(|(row, scale)| scaled(row, scale));
        folded
    }
}

/// The step in the graph of what is to be differentiated.
#[derive(Debug)]
struct Step;

impl Backward<Flex, 4> for Step {
    type State = Done;

    fn backward(self, ops: Ops<Done, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [of_x, of_weight, of_gamma, of_beta] = ops.parents;
        let done = ops.state;
        let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (gradient, value) = (gradient.storage::<f32>(), done.value.storage::<f32>());
        let Done { convolution, settings: Settings { live, range, window, .. }, .. } = done;
        let (scale, inverse) = (done.scale(), done.inverse());
        let outputs = scale.len();
        let count = (convolution.films * window.places()) as f32;

        // Through the activation first: of a live norm it is told by the convolution's output, else by its own.
        let mut channels: Vec<Affine> = (0..outputs)
            .map(|it| {
                let (scale, shift) = if live { (scale[it], done.shift[it]) } else { (1.0, 0.0) };
                Affine { scale, shift, of_gradient: 1.0, of_value: 0.0, rest: 0.0 }
            })
            .collect();
        let incoming = Incoming { gradient, value, range, channels: &channels };
        let sums = incoming.sums(window.places(), live.then_some(done.mean.as_slice()));
        let by_beta: Vec<f32> = sums.iter().map(|(sum, _)| *sum).collect();
        let mut by_gamma: Vec<f32> =
            sums.iter().zip(&inverse).map(|((_, centred), inverse)| centred * inverse).collect();
        if live {
            for (it, channel) in channels.iter_mut().enumerate() {
                channel.of_gradient = scale[it];
                channel.of_value = -scale[it] * inverse[it] * by_gamma[it] / count;
                channel.rest = -scale[it] * by_beta[it] / count - channel.of_value * done.mean[it];
            }
        }

        let weight = if live { done.weight.storage::<f32>().to_vec() } else { done.folded() };
        let incoming = Incoming { gradient, value, range, channels: &channels };
        let wanted = (of_x.is_some(), of_weight.is_some() || of_gamma.is_some());
        let (by_x, by_weight) = convolution.backward(done.x.storage(), weight, &incoming, wanted);
        if let (Some(node), Some(by_x)) = (of_x, by_x) {
            grads.register::<Flex>(node.id, tensor(by_x, done.x.shape().dims::<4>()));
        }
        if let Some(mut by_weight) = by_weight {
            if !live {
                let depth = by_weight.len() / outputs;
                let rows =
                    by_weight.par_chunks_exact_mut(depth).zip(done.weight.storage::<f32>().par_chunks_exact(depth));
                by_gamma = rows
                    .enumerate()
                    .map(|(it, (row, weight))| {
                        let product = |gradient, weight| gradient * weight;
                        let product = Arch::new().dispatch(
                            #[inline(always)]
                            || sum_of_two(row, weight, product),
                        );
                        scaled(row, scale[it]);
                        (product - done.mean[it] * by_beta[it]) * inverse[it]
                    })
                    .collect();
            }
            if let Some(node) = of_weight {
                grads.register::<Flex>(node.id, tensor(by_weight, done.weight.shape().dims::<4>()));
            }
        }
        if let Some(node) = of_gamma {
            grads.register::<Flex>(node.id, vector(by_gamma));
        }
        if let Some(node) = of_beta {
            grads.register::<Flex>(node.id, vector(by_beta));
        }
    }
}

/// Mean and variance of each channel of `[films, channels, places]`.
fn moments(values: &[f32], channels: usize, places: usize) -> (Vec<f32>, Vec<f32>) {
    let count = (values.len() / channels) as f64;
    let planes = |channel: usize| values.chunks_exact(places).skip(channel).step_by(channels);
    let of_channel = |channel| {
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let mean = planes(channel).map(|plane| f64::from(sum(plane, |value| value))).sum::<f64>() / count;
                let about = mean as f32;
                let squares = |plane| f64::from(sum(plane, |value| (value - about) * (value - about)));
                (about, (planes(channel).map(squares).sum::<f64>() / count) as f32)
            },
        )
    };
    (0..channels).into_par_iter().map(of_channel).unzip()
}

fn scaled(values: &mut [f32], scale: f32) {
    Arch::new().dispatch(
        #[inline(always)]
        || values.iter_mut().for_each(|value| *value *= scale),
    );
}

/// Every channel of `values` scaled, shifted and kept in `range`.
fn activated(values: &[f32], places: usize, scale: &[f32], shift: &[f32], range: (f32, f32)) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    out.par_chunks_mut(places).zip(values.par_chunks(places)).enumerate().for_each(|(plane, (out, values))| {
        let (scale, shift) = (scale[plane % scale.len()], shift[plane % shift.len()]);
        Arch::new().dispatch(
            #[inline(always)]
            || out.iter_mut().zip(values).for_each(|(out, value)| *out = bounded(value * scale + shift, range)),
        );
    });
    out
}

impl Incoming<'_> {
    /// Of each channel: the sum of the gradients that passed the activation, and where there are means the same with each
    /// times how far the value is above the mean.
    fn sums(&self, places: usize, means: Option<&[f32]>) -> Vec<(f32, f32)> {
        let channels = self.channels.len();
        let of_channel = |channel: usize| {
            let (affine, mean) = (self.channels[channel], means.map(|means| means[channel]));
            let planes = self.gradient.chunks_exact(places).zip(self.value.chunks_exact(places));
            let (mut all, mut centred) = (0.0f64, 0.0f64);
            for (gradient, value) in planes.skip(channel).step_by(channels) {
                Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        let passed = |gradient, value| self.passed(&affine, gradient, value);
                        all += f64::from(sum_of_two(gradient, value, passed));
                        if let Some(mean) = mean {
                            centred += f64::from(sum_of_two(gradient, value, |gradient, value| {
                                passed(gradient, value) * (value - mean)
                            }));
                        }
                    },
                );
            }
            (all as f32, centred as f32)
        };
        (0..channels).into_par_iter().map(of_channel).collect()
    }
}

/// Lanes of a sum: one rounding after the other would lose what many threads of it keep.
const LANES: usize = 16;

#[inline(always)]
fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    sum_of_two(values, values, |value, _| of(value))
}

#[inline(always)]
fn sum_of_two(one: &[f32], other: &[f32], of: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let ((one, rest_of_one), (other, rest_of_other)) = (one.as_chunks::<LANES>(), other.as_chunks::<LANES>());
    for (one, other) in one.iter().zip(other) {
        for ((sum, one), other) in sums.iter_mut().zip(one).zip(other) {
            *sum += of(*one, *other);
        }
    }
    let rest: f32 = rest_of_one.iter().zip(rest_of_other).map(|(one, other)| of(*one, *other)).sum();
    sums.iter().sum::<f32>() + rest
}

fn vector(values: Vec<f32>) -> FlexTensor {
    let length = values.len();
    tensor(values, [length])
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}
