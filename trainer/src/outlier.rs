//! What a gate must refuse, made without any film that shows it: frontal films turned, mirrored upside down and cut, and
//! drawn things that are no chest. Pure.

use chestlight::radiograph::{Encoding, Grey, Radiograph, ShapeError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A kind of outlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlier {
    /// A film on its side.
    OnItsSide,
    /// A film on its head.
    OnItsHead,
    /// A quarter of each side of a film, from anywhere.
    Quarter,
    /// A phantom of a limb: soft tissue around one to three bones.
    Limb,
    /// A phantom of a skull.
    Skull,
    /// Grain.
    Grain,
    /// From dark to bright.
    Gradient,
    /// Squares, as on a test chart.
    Squares,
    /// Soft spots anywhere.
    Spots,
}

impl Outlier {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::OnItsSide,
        Self::OnItsHead,
        Self::Quarter,
        Self::Limb,
        Self::Skull,
        Self::Grain,
        Self::Gradient,
        Self::Squares,
        Self::Spots,
    ];

    /// For the labels of a report.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnItsSide => "a film on its side",
            Self::OnItsHead => "a film on its head",
            Self::Quarter => "a sixteenth of a film",
            Self::Limb => "phantom of a limb",
            Self::Skull => "phantom of a skull",
            Self::Grain => "grain",
            Self::Gradient => "gradient",
            Self::Squares => "squares",
            Self::Spots => "spots",
        }
    }

    /// One outlier of this kind, of a film or of its size; `seed` chooses which.
    ///
    /// # Errors
    /// [`ShapeError`] never comes of a radiograph that had its shape.
    pub fn made(self, film: &Radiograph, seed: u64) -> Result<Radiograph, ShapeError> {
        let mut rng = StdRng::seed_from_u64(seed);
        let (width, height) = (film.width(), film.height());
        match self {
            Self::OnItsSide => moved(film, height, width, |x, y| (y, height - 1 - x)),
            Self::OnItsHead => moved(film, width, height, |x, y| (width - 1 - x, height - 1 - y)),
            Self::Quarter => {
                let (part_width, part_height) = ((width / 4).max(1), (height / 4).max(1));
                let left = rng.random_range(0..=width - part_width);
                let top = rng.random_range(0..=height - part_height);
                // At the film's size: how small it is must not decide.
                moved(film, width, height, move |x, y| (left + x * part_width / width, top + y * part_height / height))
            }
            _ => {
                let grain = if self == Self::Grain { 120.0 } else { 3.0 };
                drawn(width, height, &self.shape(&mut rng), grain, &mut rng)
            }
        }
    }

    /// What a drawn outlier is at a place, both 0 to 1, as attenuation.
    fn shape(self, rng: &mut StdRng) -> Box<dyn Fn(f32, f32) -> f32> {
        let edge = |inside: f32, softness: f32| (inside / softness).clamp(0.0, 1.0);
        match self {
            Self::Limb => {
                let (sine, cosine) = rng.random_range(0.0..std::f32::consts::PI).sin_cos();
                let half = rng.random_range(0.12..0.27f32);
                let bones: Vec<(f32, f32)> = (0..rng.random_range(1..=3))
                    .map(|_| (rng.random_range(-half / 2.0..half / 2.0), rng.random_range(0.03..0.05)))
                    .collect();
                Box::new(move |x, y| {
                    let across = (x - 0.5) * cosine + (y - 0.5) * sine;
                    let bone = |(at, radius): &(f32, f32)| 0.9 * edge(radius - (across - at).abs(), 0.01);
                    0.6 * edge(half - across.abs(), 0.03) + bones.iter().map(bone).sum::<f32>()
                })
            }
            Self::Skull => {
                let (rx, ry) = (rng.random_range(0.3..0.4f32), rng.random_range(0.36..0.45f32));
                Box::new(move |x, y| {
                    let from_middle = ((x - 0.5) / rx).hypot((y - 0.5) / ry);
                    let vault = 0.9 * (-((from_middle - 0.95) / 0.04).powi(2)).exp();
                    let eye = |at: f32| 0.5 * edge(0.08 - (x - at).hypot(y - 0.55), 0.04);
                    1.1 * edge(1.05 - from_middle, 0.06) + vault - eye(0.38) - eye(0.62)
                })
            }
            Self::Gradient => {
                let (sine, cosine) = rng.random_range(0.0..std::f32::consts::TAU).sin_cos();
                Box::new(move |x, y| 1.0 + 0.9 * ((x - 0.5) * cosine + (y - 0.5) * sine))
            }
            Self::Squares => {
                let count = rng.random_range(3.0..40.0f32);
                Box::new(
                    move |x, y| if ((x * count) as u32 + (y * count) as u32).is_multiple_of(2) { 0.2 } else { 1.5 },
                )
            }
            Self::Spots => {
                let mut between = |low: f32, high: f32| rng.random_range(low..high);
                let spots: Vec<[f32; 4]> = (0..8)
                    .map(|_| [between(0.0, 1.0), between(0.0, 1.0), between(0.03, 0.2), between(0.2, 1.0)])
                    .collect();
                Box::new(move |x, y| {
                    let spot = |[at_x, at_y, radius, density]: &[f32; 4]| {
                        density * (-((x - at_x).hypot(y - at_y) / radius).powi(2)).exp()
                    };
                    spots.iter().map(spot).sum()
                })
            }
            // Grain lies over something even.
            _ => Box::new(|_, _| 0.7),
        }
    }
}

