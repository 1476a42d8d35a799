//! Whether probabilities mean what they say, and what abstaining gains.

use serde::Serialize;

/// Bins of the reliability diagram.
const BINS: usize = 10;

/// Probabilities of the classes and the class that is right.
pub type Answer = ([f32; 3], usize);

/// Films whose highest probability lies in one tenth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bin {
    /// Films.
    pub films: usize,
    /// Mean of their highest probability.
    pub confidence: f64,
    /// Fraction whose likeliest class is right.
    pub accuracy: f64,
}

/// How well probabilities are calibrated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibrated {
    /// Expected calibration error over ten bins (Guo et al., arXiv:1706.04599), 0 to 1.
    pub expected_error: f64,
    /// The bins, from 0 to 1.
    pub bins: [Bin; BINS],
}

/// Probabilities at another temperature: those that a network's logits over `temperature` would have given where its
/// logits over 1 gave these, up to f32.
pub fn retempered(probabilities: [f32; 3], temperature: f32) -> [f32; 3] {
    let logarithms = probabilities.map(|p| p.max(f32::MIN_POSITIVE).ln() / temperature);
    let highest = logarithms.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shares = logarithms.map(|l| (l - highest).exp());
    let sum: f32 = shares.iter().sum();
    shares.map(|share| share / sum)
}

/// The class with the highest probability, and that.
fn likeliest(probabilities: &[f32; 3]) -> (usize, f64) {
    let highest = probabilities.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    highest.map_or((0, 0.0), |(class, p)| (class, f64::from(*p)))
}

/// The expected calibration error and its bins.
pub fn calibrated(answers: &[Answer]) -> Calibrated {
    let mut bins = [Bin::default(); BINS];
    for (probabilities, truth) in answers {
        let (class, confidence) = likeliest(probabilities);
        let place = ((confidence * BINS as f64) as usize).min(BINS - 1);
        if let Some(bin) = bins.get_mut(place) {
            bin.films += 1;
            bin.confidence += confidence;
            bin.accuracy += f64::from(u8::from(class == *truth));
        }
    }
    let mut expected_error = 0.0;
    for bin in bins.iter_mut().filter(|bin| bin.films > 0) {
        bin.confidence /= bin.films as f64;
        bin.accuracy /= bin.films as f64;
        expected_error += (bin.confidence - bin.accuracy).abs() * bin.films as f64 / answers.len() as f64;
    }
    Calibrated { expected_error, bins }
}

/// What is answered and what of it is wrong when less likely answers are referred.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Coverage {
    /// Answers below this probability are referred.
    pub refer_below: f64,
    /// Fraction of the films that are answered.
    pub coverage: f64,
    /// Fraction of the answers that are wrong.
    pub error: f64,
}

/// Coverage and error at every threshold, from the strictest to none (Geifman and El-Yaniv, arXiv:1705.08500).
pub fn coverage(answers: &[Answer]) -> Vec<Coverage> {
    let mut sorted: Vec<(f64, bool)> = answers
        .iter()
        .map(|(probabilities, truth)| {
            let (class, confidence) = likeliest(probabilities);
            (confidence, class != *truth)
        })
        .collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut answered, mut wrong) = (0.0, 0.0);
    let mut points = Vec::new();
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        answered += tied.len() as f64;
        wrong += tied.iter().filter(|(_, wrong)| *wrong).count() as f64;
        let refer_below = tied.first().map_or(0.0, |(confidence, _)| *confidence);
        points.push(Coverage { refer_below, coverage: answered / answers.len() as f64, error: wrong / answered });
    }
    points
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn four_of_five_right_at_four_fifths_is_calibrated_and_at_certainty_is_not() {
        let films = |confidence: f32| -> Vec<Answer> {
            (0..50).map(|i| ([confidence, 1.0 - confidence, 0.0], usize::from(i % 5 == 4))).collect()
        };
        assert!(calibrated(&films(0.8)).expected_error < 1e-6);
        let certain = calibrated(&films(1.0));
        assert!((certain.expected_error - 0.2).abs() < 1e-6);
        assert_eq!((certain.bins[9].films, certain.bins[0].films), (50, 0));
        assert_eq!(calibrated(&[]).expected_error, 0.0);
    }

    #[test]
    fn referring_the_unlikeliest_answers_leaves_the_right_ones() {
        let films = [([0.9, 0.1, 0.0], 0), ([0.8, 0.2, 0.0], 0), ([0.6, 0.4, 0.0], 1), ([0.5, 0.3, 0.2], 0)];
        let points = coverage(&films);
        let told: Vec<(f64, f64)> = points.iter().map(|point| (point.coverage, point.error)).collect();
        assert_eq!(told, [(0.25, 0.0), (0.5, 0.0), (0.75, 1.0 / 3.0), (1.0, 0.25)]);
        assert!(coverage(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn a_temperature_and_its_inverse_give_the_probabilities_back(
            logits in prop::array::uniform3(-5.0f32..5.0), temperature in 0.3f32..3.0,
        ) {
            let probabilities = retempered(logits.map(f32::exp), 1.0);
            let back = retempered(retempered(probabilities, temperature), 1.0 / temperature);
            for (a, b) in probabilities.iter().zip(back) {
                prop_assert!((a - b).abs() < 1e-4);
            }
        }
    }
}
