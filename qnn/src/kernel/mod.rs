//! The loops over bytes, once for every kind of processor; all give the same bytes as [`scalar`].
//!
//! A kernel is given [`Block`]s or [`Strip`]s: some pixels of one layer with everything that it needs, checked when it
//! was made, so that no kernel can read or write elsewhere whatever it is given.

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

use std::ops::Range;

use crate::rounding::{Bounds, Lanes, PANEL, Rounding};

/// Weights of a panel's channels for four inputs, `[channel][input]`, aligned for the widest vector unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Line(pub [i8; 4 * PANEL]);

impl Line {
    pub const ZERO: Self = Self([0; 4 * PANEL]);
}

/// The weights of a layer as the kernels read them, panel by panel, and what becomes of the sums.
#[derive(Debug)]
pub(crate) struct Packed {
    lines: Vec<Line>,
    /// Whether the products of two neighbours with any two bytes always add up to no more than 16 bits hold, as those
    /// of weights of 7 bits do.
    pairs_fit: bool,
    rounding: Rounding,
}

impl Packed {
    pub fn new(lines: Vec<Line>, rounding: Rounding) -> Self {
        let fits = |[one, other]: &[i8; 2]| {
            let [one, other] = [one, other].map(|weight| i32::from(*weight));
            255 * (one.max(0) + other.max(0)) <= i32::from(i16::MAX)
                && 255 * (one.min(0) + other.min(0)) >= i32::from(i16::MIN)
        };
        let pairs_fit = lines.iter().all(|line| line.0.as_chunks::<2>().0.iter().all(fits));
        Self { lines, pairs_fit, rounding }
    }

    /// All panels.
    pub fn all(&self) -> Panels<'_> {
        let Rounding { bias, scale, bounds } = &self.rounding;
        Panels { lines: &self.lines, pairs_fit: self.pairs_fit, bias, scale, bounds: *bounds }
    }

    /// Some panels; nothing where there are no such ones.
    pub fn panels(&self, panels: Range<usize>) -> Option<Panels<'_>> {
        let all = self.all();
        let each = all.lines.len() / all.bias.len().max(1);
        Some(Panels {
            lines: all.lines.get(panels.start * each..panels.end * each)?,
            bias: all.bias.get(panels.clone())?,
            scale: all.scale.get(panels)?,
            ..all
        })
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> usize {
        size_of_val(self.lines.as_slice())
    }
}

/// Some of a layer's panels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels<'a> {
    lines: &'a [Line],
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "AVX2 alone adds pairs"))]
    pairs_fit: bool,
    bias: &'a [Lanes<i32>],
    scale: &'a [Lanes<f32>],
    bounds: Bounds,
}

impl Panels<'_> {
    /// The byte that means 0.
    pub fn zero_point(&self) -> u8 {
        self.bounds.zero_point
    }

    /// Whether there are as many as `stride` channels take, each of `lines`.
    fn fit(&self, stride: usize, lines: usize) -> bool {
        let panels = stride.div_ceil(PANEL);
        self.lines.len() == panels * lines && self.bias.len() == panels && self.scale.len() == panels
    }
}

/// Two inputs of an addition in steps of the output: `(one - zero) * scale + (other - zero) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sum {
    pub zeros: [u8; 2],
    pub scales: [f32; 2],
    pub bounds: Bounds,
}

/// Some pixels of a dense layer.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    x: &'a [u8],
    taps: usize,
    offsets: &'a [u32],
    depth: usize,
    panels: Panels<'a>,
    stride: usize,
    out: &'a mut [u8],
}

impl<'a> Block<'a> {
    /// Nothing where the parts do not fit together.
    ///
    /// `offsets` says for every tap and pixel, `[tap][pixel]`, where in `x` the pixel starts under that tap; `depth`
    /// groups of four channels are read from there. A panel's lines are `[tap][group]`. Every pixel of `out` has `stride`
    /// bytes.
    pub fn new(
        x: &'a [u8],
        (taps, offsets): (usize, &'a [u32]),
        depth: usize,
        panels: Panels<'a>,
        stride: usize,
        out: &'a mut [u8],
    ) -> Option<Self> {
        let pixels = whole(out, stride)?;
        let fits = taps > 0
            && offsets.len() == taps * pixels
            && panels.fit(stride, taps * depth)
            && readable(x, offsets, 4 * depth);
        fits.then_some(Self { x, taps, offsets, depth, panels, stride, out })
    }

    fn pixels(&self) -> usize {
        self.out.len() / self.stride
    }
}

/// How a window walks along the rows of a depthwise layer's output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    /// Rows and columns of the window.
    pub window: [usize; 2],
    /// Columns of the input from an output pixel to the next.
    pub stride: usize,
    /// Columns of the input from a tap to the next.
    pub dilation: usize,
    /// Output pixels of a row.
    pub width: usize,
}

impl Walk {
    /// Columns of the input under a row of the output.
    pub fn columns(&self) -> usize {
        (self.width.max(1) - 1) * self.stride + (self.window[1].max(1) - 1) * self.dilation + 1
    }

    /// Groups of four rows of the window.
    pub fn quads(&self) -> usize {
        self.window[0].div_ceil(4)
    }
}

/// Some rows of a depthwise layer.
///
/// Neighbouring pixels see the same columns of the input under other taps, so kernels may read a column once for all of
/// them: offsets are by column, and a line of weights holds the taps of one column.
#[derive(Debug)]
pub(crate) struct Strip<'a> {
    x: &'a [u8],
    walk: Walk,
    offsets: &'a [u32],
    panels: Panels<'a>,
    stride: usize,
    out: &'a mut [u8],
}

impl<'a> Strip<'a> {
    /// Nothing where the parts do not fit together.
    ///
    /// `offsets` says for every row of the output, row of the window and column, `[row][row][column]`, where in `x` the
    /// pixel starts; as many bytes are read from there as are written. A panel's lines are `[column][four rows]` of
    /// the window, and a line holds `[channel][row]`.
    pub fn new(
        x: &'a [u8],
        (walk, offsets): (Walk, &'a [u32]),
        panels: Panels<'a>,
        stride: usize,
        out: &'a mut [u8],
    ) -> Option<Self> {
        let pixels = whole(out, stride)?;
        let [height, width] = walk.window;
        let fits = height * width * walk.width > 0
            && pixels.is_multiple_of(walk.width)
            && offsets.len() == pixels / walk.width * height * walk.columns()
            && panels.fit(stride, width * walk.quads())
            && readable(x, offsets, stride);
        fits.then_some(Self { x, walk, offsets, panels, stride, out })
    }

    fn rows(&self) -> usize {
        self.out.len() / (self.stride * self.walk.width)
    }
}

/// The number of pixels of `stride` bytes each, if there are whole ones of them.
fn whole(out: &[u8], stride: usize) -> Option<usize> {
    (stride > 0 && stride.is_multiple_of(4) && out.len().is_multiple_of(stride)).then(|| out.len() / stride)
}

/// Whether `bytes` can be read from every offset.
fn readable(x: &[u8], offsets: &[u32], bytes: usize) -> bool {
    offsets.iter().copied().max().unwrap_or(0) as usize + bytes <= x.len()
}

/// Splits `count` pixels into as few tiles of at most `most` as there can be, all of about the same size, so that none is
/// left with a pixel or two: the first pixel and the size of each.
fn tiles(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = count.div_ceil(most).max(1);
    let (size, larger) = (count / tiles, count % tiles);
    let sizes = (0..tiles).map(move |tile| size + usize::from(tile < larger));
    sizes.scan(0, |next, size| {
        let first = *next;
        *next += size;
        Some((first, size))
    })
}
