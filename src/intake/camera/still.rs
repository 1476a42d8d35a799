//! Does a new film lie still on the light box? A state machine over small thumbnails. Pure.
//!
//! Chest films on a light box look so much alike in few cells that one cannot be told from another one that was moved a
//! little. So a film is new when the bare box was seen before it: however it is moved about afterwards, it is the same.

use super::frame::GreyFrame;
use super::view::View;

/// Cells of a thumbnail along each side.
const SIDE: usize = 32;
const CELLS: usize = SIDE * SIDE;
/// Points of the frame along each side of a cell: the mean of so many has little noise left.
const POINTS: usize = 8;
/// Two looks are equal where no cell differs by more than this share of the full range, after their means were made
/// equal: a hand that moves changes some cells by far more, noise of a standard deviation of 5% changes none.
const EQUAL: f32 = 0.04;
/// How far the means of two equal looks may be apart, as a share: lamps flicker, and a camera follows the light.
const FLICKER: f32 = 0.1;
/// With less light than this share of the full range in its brightest cells the box is not lit.
const LEAST_LIGHT: f32 = 0.1;
/// The texture of a film is at least so. 263 films of six public collections have 0.028 to 0.13, with or without a
/// bright border around them.
const FILM: f32 = 0.022;
/// The texture of a bare box is at most so: 0.010 under a lens that takes a third of the light in the corners, with
/// little noise. What lies between is neither.
const BARE: f32 = 0.018;

/// A frame seen through the view in few cells: the mean of each, from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Thumbnail([f32; CELLS]);

impl Thumbnail {
    /// Of what the view shows of a frame.
    pub fn of(frame: &GreyFrame, view: &View) -> Self {
        let side = SIDE * POINTS;
        let mut cells = [0.0; CELLS];
        for (point, sample) in view.points(frame, side).enumerate() {
            let cell = point / side / POINTS * SIDE + point % side / POINTS;
            if let Some(cell) = cells.get_mut(cell) {
                *cell += f32::from(sample) / (65_535.0 * (POINTS * POINTS) as f32);
            }
        }
        Self(cells)
    }

    fn mean(&self) -> f32 {
        self.0.iter().sum::<f32>() / CELLS as f32
    }

    /// Nothing has moved between the two.
    fn equals(&self, other: &Self) -> bool {
        let light = self.mean() / other.mean().max(f32::EPSILON);
        let light = light.clamp(1.0 - FLICKER, 1.0 + FLICKER);
        self.0.iter().zip(&other.0).all(|(cell, other)| (cell - other * light).abs() <= EQUAL)
    }

    /// The mean step from one cell to the next, as a share of the brightest cells; `None` where the box is not lit.
    fn texture(&self) -> Option<f32> {
        let mut cells = self.0;
        cells.sort_unstable_by(f32::total_cmp);
        // A few cells may reflect a lamp of the room.
        let bright = *cells.get(CELLS * 19 / 20)?;
        let rows = self.0.chunks(SIDE);
        let across = rows.clone().flat_map(|row| row.iter().zip(row.iter().skip(1)));
        let down = rows.clone().zip(rows.skip(1)).flat_map(|(row, next)| row.iter().zip(next));
        let steps: f32 = across.chain(down).map(|(cell, next)| (cell - next).abs()).sum();
        (bright >= LEAST_LIGHT).then(|| steps / (2 * SIDE * (SIDE - 1)) as f32 / bright)
    }
}

/// Tells each new film once: the box was bare, then for some looks a film lies on it and nothing moves.
#[derive(Debug)]
pub struct StillFilm {
    looks: u32,
    /// The first of the looks that are equal to it, and how many they are.
    still: Option<(Thumbnail, u32)>,
    /// The box was bare since the last film. Not so at the start: what already lies there may have been read before.
    was_bare: bool,
}

impl StillFilm {
    /// A film must be equal for so many looks, at least 2.
    pub fn new(looks: u32) -> Self {
        Self { looks: looks.max(2), still: None, was_bare: false }
    }