fn moved(
    film: &Radiograph,
    width: u32,
    height: u32,
    from: impl Fn(u32, u32) -> (u32, u32),
) -> Result<Radiograph, ShapeError> {
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let places = places.map(|(x, y)| {
        let (x, y) = from(x, y);
        y as usize * film.width() as usize + x as usize
    });
    let pixels = match film.pixels() {
        Grey::U8(samples) => Grey::U8(places.map(|place| samples.get(place).copied().unwrap_or(0)).collect()),
        Grey::U16(samples) => Grey::U16(places.map(|place| samples.get(place).copied().unwrap_or(0)).collect()),
    };
    Radiograph::new(width, height, pixels, film.encoding())
}

fn drawn(
    width: u32,
    height: u32,
    shape: &dyn Fn(f32, f32) -> f32,
    grain: f32,
    rng: &mut StdRng,
) -> Result<Radiograph, ShapeError> {
    let mut samples = Vec::with_capacity(width as usize * height as usize);
    for y in 0..height {
        for x in 0..width {
            let place = |at: u32, side: u32| (at as f32 + 0.5) / side as f32;
            let attenuation = shape(place(x, width), place(y, height)).max(0.0);
            let grey = 245.0 * (1.0 - (-attenuation).exp()) + 4.0 + rng.random_range(-grain..=grain);
            samples.push(grey.clamp(0.0, 255.0) as u8);
        }
    }
    Radiograph::new(width, height, Grey::U8(samples), Encoding::Phantom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_film_is_turned_and_not_scrambled() {
        let film = Radiograph::new(3, 2, Grey::U8(vec![1, 2, 3, 4, 5, 6]), Encoding::Png).unwrap();
        for (kind, width, expected) in
            [(Outlier::OnItsSide, 2, vec![4, 1, 5, 2, 6, 3]), (Outlier::OnItsHead, 3, vec![6, 5, 4, 3, 2, 1])]
        {
            let made = kind.made(&film, 1).unwrap();
            assert_eq!((made.width(), made.pixels()), (width, &Grey::U8(expected)), "{}", kind.name());
        }
    }

    #[test]
    fn every_kind_is_made_at_the_films_size_and_the_same_for_the_same_seed() {
        let film = Radiograph::new(50, 40, Grey::U16((0..2_000).collect()), Encoding::Png).unwrap();
        for kind in Outlier::ALL {
            let made = kind.made(&film, 7).unwrap();
            assert_eq!(made.width() * made.height(), 2_000, "{}", kind.name());
            assert_eq!(made, kind.made(&film, 7).unwrap(), "{}", kind.name());
        }
    }
}
