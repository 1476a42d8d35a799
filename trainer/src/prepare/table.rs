//! Any table of films: a clinic's own, or another collection's.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::str::FromStr;

use super::{Found, LABELS, LeftOut, PrepareError};

/// The index's names of the columns that are read, and whether a table must have them.
const READ: [(&str, bool); 8] = [
    ("file", true),
    ("label", true),
    ("group_id", true),
    ("source", false),
    ("licence", false),
    ("view", false),
    ("age", false),
    ("sex", false),
];

/// What the columns are called in the table, by what they are called in the index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns(BTreeMap<String, String>);

impl FromStr for Columns {
    type Err = String;

    /// `file=path,group_id=patient`.
    fn from_str(text: &str) -> Result<Self, String> {
        let names = READ.map(|(name, _)| name);
        let pair = |pair: &str| match pair.split_once('=') {
            Some((ours, theirs)) if names.contains(&ours) && !theirs.is_empty() => Ok((ours.into(), theirs.into())),
            _ => Err(format!("{pair:?} is not NAME=COLUMN with a NAME of {}", names.join(", "))),
        };
        text.split(',').map(pair).collect::<Result<_, _>>().map(Self)
    }
}

/// Reads a table; files are named from its own folder.
pub(super) fn gather(
    path: &Path,
    columns: &Columns,
    found: &mut Vec<Found>,
    left_out: &mut Vec<LeftOut>,
) -> Result<(), PrepareError> {
    let wrong = |why: String| PrepareError::Table { path: path.to_owned(), why };
    let mut table = csv::Reader::from_path(path).map_err(|error| wrong(error.to_string()))?;
    let head = table.headers().map_err(|error| wrong(error.to_string()))?.clone();
    let places: HashMap<&str, usize> = head.iter().enumerate().map(|(place, name)| (name.trim(), place)).collect();
    let theirs = |ours: &str| columns.0.get(ours).cloned().unwrap_or_else(|| ours.into());
    for (ours, needed) in READ {
        let asked = needed || columns.0.contains_key(ours);
        if asked && !places.contains_key(theirs(ours).as_str()) {
            let why = if ours == "group_id" {
                " (the patient: without it a split cannot keep patients together)"
            } else {
                ""
            };
            return Err(wrong(format!(
                "has no column {}{why}; --columns {ours}=NAME tells another name",
                theirs(ours)
            )));
        }
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let stem = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    for (number, row) in table.records().enumerate() {
        let line = number + 2;
        let row = row.map_err(|error| wrong(error.to_string()))?;
        let cell = |ours: &str| {
            let place = places.get(theirs(ours).as_str());
            place.and_then(|place| row.get(*place)).unwrap_or("").trim().to_owned()
        };
        let (film, label, group) = (folder.join(cell("file")), cell("label"), cell("group_id"));
        let why = match () {
            () if !LABELS.contains(&label.as_str()) => {
                Some(format!("label {label:?} is none of {}", LABELS.join(", ")))
            }
            () if group.is_empty() => Some("tells no patient".into()),
            () if !film.is_file() => Some(format!("{} is not there", film.display())),
            () => None,
        };
        if let Some(why) = why {
            left_out.push(LeftOut { what: format!("{}, line {line}", path.display()), why, wrong: true });
            continue;
        }
        let source = Some(cell("source")).filter(|source| !source.is_empty()).unwrap_or_else(|| stem.clone());
        found.push(Found {
            path: film,
            label,
            // An index that comes in again keeps the groups that joined its sources.
            group,
            source,
            licence: Some(cell("licence")).filter(|it| !it.is_empty()).unwrap_or_else(|| "not stated".into()),
            view: cell("view"),
            age: cell("age"),
            sex: cell("sex"),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_told_by_the_names_of_the_index() {
        let columns: Columns = "file=path,group_id=patient".parse().unwrap();
        assert_eq!(columns.0.get("group_id").map(String::as_str), Some("patient"));
        for wrong in ["file", "path=file", "file=", ""] {
            assert!(wrong.parse::<Columns>().unwrap_err().contains("NAME=COLUMN"), "{wrong}");
        }
    }
}
