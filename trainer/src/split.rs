//! Which films take part, and in which part. Pure: the same index and seed give the same parts on every machine.

use std::collections::BTreeMap;

use chestlight::verdict::Class;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::experiment::Experiment;
use crate::index::{Film, Index};

/// What a film is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Fits the weights.
    Train,
    /// Chooses the epoch, the rate and the temperature; calibrates the quantization.
    Validation,
    /// Measures; nothing is chosen by it.
    Test,
}

impl Part {
    /// All parts in their order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// `train`, `validation` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// A film that takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The row of the index.
    pub film: Film,
    /// What the network shall say.
    pub class: Class,
    /// What it is used for.
    pub part: Part,
}

/// The index does not hold what the experiment asks for.
#[derive(Debug, Error)]
#[error(
    "no films of label {label:?} from source {source_name:?} are in the index (with the experiment's geometry and licences)"
)]
pub struct NoFilms {
    label: String,
    source_name: String,
}

/// Selects the films of the experiment and deals them out by group.
///
/// Films that repeat another one are left out. Whole groups are dealt, in an order drawn by the seed: to the test
/// part while every class of the group has room there, then to validation, then to training. So the fractions
/// hold for every class, up to a group.
///
/// # Errors
/// [`NoFilms`] when one of the experiment's selections finds nothing.
pub fn deal(index: &Index, experiment: &Experiment) -> Result<Vec<Sample>, NoFilms> {
    let mut selected = Vec::new();
    for wanted in &experiment.films {
        let fits = |film: &&Film| {
            film.label == wanted.label
                && film.source == wanted.source
                && film.near_duplicate_of.is_empty()
                && wanted.geometry.as_ref().is_none_or(|geometry| *geometry == film.geometry)
                && experiment.licences.as_ref().is_none_or(|licences| licences.contains(&film.licence))
        };
        let mut found: Vec<&Film> = index.films.iter().filter(fits).collect();
        if found.is_empty() {
            return Err(NoFilms { label: wanted.label.clone(), source_name: wanted.source.clone() });
        }
        found.sort_by_cached_key(|film| drawn(experiment.seed, &film.file.to_string_lossy()));
        selected.extend(found.into_iter().take(wanted.at_most).map(|film| (film.clone(), wanted.class)));
    }

    let mut groups: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
    for (row, (film, _)) in selected.iter().enumerate() {
        groups.entry(drawn(experiment.seed, &film.group_id)).or_default().push(row);
    }
    let count = |rows: &[usize]| {
        let of = |class| rows.iter().filter(|row| selected.get(**row).is_some_and(|(_, is)| *is == class)).count();
        Class::ALL.map(of)
    };
    let all: Vec<usize> = (0..selected.len()).collect();
    let mut test_room = count(&all).map(|films| (films as f64 * experiment.split.test).round() as usize);
    let mut validation_room = std::array::from_fn(|class| {
        let rest = [count(&all), test_room].map(|of| of.get(class).copied().unwrap_or(0));
        ((rest[0].saturating_sub(rest[1])) as f64 * experiment.split.validation).round() as usize
    });

    // Large groups first within the seed's order would bias the parts; a large group that does not fit goes on to
    // the next part, and the small ones after it fill what it left.
    let mut parts = vec![Part::Train; selected.len()];
    for rows in groups.values() {
        let films = count(rows);
        let part = if take(&mut test_room, films) {
            Part::Test
        } else if take(&mut validation_room, films) {
            Part::Validation
        } else {
            Part::Train
        };
        for &row in rows {
            if let Some(slot) = parts.get_mut(row) {
                *slot = part;
            }
        }
    }
    let mut samples: Vec<Sample> =
        selected.into_iter().zip(parts).map(|((film, class), part)| Sample { film, class, part }).collect();
    samples.sort_by(|a, b| (a.part, &a.film.file).cmp(&(b.part, &b.film.file)));
    Ok(samples)
}

