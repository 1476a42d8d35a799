//! Where in the frame the light box lies, and which way up a film is read from it. Pure.

use thiserror::Error;

use super::frame::GreyFrame;
use crate::radiograph::Grey;

/// Four corners of the frame, as a film is read: its top left, top right, bottom right and bottom left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    corners: [[u32; 2]; 4],
    /// The size of the frame that the corners were read off; another frame is taken to show the same.
    of: [u32; 2],
}

/// Corners that bound no film.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CornersError {
    /// The frame has no pixels.
    #[error("the frame that they are of has no pixels")]
    NoFrame,
    /// A corner lies outside.
    #[error("[{0}, {1}] lies outside the frame that they are of")]
    Outside(u32, u32),
    /// They do not go round.
    #[error(
        "must go round a film clockwise from its top left, without an edge that turns inwards; for a film that is seen \
         from behind there is `mirrored`"
    )]
    Shape,
}

impl View {
    /// The whole frame.
    pub const WHOLE: Self = Self { corners: [[0, 0], [1, 0], [1, 1], [0, 1]], of: [1, 1] };

    /// The view of four corners `[x, y]`, clockwise from the film's top left, in a frame of width and height `of`.
    /// Pixel edges are counted, so that the whole frame is from `[0, 0]` to `of`.
    ///
    /// # Errors
    /// [`CornersError`].
    pub fn new(corners: [[u32; 2]; 4], of: [u32; 2]) -> Result<Self, CornersError> {
        if of.contains(&0) {
            return Err(CornersError::NoFrame);
        }
        if let Some([x, y]) = corners.iter().find(|[x, y]| *x > of[0] || *y > of[1]) {
            return Err(CornersError::Outside(*x, *y));
        }
        // In a frame, where y goes down, each edge of a clockwise round turns to the right.
        let turn = |at: usize| {
            let corner = |at: usize| corners.get(at % 4).copied().unwrap_or_default().map(i64::from);
            let ([ax, ay], [bx, by], [cx, cy]) = (corner(at), corner(at + 1), corner(at + 2));
            (bx - ax) * (cy - by) - (by - ay) * (cx - bx)
        };
        if (0..4).all(|at| turn(at) > 0) { Ok(Self { corners, of }) } else { Err(CornersError::Shape) }
    }

    /// The same place, read a number of quarter turns clockwise.
    #[must_use]
    pub fn turned(mut self, quarters: usize) -> Self {
        self.corners.rotate_right(quarters % 4);
        self
    }

    /// The same place, left and right exchanged.
    #[must_use]
    pub fn mirrored(self) -> Self {
        let [top_left, top_right, bottom_right, bottom_left] = self.corners;
        Self { corners: [top_right, top_left, bottom_left, bottom_right], ..self }
    }

    /// The film of a frame: the view at the frame's own resolution, and at most as many pixels as the frame has.
    pub fn film(&self, frame: &GreyFrame) -> GreyFrame {
        let corners = self.corners_in(frame);
        let [width, height] = size(&corners, frame);
        let projection = Projection::onto(&corners);
        let pixels = match &frame.pixels {
            Grey::U8(samples) => Grey::U8(resampled(samples, frame, &projection, [width, height], |value| value as u8)),
            Grey::U16(samples) => {
                Grey::U16(resampled(samples, frame, &projection, [width, height], |value| value as u16))
            }
        };
        GreyFrame { width, height, pixels }
    }

    /// The frame's samples nearest to `side` x `side` points spread over the view, row by row, on the 16-bit scale.
    pub(super) fn points(&self, frame: &GreyFrame, side: usize) -> impl Iterator<Item = u16> {
        let projection = Projection::onto(&self.corners_in(frame));
        let part = move |index: usize| (index as f64 + 0.5) / side as f64;
        (0..side * side).map(move |point| {
            let [x, y] = projection.at(part(point % side), part(point / side));
            // As a cast ends at 0, and the frame has no sample beyond its ends.
            frame.sample((x as usize).min(frame.width as usize - 1), (y as usize).min(frame.height as usize - 1))
        })
    }

    fn corners_in(&self, frame: &GreyFrame) -> [[f64; 2]; 4] {
        let [of_width, of_height] = self.of;
        self.corners.map(|[x, y]| {
            [
                f64::from(x) * f64::from(frame.width) / f64::from(of_width),
                f64::from(y) * f64::from(frame.height) / f64::from(of_height),
            ]
        })
    }
}

/// Width and height of what lies between corners: the longer of two opposite sides, so that no detail is lost.
fn size(corners: &[[f64; 2]; 4], frame: &GreyFrame) -> [u32; 2] {
    let [a, b, c, d] = *corners;
    let length = |[ax, ay]: [f64; 2], [bx, by]: [f64; 2]| (ax - bx).hypot(ay - by);
    let (width, height) = (length(a, b).max(length(d, c)), length(a, d).max(length(b, c)));
    let most = f64::from(frame.width) * f64::from(frame.height);
    let scale = (most / (width * height).max(1.0)).sqrt().min(1.0);
    let side = |length: f64| (length * scale + if scale < 1.0 { 0.0 } else { 0.5 }).max(1.0) as u32;
    // Neither rounding nor the least side of a thin view must go over the most.
    let width = side(width).min(most as u32);
    [width, side(height).min(most as u32 / width)]
}

