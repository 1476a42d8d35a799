//! The temperature that makes probabilities mean what they say (Guo et al., arXiv:1706.04599). Pure.

use chestlight::verdict::{Calibration, Class, Logits, calibrate};

/// The temperature with the lowest mean negative log likelihood over films that were not trained on.
///
/// The likelihood has one optimum in the logarithm of the temperature; it is searched between 1/20 and 20.
pub fn temperature(films: &[(Logits, Class)]) -> f32 {
    let (mut low, mut high) = (0.05f32.ln(), 20f32.ln());
    for _ in 0..60 {
        let third = (high - low) / 3.0;
        let (left, right) = (low + third, high - third);
        if loss(films, left.exp()) <= loss(films, right.exp()) { high = right } else { low = left }
    }
    ((low + high) / 2.0).exp()
}

/// Mean negative log likelihood of the films' classes at a temperature.
pub fn loss(films: &[(Logits, Class)], temperature: f32) -> f64 {
    let calibration = Calibration { temperature, refer_below: 0.0 };
    let sum: f64 = films
        .iter()
        .map(|(logits, class)| {
            let probability = calibrate(Logits(logits.0), &calibration).map_or(0.0, |all| match class {
                Class::Normal => all.normal,
                Class::Bacterial => all.bacterial,
                Class::Covid19 => all.covid19,
            });
            -f64::from(probability.max(f32::MIN_POSITIVE)).ln()
        })
        .sum();
    sum / films.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overconfident_logits_are_cooled_until_their_probability_is_their_accuracy() {
        // Three of four are right at logits of 10 against 0.
        let films: Vec<(Logits, Class)> = (0..40)
            .map(|i| (Logits([10.0, 0.0, 0.0]), if i % 4 == 0 { Class::Bacterial } else { Class::Normal }))
            .collect();
        let found = temperature(&films);
        // The optimum of (3/4 ln p + 1/4 ln (1 - p)/2) is p = 3/4, so e^(10/t) = 6.
        assert!((found - 10.0 / 6f32.ln()).abs() < 0.01, "{found}");
        assert!(loss(&films, found) < loss(&films, 1.0));
    }
}
