//! A square window that moves over padded planes: depthwise convolution with its gradients, and the unfolding that
//! turns other convolutions into matrix products. Planes are row-major f32.
#![expect(clippy::indexing_slicing, reason = "every bound follows from the window's own geometry")]

use pulp::Arch;
use rayon::prelude::*;

/// Floats of one pass; planes are laid out so that no pass has a remainder.
const LANES: usize = 16;

/// Planes that one thread takes at least.
const AT_LEAST: usize = 8;

/// Plane, window and padding; the padded plane is at least as large as the window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub height: usize,
    pub width: usize,
    pub side: usize,
    pub stride: usize,
    pub top: usize,
    pub left: usize,
    pub bottom: usize,
    pub right: usize,
}

impl Window {
    pub fn out_height(&self) -> usize {
        (self.top + self.height + self.bottom - self.side) / self.stride + 1
    }

    pub fn out_width(&self) -> usize {
        (self.left + self.width + self.right - self.side) / self.stride + 1
    }

    /// Places of the window.
    pub fn outputs(&self) -> usize {
        self.out_height() * self.out_width()
    }

    /// Whether it sees one pixel at every pixel.
    pub fn is_point(&self) -> bool {
        self.side == 1 && self.stride == 1 && self.outputs() == self.height * self.width
    }

    /// Every plane filtered with its channel's weights, plus bias.
    pub fn depthwise(&self, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
        let grid = Grid::of(self);
        let mut out = vec![0.0; x.len() / (self.height * self.width) * self.outputs()];
        let planes = out.par_chunks_mut(self.outputs()).zip(x.par_chunks(self.height * self.width)).enumerate();
        planes.with_min_len(AT_LEAST).for_each_init(
            || (grid.zeros(), grid.line()),
            |(phases, line), (number, (out, x))| {
                let channel = number % bias.len();
                Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        grid.spread(x, phases);
                        line.fill(bias[channel]);
                        for (tap, &weight) in self.taps(weight, channel).iter().enumerate() {
                            add_scaled(line, &phases[grid.tap(tap)..], weight);
                        }
                        grid.collect(line, out);
                    },
                );
            },
        );
        out
    }

    /// Gradient by the input of [`Self::depthwise`].
    pub fn depthwise_by_input(&self, grad: &[f32], weight: &[f32]) -> Vec<f32> {
        let grid = Grid::of(self);
        let channels = weight.len() / (self.side * self.side);
        let mut out = vec![0.0; grad.len() / self.outputs() * self.height * self.width];
        let planes = out.par_chunks_mut(self.height * self.width).zip(grad.par_chunks(self.outputs())).enumerate();
        planes.with_min_len(AT_LEAST).for_each_init(
            || (grid.zeros(), grid.line()),
            |(phases, line), (number, (out, grad))| {
                Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        phases.fill(0.0);
                        grid.lay_out(grad, line);
                        for (tap, &weight) in self.taps(weight, number % channels).iter().enumerate() {
                            add_scaled(&mut phases[grid.tap(tap)..][..line.len()], line, weight);
                        }
                        grid.gather(phases, out);
                    },
                );
            },
        );
        out
    }

    /// Gradient by the weights of [`Self::depthwise`].
    pub fn depthwise_by_weight(&self, x: &[f32], grad: &[f32], channels: usize) -> Vec<f32> {
        let grid = Grid::of(self);
        let (plane, outputs) = (self.height * self.width, self.outputs());
        let mut out = vec![0.0; channels * self.side * self.side];
        out.par_chunks_mut(self.side * self.side).enumerate().with_min_len(AT_LEAST).for_each_init(
            || (grid.zeros(), grid.line()),
            |(phases, line), (channel, out)| {
                let films = x.chunks_exact(plane).zip(grad.chunks_exact(outputs)).skip(channel).step_by(channels);
                for (x, grad) in films {
                    Arch::new().dispatch(
                        #[inline(always)]
                        || {
                            grid.spread(x, phases);
                            grid.lay_out(grad, line);
                            for (tap, out) in out.iter_mut().enumerate() {
                                *out += dot(line, &phases[grid.tap(tap)..]);
                            }
                        },
                    );
                }
            },
        );
        out
    }

    /// What the window sees: `[channels x side x side, films x places]` of `[films, channels, height, width]`.
    pub fn unfold(&self, x: &[f32], channels: usize) -> Vec<f32> {
        let (plane, outputs, taps) = (self.height * self.width, self.outputs(), self.side * self.side);
        let films = x.len() / (channels * plane);
        let mut out = vec![0.0; channels * taps * films * outputs];
        out.par_chunks_mut(films * outputs).enumerate().for_each(|(row, out)| {
            let (channel, tap) = (row / taps, row % taps);
            for (out, x) in out.chunks_exact_mut(outputs).zip(x.chunks_exact(plane).skip(channel).step_by(channels)) {
                self.seen(tap, |from, to, count| {
                    let source = x[from..].iter().step_by(self.stride);
                    out[to..][..count].iter_mut().zip(source).for_each(|(out, x)| *out = *x);
                });
            }
        });
        out
    }

    /// The transpose of [`Self::unfold`]: adds what belongs to each pixel of `out`, `[films, channels, height, width]`.
    pub fn fold(&self, unfolded: &[f32], channels: usize, out: &mut [f32]) {
        let (plane, outputs, taps) = (self.height * self.width, self.outputs(), self.side * self.side);
        let films = out.len() / (channels * plane);
        out.par_chunks_mut(plane).enumerate().for_each(|(number, out)| {
            let (film, channel) = (number / channels, number % channels);
            for tap in 0..taps {
                let row = &unfolded[((channel * taps + tap) * films + film) * outputs..][..outputs];
                self.seen(tap, |to, from, count| {
                    let target = out[to..].iter_mut().step_by(self.stride);
                    row[from..][..count].iter().zip(target).for_each(|(value, out)| *out += value);
                });
            }
        });
    }

    /// Calls `run` with (first pixel, first place, places) of each row of places where one weight of the window sees
    /// the plane and not its padding.
    fn seen(&self, tap: usize, mut run: impl FnMut(usize, usize, usize)) {
        let (down, across) = (tap / self.side, tap % self.side);
        let first = self.left.saturating_sub(across).div_ceil(self.stride);
        let end = ((self.width + self.left).saturating_sub(across)).div_ceil(self.stride).min(self.out_width());
        if end <= first {
            return;
        }
        for row in 0..self.out_height() {
            let y = row * self.stride + down;
            if y >= self.top && y < self.top + self.height {
                let pixel = (y - self.top) * self.width + first * self.stride + across - self.left;
                run(pixel, row * self.out_width() + first, end - first);
            }
        }
    }

    fn taps<'a>(&self, weight: &'a [f32], channel: usize) -> &'a [f32] {
        let taps = self.side * self.side;
        &weight[channel * taps..][..taps]
    }
}