/// The projective map of the unit square onto four corners (Heckbert 1989, "Fundamentals of texture mapping and image
/// warping", section 2.2.3).
struct Projection {
    x: [f64; 3],
    y: [f64; 3],
    depth: [f64; 2],
}

impl Projection {
    fn onto(corners: &[[f64; 2]; 4]) -> Self {
        let [[x0, y0], [x1, y1], [x2, y2], [x3, y3]] = *corners;
        let ([dx1, dy1], [dx2, dy2]) = ([x1 - x2, y1 - y2], [x3 - x2, y3 - y2]);
        let (sx, sy) = (x0 - x1 + x2 - x3, y0 - y1 + y2 - y3);
        // Above 0 for corners that go round clockwise.
        let area = dx1 * dy2 - dx2 * dy1;
        let (g, h) = ((sx * dy2 - dx2 * sy) / area, (dx1 * sy - sx * dy1) / area);
        Self { x: [x1 - x0 + g * x1, x3 - x0 + h * x3, x0], y: [y1 - y0 + g * y1, y3 - y0 + h * y3, y0], depth: [g, h] }
    }

    fn at(&self, u: f64, v: f64) -> [f64; 2] {
        let depth = self.depth[0] * u + self.depth[1] * v + 1.0;
        [&self.x, &self.y].map(|[a, b, c]| (a * u + b * v + c) / depth)
    }
}

