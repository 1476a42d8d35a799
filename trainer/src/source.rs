//! How well a network's features tell the collections apart: multinomial logistic regression, measured on patients
//! that it was not fitted on. Where this is far above chance, a model can use the source as a shortcut.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::evaluate::Rate;

/// Parts of the cross validation.
const FOLDS: usize = 5;
/// Steps of gradient descent with momentum.
const STEPS: usize = 150;
const RATE: f32 = 0.5;
const MOMENTUM: f32 = 0.9;
/// Weight of the squared coefficients in the loss.
const RIDGE: f32 = 1e-3;

/// The features of one film.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// The patient.
    pub group: String,
    /// The collection.
    pub source: String,
    /// What the network's last layer judges.
    pub values: Vec<f32>,
}

/// What the predictor achieved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourcePrediction {
    /// The sources that were told apart.
    pub sources: Vec<String>,
    /// Films whose source was found.
    pub accuracy: Rate,
    /// The share of the most frequent source: what guessing would achieve.
    pub chance: f64,
}

/// Predicts the source of every film by five-fold cross validation over patients; `None` with fewer than two sources.
pub fn predict(films: &[Features]) -> Option<SourcePrediction> {
    let sources: Vec<String> =
        films.iter().map(|film| film.source.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    if sources.len() < 2 {
        return None;
    }
    let label = |film: &Features| sources.iter().position(|source| *source == film.source).unwrap_or_default();
    let groups: Vec<&str> = films.iter().map(|film| film.group.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
    let fold = |film: &Features| groups.binary_search(&film.group.as_str()).unwrap_or_default() % FOLDS;
    let mut found = 0;
    for held in 0..FOLDS {
        let (test, train): (Vec<&Features>, Vec<&Features>) = films.iter().partition(|film| fold(film) == held);
        let labels: Vec<usize> = train.iter().map(|film| label(film)).collect();
        let rows: Vec<&[f32]> = train.iter().map(|film| film.values.as_slice()).collect();
        let model = Regression::fitted(&rows, &labels, sources.len());
        found += test.iter().filter(|film| model.likeliest(&film.values) == label(film)).count();
    }
    let most = sources.iter().map(|source| films.iter().filter(|film| film.source == *source).count()).max();
    Some(SourcePrediction {
        accuracy: Rate::new(found as u32, films.len() as u32),
        chance: most.unwrap_or(0) as f64 / films.len().max(1) as f64,
        sources,
    })
}

/// Standardises its inputs; a row of coefficients and an intercept for each class.
struct Regression {
    means: Vec<f32>,
    scales: Vec<f32>,
    rows: Vec<Vec<f32>>,
}

impl Regression {
    fn fitted(rows: &[&[f32]], labels: &[usize], classes: usize) -> Self {
        let width = rows.first().map_or(0, |row| row.len());
        let count = rows.len().max(1) as f32;
        let mut means = vec![0.0; width];
        let mut squares = vec![0.0; width];
        for row in rows {
            means.iter_mut().zip(*row).for_each(|(mean, value)| *mean += value / count);
        }
        for row in rows {
            let deviations = row.iter().zip(&means).map(|(value, mean)| (value - mean).powi(2) / count);
            squares.iter_mut().zip(deviations).for_each(|(sum, square)| *sum += square);
        }
        // Over the root of the width, so that one rate fits networks of any width.
        let scales = squares.iter().map(|square: &f32| 1.0 / (square.sqrt() + 1e-6) / (width.max(1) as f32).sqrt());
        let mut model = Self { means, scales: scales.collect(), rows: vec![vec![0.0; width + 1]; classes] };
        let inputs: Vec<Vec<f32>> = rows.iter().map(|row| model.standardised(row)).collect();
        let mut velocity = vec![vec![0.0; width + 1]; classes];
        for _ in 0..STEPS {
            let mut gradient: Vec<Vec<f32>> =
                model.rows.iter().map(|row| row.iter().map(|value| value * RIDGE).collect()).collect();
            for (input, label) in inputs.iter().zip(labels) {
                let probabilities = model.probabilities(input);
                for (class, (sums, probability)) in gradient.iter_mut().zip(probabilities).enumerate() {
                    let error = (probability - f32::from(u8::from(class == *label))) / count;
                    sums.iter_mut().zip(input).for_each(|(sum, value)| *sum += error * value);
                }
            }
            for ((row, speed), gradient) in model.rows.iter_mut().zip(&mut velocity).zip(&gradient) {
                for ((value, speed), gradient) in row.iter_mut().zip(speed).zip(gradient) {
                    *speed = MOMENTUM * *speed - RATE * gradient;
                    *value += *speed;
                }
            }
        }
        model
    }

    /// The standardised values and a 1 for the intercept.
    fn standardised(&self, values: &[f32]) -> Vec<f32> {
        let scaled =
            values.iter().zip(&self.means).zip(&self.scales).map(|((value, mean), scale)| (value - mean) * scale);
        scaled.chain([1.0]).collect()
    }

    fn probabilities(&self, input: &[f32]) -> Vec<f32> {
        let dot = |row: &Vec<f32>| row.iter().zip(input).map(|(a, b)| a * b).sum::<f32>();
        let logits: Vec<f32> = self.rows.iter().map(dot).collect();
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let shares: Vec<f32> = logits.iter().map(|logit| (logit - highest).exp()).collect();
        let sum: f32 = shares.iter().sum();
        shares.into_iter().map(|share| share / sum).collect()
    }

    fn likeliest(&self, values: &[f32]) -> usize {
        let probabilities = self.probabilities(&self.standardised(values));
        probabilities.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(class, _)| class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn films(apart: f32) -> Vec<Features> {
        (0..300)
            .map(|i: usize| {
                let source = i % 3;
                let wave = |step: f32| (i as f32 * step).sin();
                let values = (0..16).map(|k| wave(1.7 + k as f32) + if k == source { apart } else { 0.0 }).collect();
                Features { group: (i / 2).to_string(), source: format!("s{source}"), values }
            })
            .collect()
    }

    #[test]
    fn sources_that_differ_are_found_and_sources_that_do_not_are_not() {
        let different = predict(&films(4.0)).unwrap();
        assert!(different.accuracy.rate > 0.95, "{different:?}");
        assert!((different.chance - 1.0 / 3.0).abs() < 1e-9);
        let alike = predict(&films(0.0)).unwrap();
        assert!(alike.accuracy.rate < 0.5, "{alike:?}");
        let one: Vec<Features> = films(0.0).into_iter().filter(|film| film.source == "s1").collect();
        assert_eq!(predict(&one), None);
    }
}
