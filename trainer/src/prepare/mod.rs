//! From published folders and tables to one index: what each film shows, whose it is, and which repeat each other.

mod cohen;
mod kermany;
mod likeness;
mod table;

pub use likeness::{ALIKE, Likeness};
pub use table::Columns;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use chestlight::decode::{Limits, decode};
use chestlight::digest::hex;
use chestlight::radiograph::Radiograph;
use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::parallel;

/// What a film can be said to show.
pub const LABELS: [&str; 5] = ["normal", "bacterial", "viral", "covid", "other"];

/// The paper's data sets: label and number of films.
pub const DATASET_0: [(&str, usize); 3] = [("normal", 1_575), ("bacterial", 2_772), ("viral", 1_493)];
/// See [`DATASET_0`].
pub const DATASET_1: [(&str, usize); 3] = [("normal", 544), ("bacterial", 500), ("covid", 456)];

/// A film as a publication tells of it, before it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Where it lies.
    pub path: PathBuf,
    /// One of [`LABELS`].
    pub label: String,
    /// The collection.
    pub source: String,
    /// The patient, unique over all collections.
    pub group: String,
    /// Terms of use.
    pub licence: String,
    /// PA, AP and so on, as published.
    pub view: String,
    /// Years, as published.
    pub age: String,
    /// As published.
    pub sex: String,
}

/// A film of the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Path below the index's folder, with `/`.
    pub file: String,
    /// One of [`LABELS`].
    pub label: String,
    /// The collection.
    pub source: String,
    /// The patient, joined across collections where films repeat each other.
    pub group_id: String,
    /// Terms of use.
    pub licence: String,
    /// `original`: nothing was done to it here.
    pub geometry: &'static str,
    /// The film that this one repeats; empty for a film of its own.
    pub near_duplicate_of: String,
    /// As published.
    pub view: String,
    /// As published.
    pub age: String,
    /// As published.
    pub sex: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Of the file.
    pub sha256: String,
}

/// A film that is not in the index, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The file, or the table and its line.
    pub what: String,
    /// Why.
    pub why: String,
    /// Whether somebody should look at it: a file that cannot be read, against a lateral film.
    pub wrong: bool,
}

/// A source cannot be read at all.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// A folder or a table cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The folder or table.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A table is not as it should be.
    #[error("{path}: {why}")]
    Table {
        /// The table.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing of what was looked for is there.
    #[error("{path} holds no {what}")]
    Nothing {
        /// The folder.
        path: PathBuf,
        /// What should be there.
        what: &'static str,
    },
}

/// Where films are looked for.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Folders of Kermany et al.
    pub kermany: Vec<PathBuf>,
    /// Folders of Cohen et al.
    pub cohen: Vec<PathBuf>,
    /// Any tables.
    pub tables: Vec<PathBuf>,
    /// What the columns of those are called.
    pub columns: Columns,
}

/// The films that the sources tell of, and what is not among them.
///
/// # Errors
/// [`PrepareError`] when a source cannot be read at all.
pub fn gather(sources: &Sources) -> Result<(Vec<Found>, Vec<LeftOut>), PrepareError> {
    let (mut found, mut left_out) = (Vec::new(), Vec::new());
    for folder in &sources.kermany {
        kermany::gather(folder, &mut found, &mut left_out)?;
    }
    for folder in &sources.cohen {
        cohen::gather(folder, &mut found, &mut left_out)?;
    }
    for path in &sources.tables {
        table::gather(path, &sources.columns, &mut found, &mut left_out)?;
    }
    Ok((found, left_out))
}

