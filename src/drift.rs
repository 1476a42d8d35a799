//! Have the films, or the unit, changed since the model was made? The last readings against the manifest's reference.
//! Pure.
//!
//! An alarm must mean something: a band is as wide as chance and the differences between the collections that the
//! model was made from allow, at [`Z`] standard errors, and fewer than [`LEAST`] readings alarm nobody. The mix of
//! diseases is told and alarms nobody: it changes with the season and with the place.

use std::fmt;

use serde::Serialize;
use thiserror::Error;

use crate::journal::Row;
use crate::model::Reference;
use crate::verdict::Verdict;

/// The last readings that are looked at.
pub const WINDOW: usize = 200;
/// Fewest readings that may alarm.
pub const LEAST: usize = 50;
/// Standard errors that a figure must leave its reference by: once in 30,000 by chance, since it is asked after every
/// reading.
pub const Z: f64 = 4.0;

/// What is counted of one reading.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Counted {
    kind: Kind,
    distance: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal,
    Bacterial,
    Covid19,
    Referred,
    Refused,
}

/// The last [`WINDOW`] readings of one model.
#[derive(Clone, Debug, Default)]
pub struct Window {
    readings: std::collections::VecDeque<Counted>,
}

impl Window {
    /// Adds a reading. One of another model, a fault, and a file that is no film (not decoded, so without a network's
    /// or gate's word) say nothing about the films and are passed over.
    pub fn add(&mut self, row: &Row, model_digest: &str) {
        let kind = match row.verdict() {
            Some(Verdict::Normal) => Kind::Normal,
            Some(Verdict::BacterialPneumonia) => Kind::Bacterial,
            Some(Verdict::Covid19Pneumonia) => Kind::Covid19,
            Some(Verdict::Refer) => Kind::Referred,
            Some(Verdict::Refused(refusal)) if refusal.is_of_the_film() => Kind::Refused,
            _ => return,
        };
        if row.model_digest != model_digest {
            return;
        }
        self.readings.push_back(Counted { kind, distance: row.feature_distance });
        if self.readings.len() > WINDOW {
            self.readings.pop_front();
        }
    }

    /// What the readings are like, beside the reference.
    pub fn summary(&self, reference: Option<&Reference>) -> Summary {
        let count = |kind: Kind| self.readings.iter().filter(|reading| reading.kind == kind).count();
        let distances: Vec<f64> = self.readings.iter().filter_map(|reading| reading.distance).collect();
        let mean = distances.iter().sum::<f64>() / distances.len().max(1) as f64;
        let all = self.readings.len();
        let distance = Figure {
            value: (!distances.is_empty()).then_some(mean),
            of: distances.len(),
            band: reference.map(|reference| distance_band(reference, distances.len())),
        };
        let rate = |count: usize, highest: Option<f32>| Figure {
            value: (all > 0).then_some(count as f64 / all.max(1) as f64),
            of: all,
            band: highest.map(|highest| [0.0, highest_rate(f64::from(highest), all)]),
        };
        Summary {
            readings: all,
            normal: count(Kind::Normal),
            bacterial: count(Kind::Bacterial),
            covid19: count(Kind::Covid19),
            referred: rate(count(Kind::Referred), reference.map(|it| it.referred_at_most)),
            refused: rate(count(Kind::Refused), reference.map(|it| it.refused_at_most)),
            distance,
        }
    }
}

/// The mean of `count` distances of a collection that is no stranger than those of the reference.
fn distance_band(reference: &Reference, count: usize) -> [f64; 2] {
    let [mean, deviation, between] =
        [reference.distance_mean, reference.distance_deviation, reference.distance_between].map(f64::from);
    let half = Z * (deviation * deviation / count.max(1) as f64 + between * between).sqrt();
    [(mean - half).max(0.0), mean + half]
}

/// The rate that films of a true rate of at most `highest` exceed by chance alone hardly ever: the upper end of
/// Wilson's score interval turned round, which is its normal approximation at the stated rate, with one film more.
fn highest_rate(highest: f64, count: usize) -> f64 {
    let count = count.max(1) as f64;
    (highest + Z * (highest * (1.0 - highest) / count).sqrt() + 1.0 / count).min(1.0)
}

/// One figure, and the band that it stays in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The mean or the share; none without readings.
    pub value: Option<f64>,
    /// Readings that it is of.
    pub of: usize,
    /// Lower and upper end; none where the manifest has no reference.
    pub band: Option<[f64; 2]>,
}

impl Figure {
    /// Whether it has left its band, and enough readings say so.
    pub fn has_left(&self) -> bool {
        let outside = |value: f64, [low, high]: [f64; 2]| value < low || value > high;
        self.of >= LEAST && self.value.zip(self.band).is_some_and(|(value, band)| outside(value, band))
    }
}

/// What the last readings are like.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How many.
    pub readings: usize,
    /// Read as normal.
    pub normal: usize,
    /// Read as bacterial pneumonia.
    pub bacterial: usize,
    /// Read as COVID-19 pneumonia.
    pub covid19: usize,
    /// Share that was referred.
    pub referred: Figure,
    /// Share that was refused for what the film is.
    pub refused: Figure,
    /// Mean feature distance.
    pub distance: Figure,
}

