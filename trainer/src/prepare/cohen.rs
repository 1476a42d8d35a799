//! Cohen et al. 2020 (arXiv:2006.11988): `metadata.csv` with a row for each film, and the films below it. Only
//! frontal radiographs are taken.

use std::collections::HashMap;
use std::path::Path;

use super::{Found, LeftOut, PrepareError};

/// Views from the front or the back, as the table writes them.
const FRONTAL: [&str; 5] = ["PA", "AP", "AP SUPINE", "AP ERECT", "AP SEMI ERECT"];

/// Germs as older versions of the table name them without their kind.
const BACTERIA: [&str; 9] = [
    "bacterial",
    "streptococcus",
    "klebsiella",
    "legionella",
    "e.coli",
    "mycoplasma",
    "chlamydophila",
    "nocardia",
    "staphylococcus",
];
const VIRUSES: [&str; 6] = ["viral", "sars", "mers", "influenza", "varicella", "herpes"];

/// Reads `metadata.csv` of a folder.
pub(super) fn gather(folder: &Path, found: &mut Vec<Found>, left_out: &mut Vec<LeftOut>) -> Result<(), PrepareError> {
    let path = folder.join("metadata.csv");
    let wrong = |why: String| PrepareError::Table { path: path.clone(), why };
    let mut table =
        csv::ReaderBuilder::new().flexible(true).from_path(&path).map_err(|error| wrong(error.to_string()))?;
    let head = table.headers().map_err(|error| wrong(error.to_string()))?.clone();
    let places: HashMap<&str, usize> = head.iter().enumerate().map(|(place, name)| (name.trim(), place)).collect();
    for needed in ["patientid", "finding", "view", "modality", "filename"] {
        if !places.contains_key(needed) {
            return Err(wrong(format!("has no column {needed}")));
        }
    }
    for (number, row) in table.records().enumerate() {
        let line = number + 2;
        let row = row.map_err(|error| wrong(error.to_string()))?;
        let cell = |name: &str| places.get(name).and_then(|place| row.get(*place)).unwrap_or("").trim().to_owned();
        let what = format!("{}, line {line}", path.display());
        let mut leave = |why: String, wrong: bool| left_out.push(LeftOut { what: what.clone(), why, wrong });
        let (modality, view) = (cell("modality"), cell("view"));
        if !modality.eq_ignore_ascii_case("X-ray") {
            leave(format!("is of modality {modality:?}, no radiograph"), false);
            continue;
        }
        if !FRONTAL.contains(&view.to_uppercase().as_str()) {
            leave(format!("has view {view:?}, not a frontal one"), false);
            continue;
        }
        let inside = Some(cell("folder")).filter(|folder| !folder.is_empty()).unwrap_or_else(|| "images".into());
        let film = folder.join(inside).join(cell("filename"));
        if !film.is_file() {
            leave(format!("{} is not there", film.display()), true);
            continue;
        }
        found.push(Found {
            path: film,
            label: label(&cell("finding")).into(),
            source: "cohen".into(),
            group: format!("cohen-{}", cell("patientid")),
            licence: Some(cell("license")).filter(|it| !it.is_empty()).unwrap_or_else(|| "not stated".into()),
            view,
            age: cell("age"),
            sex: cell("sex"),
        });
    }
    Ok(())
}

/// Today's table writes `Pneumonia/Viral/COVID-19`, older ones `COVID-19, ARDS`.
fn label(finding: &str) -> &'static str {
    let finding = finding.to_lowercase();
    let tells = |words: &[&str]| words.iter().any(|word| finding.contains(word));
    match () {
        () if tells(&["covid-19"]) => "covid",
        () if tells(&VIRUSES) => "viral",
        () if tells(&BACTERIA) => "bacterial",
        () if tells(&["no finding"]) => "normal",
        () => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_of_either_age_of_the_table_become_labels() {
        for (finding, expected) in [
            ("Pneumonia/Viral/COVID-19", "covid"),
            ("COVID-19, ARDS", "covid"),
            ("Pneumonia/Viral/SARS", "viral"),
            ("SARS", "viral"),
            ("Pneumonia/Bacterial/Streptococcus", "bacterial"),
            ("Streptococcus", "bacterial"),
            ("No Finding", "normal"),
            ("Pneumonia/Fungal/Pneumocystis", "other"),
            ("Tuberculosis", "other"),
            ("todo", "other"),
        ] {
            assert_eq!(label(finding), expected, "{finding}");
        }
    }
}