/// Opens every film through the device's decoder, joins those that repeat each other, and makes the index's rows in
/// the order of their files. `root` is the index's folder; `tick` hears every film.
pub fn rows(found: &[Found], root: &Path, tick: &(dyn Fn() + Sync)) -> (Vec<Row>, Vec<LeftOut>) {
    let opened = parallel::each(found, |film| {
        tick();
        open(film, root)
    });
    let (mut films, mut left_out) = (Vec::new(), Vec::new());
    for (film, opened) in found.iter().zip(opened) {
        match opened {
            Ok(film) => films.push(film),
            Err(why) => left_out.push(LeftOut { what: film.path.display().to_string(), why, wrong: true }),
        }
    }
    films.sort_by(|a, b| a.0.file.cmp(&b.0.file));
    join(&mut films);
    (films.into_iter().map(|(row, _)| row).collect(), left_out)
}

fn open(film: &Found, root: &Path) -> Result<(Row, Likeness), String> {
    let path = film.path.canonicalize().map_err(|error| error.to_string())?;
    let Ok(below) = path.strip_prefix(root) else {
        return Err(format!(
            "not below {}, the index's folder; put the index into a folder above all films",
            root.display()
        ));
    };
    let parts: Vec<String> = below.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    let bytes = fs::read(&path).map_err(|error| error.to_string())?;
    let radiograph: Radiograph = decode(&bytes, &Limits::default()).map_err(|error| error.to_string())?;
    let likeness = Likeness::of(&radiograph).map_err(|error| error.to_string())?;
    let row = Row {
        file: parts.join("/"),
        label: film.label.clone(),
        source: film.source.clone(),
        group_id: film.group.clone(),
        licence: film.licence.clone(),
        geometry: "original",
        near_duplicate_of: String::new(),
        view: film.view.clone(),
        age: film.age.clone(),
        sex: film.sex.clone(),
        width: radiograph.width(),
        height: radiograph.height(),
        sha256: hex(&Sha256::digest(&bytes)),
    };
    Ok((row, likeness))
}

/// Marks each film that repeats an earlier one, and gives films that repeat each other one group.
fn join(films: &mut [(Row, Likeness)]) {
    let mut repeats: Vec<(usize, usize)> = Vec::new();
    for (later, (_, likeness)) in films.iter().enumerate() {
        let earlier = films.iter().take(later);
        // The first of several, which repeats none itself: chains would not tell which film is the one to keep.
        if let Some(first) = earlier.map(|(_, other)| other.distance(likeness)).position(|apart| apart <= ALIKE) {
            repeats.push((later, first));
        }
    }
    let mut groups = Groups::default();
    for (later, first) in repeats {
        let Some(kept) = films.get(first).map(|(row, _)| row.clone()) else { continue };
        if let Some((row, _)) = films.get_mut(later) {
            groups.join(&kept.group_id, &row.group_id);
            row.near_duplicate_of = if kept.near_duplicate_of.is_empty() { kept.file } else { kept.near_duplicate_of };
        }
    }
    for (row, _) in films {
        row.group_id = groups.of(&row.group_id);
    }
}

/// Which groups are one.
#[derive(Default)]
struct Groups(HashMap<String, String>);

impl Groups {
    /// The name under which a group goes now.
    fn of(&self, group: &str) -> String {
        let mut name = group;
        while let Some(other) = self.0.get(name) {
            name = other;
        }
        name.to_owned()
    }

    fn join(&mut self, a: &str, b: &str) {
        let (a, b) = (self.of(a), self.of(b));
        if a != b {
            // The smaller name stays, whatever the order.
            let (stays, goes) = if a < b { (a, b) } else { (b, a) };
            self.0.insert(goes, stays);
        }
    }
}

/// Films by source and label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Source, then label, then films that repeat none.
    pub by_source: BTreeMap<String, BTreeMap<String, usize>>,
    /// Films that repeat another one.
    pub repeated: usize,
    /// Patients.
    pub groups: usize,
}

/// Counts the rows.
pub fn counts(rows: &[Row]) -> Counts {
    let mut counts = Counts::default();
    for row in rows {
        if row.near_duplicate_of.is_empty() {
            *counts.by_source.entry(row.source.clone()).or_default().entry(row.label.clone()).or_default() += 1;
        } else {
            counts.repeated += 1;
        }
    }
    counts.groups = rows.iter().map(|row| &row.group_id).collect::<std::collections::BTreeSet<_>>().len();
    counts
}

