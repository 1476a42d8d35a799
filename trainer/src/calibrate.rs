//! What makes probabilities mean what they say: a temperature (Guo et al., arXiv:1706.04599) and, where classes were
//! seen in training in other shares than where the model reads, an offset for each class (Alexandari et al.,
//! arXiv:1901.06852). Pure.

use chestlight::verdict::{Calibration, Class, Logits, OperatingPoint, OperatingPoints, Probabilities, calibrate};

/// Passes over temperature and offsets; the last ones change nothing any more.
const ROUNDS: usize = 30;

/// Largest offset, either way; e^20 is as good as infinite odds.
const MOST: f32 = 20.0;

/// The temperature with the lowest mean negative log likelihood over films that were not trained on.
///
/// The likelihood has one optimum in the logarithm of the temperature; it is searched between 1/20 and 20.
pub fn temperature(films: &[(Logits, Class)]) -> f32 {
    coolest(|temperature| loss(films, temperature))
}

/// What to add to the logits of normal, bacterial and COVID-19 so that their likelihood at the best temperature is the
/// highest over films that were not trained on, where every class counts the same: nobody knows their shares at a
/// clinic. Their mean is 0. All 0 where a class has no film.
pub fn offsets(films: &[(Logits, Class)]) -> [f32; 3] {
    let mut offsets = [0.0; 3];
    let counts = Class::ALL.map(|class| films.iter().filter(|(_, is)| *is == class).count());
    if counts.contains(&0) {
        return offsets;
    }
    let weights = counts.map(|count| 1.0 / count as f64);
    let shifted = |offsets: [f32; 3]| -> Vec<(Logits, Class)> {
        let mut shifted = films.to_vec();
        for (Logits(logits), _) in &mut shifted {
            logits.iter_mut().zip(offsets).for_each(|(logit, offset)| *logit += offset);
        }
        shifted
    };
    for _ in 0..ROUNDS {
        let films = shifted(offsets);
        let temperature = coolest(|temperature| weighted(&films, weights, temperature));
        for class in 0..offsets.len() {
            let with = |offset| {
                let mut offsets = offsets;
                offsets.get_mut(class).into_iter().for_each(|it| *it = offset);
                offsets
            };
            offsets = with(lowest(-MOST, MOST, |offset| weighted(&shifted(with(offset)), weights, temperature)));
        }
    }
    let mean = offsets.iter().sum::<f32>() / 3.0;
    offsets.map(|offset| offset - mean)
}

/// For each class the lowest probability, not below `refer_below`, at which at least `kept_out` of the films of the other
/// classes do not get it as their verdict: the fewest referrals for which that holds. For normal, `kept_out` is the
/// sensitivity for pneumonia.
pub fn points(films: &[(Probabilities, Class)], refer_below: f32, kept_out: f64) -> OperatingPoints {
    let point = |class: Class| {
        let top = |of_class: bool| {
            let films = films.iter().filter(move |(_, is)| (*is == class) == of_class);
            films
                .map(move |(probabilities, _)| probabilities.top())
                .map(move |(top, p)| if top == class { p } else { 0.0 })
        };
        let mut others: Vec<f32> = top(false).collect();
        others.sort_by(|a, b| b.total_cmp(a));
        let allowed = (others.len() as f64 * (1.0 - kept_out) + 1e-9) as usize;
        // Just above the first of the others that must not pass.
        let above = others.get(allowed).map_or(0.0, |probability| probability.next_up());
        let at_least = above.clamp(refer_below, 1.0);
        let share = |passed: usize, all: usize| passed as f32 / all.max(1) as f32;
        let passed = |of_class: bool| top(of_class).filter(|probability| *probability >= at_least).count();
        OperatingPoint {
            at_least,
            sensitivity: share(passed(true), top(true).count()),
            specificity: share(others.len() - passed(false), others.len()),
        }
    };
    OperatingPoints { normal: point(Class::Normal), bacterial: point(Class::Bacterial), covid19: point(Class::Covid19) }
}

/// The temperature of the lowest loss.
fn coolest(loss: impl Fn(f32) -> f64) -> f32 {
    lowest(0.05f32.ln(), 20f32.ln(), |logarithm| loss(logarithm.exp())).exp()
}

