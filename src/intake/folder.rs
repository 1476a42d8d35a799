//! A watched folder: inotify tells at once, and a periodic look finds what inotify has missed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use walkdir::WalkDir;

use super::completeness::{Completeness, MOST_FILES, Stamp};

/// What inotify told of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A local process wrote to the file.
    Written(PathBuf),
    /// The file was closed after writing, or renamed in.
    Closed(PathBuf),
    /// Events were lost.
    Lost,
}

/// Takes what inotify tells; called on the watcher's own thread.
type Send = Arc<dyn Fn(Change) + std::marker::Send + Sync>;

/// A watched folder with its subfolders. Names that begin with a dot are passed over, and so is the index `DICOMDIR` of
/// a medium with DICOM films, whose films are found by walking; links are not followed.
pub struct Folder {
    inbox: PathBuf,
    send: Send,
    files: Completeness,
    /// Device and inode of the folder that is watched; the watch does not follow the path.
    watched: Option<(u64, u64)>,
    watcher: Option<RecommendedWatcher>,
    /// What was last said about a part that cannot be listed, so that it is said once.
    unlisted: Option<io::ErrorKind>,
    /// Indices that the last look passed over.
    indices: usize,
}

impl Folder {
    /// A folder whose changes go to `send`. Nothing is watched before the first [`Folder::look`].
    pub fn new(inbox: PathBuf, send: impl Fn(Change) + std::marker::Send + Sync + 'static) -> Self {
        Self {
            inbox,
            send: Arc::new(send),
            files: Completeness::default(),
            watched: None,
            watcher: None,
            unlisted: None,
            indices: 0,
        }
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.inbox
    }

    /// Looks at the whole folder; begins to watch it where it is not watched, and again if it was exchanged.
    ///
    /// # Errors
    /// The folder itself cannot be listed.
    pub fn look(&mut self) -> io::Result<()> {
        let folder = fs::metadata(&self.inbox)?;
        fs::read_dir(&self.inbox)?;
        let identity = (folder.dev(), folder.ino());
        if self.watched != Some(identity) {
            self.watched = Some(identity);
            self.watch();
        }
        let mut found = BTreeMap::new();
        let mut unlisted = None;
        let mut indices = 0;
        let visible = WalkDir::new(&self.inbox).min_depth(1).into_iter().filter_entry(|it| {
            indices += usize::from(is_index(it.file_name()));
            !is_passed_over(it.file_name())
        });
        for entry in visible {
            match entry.and_then(|entry| Ok((entry.metadata()?, entry.into_path()))) {
                Ok((metadata, _)) if metadata.is_dir() => {}
                Ok((metadata, path)) => drop(found.insert(path, stamp(&metadata))),
                Err(error) => {
                    let kind = error.io_error().map_or(io::ErrorKind::Other, io::Error::kind);
                    if kind != io::ErrorKind::NotFound {
                        unlisted = Some(kind);
                    }
                }
            }
            if found.len() >= MOST_FILES {
                break;
            }
        }
        if indices != self.indices {
            self.indices = indices;
            log::info!("{indices} DICOMDIR indices lie in the inbox and are passed over");
        }
        if unlisted != self.unlisted {
            self.unlisted = unlisted;
            if let Some(kind) = unlisted {
                log::warn!("a part of the inbox cannot be listed and is passed over: {kind}");
            }
        }
        self.files.look(&found);
        Ok(())
    }

    fn watch(&mut self) {
        let send = Arc::clone(&self.send);
        let handler = move |event| {
            if let Some(change) = translate(event) {
                send(change);
            }
        };
        let config = notify::Config::default().with_follow_symlinks(false);
        let watched = RecommendedWatcher::new(handler, config)
            .and_then(|mut watcher| watcher.watch(&self.inbox, RecursiveMode::Recursive).map(|()| watcher));
        // The error's own text has paths in it.
        self.watcher = watched
            .inspect_err(|error| {
                log::warn!("inotify cannot be had ({:?}); films are found by looking alone", error.kind);
            })
            .ok();
    }

