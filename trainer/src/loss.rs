//! What training minimises: cross entropy against what is known of each film.

use burn::prelude::*;
use burn::tensor::TensorData;
use burn::tensor::activation::log_softmax;

use crate::experiment::Loss;
use crate::finding::Finding;

/// Added to the logarithm of what is not allowed; its exponential is 0 in f32.
const NEVER: f32 = -1e4;

/// What the network shall answer of one film.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// The outputs that are right.
    pub allowed: [bool; 3],
    /// How much the film counts.
    pub weight: f32,
    /// What other networks answered, as probabilities at the temperature of the teaching.
    pub teacher: Option<[f32; 3]>,
}

/// The targets of films.
///
/// With `balance` the weights make every finding count the same and have the mean 1.
pub fn targets(findings: &[Finding], outputs: &[Finding; 3], balance: bool) -> Vec<Target> {
    let count = |finding| findings.iter().filter(|is| **is == finding).count();
    let kinds = Finding::ALL.iter().filter(|finding| count(**finding) > 0).count();
    let weight = |finding| match balance {
        true => findings.len() as f32 / (kinds * count(finding)).max(1) as f32,
        false => 1.0,
    };
    let target =
        |&finding: &Finding| Target { allowed: finding.allowed(outputs), weight: weight(finding), teacher: None };
    findings.iter().map(target).collect()
}

/// Loss of each film, `[films]`: the negative logarithm of the probability of everything that is allowed, with the
/// stated shares of smoothing and of the teachers' cross entropy, times the film's weight.
pub fn each(logits: Tensor<2>, targets: &[&Target], settings: &Loss) -> Tensor<1> {
    let device = logits.device();
    let [films, classes] = logits.dims();
    let table = |value: &dyn Fn(&Target) -> [f32; 3]| {
        let values: Vec<f32> = targets.iter().flat_map(|target| value(target)).collect();
        Tensor::<2>::from_data(TensorData::new(values, [films, classes]), &device)
    };
    let log_probability = log_softmax(logits.clone(), 1);

    let allowed = log_probability.clone() + table(&|it| it.allowed.map(|allowed| if allowed { 0.0 } else { NEVER }));
    let highest = allowed.clone().max_dim(1).detach();
    let right = (allowed - highest.clone()).exp().sum_dim(1).log() + highest;
    let mut loss = right.neg();
    if settings.smoothing > 0.0 {
        let spread = log_probability.clone().mean_dim(1).neg();
        loss = loss.mul_scalar(1.0 - settings.smoothing) + spread.mul_scalar(settings.smoothing);
    }
    if settings.teacher > 0.0 {
        // A film without a teacher keeps its own target: its share is 0.
        let share = |it: &Target| if it.teacher.is_some() { settings.teacher } else { 0.0 };
        let shares: Vec<f32> = targets.iter().map(|it| share(it)).collect();
        let shares = Tensor::<2>::from_data(TensorData::new(shares, [films, 1]), &device);
        let cooled = log_softmax(logits.div_scalar(settings.temperature), 1);
        // The square keeps the gradients of both parts in proportion whatever the temperature (Hinton et al.).
        let taught =
            (cooled * table(&|it| it.teacher.unwrap_or([0.0; 3]))).sum_dim(1).mul_scalar(-settings.temperature.powi(2));
        loss = loss * (shares.clone().neg() + 1.0) + taught * shares;
    }
    let weights: Vec<f32> = targets.iter().map(|it| it.weight).collect();
    loss.reshape([films]) * Tensor::<1>::from_data(TensorData::new(weights, [films]), &device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::floats;

    fn losses(logits: [f32; 3], target: &Target, settings: &Loss) -> f32 {
        floats(each(Tensor::from_floats([logits], &Device::flex()), &[target], settings))[0]
    }

    fn target(allowed: [bool; 3]) -> Target {
        Target { allowed, weight: 1.0, teacher: None }
    }

    #[test]
    fn the_loss_is_what_it_says() {
        let ln = |x: f32| x.ln();
        // Probabilities 1/4, 1/4, 1/2.
        let logits = [0.0, 0.0, ln(2.0)];
        let one = target([false, false, true]);
        let plain = Loss::default();
        let taught = Target { teacher: Some([0.5, 0.5, 0.0]), ..one };
        for (name, target, settings, expected) in [
            ("one class", one, &plain, ln(2.0)),
            ("either of two", target([true, true, false]), &plain, ln(2.0)),
            ("any of three", target([true; 3]), &plain, 0.0),
            ("twice the weight", Target { weight: 2.0, ..one }, &plain, 2.0 * ln(2.0)),
            ("smoothed", one, &Loss { smoothing: 0.3, ..plain.clone() }, {
                0.7 * ln(2.0) + 0.3 * (ln(4.0) + ln(4.0) + ln(2.0)) / 3.0
            }),
            ("taught", taught, &Loss { teacher: 0.5, ..plain.clone() }, 0.5 * ln(2.0) + 0.5 * ln(4.0)),
            ("taught at 2", taught, &Loss { teacher: 1.0, temperature: 2.0, ..plain.clone() }, {
                // The square roots of the probabilities: 1, 1 and the root of 2, over their sum.
                4.0 * ln(2.0 + 2.0f32.sqrt())
            }),
            ("nobody taught", one, &Loss { teacher: 0.5, ..plain.clone() }, ln(2.0)),
        ] {
            let loss = losses(logits, &target, settings);
            assert!((loss - expected).abs() < 1e-5, "{name}: {loss} instead of {expected}");
        }
    }

    #[test]
    fn hopeless_logits_give_a_finite_loss() {
        let loss = losses([0.0, 200.0, 0.0], &target([true, false, false]), &Loss::default());
        assert!((loss - 200.0).abs() < 1e-2, "{loss}");
    }

    #[test]
    fn balanced_weights_make_every_finding_count_the_same() {
        let findings = [Finding::Normal, Finding::Normal, Finding::Normal, Finding::Covid19, Finding::NotCovid19];
        let all = targets(&findings, &Finding::DEVICE, true);
        let weight = |finding: Finding| -> f32 {
            findings.iter().zip(&all).filter(|(is, _)| **is == finding).map(|(_, target)| target.weight).sum()
        };
        for finding in [Finding::Normal, Finding::Covid19, Finding::NotCovid19] {
            assert!((weight(finding) - 5.0 / 3.0).abs() < 1e-5, "{finding:?}");
        }
        assert_eq!(all[4].allowed, [true, true, false]);
        assert!(targets(&findings, &Finding::DEVICE, false).iter().all(|target| target.weight == 1.0));
    }
}
