//! Whether two files hold the same film: a perceptual hash over the cosine transform (Zauner, "Implementation and
//! Benchmarking of Perceptual Image Hash Functions", 2010). Another size, encoding, depth or exposure changes little
//! of it.

use std::f32::consts::PI;

use chestlight::preprocess::{Fit, InputGeometry, PreprocessError, preprocess};
use chestlight::radiograph::Radiograph;

/// Side of the plane that is transformed.
const SIDE: usize = 32;
/// Side of the low frequencies that are kept; the mean alone is not one of them.
const KEPT: usize = 16;
/// Words of the hash.
const WORDS: usize = KEPT * KEPT / 64;

/// Two films whose hashes differ in at most so many of 256 bits repeat each other. docs/training.md has the
/// measurement behind it.
pub const ALIKE: u32 = 24;

/// A hash of what a film looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Likeness([u64; WORDS]);

impl Likeness {
    /// The hash of a radiograph.
    ///
    /// # Errors
    /// [`PreprocessError`], which no decoded radiograph leads to.
    pub fn of(radiograph: &Radiograph) -> Result<Self, PreprocessError> {
        let side = SIDE as u32;
        let geometry = InputGeometry {
            width: side,
            height: side,
            fit: Fit::Stretch,
            exposure_low: 0.01,
            exposure_high: 0.99,
            mean: 0.0,
            std: 255.0,
            margin: 0.0,
        };
        let frequencies = low_frequencies(&preprocess(radiograph, &geometry)?.plane);
        // Of the frequencies but the mean, half are above their median.
        let mut sorted: Vec<f32> = frequencies.iter().skip(1).copied().collect();
        sorted.sort_by(f32::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
        let mut words = [0; WORDS];
        for (place, value) in frequencies.iter().enumerate().skip(1) {
            if let Some(word) = words.get_mut(place / 64).filter(|_| *value > median) {
                *word |= 1u64 << (place % 64);
            }
        }
        Ok(Self(words))
    }

    /// Bits in which two hashes differ.
    pub fn distance(&self, other: &Self) -> u32 {
        self.0.iter().zip(other.0).map(|(a, b)| (a ^ b).count_ones()).sum()
    }
}

/// The lowest `KEPT` by `KEPT` coefficients of the two-dimensional cosine transform.
fn low_frequencies(plane: &[f32]) -> Vec<f32> {
    let wave = |frequency: usize, place: usize| (PI / SIDE as f32 * (place as f32 + 0.5) * frequency as f32).cos();
    let rows: Vec<Vec<f32>> = plane
        .chunks(SIDE)
        .map(|row| (0..KEPT).map(|u| row.iter().enumerate().map(|(x, value)| value * wave(u, x)).sum()).collect())
        .collect();
    let column = |u: usize, v: usize| -> f32 {
        rows.iter().enumerate().map(|(y, row)| row.get(u).copied().unwrap_or(0.0) * wave(v, y)).sum()
    };
    (0..KEPT).flat_map(|v| (0..KEPT).map(move |u| (u, v))).map(|(u, v)| column(u, v)).collect()
}

#[cfg(test)]
mod tests {
    use chestlight::decode::{Limits, decode};
    use chestlight::phantom::{Opacity, Phantom};
    use chestlight::radiograph::Grey;
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, GrayImage, imageops};

    use super::*;

    fn film(seed: u64, opacity: Opacity) -> Radiograph {
        Phantom::new(seed, opacity).sized(600, 500).render().unwrap()
    }

    fn published_again(film: &Radiograph, width: u32, height: u32, quality: u8) -> Radiograph {
        let Grey::U8(samples) = film.pixels() else { panic!("phantoms have 8 bits") };
        let image = GrayImage::from_raw(film.width(), film.height(), samples.clone()).unwrap();
        let small = imageops::resize(&image, width, height, imageops::FilterType::Triangle);
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, quality).encode(&small, width, height, ExtendedColorType::L8).unwrap();
        decode(&jpeg, &Limits::default()).unwrap()
    }

    #[test]
    fn a_film_that_was_scaled_and_compressed_is_the_same_film() {
        for seed in 1..12 {
            let film = film(seed, Opacity::Focal);
            let again = published_again(&film, 256, 213, 60);
            let apart = Likeness::of(&film).unwrap().distance(&Likeness::of(&again).unwrap());
            assert!(apart <= ALIKE, "seed {seed}: {apart}");
        }
    }

    #[test]
    fn the_distance_is_symmetric_and_nothing_differs_from_itself() {
        let [a, b] = [1, 2].map(|seed| Likeness::of(&film(seed, Opacity::None)).unwrap());
        assert_eq!(a.distance(&b), b.distance(&a));
        assert!(a.distance(&b) > 0 && a.distance(&a) == 0);
    }
}
