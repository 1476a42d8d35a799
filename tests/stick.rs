//! A USB stick: its films are taken and stay on it, results are on it whole or count for nothing, and it may be pulled
//! at any moment.
//!
//! On a file system in a file, which only root can mount; elsewhere it says so and is skipped.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

mod running_unit;
mod signed;
mod skipping;

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use chestlight::clock::Clock;
use chestlight::journal::{Entry, Journal, Names};
use chestlight::model::{Manifest, TrustedKeys, shipped};
use chestlight::reading::Reading;
use chestlight::refusal::Refusal;
use chestlight::stick::{self, Export};
use image::ImageFormat;
use running_unit::{Site, digest, film};
use signed::Signer;
use skipping::skip;

/// A file with a file system in it, and where it is mounted.
struct Stick {
    image: PathBuf,
    place: PathBuf,
}

impl Stick {
    /// A stick as it is sold, or with ext4 where the kernel has no FAT; `None` where nothing can be mounted.
    fn new(site: &Site) -> Option<Self> {
        let stick = Self { image: site.path("stick.img"), place: site.path("mnt/stick") };
        fs::create_dir_all(&stick.place).unwrap();
        for (make, options) in [("mkfs.vfat", &["-n", "CHESTLIGHT"][..]), ("mkfs.ext4", &["-q", "-L", "CHESTLIGHT"])] {
            File::create(&stick.image).unwrap().set_len(32 << 20).unwrap();
            let made = Command::new(make).args(options).arg(&stick.image).output();
            if made.is_ok_and(|output| output.status.success()) && stick.plug() {
                println!("a stick made by {make}");
                stick.pull();
                return Some(stick);
            }
        }
        skip("a USB stick", "no file system can be mounted here");
        None
    }

    fn plug(&self) -> bool {
        let mounted = Command::new("mount").args(["-o", "loop"]).args([&self.image, &self.place]).output();
        mounted.is_ok_and(|output| output.status.success())
    }

    /// Away from one moment to the next, whoever is reading or writing.
    fn pull(&self) {
        let gone = Command::new("umount").arg("-l").arg(&self.place).status().unwrap();
        assert!(gone.success());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    fn results(&self) -> Vec<PathBuf> {
        let Ok(folders) = fs::read_dir(self.path(stick::RESULTS)) else { return Vec::new() };
        let whole =
            |folder: &PathBuf| fs::read_to_string(folder.join("SHA256SUMS")).is_ok_and(|it| it.ends_with("jsonl\n"));
        folders.flatten().map(|entry| entry.path()).filter(whole).collect()
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        // It may not be mounted.
        let _ = Command::new("umount").arg("-l").arg(&self.place).output();
    }
}

const CONFIGURED: &str = "[stick]\nfolder = 'mnt/stick'";

#[test]
fn films_come_from_a_stick_and_stay_on_it_and_results_go_onto_it_without_names() {
    let site = Site::new(CONFIGURED);
    let Some(stick) = Stick::new(&site) else { return };
    let good = film(1, ImageFormat::Png);
    assert!(stick.plug());
    fs::create_dir_all(stick.path("inbox/ward")).unwrap();
    fs::write(stick.path("inbox/Jane Doe.png"), &good).unwrap();
    fs::write(stick.path("inbox/ward/b.png"), b"no film").unwrap();
    fs::write(stick.path("inbox/.hidden.png"), b"not looked at").unwrap();
    fs::write(stick.path("inbox/DICOMDIR"), b"an index, and no film").unwrap();
    let _ = symlink("/etc/passwd", stick.path("inbox/link.png"));
    stick.pull();

    let mut unit = site.start();
    unit.wait_until_ready();
    assert!(stick.plug());
    unit.wait_for("reading 1 of");
    unit.wait_for("reading 2 of");
    unit.wait_until_ready();
    assert_eq!(fs::read(stick.path("inbox/Jane Doe.png")).unwrap(), good, "the original stays");
    site.wait_until(|| site.log().contains("results up to row 2 were written onto a stick"));
    let results = stick.results();
    assert_eq!(results.len(), 1, "{results:?}");
    let sums = Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&results[0]).output();
    assert!(sums.unwrap().status.success());
    let overlay = results[0].join(format!("overlays/000001-{}.png", &digest(&good)[..8]));
    assert!(image::open(overlay).is_ok());
    for name in ["readings.csv", "readings.jsonl"] {
        let text = fs::read_to_string(results[0].join(name)).unwrap();
        assert!(!text.contains("Jane") && text.contains(&digest(&good)) && text.contains("not a diagnosis"), "{text}");
    }
    stick.pull();
    let exported = || Journal::open_read_only(&site.path("state/journal.db")).unwrap().exported().unwrap();
    site.wait_until(|| exported() == 2);

    let films: [(&str, &[u8]); 2] = [("Jane Doe.png", &good), ("ward__b.png", b"no film")];
    unit.stop();
    let rows = site.assert_at_rest(&films);
    assert_eq!(rows[0].file_name, "Jane Doe.png");

