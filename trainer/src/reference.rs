//! What readings of films are like on which nothing was trained: the bound of the gate, and what a unit compares its own
//! readings with. Pure.

use std::collections::BTreeMap;

use chestlight::model::Reference;

/// Collections of fewer films tell no rate and no mean.
const FEWEST: usize = 20;

/// What was read of one film of the validation part.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The collection.
    pub source: String,
    /// Its feature distance.
    pub distance: f32,
    /// Whether the gate refuses it.
    pub refused: bool,
    /// Whether it is referred.
    pub referred: bool,
}

/// The distance that no more than the share `refused` of the films exceed; `None` without films.
pub fn bound(distances: &[f32], refused: f64) -> Option<f32> {
    let mut sorted = distances.to_vec();
    sorted.sort_by(f32::total_cmp);
    let beyond = (sorted.len() as f64 * refused + 1e-9) as usize;
    sorted.get(sorted.len().checked_sub(1 + beyond)?).copied()
}

/// The reference of all films; `None` without films. Where fewer than two collections have enough films, how much
/// collections differ is not known and taken to be as much as films do.
pub fn of(films: &[Read]) -> Option<Reference> {
    let mut collections: BTreeMap<&str, Vec<&Read>> = BTreeMap::new();
    for film in films {
        collections.entry(&film.source).or_default().push(film);
    }
    let large: Vec<&Vec<&Read>> = collections.values().filter(|films| films.len() >= FEWEST).collect();
    let all: Vec<&Read> = films.iter().collect();
    let (mean, deviation) = spread(&all.iter().map(|film| film.distance).collect::<Vec<_>>())?;
    let means = large.iter().filter_map(|films| spread(&films.iter().map(|film| film.distance).collect::<Vec<_>>()));
    let means: Vec<f32> = means.map(|(mean, _)| mean).collect();
    let between = if means.len() < 2 { deviation } else { spread(&means)?.1 };
    let highest = |of: &dyn Fn(&Read) -> bool| {
        // Laplace's rule of succession: that none of a few films was refused does not say that none ever is.
        let rate =
            |films: &[&Read]| (films.iter().filter(|film| of(film)).count() as f32 + 1.0) / (films.len() as f32 + 2.0);
        large.iter().map(|films| rate(films)).fold(rate(&all), f32::max)
    };
    Some(Reference {
        distance_mean: mean,
        distance_deviation: deviation,
        distance_between: between,
        refused_at_most: highest(&|film| film.refused),
        referred_at_most: highest(&|film| film.referred),
    })
}

/// Mean and standard deviation, the latter of a sample; `None` without values.
fn spread(values: &[f32]) -> Option<(f32, f32)> {
    let count = values.len() as f32;
    let mean = values.iter().sum::<f32>() / count;
    let squares: f32 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (!values.is_empty()).then(|| (mean, (squares / (count - 1.0).max(1.0)).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str, distance: f32, refused: bool) -> Read {
        Read { source: source.into(), distance, refused, referred: false }
    }

    #[test]
    fn the_bound_refuses_no_more_than_the_share() {
        let distances: Vec<f32> = (1..=100).rev().map(|it| it as f32).collect();
        for (refused, expected) in [(0.02, 98.0), (0.0, 100.0), (0.029, 98.0), (0.2, 80.0)] {
            assert_eq!(bound(&distances, refused), Some(expected), "{refused}");
        }
        assert_eq!(bound(&[7.0], 0.02), Some(7.0));
        assert_eq!(bound(&[], 0.02), None);
    }

    #[test]
    fn collections_of_enough_films_say_how_much_collections_differ() {
        let mut films: Vec<Read> = (0..40).map(|i| read("a", 1.0 + 0.1 * (i % 2) as f32, false)).collect();
        films.extend((0..40).map(|i| read("b", 1.2 + 0.1 * (i % 2) as f32, i < 4)));
        films.push(read("small", 9.0, true));
        let reference = of(&films).unwrap();
        // The means are 1.05 and 1.25; a collection of one film is none.
        assert!((reference.distance_between - 0.2 / 2f32.sqrt()).abs() < 1e-4, "{reference:?}");
        assert!((reference.refused_at_most - 5.0 / 42.0).abs() < 1e-6, "{reference:?}");
        let one: Vec<Read> = films.into_iter().filter(|film| film.source == "a").collect();
        let reference = of(&one).unwrap();
        assert_eq!(reference.distance_between, reference.distance_deviation);
        assert_eq!(of(&[]), None);
    }
}
