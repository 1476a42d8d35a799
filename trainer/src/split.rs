//! Which films take part, and in which part. Pure: the same index and seed give the same parts on every machine.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::experiment::{Control, Experiment, Fold, Selection};
use crate::finding::Finding;
use crate::index::{Film, Index};

/// What a film is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Fits the weights.
    Train,
    /// Chooses the epoch, the rate, the temperature and the operating points; calibrates the quantization.
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
    /// What it shows.
    pub class: Finding,
    /// What it is used for.
    pub part: Part,
    /// Whether films of its kind are tested; the others only teach.
    pub tested: bool,
}

/// The index does not hold what the experiment asks for.
#[derive(Debug, Error)]
pub enum SplitError {
    /// A selection finds nothing.
    #[error(
        "no films of label {label:?} from source {source_name:?} are in the index (with the experiment's geometry and \
         licences)"
    )]
    NoFilms {
        /// The selection's label.
        label: String,
        /// The selection's source.
        source_name: String,
    },
    /// A class has nothing to learn from, or nothing to choose by.
    #[error("no film of class {} comes to the {} part{}", .class.name(), .part.name(), left_out(.leave_out.as_deref()))]
    EmptyClass {
        /// The class.
        class: Finding,
        /// The part.
        part: Part,
        /// The source that is left out, if one is.
        leave_out: Option<String>,
    },
}

fn left_out(source: Option<&str>) -> String {
    source.map_or_else(
        || "; ask for more films, or for larger fractions".into(),
        |source| format!(": the experiment has it from {source:?} only, which is left out"),
    )
}

/// Selects the films of the experiment and deals them out by group.
///
/// Films that repeat another one are left out. Whole groups are dealt, in an order drawn by the split's seed: to the
/// test part while every class of the group has room there, then to validation, then to training. So the fractions
/// hold for every class, up to a group.
///
/// # Errors
/// [`SplitError`] when a selection finds nothing.
pub fn deal(index: &Index, experiment: &Experiment) -> Result<Vec<Sample>, SplitError> {
    let (tested, others): (Vec<_>, Vec<_>) =
        select(index, experiment)?.into_iter().partition(|(_, selection)| selection.tested);
    let mut samples = deal_tested(tested, experiment);
    samples.extend(deal_others(others, &samples, experiment));
    samples.sort_by(|a, b| (a.part, &a.film.file).cmp(&(b.part, &b.film.file)));
    Ok(samples)
}

/// A film and what asked for it.
type Selected<'a> = (Film, &'a Selection);