    // Nothing new: nothing is written.
    let unit = site.start();
    let served = site.log().matches("a stick was served").count();
    assert!(stick.plug());
    site.wait_until(|| site.log().matches("a stick was served").count() > served);
    unit.stop();
    assert_eq!(stick.results().len(), 1);
    assert_eq!(site.rows().len(), 2, "known films are not taken again");
}

#[test]
fn a_stick_that_is_pulled_while_films_are_taken_costs_no_film_and_goes_on_when_it_is_back() {
    let site = Site::new(CONFIGURED);
    let Some(stick) = Stick::new(&site) else { return };
    assert!(stick.plug());
    fs::create_dir(stick.path("inbox")).unwrap();
    let films: Vec<(String, Vec<u8>)> = (0..40)
        .map(|number| (format!("{number:02}.png"), format!("no film {number}").repeat(20_000).into_bytes()))
        .collect();
    for (name, bytes) in &films {
        fs::write(stick.path("inbox").join(name), bytes).unwrap();
    }
    stick.pull();
    let mut unit = site.start();
    unit.wait_until_ready();
    for _ in 0..3 {
        let before = site.rows().len();
        assert!(stick.plug());
        site.wait_until(|| site.rows().len() > before);
        let gone = site.log().matches("no stick is there").count();
        stick.pull();
        site.wait_until(|| site.log().matches("no stick is there").count() > gone);
        unit.wait_for("ready, but CHECK");
    }
    assert!(stick.plug());
    site.wait_until(|| site.rows().len() == films.len());
    site.wait_until_settled();
    unit.wait_until_ready();
    unit.stop();
    let films: Vec<(&str, &[u8])> = films.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    site.assert_at_rest(&films);
    let left = films.iter().filter(|(name, bytes)| fs::read(stick.path("inbox").join(name)).unwrap() == *bytes);
    assert_eq!(left.count(), films.len(), "nothing on the stick has changed");
}

#[test]
fn a_newer_model_that_a_trusted_key_has_signed_is_offered_and_no_other_one() {
    let root = tempfile::tempdir().unwrap();
    let models = root.path().join("stick").join(stick::MODELS);
    let (keys, state) = (root.path().join("keys"), root.path().join("state"));
    for folder in [&models, &keys, &state] {
        fs::create_dir_all(folder).unwrap();
    }
    let (trusted, stranger) = (Signer::new(), Signer::new());
    fs::write(keys.join("key.pub"), trusted.public_key()).unwrap();
    let keys = TrustedKeys::read(&keys).unwrap();
    let offer = |highest| stick::offer(&root.path().join("stick"), &keys, highest);
    assert!(offer(0).is_none());
    trusted.put(&models, signed::model("older"), 3);
    trusted.put(&models, signed::model("newer"), 5);
    stranger.put(&models, signed::model("foreign"), 9);
    let newest = offer(3).unwrap();
    assert_eq!(newest.signed.bundle.version, 5);
    assert!(offer(5).is_none(), "what is not newer is not offered");
    let kept = newest.keep(&state).unwrap();
    let (again, _) = chestlight::model::slots::read_signed(&kept, &keys).unwrap();
    assert_eq!(again.bundle.version, 5, "the stick may go");
}

/// A journal of one refused film, and its path.
fn one_row(folder: &Path) -> Journal {
    let mut journal = Journal::open(&folder.join("journal.db")).unwrap();
    let entry = Entry {
        input_digest: &"a1".repeat(32),
        file_name: "Jane Doe.png",
        taken_at: SystemTime::now(),
        reading: &Reading::refused(Refusal::Damaged, "the data break off"),
        patient_hash: None,
        model: &Manifest::parse(&shipped().manifest).unwrap(),
    };
    journal.append(&entry).unwrap();
    journal
}

#[test]
fn results_that_were_cut_off_anywhere_are_written_again_and_whole_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let journal = one_row(folder.path());
    let now = Clock::system().now();
    let export = Export {
        journal: &journal,
        archive: folder.path(),
        unit: "abcd1234",
        now: &now,
        names: Names::LeftOut,
        overlays: true,
    };
    for cut in [0, 1, 70, 100] {
        let stick = tempfile::tempdir().unwrap();
        assert_eq!(stick::export(stick.path(), &export).unwrap(), Some(1));
        assert_eq!(stick::export(stick.path(), &export).unwrap(), None, "it is whole");
        let other = Export { unit: "0000ffff", ..export };
        assert_eq!(stick::export(stick.path(), &other).unwrap(), Some(1), "another unit's results are its own");
        let results = fs::read_dir(stick.path().join(stick::RESULTS)).unwrap().flatten();
        let ours = results.map(|it| it.path()).find(|it| it.to_string_lossy().contains("abcd1234")).unwrap();
        let sums = ours.join("SHA256SUMS");
        File::options().write(true).open(&sums).unwrap().set_len(cut).unwrap();
        assert_eq!(stick::export(stick.path(), &export).unwrap(), Some(1), "cut at {cut}");
        assert_eq!(stick::export(stick.path(), &export).unwrap(), None);
    }
}
