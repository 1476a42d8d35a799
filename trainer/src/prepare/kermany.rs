//! Kermany et al. 2018 (DOI 10.17632/rscbjbr9sj): folders `train`, `test` and `val` with `NORMAL` and `PNEUMONIA`, in
//! either naming: `person12_virus_34.jpeg` and `IM-0115-0001.jpeg`, or `VIRUS-1234567-0001.jpeg`.

use std::path::Path;

use walkdir::WalkDir;

use super::{Found, LeftOut, PrepareError};

const LICENCE: &str = "CC BY 4.0";
const AGE: &str = "paediatric 1-5y (dataset statement)";

/// Finds the films below a folder; folders of other names in between, and what archives and systems leave behind,
/// are passed over.
pub(super) fn gather(folder: &Path, found: &mut Vec<Found>, left_out: &mut Vec<LeftOut>) -> Result<(), PrepareError> {
    let before = found.len();
    let hidden = |name: &str| name.starts_with('.') || name == "__MACOSX";
    let films = WalkDir::new(folder).sort_by_file_name().into_iter();
    for entry in films.filter_entry(|entry| entry.depth() == 0 || !hidden(&entry.file_name().to_string_lossy())) {
        let entry = entry.map_err(|error| PrepareError::Read { path: folder.to_owned(), source: error.into() })?;
        if !entry.file_type().is_file() {
            continue;
        }
        let path = entry.path();
        let inside = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().to_uppercase());
        let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let Some(inside) = inside.filter(|inside| inside == "NORMAL" || inside == "PNEUMONIA") else { continue };
        match named(&name, inside == "NORMAL") {
            Some((label, patient)) => found.push(Found {
                path: path.to_owned(),
                label: label.into(),
                source: "kermany".into(),
                group: format!("kermany-{patient}"),
                licence: LICENCE.into(),
                view: "AP".into(),
                age: AGE.into(),
                sex: String::new(),
            }),
            None => left_out.push(LeftOut {
                what: path.display().to_string(),
                why: "its name tells neither bacteria nor virus".into(),
                wrong: true,
            }),
        }
    }
    if found.len() == before {
        return Err(PrepareError::Nothing { path: folder.to_owned(), what: "folder NORMAL or PNEUMONIA with films" });
    }
    Ok(())
}

/// Label and patient. One number stands for several children; they are one group, which errs on the safe side.
fn named(name: &str, normal: bool) -> Option<(&'static str, String)> {
    let lower = name.to_lowercase();
    if normal {
        // All but the last number, which counts the films of the patient: IM-0115-0001, NORMAL2-IM-1427-0001.
        let patient = name.split("-0").next().filter(|_| !name.contains("IM-")).map(str::to_owned);
        let numbered = || {
            let start = name.find("IM-")?;
            let number = name.get(start + 3..)?.split('-').next()?;
            Some(format!("{}IM-{number}", name.get(..start)?))
        };
        return Some(("normal", patient.or_else(numbered).unwrap_or_else(|| name.to_owned())));
    }
    let label = match () {
        () if lower.contains("bacteria") => "bacterial",
        () if lower.contains("virus") => "viral",
        () => return None,
    };
    let patient = match lower.strip_prefix("person") {
        Some(rest) => format!("person{}", rest.split('_').next()?),
        None => name.split('-').nth(1)?.to_owned(),
    };
    Some((label, patient))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_label_and_patient() {
        for (name, normal, expected) in [
            ("person12_virus_34", false, Some(("viral", "person12"))),
            ("person12_bacteria_35", false, Some(("bacterial", "person12"))),
            ("BACTERIA-1008087-0001", false, Some(("bacterial", "1008087"))),
            ("VIRUS-9815549-0003", false, Some(("viral", "9815549"))),
            ("IM-0115-0001", true, Some(("normal", "IM-0115"))),
            ("NORMAL2-IM-1427-0001", true, Some(("normal", "NORMAL2-IM-1427"))),
            ("NORMAL2-IM-0173-0001-0002", true, Some(("normal", "NORMAL2-IM-0173"))),
            ("NORMAL-9251824-0001", true, Some(("normal", "NORMAL-9251824"))),
            ("person12", false, None),
            ("", false, None),
            ("virus", false, None),
        ] {
            let found = named(name, normal);
            assert_eq!(found.as_ref().map(|(label, patient)| (*label, patient.as_str())), expected, "{name}");
        }
    }
}
