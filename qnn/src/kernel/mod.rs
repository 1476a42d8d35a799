//! The loops over bytes, once for every kind of processor; all give the same bytes as [`scalar`].
//!
//! A kernel is given [`Block`]s: some pixels of one layer with everything that it needs, checked when it was made, so
//! that no kernel can read or write elsewhere whatever it is given.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
mod dispatch;
#[cfg(target_arch = "aarch64")]
mod dotprod;
#[cfg(target_arch = "aarch64")]
mod i8mm;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod ymm;

pub use dispatch::Kernel;

use crate::rounding::{Bounds, PANEL, Rounding};

/// Weights of a panel's channels for four inputs, `[channel][input]`, aligned for the widest vector unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Line(pub [i8; 4 * PANEL]);

impl Line {
    pub const ZERO: Self = Self([0; 4 * PANEL]);
}

/// The weights of a layer as the kernels read them.
#[derive(Debug)]
pub(crate) struct Packed {
    lines: Vec<Line>,
    /// Whether the products of two neighbours with any two bytes always add up to no more than 16 bits hold, as those
    /// of weights of 7 bits do.
    pairs_fit: bool,
}

impl Packed {
    pub fn new(lines: Vec<Line>) -> Self {
        let fits = |[one, other]: &[i8; 2]| {
            let [one, other] = [one, other].map(|weight| i32::from(*weight));
            255 * (one.max(0) + other.max(0)) <= i32::from(i16::MAX)
                && 255 * (one.min(0) + other.min(0)) >= i32::from(i16::MIN)
        };
        let pairs_fit = lines.iter().all(|line| line.0.as_chunks::<2>().0.iter().all(fits));
        Self { lines, pairs_fit }
    }
}

/// Two inputs of an addition in steps of the output: `(one - zero) * scale + (other - zero) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sum {
    pub zeros: [u8; 2],
    pub scales: [f32; 2],
    pub bounds: Bounds,
}

/// Some pixels of a layer with weights.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    x: &'a [u8],
    taps: usize,
    offsets: &'a [u32],
    depth: usize,
    weights: &'a [Line],
    pairs_fit: bool,
    rounding: &'a Rounding,
    stride: usize,
    out: &'a mut [u8],
}

impl<'a> Block<'a> {
    /// A block of a dense layer, or nothing where the parts do not fit together.
    ///
    /// `offsets` says for every tap and pixel, `[tap][pixel]`, where in `x` the pixel starts under that tap; `depth`
    /// groups of four channels are read from there. `weights` are `[panel][tap][group]`. Every pixel of `out` has
    /// `stride` bytes.
    pub fn dense(
        x: &'a [u8],
        (taps, offsets): (usize, &'a [u32]),
        depth: usize,
        (weights, rounding): (&'a Packed, &'a Rounding),
        stride: usize,
        out: &'a mut [u8],
    ) -> Option<Self> {
        let lines = stride.div_ceil(PANEL) * taps * depth;
        let block = Self {
            x,
            taps,
            offsets,
            depth,
            weights: &weights.lines,
            pairs_fit: weights.pairs_fit,
            rounding,
            stride,
            out,
        };
        (weights.lines.len() == lines && block.fits(4 * depth)).then_some(block)
    }

    /// A block of a depthwise layer: as for a dense one, but `weights` are `[panel][four taps]`, where a line holds
    /// `[channel][tap]`, and as many bytes are read from every offset as are written.
    pub fn depthwise(
        x: &'a [u8],
        (taps, offsets): (usize, &'a [u32]),
        (weights, rounding): (&'a Packed, &'a Rounding),
        stride: usize,
        out: &'a mut [u8],
    ) -> Option<Self> {
        let lines = stride.div_ceil(PANEL) * taps.div_ceil(4);
        let block = Self {
            x,
            taps,
            offsets,
            depth: 0,
            weights: &weights.lines,
            pairs_fit: weights.pairs_fit,
            rounding,
            stride,
            out,
        };
        (weights.lines.len() == lines && block.fits(stride)).then_some(block)
    }

    fn fits(&self, read: usize) -> bool {
        let panels = self.stride.div_ceil(PANEL);
        let end = self.offsets.iter().copied().max().unwrap_or(0) as usize + read;
        self.taps > 0
            && self.stride > 0
            && self.stride.is_multiple_of(4)
            && self.out.len().is_multiple_of(self.stride)
            && self.offsets.len() == self.taps * self.pixels()
            && end <= self.x.len()
            && self.rounding.bias.len() == panels
            && self.rounding.scale.len() == panels
    }

    fn pixels(&self) -> usize {
        self.out.len() / self.stride
    }
}
