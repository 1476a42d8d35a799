//! Variation of training films: what differs between two exposures of one chest, and what tells hospitals apart
//! without being the chest. Pure; drawn from a seed.

use chestlight::decode::{Limits, decode};
use chestlight::preprocess::InputTensor;
use chestlight::radiograph::{Grey, Radiograph};
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::experiment::Augment;

/// Widest side of an erased box, as a fraction of the film's side.
const BOX: f32 = 0.25;
/// Depth of the rim in which boxes lie, as a fraction of the side: where markers, names and arrows stand.
const RIM: f32 = 0.3;

/// Standard deviation of the smoothing that makes films alike, pixels of the network's input.
pub const EVEN_SMOOTHING: f32 = 1.5;
/// JPEG quality that makes films alike.
pub const EVEN_QUALITY: u8 = 50;

/// View `view` of film `film`: 0 is the film itself, the others are turned, enlarged, shifted, smoothed, exposed, framed
/// and compressed otherwise, each by an amount drawn evenly within the bounds. What lies outside the film repeats its
/// edge.
pub fn view(plane: &InputTensor, bounds: &Augment, seed: u64, film: usize, view: usize) -> InputTensor {
    if view == 0 {
        return plane.clone();
    }
    let mut rng = StdRng::seed_from_u64(seed ^ ((film as u64) << 20 | view as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let lowest = plane.plane.iter().copied().fold(f32::INFINITY, f32::min);
    let highest = plane.plane.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let span = highest - lowest;

    let mut varied = moved(plane, bounds, &mut rng);
    if bounds.blur > 0.0 {
        smooth(&mut varied, up_to(&mut rng, bounds.blur));
    }
    let contrast = 1.0 + within(&mut rng, bounds.contrast);
    let brightness = within(&mut rng, bounds.contrast) * span / 2.0;
    let noise = up_to(&mut rng, bounds.noise) * span;
    for value in &mut varied.plane {
        let grain = if noise > 0.0 { noise * normal(&mut rng) } else { 0.0 };
        *value = (*value * contrast + brightness + grain).clamp(lowest, highest);
    }
    if bounds.boxes > 0 {
        for _ in 0..rng.random_range(0..=bounds.boxes) {
            fill_box(&mut varied, lowest + rng.random_range(0.0..=1.0) * span, &mut rng);
        }
    }
    if bounds.border > 0.0 {
        blacken_border(&mut varied, bounds.border, lowest, &mut rng);
    }
    if bounds.jpeg > 0 {
        compress(&mut varied, lowest, span, rng.random_range(bounds.jpeg..=100));
    }
    varied
}

/// The film smoothed and compressed as every other one: a collection is no longer told by its sharpness or its JPEG.
#[must_use]
pub fn evened(film: &InputTensor) -> InputTensor {
    let mut even = film.clone();
    smooth(&mut even, EVEN_SMOOTHING);
    let lowest = even.plane.iter().copied().fold(f32::INFINITY, f32::min);
    let highest = even.plane.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    compress(&mut even, lowest, highest - lowest, EVEN_QUALITY);
    even
}

fn within(rng: &mut StdRng, bound: f32) -> f32 {
    if bound > 0.0 { rng.random_range(-bound..=bound) } else { 0.0 }
}

fn up_to(rng: &mut StdRng, bound: f32) -> f32 {
    if bound > 0.0 { rng.random_range(0.0..=bound) } else { 0.0 }
}

/// A standard normal number (Irwin and Hall: twelve even ones, which is normal enough for grain).
fn normal(rng: &mut StdRng) -> f32 {
    (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0
}

/// Turned, enlarged, shifted, and mirrored where that is asked for.
fn moved(plane: &InputTensor, bounds: &Augment, rng: &mut StdRng) -> InputTensor {
    let angle = within(rng, bounds.rotate).to_radians();
    let zoom = 1.0 + within(rng, bounds.zoom);
    let (width, height) = (plane.width as f32, plane.height as f32);
    let shift = (within(rng, bounds.shift) * width, within(rng, bounds.shift) * height);
    let side = if bounds.mirror && rng.random() { -1.0 } else { 1.0 };
    let (sine, cosine) = (angle.sin() / zoom, angle.cos() / zoom);
    let centre = ((width - 1.0) / 2.0, (height - 1.0) / 2.0);
    let turned = (0..plane.height).flat_map(|row| (0..plane.width).map(move |column| (column as f32, row as f32)));
    let values = turned.map(|(column, row)| {
        let (x, y) = (side * (column - centre.0) - shift.0, row - centre.1 - shift.1);
        sample(plane, cosine * x + sine * y + centre.0, cosine * y - sine * x + centre.1)
    });
    InputTensor { width: plane.width, height: plane.height, plane: values.collect() }
}

/// The value at a point between pixels, bilinear.
fn sample(plane: &InputTensor, x: f32, y: f32) -> f32 {
    let (x, y) = (x.clamp(0.0, (plane.width - 1) as f32), y.clamp(0.0, (plane.height - 1) as f32));
    let (left, top) = (x as usize, y as usize);
    let (right, bottom) = ((left + 1).min(plane.width - 1), (top + 1).min(plane.height - 1));
    let at = |column: usize, row: usize| plane.plane.get(row * plane.width + column).copied().unwrap_or(0.0);
    let (along, down) = (x - left as f32, y - top as f32);
    let upper = at(left, top) + (at(right, top) - at(left, top)) * along;
    let lower = at(left, bottom) + (at(right, bottom) - at(left, bottom)) * along;
    upper + (lower - upper) * down
}

/// Smooths with a Gaussian of this standard deviation in pixels; what lies outside repeats the edge.
fn smooth(plane: &mut InputTensor, deviation: f32) {
    // A drawn 0 is none: all other weights vanish.
    let deviation = deviation.max(f32::EPSILON);
    let reach = (3.0 * deviation).ceil() as isize;
    let weights: Vec<f32> = (-reach..=reach).map(|at| (-0.5 * (at as f32 / deviation).powi(2)).exp()).collect();
    let sum: f32 = weights.iter().sum();
    let (width, height) = (plane.width, plane.height);
    for (side, step) in [(width, 1), (height, width)] {
        let values = (0..plane.plane.len()).map(|place| {
            let along = place / step % side;
            let line = place - along * step;
            let at = |offset: isize| line + along.saturating_add_signed(offset).min(side - 1) * step;
            let taken = (-reach..=reach).zip(&weights);
            taken.map(|(offset, weight)| weight * plane.plane.get(at(offset)).copied().unwrap_or(0.0)).sum::<f32>()
                / sum
        });
        plane.plane = values.collect();
    }
}

/// Fills a box that begins in the rim.
fn fill_box(plane: &mut InputTensor, value: f32, rng: &mut StdRng) {
    let mut along = |side: usize| {
        let side = side as f32;
        let length = rng.random_range(0.02..=BOX) * side;
        let from_start = rng.random_range(0.0..=1.0f32) * side;
        (length, from_start)
    };
    let (across, down) = (along(plane.width), along(plane.height));
    // One of the two stands in the rim, at either end; the other is anywhere.
    let in_rim = |(length, at): (f32, f32), side: usize, far: bool| {
        let side = side as f32;
        let at = at * RIM;
        (length, if far { side - at - length } else { at })
    };
    let far = rng.random();
    let (across, down) =
        if rng.random() { (in_rim(across, plane.width, far), down) } else { (across, in_rim(down, plane.height, far)) };
    let inside = |(length, at): (f32, f32), place: usize| (at..at + length).contains(&(place as f32));
    let width = plane.width;
    for (place, pixel) in plane.plane.iter_mut().enumerate() {
        if inside(across, place % width) && inside(down, place / width) {
            *pixel = value;
        }
    }
}

/// Blackens a border whose width is drawn for every side.
fn blacken_border(plane: &mut InputTensor, widest: f32, black: f32, rng: &mut StdRng) {
    let mut edge = |side: usize| (up_to(rng, widest) * side as f32) as usize;
    let [left, right, top, bottom] = [edge(plane.width), edge(plane.width), edge(plane.height), edge(plane.height)];
    let (width, height) = (plane.width, plane.height);
    for (place, pixel) in plane.plane.iter_mut().enumerate() {
        let (column, row) = (place % width, place / width);
        if column < left || column + right >= width || row < top || row + bottom >= height {
            *pixel = black;
        }
    }
}

/// Compresses and opens again, at a quality of 1 to 100. A plane that JPEG cannot hold stays as it is.
fn compress(plane: &mut InputTensor, lowest: f32, span: f32, quality: u8) {
    if span <= 0.0 {
        return;
    }
    let bytes: Vec<u8> = plane.plane.iter().map(|value| ((value - lowest) / span * 255.0).round() as u8).collect();
    let mut file = Vec::new();
    let sides = (plane.width as u32, plane.height as u32);
    let written =
        JpegEncoder::new_with_quality(&mut file, quality).encode(&bytes, sides.0, sides.1, ExtendedColorType::L8);
    let opened = written.ok().and_then(|()| decode(&file, &Limits::default()).ok());
    if let Some(Grey::U8(opened)) = opened.as_ref().map(Radiograph::pixels) {
        for (value, byte) in plane.plane.iter_mut().zip(opened) {
            *value = lowest + f32::from(*byte) / 255.0 * span;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Augment {
        Augment { views: 4, rotate: 8.0, zoom: 0.1, shift: 0.05, contrast: 0.2, ..Augment::default() }
    }

    fn blob() -> InputTensor {
        let plane = (0..64 * 48).map(|i| {
            let (x, y) = ((i % 64) as f32 - 20.0, (i / 64) as f32 - 30.0);
            2.0 * (-(x * x + y * y) / 50.0).exp() - 1.0
        });
        InputTensor { width: 64, height: 48, plane: plane.collect() }
    }

    fn changed(a: &InputTensor, b: &InputTensor) -> usize {
        a.plane.iter().zip(&b.plane).filter(|(a, b)| (*a - *b).abs() > 1e-5).count()
    }

    #[test]
    fn the_first_view_is_the_film_and_the_others_differ_but_repeat() {
        let film = blob();
        assert_eq!(view(&film, &bounds(), 1, 5, 0), film);
        let views: Vec<_> = (1..4).map(|number| view(&film, &bounds(), 1, 5, number)).collect();
        for (number, drawn) in views.iter().enumerate() {
            assert_ne!(*drawn, film);
            assert_eq!(*drawn, view(&film, &bounds(), 1, 5, number + 1));
        }
        assert_ne!(views[0], views[1]);
        assert_ne!(views[0], view(&film, &bounds(), 1, 6, 1), "another film");
        assert_ne!(views[0], view(&film, &bounds(), 2, 5, 1), "another seed");
    }

    #[test]
    fn views_stay_in_the_range_of_the_film_and_near_its_place() {
        let film = blob();
        let brightest = |tensor: &InputTensor| {
            let (place, _) = tensor.plane.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
            ((place % 64) as f32, (place / 64) as f32)
        };
        for number in 1..64 {
            let drawn = view(&film, &Augment { contrast: 0.0, ..bounds() }, 3, 0, number);
            assert!(drawn.plane.iter().all(|value| (-1.0..=1.0).contains(value)));
            let (x, y) = brightest(&drawn);
            // Shift 5% of 64, turn 8 degrees and zoom 10% at 13.9 pixels from the centre: at most 7.
            assert!((x - 20.0).hypot(y - 30.0) < 8.0, "{number}: {x} {y}");
        }
    }

    #[test]
    fn bounds_of_zero_change_nothing() {
        assert_eq!(changed(&view(&blob(), &Augment { views: 2, ..Augment::default() }, 1, 1, 1), &blob()), 0);
    }

    #[test]
    fn each_variation_changes_what_it_names_and_stays_in_range() {
        let still = Augment { views: 2, ..Augment::default() };
        let film = blob();
        for (name, bounds, least, most) in [
            ("blur", Augment { blur: 2.0, ..still.clone() }, 200, 3_072),
            ("noise", Augment { noise: 0.1, ..still.clone() }, 1_000, 3_072),
            ("jpeg", Augment { jpeg: 30, ..still.clone() }, 500, 3_072),
            ("boxes", Augment { boxes: 8, ..still.clone() }, 1, 2_000),
            ("border", Augment { border: 0.2, ..still.clone() }, 1, 2_200),
            ("mirror", Augment { mirror: true, ..still.clone() }, 1, 3_072),
        ] {
            let views: Vec<InputTensor> = (1..30).map(|number| view(&film, &bounds, 9, 0, number)).collect();
            assert!(views.iter().all(|view| view.plane.iter().all(|v| (-1.001..=1.001).contains(v))), "{name}");
            let changes: Vec<usize> = views.iter().map(|view| changed(view, &film)).collect();
            assert!(changes.iter().any(|count| *count >= least), "{name}: {changes:?}");
            assert!(changes.iter().all(|count| *count <= most), "{name}: {changes:?}");
        }
    }

    #[test]
    fn a_smoothed_point_is_a_gaussian_and_nothing_is_lost_but_at_the_edge() {
        let mut point = InputTensor { width: 33, height: 33, plane: vec![0.0; 33 * 33] };
        point.plane[16 * 33 + 16] = 1.0;
        smooth(&mut point, 1.5);
        let at = |x: usize, y: usize| point.plane[y * 33 + x];
        assert!((point.plane.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        for (x, y, away) in [(17, 16, 1.0), (16, 18, 4.0), (14, 17, 5.0)] {
            assert!((at(x, y) / at(16, 16) - f32::exp(-away / 4.5)).abs() < 1e-4, "{x} {y}");
        }
        let mut even = InputTensor { width: 5, height: 3, plane: vec![0.25; 15] };
        for deviation in [0.0, 4.0] {
            smooth(&mut even, deviation);
            assert!(even.plane.iter().all(|value| (value - 0.25).abs() < 1e-6), "{deviation}: edges repeat");
        }
    }

    #[test]
    fn films_that_differ_in_grain_alone_are_alike_when_they_are_evened() {
        let smooth = blob();
        let mut grainy = smooth.clone();
        for (place, value) in grainy.plane.iter_mut().enumerate() {
            *value += if (place + place / 64) % 2 == 0 { 0.2 } else { -0.2 };
        }
        let apart = |a: &InputTensor, b: &InputTensor| -> f32 {
            a.plane.iter().zip(&b.plane).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.plane.len() as f32
        };
        assert!(apart(&evened(&smooth), &evened(&grainy)) < 0.1 * apart(&smooth, &grainy));
    }

    #[test]
    fn a_mirrored_film_is_the_film_from_the_other_side() {
        let film = blob();
        let bounds = Augment { views: 2, mirror: true, ..Augment::default() };
        let turned: Vec<f32> = film.plane.chunks(64).flat_map(|row| row.iter().rev().copied()).collect();
        let mirrored = (1..20).filter(|number| {
            let view = view(&film, &bounds, 4, 0, *number);
            view.plane.iter().zip(&turned).all(|(a, b)| (a - b).abs() < 1e-4)
        });
        assert!((4..=16).contains(&mirrored.count()), "about half of nineteen");
    }

    #[test]
    fn an_even_film_survives_every_variation() {
        let even = InputTensor { width: 32, height: 32, plane: vec![0.5; 32 * 32] };
        let all = Augment { noise: 0.1, jpeg: 30, boxes: 3, border: 0.1, mirror: true, ..bounds() };
        assert!(view(&even, &all, 1, 0, 1).plane.iter().all(|value| value.is_finite()));
    }
}
