//! One film on its way through the folders.

use super::*;

struct Folders {
    _root: tempfile::TempDir,
    inbox: PathBuf,
    state: PathBuf,
}

fn folders() -> Folders {
    let root = tempfile::tempdir().unwrap();
    let [inbox, state] = ["inbox", "state"].map(|name| root.path().join(name));
    fs::create_dir_all(inbox.join("sub")).unwrap();
    Folders { _root: root, inbox, state }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn film(taken: TakenIn) -> Film {
    match taken {
        TakenIn::Film(film) => film,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_film_moves_from_inbox_to_spool_to_archive() {
    let folders = folders();
    let spool = Spool::open(&folders.state).unwrap();
    let path = folders.inbox.join("sub/a.png");
    fs::write(&path, b"abc").unwrap();
    let film = film(spool.take_in(&path, &folders.inbox, 0).unwrap());
    assert!(!path.exists());
    assert_eq!(film.digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(spool.waiting().unwrap(), std::slice::from_ref(&film), "a restart finds the same film");
    assert_eq!(spool.bytes(&film, 3).unwrap(), b"abc");
    spool.settle(&film, Place { seq: 7, name: &film.name, reason: None }).unwrap();
    spool.settle(&film, Place { seq: 7, name: &film.name, reason: None }).unwrap();
    assert_eq!(names(&folders.state.join("archive")), ["000007-ba7816bf-sub__a.png"]);
    assert_eq!(names(&folders.state.join("spool")), [""; 0]);
}

#[test]
fn a_film_that_somebody_takes_out_of_the_spool_keeps_no_other_one_waiting() {
    let folders = folders();
    let spool = Spool::open(&folders.state).unwrap();
    let path = folders.inbox.join("a.png");
    fs::write(&path, b"abc").unwrap();
    let taken = film(spool.take_in(&path, &folders.inbox, 0).unwrap());
    fs::remove_file(&taken.path).unwrap();
    assert_eq!(spool.bytes(&taken, 3).unwrap_err().0, Refusal::Unreadable);
    spool.settle(&taken, Place { seq: 1, name: &taken.name, reason: Some("why") }).unwrap();
    fs::remove_dir_all(&folders.state).unwrap();
    assert!(spool.settle(&taken, Place { seq: 1, name: &taken.name, reason: None }).is_err());
}

#[test]
fn what_cannot_be_read_is_refused_with_the_reason() {
    let folders = folders();
    let spool = Spool::open(&folders.state).unwrap();
    let path = folders.inbox.join("a.png");
    fs::write(&path, b"abc").unwrap();
    let taken = film(spool.take_in(&path, &folders.inbox, 0).unwrap());
    assert_eq!(spool.bytes(&taken, 2).unwrap_err().0, Refusal::TooManyBytes);
    fs::write(&taken.path, b"abd").unwrap();
    assert_eq!(spool.bytes(&taken, 3).unwrap_err().0, Refusal::Unreadable);

    let secret = folders.inbox.join("secret");
    fs::write(&secret, b"not for the archive").unwrap();
    let link = folders.inbox.join("link.png");
    std::os::unix::fs::symlink(&secret, &link).unwrap();
    let taken = film(spool.take_in(&link, &folders.inbox, 0).unwrap());
    assert_eq!(spool.bytes(&taken, 3).unwrap_err().0, Refusal::NotAFile);
    spool.settle(&taken, Place { seq: 1, name: &taken.name, reason: Some("why") }).unwrap();
    let moved = folders.state.join("refused").join(format!("000001-{}-link.png", &taken.digest[..8]));
    assert!(fs::symlink_metadata(&moved).unwrap().is_symlink(), "the link was moved, not followed");
    assert_eq!(fs::read_to_string(format!("{}.reason.txt", moved.display())).unwrap(), "why");
    assert!(!link.exists() && secret.exists());
}

#[test]
fn a_full_disc_leaves_the_film_in_the_inbox() {
    let folders = folders();
    let spool = Spool::open(&folders.state).unwrap();
    let path = folders.inbox.join("a.png");
    fs::write(&path, b"abc").unwrap();
    let refused = spool.take_in(&path, &folders.inbox, u64::MAX);
    assert!(matches!(refused, Err(SpoolError::NoRoom { .. })), "{refused:?}");
    assert!(path.exists() && spool.waiting().unwrap().is_empty());
}

#[test]
fn one_state_folder_has_one_owner() {
    let folders = folders();
    let first = Spool::open(&folders.state).unwrap();
    assert!(matches!(Spool::open(&folders.state), Err(SpoolError::InUse { .. })));
    drop(first);
    Spool::open(&folders.state).unwrap();
}

#[test]
fn the_film_in_hand_is_counted_and_comes_first() {
    let folders = folders();
    let spool = Spool::open(&folders.state).unwrap();
    let films: Vec<Film> = ["a", "b", "c"]
        .iter()
        .map(|name| {
            let path = folders.inbox.join(name);
            fs::write(&path, name).unwrap();
            film(spool.take_in(&path, &folders.inbox, 0).unwrap())
        })
        .collect();
    spool.mark_in_hand(&films[2], 2).unwrap();
    assert_eq!(films.iter().map(|film| spool.times_in_hand(film)).collect::<Vec<_>>(), [0, 0, 2]);
    assert_eq!(spool.waiting().unwrap()[0], films[2]);
    spool.unmark().unwrap();
    spool.unmark().unwrap();
    assert_eq!(spool.times_in_hand(&films[2]), 0);
}
