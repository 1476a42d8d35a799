//! A square window that moves over padded planes, and the lattice on which planes are laid out for it.
//!
//! On a lattice the places of the window are columns `0, 1, 2, ..` of one line, film after film and row after row, and
//! every weight of the window sees the pixel of the first place at an offset of its own, that of the next place right
//! after it. So [`super::product`] reads planes as they lie. Some columns are no places: what a line says there is
//! passed over, and what it is given there is 0. Planes are row-major f32.
#![expect(clippy::indexing_slicing, reason = "every bound follows from the window's own geometry")]

use super::product::LINE;

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
    pub fn places(&self) -> usize {
        self.out_height() * self.out_width()
    }

    /// Pixels of the plane.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Whether every place is a pixel, and all it sees.
    pub fn is_one_pixel(&self) -> bool {
        self.side == 1 && self.stride == 1 && self.places() == self.pixels()
    }

    /// The same window over a plane of one row, where it sees no neighbours.
    pub fn in_one_row(self) -> Self {
        if self.is_one_pixel() { Self { height: 1, width: self.pixels(), ..self } } else { self }
    }

    /// Weights of the window.
    pub fn taps(&self) -> usize {
        self.side * self.side
    }
}

/// How some films lie on a lattice. With a stride, a plane is cut into one phase for each remainder of row and column:
/// in a phase, the pixels under one weight of the window are neighbours again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lattice {
    pub window: Window,
    films: usize,
    /// Columns of one row of places. Rows share their padding: what is right of one is left of the next.
    pitch: usize,
    /// Rows of one film; films share their padding too.
    rows: usize,
    /// Phases in one direction that some weight sees.
    phases: usize,
    /// How much further the last weight of a phase sees than its first.
    reach: usize,
}

impl Lattice {
    pub fn new(window: Window, films: usize) -> Self {
        let Window { height, width, side, stride, top, left, bottom, right } = window;
        let pitch = (width + left.max(right)).div_ceil(stride).max(window.out_width());
        let rows = (height + top.max(bottom)).div_ceil(stride).max(window.out_height());
        let reach = (side - 1) / stride * (pitch + 1);
        Self { window, films, pitch, rows, phases: side.min(stride), reach }
    }

    /// Columns of a line.
    pub fn line(&self) -> usize {
        (self.films * self.rows * self.pitch).next_multiple_of(LINE)
    }

    /// Floats of one phase of one channel.
    pub fn phase(&self) -> usize {
        (self.line() + self.reach).next_multiple_of(LINE)
    }

    /// Floats of one channel.
    pub fn channel(&self) -> usize {
        self.phases * self.phases * self.phase()
    }

    /// Floats of one line of gradients by the output: as far as weights reach there are zeros before it and behind it.
    pub fn gradient(&self) -> usize {
        self.phase() + self.reach
    }

    /// Where the line begins in one of gradients.
    pub fn begin(&self) -> usize {
        self.reach
    }

    /// (phase, offset in it) of what weight `tap` sees at the first place.
    pub fn tap(&self, tap: usize) -> (usize, usize) {
        let Window { side, stride, .. } = self.window;
        let (down, across) = (tap / side, tap % side);
        (down % stride * self.phases + across % stride, down / stride * self.pitch + across / stride)
    }

    /// The same as one offset in the channel.
    pub fn offset(&self, tap: usize) -> usize {
        let (phase, offset) = self.tap(tap);
        phase * self.phase() + offset
    }

    /// Number of phases.
    pub fn phase_count(&self) -> usize {
        self.phases * self.phases
    }

    /// Lays the plane of one film into its channel; the padding stays as it is.
    #[inline(always)]
    pub fn lay(&self, film: usize, plane: &[f32], channel: &mut [f32]) {
        let Window { width, stride, .. } = self.window;
        for (number, phase) in channel.chunks_exact_mut(self.phase()).enumerate() {
            for (row, first, cell) in self.rows_of(film, number) {
                let pixels = &plane[row * width + first..(row + 1) * width];
                let cells = &mut phase[cell..][..pixels.len().div_ceil(stride)];
                match stride {
                    1 => cells.copy_from_slice(pixels),
                    2 => every_second(pixels, cells),
                    _ => cells.iter_mut().zip(pixels.iter().step_by(stride)).for_each(|(cell, pixel)| *cell = *pixel),
                }
            }
        }
    }

    /// The inverse of [`Self::lay`] for the pixels of one phase.
    #[inline(always)]
    pub fn take(&self, film: usize, number: usize, phase: &[f32], plane: &mut [f32]) {
        let Window { width, stride, .. } = self.window;
        for (row, first, cell) in self.rows_of(film, number) {
            let pixels = &mut plane[row * width + first..(row + 1) * width];
            let cells = &phase[cell..][..pixels.len().div_ceil(stride)];
            match stride {
                1 => pixels.copy_from_slice(cells),
                _ => pixels.iter_mut().step_by(stride).zip(cells).for_each(|(pixel, cell)| *pixel = *cell),
            }
        }
    }

    /// (row of the plane, its first pixel in the phase, the cell of that pixel).
    #[inline(always)]
    fn rows_of(&self, film: usize, phase: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let Self { pitch, rows, phases, .. } = *self;
        let Window { height, width, stride, top, left, .. } = self.window;
        let first = |padding: usize, phase: usize| (phase + stride - padding % stride) % stride;
        let (first_row, first_pixel) = (first(top, phase / phases), first(left, phase % phases));
        let down = if first_pixel < width { height } else { 0 };
        (first_row..down).step_by(stride).map(move |row| {
            (row, first_pixel, (film * rows + (row + top) / stride) * pitch + (first_pixel + left) / stride)
        })
    }

    /// First column of a row of places.
    #[inline(always)]
    pub fn place(&self, film: usize, row: usize) -> usize {
        (film * self.rows + row) * self.pitch
    }
}

#[inline(always)]
fn every_second(pixels: &[f32], cells: &mut [f32]) {
    let (pairs, rest) = pixels.as_chunks::<2>();
    let (whole, last) = cells.split_at_mut(pairs.len());
    whole.iter_mut().zip(pairs).for_each(|(cell, [pixel, _])| *cell = *pixel);
    last.iter_mut().zip(rest).for_each(|(cell, pixel)| *cell = *pixel);
}
