//! What is done to a radiograph to find out what a model looks at, and how much it bears. Pure: radiograph in,
//! radiograph out; the changed film then goes the device's own preprocessing.

use chestlight::radiograph::{Grey, Radiograph, ShapeError};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// One change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Perturbation {
    /// The middle is black: of each side the inner three fifths. What remains are frame, text and shoulders.
    BlackCentre,
    /// The middle is black: of each side the inner four fifths.
    BorderOnly,
    /// Turned by so many degrees; black comes in from outside.
    Rotate(f32),
    /// Values on the scale 0 to 1 to this power: above 1 is darker.
    Gamma(f32),
    /// The upper part of the values is lost: white begins at this fraction, as on an overexposed film.
    Clip(f32),
    /// Even grain of this standard deviation, as a fraction of the scale.
    Noise(f32),
}

impl Perturbation {
    /// For the labels of a report.
    pub fn name(self) -> String {
        match self {
            Self::BlackCentre => "black centre (three fifths of each side)".into(),
            Self::BorderOnly => "border only (a tenth of each side)".into(),
            Self::Rotate(degrees) => format!("{degrees:+.0}\u{b0}"),
            Self::Gamma(power) => format!("gamma {power}"),
            Self::Clip(white) => format!("white at {white}"),
            Self::Noise(deviation) => format!("noise {deviation}"),
        }
    }

    /// The changed film. Grain depends on the film alone.
    ///
    /// # Errors
    /// [`ShapeError`] never comes of a radiograph that had its shape.
    pub fn applied(self, film: &Radiograph) -> Result<Radiograph, ShapeError> {
        let (values, most) = match film.pixels() {
            Grey::U8(values) => (values.iter().map(|value| f32::from(*value)).collect::<Vec<f32>>(), 255.0),
            Grey::U16(values) => (values.iter().map(|value| f32::from(*value)).collect(), 65_535.0),
        };
        let changed = self.changed(&values, film.width() as usize, film.height() as usize, most);
        let pixels = match film.pixels() {
            Grey::U8(_) => Grey::U8(changed.iter().map(|value| value.round() as u8).collect()),
            Grey::U16(_) => Grey::U16(changed.iter().map(|value| value.round() as u16).collect()),
        };
        Radiograph::new(film.width(), film.height(), pixels, film.encoding())
    }

    fn changed(self, values: &[f32], width: usize, height: usize, most: f32) -> Vec<f32> {
        match self {
            Self::BlackCentre => without_centre(values, width, height, 0.2),
            Self::BorderOnly => without_centre(values, width, height, 0.1),
            Self::Rotate(degrees) => turned(values, width, height, degrees),
            Self::Gamma(power) => values.iter().map(|value| (value / most).powf(power) * most).collect(),
            Self::Clip(white) => values.iter().map(|value| (value / white).min(most)).collect(),
            Self::Noise(deviation) => {
                let mut rng = StdRng::seed_from_u64(values.len() as u64);
                // Even over a width of the square root of 12 deviations.
                let half = deviation * most * 3f32.sqrt();
                let grain = |value: &f32| (value + rng.random_range(-half..=half)).clamp(0.0, most);
                if half > 0.0 { values.iter().map(grain).collect() } else { values.to_vec() }
            }
        }
    }
}

fn without_centre(values: &[f32], width: usize, height: usize, margin: f32) -> Vec<f32> {
    let inner = |place: usize, side: usize| {
        let margin = (margin * side as f32) as usize;
        (margin..side.saturating_sub(margin)).contains(&place)
    };
    let black = |(at, value): (usize, &f32)| {
        if inner(at % width, width) && inner(at / width, height) { 0.0 } else { *value }
    };
    values.iter().enumerate().map(black).collect()
}

fn turned(values: &[f32], width: usize, height: usize, degrees: f32) -> Vec<f32> {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let centre = ((width as f32 - 1.0) / 2.0, (height as f32 - 1.0) / 2.0);
    let at = |column: i64, row: i64| {
        let inside = (0..width as i64).contains(&column) && (0..height as i64).contains(&row);
        if inside { values.get(row as usize * width + column as usize).copied().unwrap_or(0.0) } else { 0.0 }
    };
    (0..values.len())
        .map(|place| {
            let (x, y) = ((place % width) as f32 - centre.0, (place / width) as f32 - centre.1);
            let (x, y) = (cosine * x + sine * y + centre.0, cosine * y - sine * x + centre.1);
            let (column, row) = (x.floor(), y.floor());
            let (along, down) = (x - column, y - row);
            let (column, row) = (column as i64, row as i64);
            let upper = at(column, row) * (1.0 - along) + at(column + 1, row) * along;
            let lower = at(column, row + 1) * (1.0 - along) + at(column + 1, row + 1) * along;
            upper * (1.0 - down) + lower * down
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use chestlight::radiograph::Encoding;

    use super::*;

    fn film(bits: u8) -> Radiograph {
        let values = (0..40 * 30).map(|i| 50 + (i % 40) * 3 + i / 40);
        let pixels = if bits == 8 {
            Grey::U8(values.map(|value| value as u8).collect())
        } else {
            Grey::U16(values.map(|value| value as u16 * 257).collect())
        };
        Radiograph::new(40, 30, pixels, Encoding::Png).unwrap()
    }

    fn values(film: &Radiograph) -> Vec<f32> {
        match film.pixels() {
            Grey::U8(values) => values.iter().map(|value| f32::from(*value) / 255.0).collect(),
            Grey::U16(values) => values.iter().map(|value| f32::from(*value) / 65_535.0).collect(),
        }
    }

    #[test]
    fn what_should_change_nothing_does_not() {
        for perturbation in
            [Perturbation::Rotate(0.0), Perturbation::Gamma(1.0), Perturbation::Clip(1.0), Perturbation::Noise(0.0)]
        {
            for bits in [8, 16] {
                assert_eq!(perturbation.applied(&film(bits)).unwrap(), film(bits), "{perturbation:?} {bits}");
            }
        }
    }

    #[test]
    fn each_change_does_what_it_says_at_either_depth() {
        for bits in [8, 16] {
            let before = values(&film(bits));
            let after = |perturbation: Perturbation| values(&perturbation.applied(&film(bits)).unwrap());
            let centre = 15 * 40 + 20;
            let black = after(Perturbation::BlackCentre);
            assert_eq!((black[centre], black[0]), (0.0, before[0]));
            let kept = |values: &[f32]| values.iter().filter(|value| **value > 0.0).count();
            assert_eq!(kept(&black), 40 * 30 - 24 * 18);
            assert_eq!(kept(&after(Perturbation::BorderOnly)), 40 * 30 - 32 * 24);
            assert!(after(Perturbation::Gamma(2.0)).iter().zip(&before).all(|(a, b)| a <= b));
            assert!(after(Perturbation::Clip(0.5)).iter().zip(&before).all(|(a, b)| a >= b));
            let half = after(Perturbation::Rotate(180.0));
            assert!(half.iter().rev().zip(&before).all(|(a, b)| (a - b).abs() < 0.01), "{bits}");
            let noise: Vec<f32> = after(Perturbation::Noise(0.05)).iter().zip(&before).map(|(a, b)| a - b).collect();
            let deviation = (noise.iter().map(|n| n * n).sum::<f32>() / noise.len() as f32).sqrt();
            assert!((deviation - 0.05).abs() < 0.005, "{deviation}");
        }
    }
}