/// Rows of each group, in an order drawn by the seed.
fn groups(selected: &[Selected<'_>], seed: u64) -> BTreeMap<[u8; 32], Vec<usize>> {
    let mut groups: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
    for (row, (film, _)) in selected.iter().enumerate() {
        groups.entry(drawn(seed, &film.group_id)).or_default().push(row);
    }
    groups
}

fn count(selected: &[Selected<'_>], rows: &[usize]) -> Room {
    let of = |class| rows.iter().filter(|row| selected.get(**row).is_some_and(|(_, it)| it.class == class)).count();
    Finding::ALL.map(of)
}

fn fraction_of(films: Room, fraction: f64) -> Room {
    films.map(|films| (films as f64 * fraction).round() as usize)
}

fn deal_tested(selected: Vec<Selected<'_>>, experiment: &Experiment) -> Vec<Sample> {
    let split = &experiment.split;
    let left_out =
        |row: &usize| selected.get(*row).is_some_and(|(film, _)| Some(&film.source) == split.leave_out.as_ref());
    let rows: Vec<usize> = (0..selected.len()).collect();
    let all = count(&selected, &rows);
    let Fold { number, of } = split.fold.unwrap_or(Fold { number: 1, of: 1 });
    let test_room = match (&split.leave_out, split.fold) {
        (Some(_), _) => count(&selected, &rows.iter().copied().filter(left_out).collect::<Vec<_>>()),
        (None, Some(_)) => fraction_of(all, 1.0 / of as f64),
        (None, None) => fraction_of(all, split.test),
    };
    let mut rooms = vec![test_room; of];
    let mut validation_room = fraction_of(
        std::array::from_fn(|class| {
            let [all, test] = [all, test_room].map(|room| room.get(class).copied().unwrap_or(0));
            all.saturating_sub(test)
        }),
        split.validation,
    );

    // Large groups first within the seed's order would bias the parts; a large group that does not fit goes on to
    // the next part, and the small ones after it fill what it left.
    let mut parts = vec![Part::Train; selected.len()];
    for rows in groups(&selected, split.seed).values() {
        let films = count(&selected, rows);
        let fold = if split.leave_out.is_some() { None } else { rooms.iter_mut().position(|room| take(room, films)) };
        let part = if rows.iter().any(left_out) || fold == Some(number - 1) {
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
    let sample = |((film, selection), part): (Selected<'_>, Part)| {
        let &Selection { class, tested, .. } = selection;
        Sample { film, class, part, tested }
    };
    selected.into_iter().zip(parts).map(sample).collect()
}

/// Films that are never tested go where their patient is, or to validation while there is room, or to training. With
/// the patient of a test film, or from the source that is left out, they are left out.
fn deal_others(selected: Vec<Selected<'_>>, dealt: &[Sample], experiment: &Experiment) -> Vec<Sample> {
    let split = &experiment.split;
    let part_of: BTreeMap<&str, Part> =
        dealt.iter().map(|sample| (sample.film.group_id.as_str(), sample.part)).collect();
    let rows: Vec<usize> = (0..selected.len()).collect();
    let mut room = fraction_of(count(&selected, &rows), split.validation);
    let mut samples = Vec::new();
    for rows in groups(&selected, split.seed).values() {
        let films: Vec<&Selected<'_>> = rows.iter().filter_map(|row| selected.get(*row)).collect();
        let known = films.iter().find_map(|(film, _)| part_of.get(film.group_id.as_str()).copied());
        if known == Some(Part::Test) || films.iter().any(|(film, _)| Some(&film.source) == split.leave_out.as_ref()) {
            continue;
        }
        let fits = known.is_none() && take(&mut room, count(&selected, rows));
        let part = known.unwrap_or(if fits { Part::Validation } else { Part::Train });
        samples.extend(films.iter().map(|(film, it)| {
            let (film, tested) = (film.clone(), it.tested);
            Sample { film, class: it.class, part, tested }
        }));
    }
    samples
}

/// Whether every class has a film to train and one to validate with.
///
/// # Errors
/// [`SplitError`] with the class that has none.
pub fn check(samples: &[Sample], experiment: &Experiment) -> Result<(), SplitError> {
    for part in [Part::Train, Part::Validation] {
        let held: BTreeSet<Finding> = samples.iter().filter(|it| it.part == part).map(|it| it.class).collect();
        if let Some(class) = experiment.classes.into_iter().find(|class| !held.contains(class)) {
            return Err(SplitError::EmptyClass { class, part, leave_out: experiment.split.leave_out.clone() });
        }
    }
    Ok(())
}

/// The parts as they are saved beside a run: one film a line.
///
/// # Errors
/// Only what a writer into memory can meet.
pub fn to_csv(samples: &[Sample]) -> Result<String, csv::Error> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(["part", "class", "source", "group_id", "file"])?;
    for Sample { film, class, part, .. } in samples {
        let file = film.file.to_string_lossy();
        table.write_record([part.name(), class.name(), &film.source, &film.group_id, &file])?;
    }
    let bytes = table.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// How many of the test films are of patients who are not in the test part of another run, as [`to_csv`] saved it.
///
/// # Errors
/// The table is not one of these.
pub fn seen(saved: &str, samples: &[Sample]) -> Result<usize, csv::Error> {
    let mut learnt = BTreeSet::new();
    for row in csv::Reader::from_reader(saved.as_bytes()).into_deserialize() {
        let row: Saved = row?;
        if row.part != Part::Test {
            learnt.insert(row.group_id);
        }
    }
    let tested = samples.iter().filter(|sample| sample.part == Part::Test);
    Ok(tested.filter(|sample| learnt.contains(&sample.film.group_id)).count())
}

/// What of a saved row tells whether its patient was learnt from.
#[derive(Deserialize)]
struct Saved {
    part: Part,
    group_id: String,
}

/// The films of every selection, no more than it asks for, and none twice: a later selection takes of what is left.
fn select<'a>(index: &Index, experiment: &'a Experiment) -> Result<Vec<Selected<'a>>, SplitError> {
    let mut selected: Vec<Selected<'a>> = Vec::new();
    let mut taken = BTreeSet::new();
    for wanted in &experiment.films {
        let fits = |film: &&Film| {
            film.label == wanted.label
                && !taken.contains(&film.file)
                && film.source == wanted.source
                && film.near_duplicate_of.is_empty()
                && wanted.geometry.as_ref().is_none_or(|geometry| *geometry == film.geometry)
                && experiment.licences.as_ref().is_none_or(|licences| licences.contains(&film.licence))
        };
        let mut found: Vec<&Film> = index.films.iter().filter(fits).collect();
        if found.is_empty() {
            return Err(SplitError::NoFilms { label: wanted.label.clone(), source_name: wanted.source.clone() });
        }
        found.sort_by_cached_key(|film| drawn(experiment.split.seed, &film.file.to_string_lossy()));
        let found: Vec<&Film> = found.into_iter().take(wanted.at_most).collect();
        taken.extend(found.iter().map(|film| film.file.clone()));
        selected.extend(found.into_iter().map(|film| (film.clone(), wanted)));
    }
    Ok(selected)
}

/// Films of each finding that still fit.
type Room = [usize; Finding::ALL.len()];

/// The films of a control that repeat no other film and that the network has not seen.
pub fn control<'a>(index: &'a Index, control: &Control, samples: &[Sample]) -> Vec<&'a Film> {
    let dealt: BTreeSet<&str> = samples.iter().map(|sample| sample.film.group_id.as_str()).collect();
    let fits = |film: &&Film| {
        film.label == control.label
            && film.source == control.source
            && film.near_duplicate_of.is_empty()
            && !dealt.contains(film.group_id.as_str())
    };
    index.films.iter().filter(fits).collect()
}

