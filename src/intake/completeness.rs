//! Which files of a folder are complete, from what was seen of them. Pure.
//!
//! A half-copied film must not be taken: it would be refused as damaged, and the rest of it would be lost.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

/// A file that its writer neither closes nor changes is taken after so many looks in which nothing happened.
pub(super) const STALLED_LOOKS: u32 = 30;
/// Files that are kept in mind at a time; further ones are seen when these are gone.
pub(super) const MOST_FILES: usize = 10_000;

/// What a look sees of a file; it changes when the file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) inode: u64,
    pub(super) size: u64,
    /// Seconds and nanoseconds of the last change of the content.
    pub(super) modified: (i64, i64),
}

#[derive(Debug)]
struct Seen {
    stamp: Stamp,
    /// Looks in a row that found it unchanged.
    unchanged: u32,
    /// It was written to and not closed since, as far as is known.
    writing: bool,
    queued: bool,
}

impl Seen {
    fn new(stamp: Stamp) -> Self {
        Self { stamp, unchanged: 0, writing: false, queued: false }
    }
}

/// The files of a folder and the queue of those that are complete.
#[derive(Debug, Default)]
pub(super) struct Completeness {
    files: BTreeMap<PathBuf, Seen>,
    queue: VecDeque<PathBuf>,
}

impl Completeness {
    /// A local writer has written to the file: it is complete when it is closed.
    pub(super) fn written(&mut self, path: PathBuf, stamp: Stamp) {
        if let Some(seen) = self.seen(path, stamp) {
            seen.writing = true;
            seen.unchanged = 0;
        }
    }

    /// The file was closed after writing, or renamed into the folder: it is complete.
    ///
    /// An empty one is not: many programs make the name first and open it again to fill it.
    pub(super) fn closed(&mut self, path: PathBuf, stamp: Stamp) {
        let Some(seen) = self.seen(path.clone(), stamp) else { return };
        seen.writing = false;
        if stamp.size > 0 && !seen.queued {
            seen.queued = true;
            self.queue.push_back(path);
        }
    }

    /// Events were lost: nothing is known of writers any more, and only looks count.
    pub(super) fn lost(&mut self) {
        self.files.values_mut().for_each(|seen| seen.writing = false);
    }

    /// Takes in what a look at the whole folder saw. A file that is unchanged since the look before is complete;
    /// so is one that was queued before and is still there.
    pub(super) fn look(&mut self, found: &BTreeMap<PathBuf, Stamp>) {
        self.files.retain(|path, _| found.contains_key(path));
        for (path, stamp) in found {
            let known = self.files.contains_key(path);
            let Some(seen) = self.seen(path.clone(), *stamp) else { continue };
            seen.unchanged = if known && seen.stamp == *stamp { seen.unchanged.saturating_add(1) } else { 0 };
            seen.stamp = *stamp;
            let needed = if seen.writing { STALLED_LOOKS } else { 1 };
            if seen.unchanged >= needed && !seen.queued {
                seen.writing = false;
                seen.queued = true;
                self.queue.push_back(path.clone());
            }
        }
    }

    /// The file that has been complete for longest. If it is still there at the next look, it is queued again.
    pub(super) fn next(&mut self) -> Option<PathBuf> {
        while let Some(path) = self.queue.pop_front() {
            if let Some(seen) = self.files.get_mut(&path) {
                seen.queued = false;
                if !seen.writing {
                    return Some(path);
                }
            }
        }
        None
    }

    fn seen(&mut self, path: PathBuf, stamp: Stamp) -> Option<&mut Seen> {
        if self.files.len() >= MOST_FILES && !self.files.contains_key::<Path>(&path) {
            return None;
        }
        Some(self.files.entry(path).or_insert_with(|| Seen::new(stamp)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens to the one file of a test; numbers are its size.
    enum Step {
        Written(u64),
        Closed(u64),
        Look(u64),
        Looks(u32, u64),
        LookGone,
        Lost,
    }
    use Step::*;

    fn stamp(size: u64) -> Stamp {
        Stamp { inode: 1, size, modified: (0, 0) }
    }

    /// After which step the file is handed out; it then stays, as one that could not be taken.
    fn handed_out(steps: &[Step]) -> Vec<usize> {
        let path = PathBuf::from("film");
        let found = |size| BTreeMap::from([(path.clone(), stamp(size))]);
        let mut files = Completeness::default();
        let mut out = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            match *step {
                Written(size) => files.written(path.clone(), stamp(size)),
                Closed(size) => files.closed(path.clone(), stamp(size)),
                Look(size) => files.look(&found(size)),
                Looks(count, size) => (0..count).for_each(|_| files.look(&found(size))),
                LookGone => files.look(&BTreeMap::new()),
                Lost => files.lost(),
            }
            out.extend(files.next().map(|_| index));
            assert_eq!(files.next(), None, "a file is handed out once a look");
        }
        out
    }

    #[test]
    fn files_are_complete_when_closed_or_unchanged_over_two_looks() {
        let most = STALLED_LOOKS;
        for (name, steps, expected) in [
            ("closed", vec![Closed(9)], vec![0]),
            ("written and closed", vec![Written(4), Written(9), Closed(9)], vec![2]),
            ("seen once", vec![Look(9)], vec![]),
            ("seen twice", vec![Look(9), Look(9)], vec![1]),
            ("growing between looks", vec![Look(4), Look(8), Look(9), Look(9)], vec![3]),
            ("gone and back", vec![Look(9), LookGone, Look(9), Look(9)], vec![3]),
            (
                "a slow local writer",
                vec![Written(4), Look(4), Look(4), Look(4), Written(9), Look(9), Closed(9)],
                vec![6],
            ),
            ("closed, opened again", vec![Look(4), Written(4), Look(4), Closed(9)], vec![3]),
            ("empty and closed", vec![Closed(0)], vec![]),
            ("empty and closed, then filled", vec![Closed(0), Written(9), Closed(9)], vec![2]),
            ("empty for good", vec![Closed(0), Look(0)], vec![1]),
            ("a writer that never closes", vec![Written(9), Looks(most - 1, 9), Look(9)], vec![2]),
            ("events were lost", vec![Written(9), Look(9), Lost, Look(9)], vec![3]),
            ("not taken", vec![Closed(9), Look(9), Look(9)], vec![0, 1, 2]),
        ] {
            assert_eq!(handed_out(&steps), expected, "{name}");
        }
    }

    #[test]
    fn a_file_that_is_opened_again_while_it_waits_is_not_handed_out() {
        let mut files = Completeness::default();
        files.closed("a".into(), stamp(4));
        files.closed("b".into(), stamp(4));
        files.written("a".into(), stamp(5));
        assert_eq!(files.next(), Some("b".into()));
        assert_eq!(files.next(), None);
        files.closed("a".into(), stamp(9));
        assert_eq!(files.next(), Some("a".into()));
    }

    #[test]
    fn no_more_than_so_many_files_are_kept_in_mind() {
        let mut files = Completeness::default();
        for index in 0..MOST_FILES + 5 {
            files.closed(format!("{index}").into(), stamp(9));
        }
        assert_eq!(std::iter::from_fn(|| files.next()).count(), MOST_FILES);
    }
}
