//! The section `[stick]`: where a USB stick is mounted, and what goes onto it.

use std::path::{Path, PathBuf};

use super::{Reader, Section};
use crate::journal::Names;

/// A USB stick that is served when it is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stick {
    /// Where it is mounted, absolute.
    pub folder: PathBuf,
    /// Whether results on it tell file names and DICOM identifiers, which may name patients.
    pub names: Names,
    /// Whether heat maps, which show the films, go along.
    pub overlays: bool,
}

impl<'t> Reader<'t> {
    /// The section with what is wrong in it told; `None` where there is none, and then no stick is looked for.
    pub(super) fn stick(&mut self, root: &mut Section<'t>, base: &Path) -> Option<Stick> {
        if !root.table.contains_key("stick") {
            return None;
        }
        let mut section = self.section(root, "stick");
        let folder = self.path(&mut section, "folder", base).map(|folder| folder.path);
        let names = if self.truth(&mut section, "names", false) { Names::Told } else { Names::LeftOut };
        let overlays = self.truth(&mut section, "overlays", true);
        self.unknown(&section);
        Some(Stick { folder: folder.unwrap_or_else(|| "/run/chestlight-stick".into()), names, overlays })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn without_the_section_no_stick_is_looked_for_and_with_it_no_names_go_onto_one() {
        let parse = |stick: &str| Config::parse(&format!("inbox = 'a'\nstate = 'b'\n{stick}"), Path::new("/"));
        assert_eq!(parse("").unwrap().stick, None);
        let stick = parse("[stick]").unwrap().stick.unwrap();
        assert_eq!((stick.names, stick.overlays), (Names::LeftOut, true));
        assert_eq!(stick.folder, Path::new("/run/chestlight-stick"));
        let told = parse("[stick]\nfolder = 7\nnames = 'yes'\nlabel = 'X'").unwrap_err();
        assert_eq!(told.len(), 3, "{told:?}");
    }
}
