//! What a model says of films whose class is known, read by chestlight itself as a unit reads them.

use std::collections::BTreeMap;
use std::{fs, io};

use chestlight::decode::Limits;
use chestlight::model::Model;
use chestlight::reading;
use chestlight::refusal::Refusal;
use chestlight::verdict::{Class, Verdict};
use serde::{Deserialize, Serialize};

use crate::index::{Film, Index};
use crate::judge::Judged;
use crate::parallel;
use crate::split::Sample;

/// What the device can answer, in the order of the columns.
pub const ANSWERS: [&str; 6] = ["normal", "bacterial", "covid19", "refer", "refused", "fault"];

/// Films by their class (rows) and the device's answer (columns, [`ANSWERS`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Confusion {
    /// The counts.
    pub counts: [[u32; 6]; 3],
}

/// A fraction of films with its 95% interval after Wilson (J. Am. Stat. Assoc. 22, 1927).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Films that count.
    pub of: u32,
    /// Films in all.
    pub all: u32,
    /// `of / all`; 0 where there are no films.
    pub rate: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Rate {
    /// `of` films out of `all`.
    pub fn new(of: u32, all: u32) -> Self {
        const Z: f64 = 1.96;
        if all == 0 {
            return Self { of, all, rate: 0.0, low: 0.0, high: 1.0 };
        }
        let n = f64::from(all);
        let rate = f64::from(of) / n;
        let centre = (rate + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
        let half = Z / (1.0 + Z * Z / n) * (rate * (1.0 - rate) / n + Z * Z / (4.0 * n * n)).sqrt();
        Self { of, all, rate, low: (centre - half).max(0.0), high: (centre + half).min(1.0) }
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { of, all, rate, low, high } = self;
        write!(f, "{:.2}% ({of} of {all}; 95% interval {:.1} to {:.1}%)", rate * 100.0, low * 100.0, high * 100.0)
    }
}

impl Confusion {
    /// Counts one film of a class, as an output of the device, by the column of its answer.
    pub fn count(&mut self, class: usize, column: usize) {
        if let Some(count) = self.counts.get_mut(class).and_then(|row| row.get_mut(column)) {
            *count += 1;
        }
    }

    fn row(&self, class: usize) -> [u32; 6] {
        self.counts.get(class).copied().unwrap_or_default()
    }

    fn hits(&self, class: usize) -> u32 {
        self.row(class).get(class).copied().unwrap_or(0)
    }

    /// Films whose class was answered. *Refer*, *refused* and *fault* are never right.
    pub fn accuracy(&self) -> Rate {
        let all = self.counts.iter().flatten().sum();
        Rate::new((0..3).map(|class| self.hits(class)).sum(), all)
    }

    /// The same of the films that got a class as their answer.
    pub fn answered(&self) -> Rate {
        let all = self.counts.iter().flat_map(|row| row.iter().take(3)).sum();
        Rate::new((0..3).map(|class| self.hits(class)).sum(), all)
    }

    /// Films that were refused.
    pub fn refused(&self) -> Rate {
        let column = answer(Verdict::Refused(Refusal::NotFrontalChest));
        let refused = self.counts.iter().filter_map(|row| row.get(column)).sum();
        Rate::new(refused, self.counts.iter().flatten().sum())
    }

    /// Of the films of a class, those that were answered as that class.
    pub fn sensitivity(&self, class: usize) -> Rate {
        Rate::new(self.hits(class), self.row(class).iter().sum())
    }

    /// Of the films of the other classes, those that were not answered as this class.
    pub fn specificity(&self, class: usize) -> Rate {
        let others = (0..3).filter(|other| *other != class);
        let (mut kept, mut all) = (0, 0);
        for other in others {
            let films: u32 = self.row(other).iter().sum();
            all += films;
            kept += films - self.row(other).get(class).copied().unwrap_or(0);
        }
        Rate::new(kept, all)
    }

    /// The matrix as a table in Markdown.
    pub fn table(&self) -> String {
        let mut table = format!("| film is \\ answer is | {} |\n|---|{}\n", ANSWERS.join(" | "), "---:|".repeat(6));
        for (class, row) in Class::ALL.iter().zip(self.counts) {
            table += &format!("| {} | {} |\n", class.name(), row.map(|count| count.to_string()).join(" | "));
        }
        table
    }
}

/// The column of a verdict among the [`ANSWERS`].
pub fn answer(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Normal => 0,
        Verdict::BacterialPneumonia => 1,
        Verdict::Covid19Pneumonia => 2,
        Verdict::Refer => 3,
        Verdict::Refused(_) => 4,
        Verdict::Fault(_) => 5,
    }
}

