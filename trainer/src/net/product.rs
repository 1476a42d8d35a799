//! The two sums of products of which convolutions and their gradients are made, over signals that lie anywhere in one
//! slice: nothing is unfolded or transposed for them.
#![expect(clippy::indexing_slicing, reason = "every bound is stated with the fields of the sums")]

use pulp::{Arch, Simd, WithSimd};

/// Rows of weights that lie together.
const PANEL: usize = 8;

/// Floats of which the length of a line is a multiple: three vectors of 16 lanes.
pub(super) const LINE: usize = 48;

/// Columns of one pass of [`Correlate`]: what two rows of them take lies in the first cache.
const PASS: usize = 2048;

/// `rows x depth` weights in panels: those that are multiplied with the same signal are neighbours.
pub(super) struct Weights {
    panels: Vec<[f32; PANEL]>,
    rows: usize,
}

impl Weights {
    pub fn new(rows: usize, depth: usize, at: impl Fn(usize, usize) -> f32) -> Self {
        let mut panels = Vec::with_capacity(rows.div_ceil(PANEL) * depth);
        for first in (0..rows).step_by(PANEL) {
            for k in 0..depth {
                panels.push(std::array::from_fn(|row| if first + row < rows { at(first + row, k) } else { 0.0 }));
            }
        }
        Self { panels, rows }
    }
}

/// `out[row][j] = sum over k of weights[row][k] * signals[offsets[k] + j]`
pub(super) fn combine(weights: &Weights, offsets: &[usize], signals: &[f32], line: usize, out: &mut [f32]) {
    Arch::new().dispatch(Combine { weights, offsets, signals, line, out });
}

struct Combine<'a> {
    weights: &'a Weights,
    offsets: &'a [usize],
    signals: &'a [f32],
    /// Columns, a multiple of [`LINE`]; behind every offset there are as many signals.
    line: usize,
    /// `rows x line`.
    out: &'a mut [f32],
}

impl WithSimd for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let mut column = 0;
        while column < self.line {
            // A single row has no others that would keep the processor busy meanwhile.
            if self.weights.rows == 1 && column + 4 * LINE <= self.line {
                self.tile::<S, 1, 12>(simd, 0, column);
                column += 12 * S::F32_LANES;
                continue;
            }
            let mut row = 0;
            while row < self.weights.rows {
                row += match self.weights.rows - row {
                    8.. if S::REGISTER_COUNT >= 32 => self.tile::<S, 8, 3>(simd, row, column),
                    4.. => self.tile::<S, 4, 3>(simd, row, column),
                    _ => self.tile::<S, 1, 3>(simd, row, column),
                };
            }
            column += 3 * S::F32_LANES;
        }
    }
}

impl Combine<'_> {
    /// `ROWS` rows, which do not leave their panel, of as many columns as `VECTORS` hold. Returns `ROWS`.
    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(&mut self, simd: S, row: usize, column: usize) -> usize {
        let (depth, first) = (self.offsets.len(), row % PANEL);
        let panel = &self.weights.panels[row / PANEL * depth..][..depth];
        let signals = &self.signals[column..];
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        for (weights, &offset) in panel.iter().zip(self.offsets) {
            let seen: [S::f32s; VECTORS] = vectors::<S, VECTORS>(&signals[offset..]);
            let weights = &weights[first..first + ROWS];
            for (sums, weight) in sums.iter_mut().zip(weights) {
                let weight = simd.splat_f32s(*weight);
                for (sum, seen) in sums.iter_mut().zip(seen) {
                    *sum = simd.mul_add_f32s(weight, seen, *sum);
                }
            }
        }
        for (place, sums) in sums.into_iter().enumerate() {
            let out = &mut self.out[(row + place) * self.line + column..][..VECTORS * S::F32_LANES];
            S::as_mut_simd_f32s(out).0.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum);
        }
        ROWS
    }
}

#[inline(always)]
fn vectors<S: Simd, const VECTORS: usize>(signals: &[f32]) -> [S::f32s; VECTORS] {
    let vectors = &S::as_simd_f32s(&signals[..VECTORS * S::F32_LANES]).0[..VECTORS];
    std::array::from_fn(|vector| vectors[vector])
}

/// `out[row][k] += sum over j < line of rows[row * pitch + j] * signals[offsets[k] + j]`
pub(super) fn correlate(rows: &[f32], pitch: usize, offsets: &[usize], signals: &[f32], line: usize, out: &mut [f32]) {
    Arch::new().dispatch(Correlate { rows, pitch, offsets, signals, line, out });
}

struct Correlate<'a> {
    rows: &'a [f32],
    pitch: usize,
    offsets: &'a [usize],
    signals: &'a [f32],
    line: usize,
    out: &'a mut [f32],
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let depth = self.offsets.len();
        let rows = self.out.len() / depth;
        for start in (0..self.line).step_by(PASS) {
            let mut k = 0;
            while k < depth {
                let wide = if depth - k >= 4 { 4 } else { 1 };
                let mut row = 0;
                while row < rows {
                    row += match (rows - row, wide) {
                        (4.., 4) if S::REGISTER_COUNT >= 32 => self.tile::<S, 4, 4>(simd, start, row, k),
                        (2.., 4) => self.tile::<S, 2, 4>(simd, start, row, k),
                        (_, 4) => self.tile::<S, 1, 4>(simd, start, row, k),
                        (4.., _) => self.tile::<S, 4, 1>(simd, start, row, k),
                        _ => self.tile::<S, 1, 1>(simd, start, row, k),
                    };
                }
                k += wide;
            }
        }
    }
}

impl Correlate<'_> {
    /// One pass from column `start` on of `ROWS` rows with `WIDE` signals. Returns `ROWS`.
    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize, const WIDE: usize>(
        &mut self,
        simd: S,
        start: usize,
        row: usize,
        k: usize,
    ) -> usize {
        let columns = PASS.min(self.line - start);
        let depth = self.offsets.len();
        let mut sums = [[simd.splat_f32s(0.0); WIDE]; ROWS];
        let cut = |values, at: usize| -> &[S::f32s] {
            let values: &[f32] = values;
            &S::as_simd_f32s(&values[at..][..columns]).0[..columns / S::F32_LANES]
        };
        let seen: [&[S::f32s]; WIDE] = std::array::from_fn(|at| cut(self.signals, self.offsets[k + at] + start));
        let rows: [&[S::f32s]; ROWS] = std::array::from_fn(|at| cut(self.rows, (row + at) * self.pitch + start));
        for step in 0..columns / S::F32_LANES {
            for (sums, row) in sums.iter_mut().zip(rows) {
                for (sum, seen) in sums.iter_mut().zip(seen) {
                    *sum = simd.mul_add_f32s(row[step], seen[step], *sum);
                }
            }
        }
        for (place, sums) in sums.into_iter().enumerate() {
            let out = &mut self.out[(row + place) * depth + k..][..WIDE];
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out += simd.reduce_sum_f32s(sum));
        }
        ROWS
    }
}
