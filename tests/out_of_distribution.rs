//! What the shipped model refuses of films that are no frontal chest films, and of frontal ones of hospitals that it has
//! not seen: the bars of docs/gate.md, held where the films are.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by unwrapping")]

mod real_films;

use std::fs;
use std::path::{Path, PathBuf};

use chestlight::decode::Limits;
use chestlight::model::Model;
use chestlight::reading;
use chestlight::verdict::Verdict;
use walkdir::WalkDir;

/// Every `step`th film below a folder.
fn films(folder: &Path, step: usize) -> Vec<PathBuf> {
    let files = WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
    files.filter(|path| path.extension().is_some_and(|extension| extension != "csv")).step_by(step).collect()
}

fn refused(model: &Model, films: &[PathBuf]) -> f64 {
    let is_refused = |film: &&PathBuf| {
        let reading = reading::read(model, &fs::read(film).unwrap(), &Limits::default());
        matches!(reading.verdict, Verdict::Refused(_))
    };
    films.iter().filter(is_refused).count() as f64 / films.len() as f64
}

#[test]
fn other_films_are_refused_and_frontal_films_of_strange_hospitals_are_not() {
    let test = "other_films_are_refused_and_frontal_films_of_strange_hospitals_are_not";
    let folders = ["not_frontal_chest", "cxr"].map(|name| real_films::folder(name, test));
    let [Some(outliers), Some(frontal)] = folders else { return };
    let model = Model::load(None).unwrap();
    let laterals = films(&outliers.join("lateral"), 1);
    let mut others = films(&outliers, 1);
    others.retain(|film| !laterals.contains(film));
    for (name, films, at_least, at_most) in [
        ("laterals", laterals, 0.70, 1.0),
        ("other than frontal chests", others, 0.95, 1.0),
        ("adults and children without finding", films(&frontal.join("nih/no_findings"), 4), 0.0, 0.12),
        ("COVID-19 of another collection", films(&frontal.join("covidcxnet/covid"), 10), 0.0, 0.15),
    ] {
        let share = refused(&model, &films);
        assert!((at_least..=at_most).contains(&share), "{name}: {share} of {}", films.len());
    }
}
