//! Was the film exposed so that it can be judged? The bounds stand well outside what was found on 3,119 frontal films
//! of six collections (docs/gate.md). Pure.

use super::Refused;
use crate::radiograph::{Grey, Radiograph};
use crate::refusal::Refusal;

/// Smallest spread between the 1% and 99% quantiles, as a fraction of the 99% quantile.
const MIN_CONTRAST: f64 = 0.05;
/// Fewest grey levels between the two quantiles.
const MIN_LEVELS: f64 = 32.0;
/// Largest share of the film that may be black: the collimator's blades, or nothing at all.
const MAX_BLACK: f64 = 0.5;
/// Largest share of the film that may be as white as its whitest sample: the detector's end.
const MAX_WHITE: f64 = 0.3;
/// Lowest median as a fraction of the film's span.
const MIN_MEDIAN: f64 = 0.1;
/// How much darker than both lungs' places the film's middle may be, in standard deviations of the film.
const MOST_INVERTED: f64 = 0.3;
/// Width of what counts as black or white, as a fraction of the film's span.
const BLACK: f64 = 0.02;
const WHITE: f64 = 0.01;
/// Samples that are looked at, about.
const LOOKED_AT: usize = 65_536;

/// Lets a film pass or says why not.
pub(super) fn judge(film: &Radiograph) -> Result<(), Refused> {
    let mut seen = samples(film.pixels());
    seen.sort_unstable();
    let quantile = |share: f64| {
        let rank = (share * seen.len().saturating_sub(1) as f64) as usize;
        seen.get(rank).copied().map_or(0.0, f64::from)
    };
    let (black, white) = (quantile(0.0), quantile(1.0));
    let (low, high, span) = (quantile(0.01), quantile(0.99), white - black);
    let contrast = if high > 0.0 { (high - low) / high } else { 0.0 };
    let refuse = |refusal, detail| Err(Refused { refusal, detail });
    if contrast < MIN_CONTRAST || high - low < MIN_LEVELS {
        let detail = format!(
            "contrast {:.1}% over {:.0} grey levels; at least {:.0}% and {MIN_LEVELS:.0} are needed",
            contrast * 100.0,
            high - low,
            MIN_CONTRAST * 100.0
        );
        return refuse(Refusal::Blank, detail);
    }
    let share = |within: &dyn Fn(f64) -> bool| {
        seen.iter().filter(|sample| within((f64::from(**sample) - black) / span)).count() as f64
            / seen.len().max(1) as f64
    };
    let blackened = share(&|value| value <= BLACK);
    if blackened > MAX_BLACK {
        return refuse(
            Refusal::CutOff,
            format!("{:.0}% of the film is black; at most {:.0}% may be", blackened * 100.0, MAX_BLACK * 100.0),
        );
    }
    let saturated = share(&|value| value >= 1.0 - WHITE);
    if saturated > MAX_WHITE {
        return refuse(
            Refusal::TooBright,
            format!("{:.0}% of the film is pure white; at most {:.0}% may be", saturated * 100.0, MAX_WHITE * 100.0),
        );
    }
    let median = (quantile(0.5) - black) / span;
    if median < MIN_MEDIAN {
        return refuse(
            Refusal::TooDark,
            format!("half of the film is below {:.0}% grey; it must reach {:.0}%", median * 100.0, MIN_MEDIAN * 100.0),
        );
    }
    let inverted = darkness_of_the_middle(film);
    if inverted > MOST_INVERTED {
        return refuse(
            Refusal::Inverted,
            "the middle of the film is darker than both sides: bones are black, or the chest is not in the middle"
                .into(),
        );
    }
    Ok(())
}

/// About [`LOOKED_AT`] samples, evenly over the film.
fn samples(pixels: &Grey) -> Vec<u16> {
    let stride = (pixels.len() / LOOKED_AT).max(1);
    match pixels {
        Grey::U8(samples) => samples.iter().step_by(stride).map(|&sample| u16::from(sample)).collect(),
        Grey::U16(samples) => samples.iter().step_by(stride).copied().collect(),
    }
}

/// Mean of the darker lung's place less the mean of spine and mediastinum, in standard deviations of the film. Negative
/// on films with white bones: of the darker one, since one lung may be white with disease.
fn darkness_of_the_middle(film: &Radiograph) -> f64 {
    /// The places as fractions of width and height: left, right, top, bottom.
    const LUNGS: [[f64; 4]; 2] = [[0.19, 0.38, 0.25, 0.56], [0.62, 0.81, 0.25, 0.56]];
    const MIDDLE: [f64; 4] = [0.44, 0.56, 0.19, 0.88];
    const STEPS: u32 = 128;
    let (mut lungs, mut middle, mut all) = ([Mean::default(); 2], Mean::default(), Mean::default());
    let (width, height) = (film.width(), film.height());
    for row in 0..STEPS {
        for column in 0..STEPS {
            let at = |step: u32, side: u32| (u64::from(step) * u64::from(side) / u64::from(STEPS)) as usize;
            let place = at(row, height) * width as usize + at(column, width);
            let sample = match film.pixels() {
                Grey::U8(samples) => samples.get(place).copied().map(f64::from),
                Grey::U16(samples) => samples.get(place).copied().map(f64::from),
            };
            let Some(sample) = sample else { continue };
            let [x, y] = [column, row].map(|step| (f64::from(step) + 0.5) / f64::from(STEPS));
            let within =
                |[left, right, top, bottom]: [f64; 4]| (left..right).contains(&x) && (top..bottom).contains(&y);
            all.add(sample);
            lungs.iter_mut().zip(LUNGS).filter(|(_, place)| within(*place)).for_each(|(lung, _)| lung.add(sample));
            if within(MIDDLE) {
                middle.add(sample);
            }
        }
    }
    let [left, right] = lungs.map(|lung| lung.mean());
    (left.min(right) - middle.mean()) / all.deviation().max(f64::MIN_POSITIVE)
}

/// Mean and standard deviation of what was added.
#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        self.sum += value;
        self.squares += value * value;
    }

    fn mean(&self) -> f64 {
        self.sum / self.count.max(1.0)
    }

    fn deviation(&self) -> f64 {
        (self.squares / self.count.max(1.0) - self.mean().powi(2)).max(0.0).sqrt()
    }
}