/// The confusion over all films, and by their source.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Evaluation {
    /// All films.
    pub all: Confusion,
    /// Films of each source.
    pub by_source: BTreeMap<String, Confusion>,
}

impl Evaluation {
    /// Counts what was answered of samples.
    pub fn of(judged: &[Judged], samples: &[&Sample]) -> Self {
        let mut evaluation = Self::default();
        for film in judged {
            evaluation.all.count(film.truth, film.column);
            if let Some(sample) = samples.get(film.place) {
                let source = evaluation.by_source.entry(sample.film.source.clone()).or_default();
                source.count(film.truth, film.column);
            }
        }
        evaluation
    }
}

/// What the device says of films that it has no class for, as columns of [`ANSWERS`].
///
/// # Errors
/// The system's own, when a film cannot be read from disc.
pub fn columns(model: &Model, index: &Index, films: &[&Film], tick: &(dyn Fn() + Sync)) -> io::Result<Vec<usize>> {
    let column = |film: &&Film| {
        tick();
        Ok(answer(reading::read(model, &fs::read(index.path(film))?, &Limits::default()).verdict))
    };
    parallel::each(films, column).into_iter().collect()
}

/// How often each of the [`ANSWERS`] was given.
pub fn counted(columns: &[usize]) -> [u32; ANSWERS.len()] {
    std::array::from_fn(|answer| columns.iter().filter(|column| **column == answer).count() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rates_are_those_of_the_matrix() {
        let mut confusion = Confusion::default();
        for (class, verdict, films) in [
            (Class::Normal, Verdict::Normal, 90),
            (Class::Normal, Verdict::BacterialPneumonia, 6),
            (Class::Normal, Verdict::Refer, 4),
            (Class::Bacterial, Verdict::BacterialPneumonia, 50),
            (Class::Covid19, Verdict::Covid19Pneumonia, 45),
            (Class::Covid19, Verdict::Refused(Refusal::ALL[0]), 5),
        ] {
            (0..films).for_each(|_| confusion.count(class as usize, answer(verdict)));
        }
        assert_eq!(confusion.accuracy().of, 185);
        assert_eq!(confusion.accuracy().all, 200);
        assert_eq!((confusion.answered().of, confusion.answered().all), (185, 191));
        assert_eq!((confusion.refused().of, confusion.refused().all), (5, 200));
        assert_eq!((confusion.sensitivity(0).of, confusion.sensitivity(0).all), (90, 100));
        assert_eq!((confusion.specificity(1).of, confusion.specificity(1).all), (144, 150));
        assert_eq!((confusion.sensitivity(2).of, confusion.sensitivity(2).all), (45, 50));
        assert!(confusion.table().contains("| covid19 | 0 | 0 | 45 | 0 | 5 | 0 |"));
    }

    #[test]
    fn wilsons_interval_is_the_published_one() {
        // Newcombe, Statistics in Medicine 17, 1998, table I: 81 of 263, method 3.
        let rate = Rate::new(81, 263);
        assert!((rate.low - 0.2553).abs() < 5e-4 && (rate.high - 0.3662).abs() < 5e-4, "{rate:?}");
        assert_eq!(Rate::new(0, 0).high, 1.0);
    }
}