    /// Takes in what inotify told.
    pub fn note(&mut self, change: Change) {
        let (path, closed) = match change {
            Change::Written(path) => (path, false),
            Change::Closed(path) => (path, true),
            Change::Lost => return self.files.lost(),
        };
        let Ok(below) = path.strip_prefix(&self.inbox) else { return };
        if below.iter().any(is_passed_over) {
            return;
        }
        match fs::symlink_metadata(&path) {
            Ok(metadata) if !metadata.is_dir() && closed => self.files.closed(path, stamp(&metadata)),
            Ok(metadata) if !metadata.is_dir() => self.files.written(path, stamp(&metadata)),
            // A folder that was moved in is walked at the next look; what is gone is gone.
            _ => {}
        }
    }

    /// The next complete file.
    pub fn next_complete(&mut self) -> Option<PathBuf> {
        self.files.next()
    }
}

fn translate(event: notify::Result<Event>) -> Option<Change> {
    let Ok(event) = event else { return Some(Change::Lost) };
    if event.need_rescan() {
        return Some(Change::Lost);
    }
    let path = event.paths.into_iter().next()?;
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Some(Change::Closed(path)),
        EventKind::Modify(ModifyKind::Data(_)) => Some(Change::Written(path)),
        _ => None,
    }
}

/// Whether a file or folder of this name holds no films: a hidden one, or the index of a medium.
pub fn is_passed_over(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".") || is_index(name)
}

/// PS3.10 8.6: the file of this name lists what the medium holds, and is no film.
fn is_index(name: &OsStr) -> bool {
    name.eq_ignore_ascii_case("DICOMDIR")
}

fn stamp(metadata: &Metadata) -> Stamp {
    Stamp { inode: metadata.ino(), size: metadata.size(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn looks_walk_subfolders_pass_over_dotfiles_and_indices_and_follow_no_links() {
        let root = tempfile::tempdir().unwrap();
        let (inbox, elsewhere) = (root.path().join("inbox"), root.path().join("elsewhere"));
        for folder in ["a/b", ".hidden", "a/.hidden"] {
            fs::create_dir_all(inbox.join(folder)).unwrap();
        }
        fs::create_dir(&elsewhere).unwrap();
        for file in
            ["1.png", "a/2.png", "a/b/3.png", ".4.png", "DICOMDIR", "a/dicomdir", ".hidden/5.png", "a/.hidden/6.png"]
        {
            fs::write(inbox.join(file), "film").unwrap();
        }
        fs::write(elsewhere.join("7.png"), "film").unwrap();
        symlink(&elsewhere, inbox.join("link")).unwrap();

        let mut folder = Folder::new(inbox.clone(), |_| {});
        folder.look().unwrap();
        folder.look().unwrap();
        let found: Vec<PathBuf> = std::iter::from_fn(|| folder.next_complete()).collect();
        assert_eq!(found, ["1.png", "a/2.png", "a/b/3.png", "link"].map(|name| inbox.join(name)));
    }

    #[test]
    fn inotify_tells_of_closed_and_renamed_files_also_in_new_subfolders_and_in_an_exchanged_inbox() {
        let root = tempfile::tempdir().unwrap();
        let inbox = root.path().join("inbox");
        fs::create_dir(&inbox).unwrap();
        let (sender, changes) = std::sync::mpsc::channel();
        let mut folder = Folder::new(inbox.clone(), move |change| drop(sender.send(change)));
        let wait_for = |folder: &mut Folder, path: &Path| {
            let closed = Change::Closed(path.to_owned());
            while let Ok(change) = changes.recv_timeout(std::time::Duration::from_secs(20)) {
                folder.note(change.clone());
                if change == closed {
                    return;
                }
            }
            panic!("nothing was told of {}", path.display());
        };
        folder.look().unwrap();

        fs::write(inbox.join("1.png"), "film").unwrap();
        wait_for(&mut folder, &inbox.join("1.png"));
        assert_eq!(folder.next_complete(), Some(inbox.join("1.png")));

        fs::write(root.path().join("2.png"), "film").unwrap();
        fs::rename(root.path().join("2.png"), inbox.join("2.png")).unwrap();
        wait_for(&mut folder, &inbox.join("2.png"));
        assert_eq!(folder.next_complete(), Some(inbox.join("2.png")));

        fs::rename(&inbox, root.path().join("old")).unwrap();
        assert!(folder.look().is_err());
        fs::create_dir(&inbox).unwrap();
        folder.look().unwrap();
        fs::write(inbox.join("3.png"), "film").unwrap();
        wait_for(&mut folder, &inbox.join("3.png"));
        assert_eq!(folder.next_complete(), Some(inbox.join("3.png")));
    }
}