impl Counts {
    /// Films of a label from sources of a name, or from all but `kermany`, which has no COVID-19.
    fn of(&self, label: &str) -> usize {
        let from = |source: &&String| label == "covid" || *source == "kermany";
        self.by_source.iter().filter(|(source, _)| from(source)).filter_map(|(_, labels)| labels.get(label)).sum()
    }

    /// Films that the paper's data sets ask for and that are not there, by data set and label.
    pub fn missing(&self) -> Vec<(&'static str, &'static str, usize)> {
        let sets = [("Dataset_0", DATASET_0), ("Dataset_1", DATASET_1)];
        let missing = |(set, label, asked): (&'static str, &'static str, usize)| {
            Some((set, label, asked.saturating_sub(self.of(label)))).filter(|(_, _, missing)| *missing > 0)
        };
        sets.into_iter()
            .flat_map(|(set, labels)| labels.map(|(label, asked)| (set, label, asked)))
            .filter_map(missing)
            .collect()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<14}{}", "source", LABELS.map(|label| format!("{label:>11}")).concat())?;
        for (source, labels) in &self.by_source {
            let films = LABELS.map(|label| format!("{:>11}", labels.get(label).copied().unwrap_or(0)));
            writeln!(f, "{source:<14}{}", films.concat())?;
        }
        writeln!(f, "{} patients; {} films repeat another one and are not counted", self.groups, self.repeated)?;
        for (set, labels) in [("Dataset_0", DATASET_0), ("Dataset_1", DATASET_1)] {
            let told = labels.map(|(label, asked)| format!("{} of {asked} {label}", self.of(label).min(asked)));
            writeln!(f, "the paper's {set}: {}", told.join(", "))?;
        }
        for (set, label, missing) in self.missing() {
            let from = if label == "covid" { "COVID-19 collections" } else { "Kermany et al." };
            writeln!(f, "missing for {set}: {missing} {label}, from {from}; docs/training.md has the addresses")?;
        }
        Ok(())
    }
}

/// The index as CSV.
///
/// # Errors
/// Only what a writer into memory can meet.
pub fn to_csv(rows: &[Row]) -> Result<Vec<u8>, csv::Error> {
    let mut table = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| table.serialize(row))?;
    table.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn joined_groups_have_one_name_whatever_the_order(pairs in prop::collection::vec((0u8..12, 0u8..12), 0..30)) {
            let joined = |pairs: &[(u8, u8)]| {
                let mut groups = Groups::default();
                pairs.iter().for_each(|(a, b)| groups.join(&format!("g{a:02}"), &format!("g{b:02}")));
                (0u8..12).map(|group| groups.of(&format!("g{group:02}"))).collect::<Vec<_>>()
            };
            let names = joined(&pairs);
            for (a, b) in &pairs {
                prop_assert_eq!(&names[usize::from(*a)], &names[usize::from(*b)]);
            }
            let mut turned = pairs.clone();
            turned.reverse();
            prop_assert_eq!(joined(&turned), names);
        }
    }

    #[test]
    fn what_is_missing_for_the_paper_is_told() {
        let labels = |counts: &[(&str, usize)]| counts.iter().map(|(label, n)| ((*label).to_owned(), *n)).collect();
        let counts = Counts {
            by_source: BTreeMap::from([
                ("kermany".into(), labels(&[("normal", 1_575), ("bacterial", 400), ("viral", 1_493)])),
                ("cohen".into(), labels(&[("covid", 400), ("normal", 9_999)])),
                ("hannover".into(), labels(&[("covid", 56)])),
            ]),
            ..Counts::default()
        };
        assert_eq!(counts.missing(), [("Dataset_0", "bacterial", 2_372), ("Dataset_1", "bacterial", 100)]);
        let told = counts.to_string();
        assert!(told.contains("456 of 456 covid") && told.contains("missing for Dataset_1: 100 bacterial"), "{told}");
    }
}
