//! Receiver operating characteristic and precision against recall, one class against the others.

use serde::Serialize;

/// The two curves of a class, over every threshold of its probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassCurves {
    /// Area under the first curve: the chance that a film of the class has a higher probability than one of another
    /// class, ties counting half.
    pub auc: f64,
    /// Mean of the precision over the films of the class.
    pub average_precision: f64,
    /// (1 - specificity, sensitivity), from (0, 0) to (1, 1).
    pub roc: Vec<(f64, f64)>,
    /// (recall, precision), from low recall to 1.
    pub precision_recall: Vec<(f64, f64)>,
}

/// The curves over films as (probability, whether it is of the class); `None` where one side has no film.
pub fn curves(films: &[(f32, bool)]) -> Option<ClassCurves> {
    let positives = films.iter().filter(|(_, is)| *is).count() as f64;
    let negatives = films.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let mut sorted = films.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut hits, mut false_alarms) = (0.0, 0.0);
    let (mut auc, mut average_precision) = (0.0, 0.0);
    let mut roc = vec![(0.0, 0.0)];
    let mut precision_recall = Vec::new();
    // Films of equal probability pass a threshold together.
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        let more = tied.iter().filter(|(_, is)| *is).count() as f64;
        let wrong = tied.len() as f64 - more;
        auc += wrong * (hits + more / 2.0);
        hits += more;
        false_alarms += wrong;
        let precision = hits / (hits + false_alarms);
        average_precision += more * precision;
        roc.push((false_alarms / negatives, hits / positives));
        precision_recall.push((hits / positives, precision));
    }
    Some(ClassCurves {
        auc: auc / (positives * negatives),
        average_precision: average_precision / positives,
        roc,
        precision_recall,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn areas_are_those_computed_by_hand() {
        for (name, films, auc, average_precision) in [
            ("perfect", vec![(0.9, true), (0.8, true), (0.2, false)], 1.0, 1.0),
            ("turned", vec![(0.1, true), (0.8, false), (0.9, false)], 0.0, 1.0 / 3.0),
            ("all alike", vec![(0.5, true), (0.5, false), (0.5, false), (0.5, true)], 0.5, 0.5),
            // Pairs in order: (0.9, 0.8), (0.9, 0.3), (0.4, 0.3) of four.
            ("mixed", vec![(0.9, true), (0.8, false), (0.4, true), (0.3, false)], 0.75, (1.0 + 2.0 / 3.0) / 2.0),
        ] {
            let found = curves(&films).unwrap();
            assert!((found.auc - auc).abs() < 1e-12, "{name}: {}", found.auc);
            assert!((found.average_precision - average_precision).abs() < 1e-12, "{name}");
            assert_eq!(found.roc.last(), Some(&(1.0, 1.0)), "{name}");
        }
        assert_eq!(curves(&[(0.5, true)]), None);
        assert_eq!(curves(&[]), None);
    }

    proptest! {
        #[test]
        fn the_area_sees_the_order_alone(films in prop::collection::vec((0.0f32..1.0, any::<bool>()), 2..60)) {
            let other: Vec<(f32, bool)> = films.iter().map(|(p, is)| (p * p * p - 5.0, *is)).collect();
            match (curves(&films), curves(&other)) {
                (Some(a), Some(b)) => {
                    // Cubing may make equal what was almost equal.
                    prop_assert!((a.auc - b.auc).abs() < 0.05);
                    prop_assert!((0.0..=1.0).contains(&a.auc));
                }
                (a, b) => prop_assert_eq!(a.is_none(), b.is_none()),
            }
        }
    }
}