/// Takes `films` of each class out of `room` if all fit.
fn take(room: &mut Room, films: Room) -> bool {
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

/// How many films of each finding stand in `part`, in the order of [`Finding::ALL`].
pub fn counts(samples: &[Sample], part: Part) -> [u32; Finding::ALL.len()] {
    Finding::ALL.map(|class| samples.iter().filter(|it| it.part == part && it.class == class).count() as u32)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::experiment::Split;

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
            let samples = deal(&index, &Experiment { split: Split { seed, ..experiment().split }, ..experiment() }).unwrap();
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
        assert_ne!(
            deal(&turned, &Experiment { split: Split { seed: 1, ..experiment().split }, ..experiment() }).unwrap(),
            forward
        );
    }

    #[test]
    fn controls_hold_no_patient_of_the_data() {
        let index = index(&[(0, 1), (2, 1), (2, 2)]);
        let normal = Control { name: String::new(), label: "normal".into(), source: "kermany".into() };
        let samples = deal(&index, &experiment()).unwrap();
        assert!(control(&index, &normal, &samples).is_empty());
        let others: Vec<Sample> = samples.into_iter().filter(|sample| sample.film.group_id == "1").collect();
        let files: Vec<_> = control(&index, &normal, &others).iter().map(|film| film.file.clone()).collect();
        assert_eq!(files, [std::path::PathBuf::from("n.jpg")]);
    }

    fn with(split: Split) -> Experiment {
        Experiment { split, ..experiment() }
    }

    #[test]
    fn folds_share_no_film_and_together_hold_almost_every_one() {
        let rows: Vec<(u8, u8)> = (0..240).map(|i| (i / 80, i)).collect();
        let index = index(&rows);
        let mut tested = BTreeSet::new();
        for number in 1..=5 {
            let split = Split { fold: Some(Fold { number, of: 5 }), ..experiment().split };
            let samples = deal(&index, &with(split)).unwrap();
            let test: Vec<_> = samples.iter().filter(|it| it.part == Part::Test).map(|it| &it.film.file).collect();
            assert!((46..=50).contains(&test.len()), "fold {number} has {}", test.len());
            assert!(test.into_iter().all(|file| tested.insert(file.clone())), "fold {number} repeats a film");
        }
        assert!(tested.len() >= 238, "{} of 244", tested.len());
    }

    #[test]
    fn a_source_that_is_left_out_is_the_test_part_with_all_its_patients() {
        // Patient 3 has a film in either source.
        let index = index(&[(0, 1), (1, 2), (2, 3), (2, 4), (0, 3)]);
        let split = Split { leave_out: Some("cohen".into()), ..experiment().split };
        let samples = deal(&index, &with(split)).unwrap();
        for sample in &samples {
            let left_out = sample.film.source == "cohen" || sample.film.group_id == "3";
            assert_eq!(sample.part == Part::Test, left_out, "{sample:?}");
        }
    }

    #[test]
    fn what_is_left_when_a_source_is_left_out_is_dealt_by_its_own_count() {
        // One film of COVID-19 is left: an eighth of it is none, so that it teaches.
        let rows: Vec<(u8, u8)> = (0..40).map(|group| (2, group)).collect();
        let split = Split { leave_out: Some("cohen".into()), ..experiment().split };
        let samples = deal(&index(&rows), &with(split)).unwrap();
        let hannover: Vec<Part> = samples.iter().filter(|it| it.film.source == "hannover").map(|it| it.part).collect();
        assert_eq!(hannover, [Part::Train]);
    }

    #[test]
    fn a_later_selection_takes_what_an_earlier_one_left() {
        let rows: Vec<(u8, u8)> = (0..60).map(|i| (0, i)).collect();
        let mut experiment = experiment();
        let [first, ..] = experiment.films.as_mut_slice() else { panic!("films") };
        first.at_most = 20;
        let more = Selection { at_most: 15, tested: false, ..first.clone() };
        experiment.films.push(more);
        let samples = deal(&index(&rows), &experiment).unwrap();
        let normal: BTreeSet<_> =
            samples.iter().filter(|it| it.class == Finding::Normal).map(|it| &it.film.file).collect();
        assert_eq!(normal.len(), 35);
        assert_eq!(samples.iter().filter(|it| it.class == Finding::Normal).count(), 35, "none twice");
    }

    #[test]
    fn films_that_are_not_tested_change_no_part_and_never_share_a_patient_with_the_test_part() {
        let rows: Vec<(u8, u8)> = (0..240).map(|i| (i / 80, i / 2)).collect();
        let index = index(&rows);
        let plain = deal(&index, &experiment()).unwrap();
        let mut more = experiment();
        // The covid films once more, as films of which less is known.
        let [.., cohen, _] = more.films.as_slice() else { panic!("two sources of COVID-19") };
        let again = Selection { class: Finding::NotCovid19, tested: false, ..cohen.clone() };
        more.films.retain(|films| films.source != "cohen");
        let without = deal(&index, &more).unwrap();
        more.films.push(again);
        let with = deal(&index, &more).unwrap();
        let tested = |samples: &[Sample]| -> Vec<Sample> {
            samples.iter().filter(|sample| sample.class != Finding::NotCovid19).cloned().collect()
        };
        assert_eq!(tested(&with), without);
        let others: Vec<&Sample> = with.iter().filter(|sample| sample.class == Finding::NotCovid19).collect();
        let all = plain.iter().filter(|sample| sample.film.source == "cohen").count();
        assert!(!others.is_empty() && others.len() <= all);
        let part_of: BTreeMap<_, _> = without.iter().map(|sample| (&sample.film.group_id, sample.part)).collect();
        assert!(without.iter().all(|sample| sample.tested));
        for sample in others {
            assert!(sample.part != Part::Test && !sample.tested);
            assert!(part_of.get(&sample.film.group_id).is_none_or(|part| *part == sample.part), "{sample:?}");
        }
    }

    #[test]
    fn a_run_that_learnt_from_tested_patients_is_found_out() {
        let rows: Vec<(u8, u8)> = (0..240).map(|i| (i / 80, i)).collect();
        let index = index(&rows);
        let samples = deal(&index, &experiment()).unwrap();
        assert_eq!(seen(&to_csv(&samples).unwrap(), &samples).unwrap(), 0);
        let other = deal(&index, &with(Split { seed: 1, ..experiment().split })).unwrap();
        assert!(seen(&to_csv(&other).unwrap(), &samples).unwrap() > 10);
        assert!(seen("part,group\nnone,1\n", &samples).is_err());
    }

    #[test]
    fn a_class_without_films_to_learn_from_is_told() {
        let left_out = Split { leave_out: Some("kermany".into()), ..experiment().split };
        for (split, told) in [(experiment().split, "validation"), (left_out, "kermany")] {
            let experiment = with(split);
            let samples = deal(&index(&[]), &experiment).unwrap();
            let error = check(&samples, &experiment).unwrap_err().to_string();
            assert!(error.contains(told) && error.contains("normal"), "{error}");
        }
    }

    #[test]
    fn a_selection_without_films_is_told() {
        let experiment = Experiment { licences: Some(vec!["CC BY 4.0".into()]), ..experiment() };
        let told = deal(&index(&[]), &experiment).unwrap_err().to_string();
        assert!(told.contains("normal") && told.contains("kermany"), "{told}");
    }
}
