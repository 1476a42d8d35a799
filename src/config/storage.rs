//! The section `[storage]`: how long films stay on the disc.

use std::time::Duration;

use super::{MIB, Reader, Section};
use crate::retention::Policy;

/// Seconds of a day.
const DAY: u64 = 86_400;

impl<'t> Reader<'t> {
    /// The section with what is wrong in it told; without it no film is ever removed. `min_free` is what must stay free
    /// for films to be taken in at all, MiB.
    pub(super) fn storage(&mut self, root: &mut Section<'t>, min_free: u64) -> Policy {
        let mut section = self.section(root, "storage");
        let at = section.table.get("keep_free_mib").map(|value| value.span().start);
        let mut number = |key, most| match self.whole_number(&mut section, key, 1..=most, 0) {
            0 => None,
            number => Some(number),
        };
        let max_age = number("max_age_days", 36_500);
        let max_films = number("max_films", 10_000_000);
        let keep_free = number("keep_free_mib", 1 << 20);
        let keep_unexported = self.truth(&mut section, "keep_unexported", true);
        let keep_unreviewed = self.truth(&mut section, "keep_unreviewed", false);
        self.unknown(&section);
        if let (Some(at), Some(keep_free)) = (at, keep_free)
            && keep_free <= min_free
        {
            let wrong =
                format!("must be more than `min_free_mib`, {min_free}: with less space free no film is taken in");
            self.problem(at, section.key("keep_free_mib"), wrong);
        }
        Policy {
            max_age: max_age.map(|days| Duration::from_secs(days * DAY)),
            max_films: max_films.and_then(|films| films.try_into().ok()),
            keep_free: keep_free.map(|free| free * MIB),
            keep_unexported,
            keep_unreviewed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn parse(storage: &str) -> Result<Policy, String> {
        let told = |problems: Vec<_>| problems.iter().map(|it: &crate::config::Problem| format!("{it}\n")).collect();
        let text = format!("inbox = 'a'\nstate = 'b'\n{storage}");
        Config::parse(&text, Path::new("/")).map(|config| config.storage).map_err(told)
    }

    #[test]
    fn without_the_section_nothing_is_removed_and_with_it_what_was_not_exported_stays() {
        let policy = parse("").unwrap();
        assert_eq!((policy.max_age, policy.max_films, policy.keep_free), (None, None, None));
        let policy = parse("[storage]\nmax_age_days = 2\nkeep_free_mib = 300").unwrap();
        assert_eq!(policy.max_age, Some(Duration::from_secs(172_800)));
        assert_eq!(policy.keep_free, Some(300 << 20));
        assert!(policy.keep_unexported && !policy.keep_unreviewed);
    }

    #[test]
    fn every_mistake_in_the_section_is_told_at_once() {
        let told = parse("[storage]\nmax_age_days = 0\nkeep_free_mib = 256\nkeep_unreviewed = 1\nmax_gib = 3\n");
        let told = told.unwrap_err();
        for line in [
            "line 4: storage.max_age_days: must be a whole number from 1 to 36500, not 0",
            "line 5: storage.keep_free_mib: must be more than `min_free_mib`, 256: with less space free no film is taken in",
            "line 6: storage.keep_unreviewed: must be true or false",
            "line 7: storage.max_gib: is not a known key",
        ] {
            assert!(told.contains(line), "{told}");
        }
    }
}
