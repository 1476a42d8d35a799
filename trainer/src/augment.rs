//! Variation of training films: what differs between two exposures of one chest. Pure; drawn from a seed.

use chestlight::preprocess::InputTensor;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::experiment::Augment;

/// View `view` of film `film`: 0 is the film itself, the others are turned, enlarged, shifted and exposed
/// otherwise, each by an amount drawn evenly within the bounds. What lies outside the film repeats its edge.
pub fn view(plane: &InputTensor, bounds: &Augment, seed: u64, film: usize, view: usize) -> InputTensor {
    if view == 0 {
        return plane.clone();
    }
    let mut rng = StdRng::seed_from_u64(seed ^ ((film as u64) << 8 | view as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut within = |bound: f32| if bound > 0.0 { rng.random_range(-bound..=bound) } else { 0.0 };
    let angle = within(bounds.rotate).to_radians();
    let zoom = 1.0 + within(bounds.zoom);
    let (width, height) = (plane.width as f32, plane.height as f32);
    let shift = (within(bounds.shift) * width, within(bounds.shift) * height);
    let contrast = 1.0 + within(bounds.contrast);
    let brightness = within(bounds.contrast);

    let lowest = plane.plane.iter().copied().fold(f32::INFINITY, f32::min);
    let highest = plane.plane.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (sine, cosine) = (angle.sin() / zoom, angle.cos() / zoom);
    let centre = ((width - 1.0) / 2.0, (height - 1.0) / 2.0);
    let turned = (0..plane.height).flat_map(|row| (0..plane.width).map(move |column| (column as f32, row as f32)));
    let values = turned.map(|(column, row)| {
        let (x, y) = (column - centre.0 - shift.0, row - centre.1 - shift.1);
        let value = sample(plane, cosine * x + sine * y + centre.0, cosine * y - sine * x + centre.1);
        (value * contrast + brightness).clamp(lowest, highest)
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

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Augment = Augment { views: 4, rotate: 8.0, zoom: 0.1, shift: 0.05, contrast: 0.2 };

    fn blob() -> InputTensor {
        let plane = (0..64 * 48).map(|i| {
            let (x, y) = ((i % 64) as f32 - 20.0, (i / 64) as f32 - 30.0);
            2.0 * (-(x * x + y * y) / 50.0).exp() - 1.0
        });
        InputTensor { width: 64, height: 48, plane: plane.collect() }
    }

    #[test]
    fn the_first_view_is_the_film_and_the_others_differ_but_repeat() {
        let film = blob();
        assert_eq!(view(&film, &BOUNDS, 1, 5, 0), film);
        let views: Vec<_> = (1..4).map(|number| view(&film, &BOUNDS, 1, 5, number)).collect();
        for (number, drawn) in views.iter().enumerate() {
            assert_ne!(*drawn, film);
            assert_eq!(*drawn, view(&film, &BOUNDS, 1, 5, number + 1));
        }
        assert_ne!(views[0], views[1]);
        assert_ne!(views[0], view(&film, &BOUNDS, 1, 6, 1), "another film");
        assert_ne!(views[0], view(&film, &BOUNDS, 2, 5, 1), "another seed");
    }

    #[test]
    fn views_stay_in_the_range_of_the_film_and_near_its_place() {
        let film = blob();
        let brightest = |tensor: &InputTensor| {
            let (place, _) = tensor.plane.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
            ((place % 64) as f32, (place / 64) as f32)
        };
        for number in 1..64 {
            let drawn = view(&film, &Augment { contrast: 0.0, ..BOUNDS }, 3, 0, number);
            assert!(drawn.plane.iter().all(|value| (-1.0..=1.0).contains(value)));
            let (x, y) = brightest(&drawn);
            // Shift 5% of 64, turn 8 degrees and zoom 10% at 13.9 pixels from the centre: at most 7.
            assert!((x - 20.0).hypot(y - 30.0) < 8.0, "{number}: {x} {y}");
        }
    }

    #[test]
    fn bounds_of_zero_change_nothing() {
        let film = blob();
        let still = Augment { views: 2, rotate: 0.0, zoom: 0.0, shift: 0.0, contrast: 0.0 };
        for (a, b) in view(&film, &still, 1, 1, 1).plane.iter().zip(&film.plane) {
            assert!((a - b).abs() < 1e-5);
        }
    }
}