    /// Looks at the box. Whether a new film lies still there now; it is said once.
    pub fn look(&mut self, seen: Thumbnail) -> bool {
        let texture = seen.texture();
        if texture.is_some_and(|texture| texture <= BARE) {
            self.was_bare = true;
        }
        // Compared with the first look and not with the last one, so that slow movement is movement too.
        match &mut self.still {
            Some((first, equal)) if first.equals(&seen) => *equal = equal.saturating_add(1),
            _ => self.still = Some((seen, 1)),
        }
        let is_still = self.still.as_ref().is_some_and(|(_, equal)| *equal >= self.looks);
        let is_new = is_still && self.was_bare && texture.is_some_and(|texture| texture >= FILM);
        if is_new {
            self.took();
        }
        is_new
    }

    /// The film on the box was taken without having been told here: by a button, or by a command.
    pub fn took(&mut self) {
        self.was_bare = false;
    }

    /// The film that was told could not be taken after all: it is told again.
    pub fn failed(&mut self) {
        self.was_bare = true;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::phantom::{Opacity, Phantom};
    use crate::radiograph::Grey;

    const LOOKS: u32 = 5;
    /// The light box in the frame, pixels.
    const SIDES: [usize; 2] = [400, 360];
    /// A film on it, pixels.
    const FILM: [usize; 2] = [300, 280];
    const PLACE: [usize; 2] = [50, 40];

    /// What lies on the light box.
    #[derive(Clone, Copy)]
    enum On {
        Nothing,
        /// The film of a patient, its top left so far from the box's.
        Film(u64, [usize; 2]),
        /// The film of a patient, and a hand that reaches so far into the box.
        Hand(u64, usize),
    }

    /// A camera over a light box.
    struct Camera {
        films: BTreeMap<u64, Vec<u8>>,
        /// Standard deviation of a pixel, grey levels of 256.
        noise: f32,
        light: f32,
        random: u64,
    }

    impl Camera {
        fn new(noise: f32) -> Self {
            Self { films: BTreeMap::new(), noise, light: 1.0, random: 7 }
        }

        /// Uniform from -1 to 1 (Vigna's splitmix64).
        fn random(&mut self) -> f32 {
            self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        }

        fn film(&mut self, patient: u64) -> &[u8] {
            self.films.entry(patient).or_insert_with(|| {
                let film = Phantom::new(patient, Opacity::None).sized(FILM[0] as u32, FILM[1] as u32);
                match film.render().unwrap().pixels() {
                    Grey::U8(samples) => samples.clone(),
                    Grey::U16(_) => unreachable!(),
                }
            })
        }

        fn see(&mut self, on: On) -> Thumbnail {
            let [width, height] = SIDES;
            // The lens takes a third of the light in the corners.
            let lit = |at: usize| {
                let part = |at: usize, side: usize| at as f32 / side as f32 - 0.5;
                let (x, y) = (part(at % width, width), part(at / width, height));
                220.0 * (1.0 - 0.66 * (x * x + y * y))
            };
            let mut pixels: Vec<f32> = (0..width * height).map(lit).collect();
            let laid = match on {
                On::Nothing => None,
                On::Film(patient, place) => Some((patient, place)),
                On::Hand(patient, _) => Some((patient, PLACE)),
            };
            if let Some((patient, [right, down])) = laid {
                for (at, sample) in self.film(patient).iter().enumerate() {
                    pixels[(down + at / FILM[0]) * width + right + at % FILM[0]] *= f32::from(*sample) / 255.0;
                }
            }
            if let On::Hand(_, reach) = on {
                pixels.chunks_mut(width).skip(100).take(60).for_each(|row| row[..reach].fill(90.0));
            }
            // The sum of three uniform values is nearly normal, with a standard deviation of 1.
            let noise = self.noise;
            let light = self.light;
            let samples = pixels.into_iter().map(|pixel| {
                let random = self.random() + self.random() + self.random();
                (pixel * light + noise * random) as u8
            });
            let pixels = Grey::U8(samples.collect());
            Thumbnail::of(&GreyFrame { width: width as u32, height: height as u32, pixels }, &View::WHOLE)
        }
    }

    /// How many films are told over so many looks.
    fn told(still: &mut StillFilm, camera: &mut Camera, on: On, looks: u32) -> usize {
        (0..looks).filter(|_| still.look(camera.see(on))).count()
    }

    /// A film comes under a moving hand, as a technician lays it.
    fn lay(still: &mut StillFilm, camera: &mut Camera, patient: u64) -> usize {
        (0..8).map(|step| told(still, camera, On::Hand(patient, 300 - 35 * step), 1)).sum()
    }

    #[test]
    fn each_film_is_told_once_however_long_it_lies_and_whatever_the_noise() {
        for noise in [0.0, 2.0, 6.0, 12.0] {
            let (mut still, mut camera) = (StillFilm::new(LOOKS), Camera::new(noise));
            assert_eq!(told(&mut still, &mut camera, On::Nothing, 20), 0, "noise {noise}: a bare box");
            for patient in [1, 2] {
                assert_eq!(lay(&mut still, &mut camera, patient), 0, "noise {noise}: nothing while it is laid");
                let on = On::Film(patient, PLACE);
                assert_eq!(told(&mut still, &mut camera, on, LOOKS - 1), 0, "noise {noise}: not yet");
                assert_eq!(told(&mut still, &mut camera, on, 100), 1, "noise {noise}: once");
                assert_eq!(lay(&mut still, &mut camera, patient), 0, "noise {noise}: it is taken away");
                assert_eq!(told(&mut still, &mut camera, On::Nothing, 20), 0, "noise {noise}: a bare box");
            }
        }
    }

    #[test]
    fn a_film_that_is_pushed_about_in_changing_light_stays_the_same_film() {
        let (mut still, mut camera) = (StillFilm::new(LOOKS), Camera::new(4.0));
        told(&mut still, &mut camera, On::Nothing, 1);
        assert_eq!(told(&mut still, &mut camera, On::Film(3, PLACE), 20), 1);
        for place in [[55, 40], [80, 60], [20, 10], [50, 40]] {
            assert_eq!(told(&mut still, &mut camera, On::Film(3, place), 20), 0, "pushed to {place:?}");
        }
        // Over hours the lamp fades; the box is switched off and on again; the camera is covered by a hand.
        for light in [0.95, 0.8, 0.6, 0.4, 0.0, 0.01, 0.7, 1.0] {
            camera.light = light;
            assert_eq!(told(&mut still, &mut camera, On::Film(3, PLACE), 20), 0, "light {light}");
        }
        assert_eq!(told(&mut still, &mut camera, On::Hand(3, 150), 20), 0);
    }

    #[test]
    fn a_lamp_that_flickers_keeps_no_film_from_being_told() {
        let (mut still, mut camera) = (StillFilm::new(LOOKS), Camera::new(4.0));
        told(&mut still, &mut camera, On::Nothing, 1);
        let told: usize = (0..20)
            .map(|look| {
                camera.light = 0.97 + 0.03 * (look % 3) as f32;
                told(&mut still, &mut camera, On::Film(4, PLACE), 1)
            })
            .sum();
        assert_eq!(told, 1);
    }

    #[test]
    fn what_lies_there_at_the_start_and_what_was_taken_by_order_is_not_told() {
        let (mut still, mut camera) = (StillFilm::new(LOOKS), Camera::new(4.0));
        assert_eq!(told(&mut still, &mut camera, On::Film(5, PLACE), 30), 0, "it may have been read before the start");
        told(&mut still, &mut camera, On::Nothing, 1);
        assert_eq!(told(&mut still, &mut camera, On::Film(6, PLACE), 2), 0);
        still.took();
        assert_eq!(told(&mut still, &mut camera, On::Film(6, PLACE), 30), 0, "it was taken by order");
        told(&mut still, &mut camera, On::Nothing, 1);
        assert_eq!(told(&mut still, &mut camera, On::Film(6, PLACE), 30), 1, "laid again it is meant to be read again");
        still.failed();
        assert_eq!(told(&mut still, &mut camera, On::Film(6, PLACE), 30), 1, "what could not be kept is told again");
    }
}