/// Where a function with one valley is lowest.
fn lowest(mut low: f32, mut high: f32, loss: impl Fn(f32) -> f64) -> f32 {
    for _ in 0..60 {
        let third = (high - low) / 3.0;
        let (left, right) = (low + third, high - third);
        if loss(left) <= loss(right) { high = right } else { low = left }
    }
    (low + high) / 2.0
}

/// Mean negative log likelihood of the films' classes at a temperature.
pub fn loss(films: &[(Logits, Class)], temperature: f32) -> f64 {
    weighted(films, [1.0; 3], temperature) / films.len().max(1) as f64
}

/// Sum of the negative log likelihoods, each times the weight of its film's class.
fn weighted(films: &[(Logits, Class)], [normal, bacterial, covid19]: [f64; 3], temperature: f32) -> f64 {
    let calibration = Calibration { temperature, refer_below: 0.0, points: None };
    let of = |(logits, class): &(Logits, Class)| {
        let all = calibrate(Logits(logits.0), &calibration);
        let (probability, weight) = match class {
            Class::Normal => (all.map(|all| all.normal), normal),
            Class::Bacterial => (all.map(|all| all.bacterial), bacterial),
            Class::Covid19 => (all.map(|all| all.covid19), covid19),
        };
        -f64::from(probability.unwrap_or(0.0).max(f32::MIN_POSITIVE)).ln() * weight
    };
    films.iter().map(of).sum()
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

    #[test]
    fn offsets_give_back_the_odds_that_training_took_from_a_class() {
        // Logits that are right, but for 1.5 too little for COVID-19 and 0.5 too much for normal.
        let truth = |i: usize| [[0.0, 1.0, 2.0], [2.0, 0.0, 1.0], [1.0, 2.0, 0.0]][i % 3];
        let films: Vec<(Logits, Class)> = (0..3000)
            .map(|i| {
                let logits: [f32; 3] = truth(i);
                let sum: f32 = logits.iter().map(|logit| logit.exp()).sum();
                // Films at even steps through the distribution stand for draws from it.
                let place = (i / 3) as f32 / 1000.0;
                let class = Class::ALL[usize::from(place >= logits[0].exp() / sum)
                    + usize::from(place >= (logits[0].exp() + logits[1].exp()) / sum)];
                (Logits([logits[0] + 0.5, logits[1], logits[2] - 1.5]), class)
            })
            .collect();
        let found = offsets(&films);
        let wanted = [-0.5, 0.0, 1.5].map(|offset| offset - 1.0 / 3.0);
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() < 0.02, "{found} {wanted}");
        }
    }

    #[test]
    fn a_point_keeps_the_stated_share_of_the_other_films_out_and_refers_no_more_than_that() {
        let normal = |p: f32| Probabilities { normal: p, bacterial: 1.0 - p, covid19: 0.0 };
        // 100 normal films at 0.5 to 0.995; 20 bacterial ones of which four are called normal, at 0.6 to 0.9.
        let mut films: Vec<(Probabilities, Class)> =
            (0..100).map(|i| (normal(0.5 + i as f32 * 0.005), Class::Normal)).collect();
        films.extend([0.6, 0.7, 0.8, 0.9].map(|p| (normal(p), Class::Bacterial)));
        films.extend((0..16).map(|_| (normal(0.1), Class::Bacterial)));
        for (kept_out, at_least, kept) in [(0.8, 0.4, 0.8), (0.9, 0.7, 0.9), (0.95, 0.8, 0.95), (1.0, 0.9, 1.0)] {
            let point = points(&films, 0.4, kept_out).normal;
            assert!((point.at_least - at_least).abs() < 1e-5, "{kept_out}: {point:?}");
            assert!((point.specificity - kept).abs() < 1e-6, "{kept_out}: {point:?}");
        }
        let point = points(&films, 0.4, 0.95);
        assert!((point.normal.sensitivity - 0.39).abs() < 0.011, "{point:?}");
        assert_eq!((point.covid19.at_least, point.covid19.specificity), (0.4, 1.0), "a class that nobody gets");
        assert_eq!(points(&[], 0.4, 0.95).normal.at_least, 0.4);
    }

    #[test]
    fn a_class_without_films_leaves_the_logits_as_they_are() {
        let films = [(Logits([1.0, 0.0, 0.0]), Class::Normal), (Logits([0.0, 1.0, 0.0]), Class::Bacterial)];
        assert_eq!(offsets(&films), [0.0; 3]);
        assert_eq!(offsets(&[]), [0.0; 3]);
    }
}
