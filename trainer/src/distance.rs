//! How far a film lies from the training films: Mahalanobis' distance of what a block of the network makes of it (Lee
//! et al., arXiv:1807.03888), with a covariance shrunk towards a multiple of the identity (Ledoit and Wolf 2004). Pure.

use chestlight::phantom::{Opacity, Phantom};
use chestlight::radiograph::{Radiograph, ShapeError};

/// Share of the mean variance that is added to every variance: directions in which training films hardly differ must
/// not decide alone.
const SHRINKAGE: f64 = 0.01;

/// Phantoms among the training films: a unit must go on reading those that it tests itself with.
const PHANTOMS: u64 = 60;
/// Their seeds begin here, far from those of golden results and of the demo.
const FIRST_SEED: u64 = 0x5EED_0000;

/// The distance as a linear map: the root of the mean square of `whitening * means + offset`, where `means` are the
/// means of the channels of a value. It is 1 for a film that is as unusual as the training films on average.
#[derive(Clone, Debug, PartialEq)]
pub struct Distance {
    /// Name of the value whose channels are averaged.
    pub value: String,
    /// `[channels, channels]`, row by row; lower triangular.
    pub whitening: Vec<f32>,
    /// One for each channel.
    pub offset: Vec<f32>,
}

impl Distance {
    /// Fits the distance to the channel means of films; `None` where there is no film or no variance.
    pub fn fit(value: &str, films: &[Vec<f32>]) -> Option<Self> {
        let width = films.first()?.len();
        let count = films.len() as f64;
        let mut mean = vec![0.0; width];
        for film in films {
            mean.iter_mut().zip(film).for_each(|(mean, value)| *mean += f64::from(*value) / count);
        }
        let mut covariance = vec![0.0; width * width];
        for film in films {
            let centred: Vec<f64> = film.iter().zip(&mean).map(|(value, mean)| f64::from(*value) - mean).collect();
            for (row, a) in covariance.chunks_exact_mut(width).zip(&centred) {
                row.iter_mut().zip(&centred).for_each(|(sum, b)| *sum += a * b / count);
            }
        }
        let diagonal = (0..width).map(|i| i * width + i);
        let trace: f64 = diagonal.clone().filter_map(|place| covariance.get(place)).sum();
        // Rounding alone must not pass for variance.
        let size: f64 = mean.iter().map(|mean| mean * mean).sum();
        if trace <= 1e-12 * size {
            return None;
        }
        for place in diagonal {
            covariance.get_mut(place).into_iter().for_each(|variance| *variance += SHRINKAGE * trace / width as f64);
        }
        let whitening = inverse_of_root(&covariance, width)?;
        let offset = whitening.chunks_exact(width).map(|row| {
            let projected: f64 = row.iter().zip(&mean).map(|(weight, mean)| weight * mean).sum();
            -projected as f32
        });
        Some(Self {
            value: value.into(),
            offset: offset.collect(),
            whitening: whitening.iter().map(|value| *value as f32).collect(),
        })
    }

    /// The distance of a film with these channel means; what the network's file computes.
    pub fn of(&self, means: &[f32]) -> f32 {
        let width = self.offset.len().max(1);
        let squares = self.whitening.chunks_exact(width).zip(&self.offset).map(|(row, offset)| {
            let whitened: f32 = row.iter().zip(means).map(|(weight, mean)| weight * mean).sum::<f32>() + offset;
            whitened * whitened
        });
        (squares.sum::<f32>() / width as f32).sqrt()
    }
}

