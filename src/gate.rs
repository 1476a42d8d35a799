//! Is this film fit to be judged at all? Pure.
//!
//! What stands here is about the film alone: its size, its shape and whether it was exposed. Telling a chest from
//! a hand needs statistics of the model and comes with them.

mod tags;

use crate::radiograph::{Grey, Radiograph};
use crate::refusal::Refusal;

/// Shortest side that is judged, pixels: below it the network's 224 would be invented by enlarging.
pub const MIN_SIDE: u32 = 220;
/// Longest side over shortest. Frontal films run from 1.0 to about 1.6; a strip is a crop or a spine.
pub const MAX_ASPECT: f64 = 2.5;
/// Smallest spread between the 1% and 99% quantiles, as a fraction of the 99% quantile.
pub const MIN_CONTRAST: f64 = 0.05;

/// Why the film is not judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The closed reason.
    pub refusal: Refusal,
    /// What was measured and what was needed.
    pub detail: String,
}

/// Lets a film pass or says why not.
///
/// # Errors
/// [`Refused`] with [`Refusal::View`] or [`Refusal::BodyPart`] by the tags of a DICOM file, and with
/// [`Refusal::TooSmall`], [`Refusal::Shape`] or [`Refusal::Blank`] by the pixels.
pub fn judge(radiograph: &Radiograph) -> Result<(), Refused> {
    if let Some(origin) = radiograph.origin() {
        tags::judge(origin)?;
    }
    let refuse = |refusal, detail| Err(Refused { refusal, detail });
    let (width, height) = (radiograph.width(), radiograph.height());
    let (short, long) = (width.min(height), width.max(height));
    if short < MIN_SIDE {
        return refuse(Refusal::TooSmall, format!("{width} x {height} pixels; the shorter side must have {MIN_SIDE}"));
    }
    if f64::from(long) > MAX_ASPECT * f64::from(short) {
        return refuse(
            Refusal::Shape,
            format!("{width} x {height} pixels; one side may be {MAX_ASPECT} times the other"),
        );
    }
    let contrast = contrast(radiograph.pixels());
    if contrast < MIN_CONTRAST {
        return refuse(
            Refusal::Blank,
            format!("contrast {:.1}%; at least {:.0}% is needed", contrast * 100.0, MIN_CONTRAST * 100.0),
        );
    }
    Ok(())
}

/// Spread of the middle 98% of the samples over the 99% quantile, 0..=1, on at most about 65,536 of them.
fn contrast(pixels: &Grey) -> f64 {
    let stride = (pixels.len() / 65_536).max(1);
    let mut seen: Vec<u16> = match pixels {
        Grey::U8(samples) => samples.iter().step_by(stride).map(|&sample| u16::from(sample)).collect(),
        Grey::U16(samples) => samples.iter().step_by(stride).copied().collect(),
    };
    seen.sort_unstable();
    let quantile =
        |percent: usize| seen.get(seen.len().saturating_sub(1) * percent / 100).copied().map_or(0.0, f64::from);
    let (dark, bright) = (quantile(1), quantile(99));
    if bright == 0.0 { 0.0 } else { (bright - dark) / bright }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radiograph::Encoding;

    fn film(width: u32, height: u32, sample: impl Fn(u32) -> u16) -> Radiograph {
        Radiograph::new(width, height, Grey::U16((0..width * height).map(sample).collect()), Encoding::Png).unwrap()
    }

    #[test]
    fn films_that_cannot_be_judged_are_refused_with_the_reason() {
        let gradient = |i: u32| (i % 1_000) as u16;
        for (name, film, refusal) in [
            ("a plain film", film(300, 250, gradient), None),
            ("10 bits in 16", film(300, 250, |i| (i % 1_024) as u16), None),
            ("the smallest film", film(220, 220, gradient), None),
            ("too small", film(219, 400, gradient), Some(Refusal::TooSmall)),
            ("a strip", film(900, 300, gradient), Some(Refusal::Shape)),
            ("black", film(300, 300, |_| 0), Some(Refusal::Blank)),
            ("white", film(300, 300, |_| u16::MAX), Some(Refusal::Blank)),
            ("overexposed", film(300, 300, |i| 64_000 + (i % 1_500) as u16), Some(Refusal::Blank)),
            ("one bright speck", film(300, 300, |i| if i == 5 { 60_000 } else { 100 }), Some(Refusal::Blank)),
        ] {
            assert_eq!(judge(&film).err().map(|refused| refused.refusal), refusal, "{name}");
        }
    }
}
