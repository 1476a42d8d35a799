//! Layers with few places: those of all films stand side by side as the columns of one matrix, and burn's product of
//! matrices, which packs what it reads, does the rest. On lattices the weights would pass by for each few places.
#![expect(clippy::indexing_slicing, reason = "every bound follows from the shapes that `Convolution` states")]

use std::ops::Range;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps as _;
use burn::tensor::TensorData;
use pulp::Arch;
use rayon::prelude::*;

use super::convolution::{Convolution, Incoming, bounded};
use super::lattice::Lattice;

/// Places up to which it pays.
const FEW: usize = 64;

/// Floats that are still near after they were written.
const NEAR: usize = 512 << 10;

/// Weights of an output from which on it pays.
const DEEP: usize = 64;

impl Convolution {
    /// Whether this is such a layer.
    pub fn few_places(&self) -> bool {
        self.parts == 1 && self.window.places() <= FEW && self.depth() >= DEEP
    }

    fn columns(&self) -> usize {
        self.films * self.window.places()
    }

    /// [`Self::forward`] of a window of one weight.
    pub fn forward_by_columns(&self, x: &[f32], weight: Vec<f32>, bias: &[f32], range: (f32, f32)) -> Vec<f32> {
        let weight = matrix(weight, [self.outputs, self.depth()]);
        let out = Flex::float_matmul(weight, self.seen(x, 0..self.inputs));
        self.by_film(&out, |output, sum| bounded(sum + bias[output], range))
    }

    /// Gradient by the input of a window that sees each pixel once; `gradients` as from [`Self::gradients`].
    pub fn input_by_columns(&self, weight: Vec<f32>, gradients: &FlexTensor) -> Vec<f32> {
        let weight = matrix(weight, [self.outputs, self.depth()]);
        self.by_film(&Flex::float_matmul(weight.transpose(0, 1), gradients.clone()), |_, sum| sum)
    }

    /// Gradient by the weight, of some inputs after the other: what is seen of them is still near when it is multiplied.
    pub fn weight_by_columns(&self, x: &[f32], gradients: &FlexTensor) -> Vec<f32> {
        let (depth, taps) = (self.depth(), self.window.taps());
        let together = (NEAR / (taps * self.columns())).clamp(1, self.inputs);
        let inputs: Vec<usize> = (0..self.inputs).step_by(together).collect();
        let of_some = |first: usize| {
            let seen = self.seen(x, first..(first + together).min(self.inputs));
            Flex::float_matmul(gradients.clone(), seen.transpose(0, 1))
        };
        let parts: Vec<FlexTensor> = inputs.into_par_iter().map(of_some).collect();
        let mut of_weight = vec![0.0; self.outputs * depth];
        of_weight.par_chunks_mut(depth).enumerate().for_each(|(output, row)| {
            for (row, part) in row.chunks_mut(together * taps).zip(&parts) {
                row.copy_from_slice(&part.storage::<f32>()[output * row.len()..][..row.len()]);
            }
        });
        of_weight
    }

    /// What each weight of some inputs sees, `[inputs x taps, films x places]`.
    fn seen(&self, x: &[f32], some: Range<usize>) -> FlexTensor {
        let Self { films, inputs, window, .. } = *self;
        let (taps, places, pixels) = (window.taps(), window.places(), window.pixels());
        let lattice = Lattice::new(window, 1);
        let mut seen = vec![0.0; some.len() * taps * self.columns()];
        let rows = seen.par_chunks_mut(taps * self.columns()).zip(some.clone());
        rows.for_each_init(
            || vec![0.0; lattice.channel()],
            |channel, (rows, input)| {
                Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        for film in 0..films {
                            lattice.lay(0, &x[(film * inputs + input) * pixels..][..pixels], channel);
                            for (tap, row) in rows.chunks_exact_mut(self.columns()).enumerate() {
                                let row = row[film * places..][..places].chunks_exact_mut(window.out_width());
                                for (number, places) in row.enumerate() {
                                    let first = lattice.offset(tap) + lattice.place(0, number);
                                    places.copy_from_slice(&channel[first..][..places.len()]);
                                }
                            }
                        }
                    },
                );
            },
        );
        matrix(seen, [some.len() * taps, self.columns()])
    }

    /// Gradients by the output, `[outputs, films x places]`.
    pub fn gradients(&self, incoming: &Incoming<'_>) -> FlexTensor {
        let places = self.window.places();
        let mut gradients = vec![0.0; self.outputs * self.columns()];
        gradients.par_chunks_mut(self.columns()).enumerate().for_each(|(output, row)| {
            Arch::new().dispatch(
                #[inline(always)]
                || {
                    for (film, row) in row.chunks_exact_mut(places).enumerate() {
                        let start = (film * self.outputs + output) * places;
                        incoming.row(start..start + places, output, row);
                    }
                },
            );
        });
        matrix(gradients, [self.outputs, self.columns()])
    }

    /// `[films, channels, places]` of `[channels, films x places]`, each value as `value` makes it of channel and sum.
    fn by_film(&self, sums: &FlexTensor, value: impl Fn(usize, f32) -> f32 + Sync) -> Vec<f32> {
        let (places, columns, sums) = (self.window.places(), self.columns(), sums.storage::<f32>());
        let mut out = vec![0.0; sums.len()];
        out.par_chunks_mut(sums.len() / self.films).enumerate().for_each(|(film, out)| {
            Arch::new().dispatch(
                #[inline(always)]
                || {
                    for (channel, (out, row)) in
                        out.chunks_exact_mut(places).zip(sums.chunks_exact(columns)).enumerate()
                    {
                        let sums = &row[film * places..][..places];
                        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = value(channel, *sum));
                    }
                },
            );
        });
        out
    }
}

fn matrix(values: Vec<f32>, shape: [usize; 2]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}
