//! What the shipped model refuses of films that are no frontal chest films, and of frontal ones of hospitals that it has
//! not seen: the bars of docs/gate.md, held where the films are.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it expects by unwrapping")]

mod dicom_writer;
mod real_films;

use std::fs;
use std::path::{Path, PathBuf};

use chestlight::decode::{Limits, decode};
use chestlight::model::Model;
use chestlight::radiograph::Grey;
use chestlight::reading;
use chestlight::refusal::Refusal;
use chestlight::verdict::Verdict;
use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_writer::{EXPLICIT, Film};
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
        ("photographs", films(&outliers.join("photo"), 1), 1.0, 1.0),
        ("adults and children without finding", films(&frontal.join("nih/no_findings"), 4), 0.0, 0.08),
        ("COVID-19 of another collection", films(&frontal.join("covidcxnet/covid"), 10), 0.0, 0.08),
    ] {
        let share = refused(&model, &films);
        println!("{name}: {:.1}% of {} refused", share * 100.0, films.len());
        assert!((at_least..=at_most).contains(&share), "{name}: {share} of {}", films.len());
    }
}

#[test]
fn a_lateral_or_a_limb_whose_tags_say_frontal_chest_is_refused_by_its_pixels() {
    let test = "a_lateral_or_a_limb_whose_tags_say_frontal_chest_is_refused_by_its_pixels";
    let Some(outliers) = real_films::folder("not_frontal_chest", test) else { return };
    let model = Model::load(None).unwrap();
    let refusal = |film: &PathBuf| {
        let film = decode(&fs::read(film).unwrap(), &Limits::default()).unwrap();
        let Grey::U8(samples) = film.pixels() else { return None };
        let lying = Film::new(film.width() as u16, film.height() as u16, 8, 8)
            .text(tags::VIEW_POSITION, VR::CS, "PA")
            .text(tags::BODY_PART_EXAMINED, VR::CS, "CHEST")
            .pixels8(samples);
        match reading::read(&model, &lying.write(EXPLICIT), &Limits::default()).verdict {
            Verdict::Refused(refusal) => Some(refusal),
            _ => None,
        }
    };
    let by_pixels = |films: &[PathBuf]| {
        films
            .iter()
            .filter(|film| refusal(film).is_some_and(|it| it != Refusal::View && it != Refusal::BodyPart))
            .count()
    };
    let (laterals, limbs) = (films(&outliers.join("lateral"), 1), films(&outliers.join("limb_or_hip_xray"), 1));
    let found = by_pixels(&laterals);
    assert!(found * 10 >= laterals.len() * 7, "{found} of {} laterals", laterals.len());
    assert_eq!(by_pixels(&limbs), limbs.len(), "limbs");
}
