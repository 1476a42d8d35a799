//! Accuracy, precision, recall and F1 with intervals over patients.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::evaluate::Rate;
use crate::judge::Judged;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 2_000;

/// A figure with its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Over all films.
    pub value: f64,
    /// The 2.5th percentile over resamples of whole groups.
    pub low: f64,
    /// The 97.5th percentile.
    pub high: f64,
}

/// Figures over all classes; precision, recall and F1 are means over the classes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Fraction of the films whose class was answered.
    pub accuracy: Interval,
    /// Of the films that were answered as a class, those of it.
    pub precision: Interval,
    /// Of the films of a class, those that were answered as it.
    pub recall: Interval,
    /// Harmonic mean of the two, class by class.
    pub f1: Interval,
}

/// Scores with intervals from resampling whole patients: films of one patient are not independent.
///
/// The same films give the same intervals.
pub fn scores(judged: &[Judged]) -> Scores {
    let mut groups: BTreeMap<&str, Vec<&Judged>> = BTreeMap::new();
    for film in judged {
        groups.entry(&film.group).or_default().push(film);
    }
    let groups: Vec<Vec<&Judged>> = groups.into_values().collect();
    let whole = four(judged.iter());
    let mut rng = StdRng::seed_from_u64(0);
    let mut drawn: [Vec<f64>; 4] = Default::default();
    for _ in 0..RESAMPLES {
        let resample = (0..groups.len()).filter_map(|_| groups.get(rng.random_range(0..groups.len())));
        let scores = four(resample.flatten().copied());
        drawn.iter_mut().zip(scores).for_each(|(all, score)| all.push(score));
    }
    let mut intervals = drawn.iter_mut().zip(whole).map(|(all, value)| {
        all.sort_by(f64::total_cmp);
        let at = |fraction: f64| all.get((fraction * (RESAMPLES - 1) as f64).round() as usize).copied();
        Interval { value, low: at(0.025).unwrap_or(value), high: at(0.975).unwrap_or(value) }
    });
    let mut next = || intervals.next().unwrap_or(Interval { value: 0.0, low: 0.0, high: 0.0 });
    Scores { accuracy: next(), precision: next(), recall: next(), f1: next() }
}

/// Accuracy, and precision, recall and F1 as means over the classes that have films.
fn four<'a>(films: impl Iterator<Item = &'a Judged>) -> [f64; 4] {
    let mut counts = [[0u32; 4]; 3];
    for film in films {
        if let Some(count) = counts.get_mut(film.truth).and_then(|row| row.get_mut(film.answer.unwrap_or(3))) {
            *count += 1;
        }
    }
    let ratio = |of: u32, all: u32| if all == 0 { 0.0 } else { f64::from(of) / f64::from(all) };
    let (mut right, mut all, mut kinds) = (0, 0, 0.0f64);
    let mut sums = [0.0; 3];
    for (class, row) in counts.iter().enumerate() {
        let of_class: u32 = row.iter().sum();
        if of_class == 0 {
            continue;
        }
        let hits = row.get(class).copied().unwrap_or(0);
        let answered: u32 = counts.iter().filter_map(|row| row.get(class)).sum();
        let (precision, recall) = (ratio(hits, answered), ratio(hits, of_class));
        let f1 = if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 };
        sums.iter_mut().zip([precision, recall, f1]).for_each(|(sum, score)| *sum += score);
        (right, all, kinds) = (right + hits, all + of_class, kinds + 1.0);
    }
    let [precision, recall, f1] = sums.map(|sum| sum / kinds.max(1.0));
    [ratio(right, all), precision, recall, f1]
}

/// Of the films of each class, those that were answered as it.
pub fn recalls(judged: &[Judged]) -> [Rate; 3] {
    std::array::from_fn(|class| {
        let films = || judged.iter().filter(|film| film.truth == class);
        Rate::new(films().filter(|film| film.answer == Some(class)).count() as u32, films().count() as u32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(group: usize, truth: usize, answer: Option<usize>) -> Judged {
        Judged { group: group.to_string(), truth, answer, ..Judged::default() }
    }

    #[test]
    fn scores_are_means_over_classes_and_refusals_are_never_right() {
        let mut films = Vec::new();
        for (truth, answer, count) in
            [(0, Some(0), 8), (0, Some(1), 2), (1, Some(1), 9), (1, None, 1), (2, Some(2), 10), (2, Some(0), 10)]
        {
            let first = films.len();
            films.extend((first..first + count).map(|group| judged(group, truth, answer)));
        }
        let scores = scores(&films);
        let recall = (0.8 + 0.9 + 0.5) / 3.0;
        let precision = (8.0 / 18.0 + 9.0 / 11.0 + 1.0) / 3.0;
        assert!((scores.accuracy.value - 27.0 / 40.0).abs() < 1e-12);
        assert!((scores.recall.value - recall).abs() < 1e-12 && (scores.precision.value - precision).abs() < 1e-12);
        for it in [scores.accuracy, scores.precision, scores.recall, scores.f1] {
            assert!(it.low < it.value && it.value < it.high, "{it:?}");
        }
        assert_eq!(scores, super::scores(&films), "the same films give the same intervals");
        assert_eq!((recalls(&films)[2].of, recalls(&films)[2].all), (10, 20));
    }

    #[test]
    fn films_of_one_patient_widen_the_interval() {
        let film = |group, i: usize| judged(group, 0, Some(usize::from(i.is_multiple_of(10))));
        let apart: Vec<Judged> = (0..200).map(|i| film(i, i)).collect();
        // Ten films of each patient, all right or all wrong.
        let together: Vec<Judged> = (0..200).map(|i| film(i / 10, i / 10)).collect();
        let width = |films: &[Judged]| scores(films).accuracy.high - scores(films).accuracy.low;
        assert!(width(&together) > 2.0 * width(&apart), "{} {}", width(&together), width(&apart));
    }

    #[test]
    fn no_film_gives_zeros_and_no_panic() {
        assert_eq!(scores(&[]).accuracy.value, 0.0);
    }
}