impl fmt::Display for Summary {
    /// One line, for the journal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { readings, normal, bacterial, covid19, referred, refused, distance } = self;
        write!(f, "of {readings} readings {normal} normal, {bacterial} bacterial, {covid19} COVID-19")?;
        for (name, figure, scale, unit) in
            [("referred", referred, 100.0, "%"), ("refused", refused, 100.0, "%"), ("mean distance", distance, 1.0, "")]
        {
            if let Some(value) = figure.value {
                write!(f, ", {name} {:.2}{unit}", value * scale)?;
            }
            if let Some([low, high]) = figure.band {
                write!(f, " (usual is {:.2} to {:.2}{unit})", low * scale, high * scale)?;
            }
        }
        Ok(())
    }
}

impl Summary {
    /// What has left its band; the first where several have.
    ///
    /// # Errors
    /// [`Drift`], to be shown.
    pub fn check(&self) -> Result<(), Drift> {
        let left = |figure: &Figure| figure.has_left().then_some((figure.value, figure.band));
        if let Some((Some(value), Some([low, high]))) = left(&self.distance) {
            return Err(Drift::Distance { value, low, high });
        }
        if let Some((Some(value), Some([_, high]))) = left(&self.refused) {
            return Err(Drift::Refused { percent: value * 100.0, high: high * 100.0 });
        }
        if let Some((Some(value), Some([_, high]))) = left(&self.referred) {
            return Err(Drift::Referred { percent: value * 100.0, high: high * 100.0 });
        }
        Ok(())
    }
}

/// The last readings are not as when the model was made.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum Drift {
    /// Films lie further from the training films, or nearer to each other, than those that the model was made from.
    #[error(
        "films differ from those that the model was made from: mean distance {value:.2}, usual is {low:.2} to {high:.2}"
    )]
    Distance {
        /// Mean distance.
        value: f64,
        /// Lower end of the band.
        low: f64,
        /// Upper end of the band.
        high: f64,
    },
    /// The gate refuses too many.
    #[error("{percent:.0}% of the films are refused, up to {high:.0}% is usual")]
    Refused {
        /// Share, percent.
        percent: f64,
        /// Upper end of the band, percent.
        high: f64,
    },
    /// Too many are referred.
    #[error("{percent:.0}% of the films are referred, up to {high:.0}% is usual")]
    Referred {
        /// Share, percent.
        percent: f64,
        /// Upper end of the band, percent.
        high: f64,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REFERENCE: Reference = Reference {
        distance_mean: 1.0,
        distance_deviation: 0.2,
        distance_between: 0.05,
        refused_at_most: 0.05,
        referred_at_most: 0.1,
    };

    fn window(readings: impl IntoIterator<Item = (Kind, f64)>) -> Window {
        let readings = readings.into_iter().map(|(kind, distance)| Counted { kind, distance: Some(distance) });
        Window { readings: readings.collect() }
    }

    #[test]
    fn what_leaves_its_band_is_told_and_small_counts_alarm_nobody() {
        for (name, count, far, refused, word) in [
            ("as when it was made", 200, 1.0, 10, None),
            ("another collection of the same kind", 200, 1.15, 10, None),
            ("another detector", 200, 1.6, 0, Some("differ")),
            ("the same, but few", 40, 1.6, 0, None),
            ("blank films", 200, 1.0, 40, Some("refused")),
            ("a bad day", 50, 1.0, 6, None),
        ] {
            let kind = |i| if i < refused { Kind::Refused } else { Kind::Normal };
            let found = window((0..count).map(|i| (kind(i), far))).summary(Some(&REFERENCE)).check();
            assert_eq!(
                found.map_err(|drift| drift.to_string().contains(word.unwrap_or("?"))),
                word.map_or(Ok(()), |_| Err(true)),
                "{name}"
            );
        }
        let referred = window((0..100).map(|i| (if i < 40 { Kind::Referred } else { Kind::Normal }, 1.0)));
        assert!(matches!(referred.summary(Some(&REFERENCE)).check(), Err(Drift::Referred { .. })));
        assert_eq!(referred.summary(None).check(), Ok(()), "nothing to compare with");
        assert_eq!(Window::default().summary(Some(&REFERENCE)).distance.value, None);
    }

    #[test]
    fn chance_alone_hardly_ever_alarms() {
        // Ten thousand windows of films like those of the reference, by a small generator.
        let mut state = 1u64;
        let mut even = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let alarms = (0..10_000)
            .filter(|_| {
                let readings: Vec<(Kind, f64)> = (0..LEAST)
                    .map(|_| {
                        let kind = if even() < 0.05 { Kind::Refused } else { Kind::Normal };
                        // Twelve even numbers are normal enough.
                        (kind, 1.0 + 0.2 * ((0..12).map(|_| even()).sum::<f64>() - 6.0))
                    })
                    .collect();
                window(readings).summary(Some(&REFERENCE)).check().is_err()
            })
            .count();
        assert!(alarms <= 5, "{alarms} of 10,000");
    }

    proptest! {
        #[test]
        fn more_readings_make_no_band_wider(count in 1usize..500) {
            let width = |count| { let [low, high] = distance_band(&REFERENCE, count); high - low };
            prop_assert!(width(count + 1) <= width(count));
            prop_assert!(highest_rate(0.05, count + 1) <= highest_rate(0.05, count));
            prop_assert!(highest_rate(0.05, count) > 0.05);
        }
    }
}
