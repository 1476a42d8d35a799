//! Is this film fit to be judged at all? Pure.
//!
//! Before inference by the film alone: its size, shape and exposure, and the patient's age where the model states
//! limits. After inference by the network: how far the film lies from those that it was trained on.

mod exposure;
mod tags;

use serde::{Deserialize, Serialize};

use crate::radiograph::Radiograph;
use crate::refusal::Refusal;

/// Shortest side that is judged, pixels: below it the network's 224 would be invented by enlarging.
pub const MIN_SIDE: u32 = 220;
/// Longest side over shortest. Frontal films run from 1.0 to about 1.6; a strip is a crop or a spine.
pub const MAX_ASPECT: f64 = 2.5;

/// Why the film is not judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The closed reason.
    pub refusal: Refusal,
    /// What was measured and what was needed.
    pub detail: String,
}

/// What a model must not judge. It stands in the manifest, never in a site's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// A film with a larger feature distance is none that the model knows; above 0.
    pub distance_at_most: f32,
    /// Ages that the model was made for; any where not stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ages: Option<Ages>,
}

/// A range of ages, years.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ages {
    /// At least.
    pub from: f32,
    /// At most.
    pub to: f32,
}

/// Lets a film pass or says why not.
///
/// # Errors
/// [`Refused`] with [`Refusal::View`] or [`Refusal::BodyPart`] by the tags of a DICOM file, with [`Refusal::TooSmall`] or
/// [`Refusal::Shape`], or with what is wrong with the exposure: [`Refusal::Blank`], [`Refusal::CutOff`],
/// [`Refusal::TooBright`], [`Refusal::TooDark`] or [`Refusal::Inverted`].
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
    exposure::judge(radiograph)
}

/// Refuses a patient whose age is known and outside the model's limits; an unknown age passes.
///
/// # Errors
/// [`Refused`] with [`Refusal::Age`].
pub fn judge_age(years: Option<f32>, bounds: Option<&Bounds>) -> Result<(), Refused> {
    let Some((years, ages)) = years.zip(bounds.and_then(|bounds| bounds.ages)) else { return Ok(()) };
    if (ages.from..=ages.to).contains(&years) {
        return Ok(());
    }
    let detail = format!("the patient is {years} years old; the model was made for {} to {}", ages.from, ages.to);
    Err(Refused { refusal: Refusal::Age, detail })
}

/// Refuses a film that lies too far from those that the network was trained on. A distance that is no number is too
/// far; where network or manifest have none, every film passes.
///
/// # Errors
/// [`Refused`] with [`Refusal::NotFrontalChest`].
pub fn judge_distance(distance: Option<f32>, bounds: Option<&Bounds>) -> Result<(), Refused> {
    let Some((distance, bounds)) = distance.zip(bounds) else { return Ok(()) };
    if distance <= bounds.distance_at_most {
        return Ok(());
    }
    let detail = format!(
        "it does not look like the frontal chest films that the model knows: distance {distance:.2}, at most {:.2}",
        bounds.distance_at_most
    );
    Err(Refused { refusal: Refusal::NotFrontalChest, detail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phantom::{Opacity, Phantom};
    use crate::radiograph::{Encoding, Grey};

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
            ("hardly any contrast", film(300, 300, |i| 64_000 + (i % 1_500) as u16), Some(Refusal::Blank)),
            ("one bright speck", film(300, 300, |i| if i == 5 { 60_000 } else { 100 }), Some(Refusal::Blank)),
        ] {
            assert_eq!(judge(&film).err().map(|refused| refused.refusal), refusal, "{name}");
        }
    }

    /// A phantom whose samples are changed.
    fn phantom(change: impl Fn(usize, u8) -> u8) -> Radiograph {
        let film = Phantom::new(5, Opacity::None).render().unwrap();
        let Grey::U8(samples) = film.pixels() else { unreachable!() };
        let samples = samples.iter().enumerate().map(|(i, &sample)| change(i, sample)).collect();
        Radiograph::new(film.width(), film.height(), Grey::U8(samples), Encoding::Png).unwrap()
    }

    #[test]
    fn films_that_were_exposed_wrongly_are_told_apart() {
        let column = |i: usize| i % 512;
        for (name, film, refusal) in [
            ("as it is", phantom(|_, sample| sample), None),
            ("a third of the light", phantom(|_, sample| sample / 3), None),
            ("bones black", phantom(|_, sample| 255 - sample), Some(Refusal::Inverted)),
            ("few levels", phantom(|_, sample| sample / 10), Some(Refusal::Blank)),
            ("a slit", phantom(|i, sample| if column(i) < 300 { 0 } else { sample }), Some(Refusal::CutOff)),
            ("burnt out", phantom(|_, sample| sample.saturating_mul(2)), Some(Refusal::TooBright)),
            (
                "a faint chest and a bright marker",
                phantom(|i, sample| if column(i) > 490 { 255 } else { sample / 16 }),
                Some(Refusal::TooDark),
            ),
        ] {
            assert_eq!(judge(&film).err().map(|refused| refused.refusal), refusal, "{name}");
        }
    }

    const BOUNDS: Bounds = Bounds { distance_at_most: 1.4, ages: Some(Ages { from: 1.0, to: 90.0 }) };

    #[test]
    fn an_age_is_refused_only_when_it_is_known_and_the_model_has_limits() {
        let unlimited = Bounds { ages: None, ..BOUNDS };
        for (years, bounds, passes) in [
            (Some(1.0), Some(&BOUNDS), true),
            (Some(90.0), Some(&BOUNDS), true),
            (Some(0.5), Some(&BOUNDS), false),
            (Some(91.0), Some(&BOUNDS), false),
            (None, Some(&BOUNDS), true),
            (Some(0.5), Some(&unlimited), true),
            (Some(0.5), None, true),
        ] {
            assert_eq!(judge_age(years, bounds).is_ok(), passes, "{years:?} {bounds:?}");
        }
    }

    #[test]
    fn a_distance_over_the_bound_is_refused_and_so_is_one_that_is_no_number() {
        for (distance, bounds, passes) in [
            (Some(1.4), Some(&BOUNDS), true),
            (Some(1.5), Some(&BOUNDS), false),
            (Some(f32::NAN), Some(&BOUNDS), false),
            (None, Some(&BOUNDS), true),
            (Some(9.0), None, true),
        ] {
            assert_eq!(judge_distance(distance, bounds).is_ok(), passes, "{distance:?}");
        }
    }
}