/// The inverse of the lower triangular root of a symmetric positive matrix (Cholesky), row by row; `None` where it has
/// none.
fn inverse_of_root(matrix: &[f64], width: usize) -> Option<Vec<f64>> {
    let mut root: Vec<Vec<f64>> = Vec::with_capacity(width);
    for (i, row) in matrix.chunks_exact(width).enumerate() {
        let mut next: Vec<f64> = Vec::with_capacity(width);
        for (before, value) in root.iter().zip(row) {
            let dot: f64 = before.iter().zip(&next).map(|(a, b)| a * b).sum();
            next.push((value - dot) / before.last()?);
        }
        let pivot = row.get(i)? - next.iter().map(|value| value * value).sum::<f64>();
        if !(pivot.is_finite() && pivot > 0.0) {
            return None;
        }
        next.push(pivot.sqrt());
        root.push(next);
    }
    // Forward substitution against each column of the identity; row `i` of the inverse reads those before it.
    let mut inverse: Vec<f64> = Vec::with_capacity(width * width);
    for (i, row) in root.iter().enumerate() {
        let pivot = row.last()?;
        let mut next = vec![0.0; width];
        for (weight, before) in row.iter().zip(inverse.chunks_exact(width)) {
            next.iter_mut().zip(before).for_each(|(sum, value)| *sum -= weight * value / pivot);
        }
        *next.get_mut(i)? += 1.0 / pivot;
        inverse.extend(next);
    }
    Some(inverse)
}

/// Phantoms of all opacities and several shapes, which are fitted with the films.
///
/// # Errors
/// [`ShapeError`], which these sizes do not give.
pub fn phantoms() -> Result<Vec<Radiograph>, ShapeError> {
    let opacities = [Opacity::None, Opacity::Focal, Opacity::Diffuse];
    let sizes = [(512, 448), (300, 300), (640, 480), (420, 512)];
    let kinds = sizes.iter().flat_map(|size| opacities.iter().map(move |opacity| (*size, *opacity))).cycle();
    let drawn = |(seed, ((width, height), opacity)): (u64, ((u32, u32), Opacity))| {
        Phantom::new(FIRST_SEED + seed, opacity).sized(width, height).render()
    };
    (0..PHANTOMS).zip(kinds).map(drawn).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Points with a strong correlation: the second channel follows the first.
    fn films() -> Vec<Vec<f32>> {
        let wave = |i: usize, step: f32| (i as f32 * step).sin();
        (0..400)
            .map(|i| vec![5.0 + 3.0 * wave(i, 0.7), 2.0 + 3.0 * wave(i, 0.7) + 0.1 * wave(i, 1.9), wave(i, 0.31)])
            .collect()
    }

    #[test]
    fn training_films_are_at_one_and_a_broken_correlation_is_far() {
        let films = films();
        let distance = Distance::fit("block", &films).unwrap();
        let mean_square = films.iter().map(|film| distance.of(film).powi(2)).sum::<f32>() / films.len() as f32;
        // The shrinkage makes it less than 1.
        assert!((0.6..=1.0).contains(&mean_square), "{mean_square}");
        // Either channel alone is usual; together they are not.
        assert!(distance.of(&[7.0, 4.0, 0.0]) < 1.5);
        assert!(distance.of(&[7.0, 0.0, 0.0]) > 4.0);
    }

    #[test]
    fn nothing_to_fit_gives_no_distance() {
        assert_eq!(Distance::fit("block", &[]), None);
        assert_eq!(Distance::fit("block", &vec![vec![1.0, 2.0]; 9]), None, "films that do not differ");
    }

    proptest! {
        #[test]
        fn the_unit_of_the_features_does_not_matter(scale in 0.1f32..10.0, x in -20f32..20.0, y in -20f32..20.0) {
            let films = films();
            let scaled: Vec<Vec<f32>> = films.iter().map(|film| film.iter().map(|value| value * scale).collect()).collect();
            let [plain, other] = [&films, &scaled].map(|films| Distance::fit("block", films).unwrap());
            let (a, b) = (plain.of(&[x, y, 0.5]), other.of(&[x * scale, y * scale, 0.5 * scale]));
            prop_assert!((a - b).abs() <= 0.01 * a.max(1.0), "{a} {b}");
        }
    }

    #[test]
    fn phantoms_are_of_many_kinds() {
        let phantoms = phantoms().unwrap();
        assert_eq!(phantoms.len(), PHANTOMS as usize);
        assert!(
            phantoms.iter().any(|it| it.width() < it.height()) && phantoms.iter().any(|it| it.width() > it.height())
        );
    }
}