/// The padded plane, cut into one smaller plane for each remainder of row and column by the stride, so that under
/// every weight of the window the places are neighbours in memory: a line with the pitch of those planes.
struct Grid {
    window: Window,
    /// Width of one of the smaller planes.
    pitch: usize,
    /// Its floats.
    phase: usize,
    /// Floats of a line, a multiple of [`LANES`].
    line: usize,
}

impl Grid {
    fn of(window: &Window) -> Self {
        let pitch = (window.left + window.width + window.right).div_ceil(window.stride);
        let phase = (window.top + window.height + window.bottom).div_ceil(window.stride) * pitch;
        let line = (window.out_height() - 1) * pitch + window.out_width();
        Self { window: *window, pitch, phase, line: line.next_multiple_of(LANES) }
    }

    fn zeros(&self) -> Vec<f32> {
        vec![0.0; self.window.stride * self.window.stride * self.phase + LANES]
    }

    fn line(&self) -> Vec<f32> {
        vec![0.0; self.line]
    }

    /// Where the first place sees under weight `tap`.
    #[inline(always)]
    fn tap(&self, tap: usize) -> usize {
        self.at(tap / self.window.side, tap % self.window.side)
    }

    #[inline(always)]
    fn at(&self, row: usize, column: usize) -> usize {
        let stride = self.window.stride;
        let phase = row % stride * stride + column % stride;
        phase * self.phase + row / stride * self.pitch + column / stride
    }

    /// The plane into the inside of `phases`; the padding stays as it is.
    #[inline(always)]
    fn spread(&self, x: &[f32], phases: &mut [f32]) {
        let Window { width, stride, top, left, .. } = self.window;
        for (row, x) in x.chunks_exact(width).enumerate() {
            for column in 0..stride.min(width) {
                let start = self.at(row + top, column + left);
                let target = phases[start..].iter_mut();
                x.iter().skip(column).step_by(stride).zip(target).for_each(|(x, out)| *out = *x);
            }
        }
    }

    /// The inverse of [`Self::spread`].
    #[inline(always)]
    fn gather(&self, phases: &[f32], x: &mut [f32]) {
        let Window { width, stride, top, left, .. } = self.window;
        for (row, x) in x.chunks_exact_mut(width).enumerate() {
            for column in 0..stride.min(width) {
                let start = self.at(row + top, column + left);
                let source = phases[start..].iter();
                x.iter_mut().skip(column).step_by(stride).zip(source).for_each(|(out, x)| *out = *x);
            }
        }
    }

    /// A plane of places into a line; what is between its rows stays 0.
    #[inline(always)]
    fn lay_out(&self, places: &[f32], line: &mut [f32]) {
        let width = self.window.out_width();
        for (row, places) in places.chunks_exact(width).enumerate() {
            line[row * self.pitch..][..width].copy_from_slice(places);
        }
    }

    /// The inverse of [`Self::lay_out`].
    #[inline(always)]
    fn collect(&self, line: &[f32], places: &mut [f32]) {
        let width = self.window.out_width();
        for (row, places) in places.chunks_exact_mut(width).enumerate() {
            places.copy_from_slice(&line[row * self.pitch..][..width]);
        }
    }
}

#[inline(always)]
fn add_scaled(out: &mut [f32], x: &[f32], scale: f32) {
    for (out, x) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(x.as_chunks::<LANES>().0) {
        for (out, x) in out.iter_mut().zip(x) {
            *out += scale * x;
        }
    }
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}