/// Bilinear, the frame's edge going on outside it.
fn resampled<T: Copy + Default + Into<f64>>(
    samples: &[T],
    frame: &GreyFrame,
    projection: &Projection,
    [width, height]: [u32; 2],
    rounded: fn(f64) -> T,
) -> Vec<T> {
    let columns = frame.width as usize;
    let last = [f64::from(frame.width - 1), f64::from(frame.height - 1)];
    let sample = |x: usize, y: usize| -> f64 { samples.get(y * columns + x).copied().unwrap_or_default().into() };
    let mut film = Vec::with_capacity(width as usize * height as usize);
    for row in 0..height {
        let v = (f64::from(row) + 0.5) / f64::from(height);
        for column in 0..width {
            let [x, y] = projection.at((f64::from(column) + 0.5) / f64::from(width), v);
            let (x, y) = ((x - 0.5).clamp(0.0, last[0]), (y - 0.5).clamp(0.0, last[1]));
            let (left, top) = (x as usize, y as usize);
            let (right, bottom) = ((left + 1).min(last[0] as usize), (top + 1).min(last[1] as usize));
            let (across, down) = (x - x.floor(), y - y.floor());
            let upper = sample(left, top) * (1.0 - across) + sample(right, top) * across;
            let lower = sample(left, bottom) * (1.0 - across) + sample(right, bottom) * across;
            film.push(rounded(upper * (1.0 - down) + lower * down + 0.5));
        }
    }
    film
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(width: u32, height: u32, sample: impl Fn(u32, u32) -> u16) -> GreyFrame {
        let samples = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| sample(x, y));
        GreyFrame { width, height, pixels: Grey::U16(samples.collect()) }
    }

    fn numbered(width: u32, height: u32) -> GreyFrame {
        frame(width, height, |x, y| (y * width + x) as u16)
    }

    fn samples(frame: &GreyFrame) -> Vec<u16> {
        let places = (0..frame.height as usize).flat_map(|y| (0..frame.width as usize).map(move |x| (x, y)));
        places.map(|(x, y)| frame.sample(x, y)).collect()
    }

    #[test]
    fn a_turn_or_a_mirror_moves_every_pixel_and_changes_none() {
        let frame = numbered(3, 2);
        for (name, view, size, expected) in [
            ("as it is", View::WHOLE, (3, 2), vec![0, 1, 2, 3, 4, 5]),
            ("a quarter", View::WHOLE.turned(1), (2, 3), vec![3, 0, 4, 1, 5, 2]),
            ("a half", View::WHOLE.turned(2), (3, 2), vec![5, 4, 3, 2, 1, 0]),
            ("three quarters", View::WHOLE.turned(3), (2, 3), vec![2, 5, 1, 4, 0, 3]),
            ("mirrored", View::WHOLE.mirrored(), (3, 2), vec![2, 1, 0, 5, 4, 3]),
            ("mirrored, then a quarter", View::WHOLE.mirrored().turned(1), (2, 3), vec![5, 2, 4, 1, 3, 0]),
        ] {
            let film = view.film(&frame);
            assert_eq!(((film.width, film.height), samples(&film)), (size, expected), "{name}");
        }
        let eight = GreyFrame { width: 3, height: 2, pixels: Grey::U8(vec![0, 51, 102, 153, 204, 255]) };
        assert_eq!(View::WHOLE.film(&eight), eight);
    }

    #[test]
    fn a_straight_box_is_cut_out_pixel_by_pixel_at_every_size_of_the_frame() {
        let cut = View::new([[2, 1], [6, 1], [6, 4], [2, 4]], [8, 6]).unwrap();
        assert_eq!(samples(&cut.film(&numbered(8, 6))), [10, 11, 12, 13, 18, 19, 20, 21, 26, 27, 28, 29]);
        let larger = cut.film(&frame(16, 12, |x, y| (x / 2 + 8 * (y / 2)) as u16));
        assert_eq!((larger.width, larger.height), (8, 6));
        assert_eq!(samples(&larger)[..4], [10, 10, 11, 11]);
    }

    #[test]
    fn a_box_seen_askew_is_set_straight() {
        // On a plane of grey, resampling is exact wherever the camera stands: the film's value is that of its place.
        let plane = |x: f64, y: f64| 1_000.0 + 40.0 * x + 15.0 * y;
        let seen = frame(400, 300, |x, y| (plane(f64::from(x) + 0.5, f64::from(y) + 0.5)) as u16);
        let corners = [[60, 40], [330, 70], [380, 260], [20, 230]];
        let film = View::new(corners, [400, 300]).unwrap().film(&seen);
        // Derived apart from the code: the diagonals of a square meet where those of its picture do, here at the
        // crossing of the two lines through opposite corners.
        let [[ax, ay], [bx, by], [cx, cy], [dx, dy]] = corners.map(|corner| corner.map(f64::from));
        let along = ((bx - ax) * (dy - by) - (by - ay) * (dx - bx)) / ((cx - ax) * (dy - by) - (cy - ay) * (dx - bx));
        let middle = plane(ax + along * (cx - ax), ay + along * (cy - ay));
        let (width, height) = (film.width as usize, film.height as usize);
        let found = f64::from(film.sample(width / 2, height / 2));
        let pixel = 60.0;
        assert!((found - middle).abs() < pixel, "{found} and not {middle}");
        for (at, [x, y]) in [(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)].into_iter().zip(corners)
        {
            let (found, there) = (f64::from(film.sample(at.0, at.1)), plane(x.into(), y.into()));
            assert!((found - there).abs() < pixel, "{found} and not {there} at {at:?}");
        }
        // Straight lines stay straight: along a row, equal steps of the inverse depth are equal steps of grey.
        assert_eq!((width, height), (361, 196));
    }

    #[test]
    fn corners_that_bound_no_film_are_told() {
        for (corners, of, told) in [
            ([[0, 0], [4, 0], [4, 3], [0, 3]], [4, 3], Ok(())),
            ([[0, 0], [4, 0], [4, 3], [0, 3]], [0, 3], Err(CornersError::NoFrame)),
            ([[0, 0], [5, 0], [4, 3], [0, 3]], [4, 3], Err(CornersError::Outside(5, 0))),
            ([[4, 0], [0, 0], [0, 3], [4, 3]], [4, 3], Err(CornersError::Shape)),
            ([[0, 0], [4, 3], [4, 0], [0, 3]], [4, 3], Err(CornersError::Shape)),
            ([[0, 0], [2, 0], [4, 0], [0, 3]], [4, 3], Err(CornersError::Shape)),
            ([[0, 0], [4, 0], [1, 1], [0, 3]], [4, 3], Err(CornersError::Shape)),
            ([[1, 1]; 4], [4, 3], Err(CornersError::Shape)),
        ] {
            assert_eq!(View::new(corners, of).map(drop), told, "{corners:?}");
        }
    }

    #[test]
    fn a_view_as_thin_as_a_line_has_no_more_pixels_than_the_frame() {
        // Found by the property below.
        let corners = [[96, 187], [0, 1], [142, 89], [116, 145]];
        for turned in 0..4 {
            let film = View::new(corners, [255, 255]).unwrap().turned(turned).film(&numbered(3, 9));
            assert!((1..=27).contains(&(film.width * film.height)), "{} x {}", film.width, film.height);
        }
    }

    proptest! {
        #[test]
        fn every_view_of_every_frame_is_a_film_of_values_that_the_frame_has(
            corners in any::<[[u8; 2]; 4]>(), width in 1u32..40, height in 1u32..40, quarters in 0usize..9
        ) {
            let Ok(view) = View::new(corners.map(|corner| corner.map(u32::from)), [255, 255]) else { return Ok(()) };
            let frame = frame(width, height, |x, y| (100 + 7 * x + 11 * y) as u16);
            let film = view.turned(quarters).film(&frame);
            prop_assert_eq!(film.pixels.len(), (film.width * film.height) as usize);
            prop_assert!(film.pixels.len() <= (width * height) as usize && !film.pixels.is_empty());
            let (least, most) = (100, 100 + 7 * (width - 1) + 11 * (height - 1));
            prop_assert!(samples(&film).into_iter().all(|sample| (least..=most).contains(&u32::from(sample))));
        }
    }
}