/// Takes `films` of each class out of `room` if all fit.
fn take(room: &mut [usize; 3], films: [usize; 3]) -> bool {
    let fits = room.iter().zip(films).all(|(room, films)| films <= *room);
    if fits {
        room.iter_mut().zip(films).for_each(|(room, films)| *room -= films);
    }
    fits
}

/// A number that depends on nothing but the seed and the name.
fn drawn(seed: u64, name: &str) -> [u8; 32] {
    Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name).finalize().into()
}

/// How many films of each class stand in `part`, in the order of [`Class::ALL`].
pub fn counts(samples: &[Sample], part: Part) -> [u32; 3] {
    Class::ALL.map(|class| samples.iter().filter(|it| it.part == part && it.class == class).count() as u32)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn index(rows: &[(u8, u8)]) -> Index {
        let folder = tempfile::tempdir().unwrap();
        let mut text = String::from("file,label,source,group_id,licence,geometry,near_duplicate_of\n");
        for (number, (label, group)) in rows.iter().enumerate() {
            let (label, source) =
                [("normal", "kermany"), ("bacterial", "kermany"), ("covid", "cohen")][usize::from(*label)];
            text += &format!("{number}.jpg,{label},{source},{group},CC0,original,\n");
        }
        // One of each, so that no selection is empty; one repeats another.
        text += "n.jpg,normal,kermany,n,CC0,original,\nb.jpg,bacterial,kermany,b,CC0,original,\n";
        text += "c.jpg,covid,cohen,c,CC0,original,\nh.jpg,covid,hannover,h,CC0,original,\n";
        text += "again.jpg,covid,hannover,h,CC0,original,h.jpg\n";
        let path = folder.path().join("index.csv");
        fs::write(&path, text).unwrap();
        Index::read(&path).unwrap()
    }

    fn experiment() -> Experiment {
        toml::from_str(include_str!("../experiments/dataset1-lite0.toml")).unwrap()
    }

    proptest! {
        #[test]
        fn no_group_is_torn_apart_and_no_film_is_lost(
            rows in prop::collection::vec((0u8..3, any::<u8>()), 0..300),
            seed in any::<u64>(),
        ) {
            let index = index(&rows);
            let samples = deal(&index, &Experiment { seed, ..experiment() }).unwrap();
            prop_assert_eq!(samples.len(), index.films.len() - 1);
            let mut part_of = BTreeMap::new();
            for sample in &samples {
                let part = part_of.entry(&sample.film.group_id).or_insert(sample.part);
                prop_assert_eq!(*part, sample.part);
            }
            let files: BTreeSet<_> = samples.iter().map(|sample| &sample.film.file).collect();
            prop_assert_eq!(files.len(), samples.len());
        }
    }

    #[test]
    fn the_fractions_hold_for_every_class_and_the_order_of_the_index_does_not_matter() {
        let rows: Vec<(u8, u8)> = (0..240).map(|i| (i / 80, i)).collect();
        let forward = deal(&index(&rows), &experiment()).unwrap();
        for (part, films) in [(Part::Test, 16), (Part::Validation, 8), (Part::Train, 57)] {
            assert_eq!(counts(&forward, part)[0], films, "{part:?}");
            assert_eq!(counts(&forward, part)[1], films, "{part:?}");
        }
        let mut turned = index(&rows);
        turned.films.reverse();
        assert_eq!(deal(&turned, &experiment()).unwrap(), forward);
        assert_ne!(deal(&turned, &Experiment { seed: 1, ..experiment() }).unwrap(), forward);
    }

    #[test]
    fn a_selection_without_films_is_told() {
        let experiment = Experiment { licences: Some(vec!["CC BY 4.0".into()]), ..experiment() };
        let told = deal(&index(&[]), &experiment).unwrap_err().to_string();
        assert!(told.contains("normal") && told.contains("kermany"), "{told}");
    }
}
