//! Every state of every screen, pixel by pixel, and the display of a running unit.
//!
//! `CHESTLIGHT_SNAPSHOTS=write cargo test --test screens` draws the expected pictures anew: look at them before they are
//! committed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test says what it expects by unwrapping"
)]

mod running_unit;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use chestlight::choose::{self, Deaths};
use chestlight::config::Config;
use chestlight::daemon::Daemon;
use chestlight::health::SharedVitals;
use chestlight::journal::{Journal, JournalError};
use chestlight::show::Panel;
use chestlight::show::display::{Display, Drawn};
use chestlight::show::scene::Scene;
use chestlight::show::screen::Framebuffer;
use chestlight::show::text::Typesetter;
use chestlight::show::told::Subject;
use chestlight::verdict::Verdict;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};

/// Size and language.
const SCREENS: [(&str, &str); 8] = [
    ("128x64", "en"),
    ("128x64", "hi"),
    ("320x240", "es"),
    ("480x800", "fr"),
    ("800x480", "en"),
    ("800x480", "hi"),
    ("1280x720", "en"),
    ("240x240", "sw"),
];
/// Pixels may be off by so much: floating point is not the same everywhere.
const OFF: u8 = 8;

fn drawn(size: &str, language: &str, out: &Path) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_chestlight"))
        .args(["screens", "--size", size, "--language", language])
        .arg(out)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("not a diagnosis"));
    let entries = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    entries.collect()
}

/// All states of a screen on one sheet.
fn sheet(folder: &Path, names: &BTreeSet<String>) -> RgbImage {
    let pictures: Vec<RgbImage> = names.iter().map(|name| image::open(folder.join(name)).unwrap().to_rgb8()).collect();
    let (width, height) = pictures[0].dimensions();
    // So small a sheet still shows whether anything moved, and is small in the repository.
    let scale = width.div_ceil(160).max(1);
    let (width, height) = (width / scale, height / scale);
    let mut sheet = RgbImage::new(width * 4, height * (pictures.len() as u32).div_ceil(4));
    for (place, picture) in (0_u32..).zip(&pictures) {
        for y in 0..height {
            for x in 0..width {
                let mean = mean(picture, x * scale, y * scale, scale);
                sheet.put_pixel(place % 4 * width + x, place / 4 * height + y, mean);
            }
        }
    }
    sheet
}

fn mean(picture: &RgbImage, left: u32, top: u32, side: u32) -> Rgb<u8> {
    let places = (top..top + side).flat_map(|y| (left..left + side).map(move |x| (x, y)));
    let sum = places.fold([0_u32; 3], |mut sum, (x, y)| {
        sum.iter_mut().zip(picture.get_pixel(x, y).0).for_each(|(sum, channel)| *sum += u32::from(channel));
        sum
    });
    Rgb(sum.map(|sum| (sum / (side * side)) as u8))
}

/// Where two sheets differ, white on black.
fn difference(one: &RgbImage, other: &RgbImage) -> Option<GrayImage> {
    if one.dimensions() != other.dimensions() {
        return Some(GrayImage::from_pixel(1, 1, Luma([255])));
    }
    let off = |x, y| {
        let pair = one.get_pixel(x, y).0.into_iter().zip(other.get_pixel(x, y).0);
        pair.map(|(a, b)| a.abs_diff(b)).max().unwrap_or_default() > OFF
    };
    let map = GrayImage::from_fn(one.width(), one.height(), |x, y| Luma([if off(x, y) { 255 } else { 0 }]));
    map.pixels().any(|pixel| pixel.0[0] > 0).then_some(map)
}

#[test]
fn every_state_of_every_screen_is_drawn_as_it_was() {
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let write = env::var_os("CHESTLIGHT_SNAPSHOTS").is_some_and(|value| value == "write");
    let mut wrong = Vec::new();
    for (size, language) in SCREENS {
        let folder = tempfile::tempdir().unwrap();
        let names = drawn(size, language, folder.path());
        assert!(names.len() >= 14, "{names:?}");
        let sheet = sheet(folder.path(), &names);
        let expected: PathBuf = snapshots.join(format!("screens-{size}-{language}.png"));
        if write {
            sheet.save(&expected).unwrap();
            continue;
        }
        let known = image::open(&expected).map(DynamicImage::into_rgb8).unwrap_or_default();
        if let Some(map) = difference(&sheet, &known) {
            let failed = Path::new(env!("CARGO_TARGET_TMPDIR"));
            let [now, where_] =
                ["now", "difference"].map(|name| failed.join(format!("screens-{size}-{language}-{name}.png")));
            sheet.save(&now).unwrap();
            map.save(&where_).unwrap();
            wrong.push(format!(
                "{}\n  is now {}\n  and differs where {} is white",
                expected.display(),
                now.display(),
                where_.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "screens look different:\n{}", wrong.join("\n"));
}

/// A framebuffer in a file, which tells what it has drawn.
struct Watched {
    framebuffer: Framebuffer,
    drawn: Sender<Drawing>,
}

#[derive(Debug)]
struct Drawing {
    /// Number of the reading that is to be seen, and whether with its film.
    reading: Option<(i64, bool)>,
    memory: Vec<u8>,
}

impl Display for Watched {
    const HAS_PAGES: bool = false;

    fn draw(&mut self, scene: &Scene<'_>, words: &mut Typesetter) -> io::Result<()> {
        self.framebuffer.draw(scene, words)?;
        let reading = match scene.told.subject(scene.now) {
            Subject::Reading(reading) => Some((reading.row.seq, reading.picture.is_some())),
            _ => None,
        };
        let memory = fs::read(self.framebuffer.device())?;
        self.drawn.send(Drawing { reading, memory }).map_err(io::Error::other)
    }

    fn check(&mut self) -> io::Result<()> {
        self.framebuffer.check()
    }
}

#[test]
fn a_running_unit_draws_a_verdict_that_is_in_the_journal_and_then_its_film() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    let sysfs = path("graphics");
    fs::create_dir_all(sysfs.join("fb0")).unwrap();
    fs::create_dir(path("inbox")).unwrap();
    for (name, text) in [("virtual_size", "640,480"), ("stride", "2560"), ("bits_per_pixel", "32")] {
        fs::write(sysfs.join("fb0").join(name), text).unwrap();
    }
    fs::write(path("fb0"), "").unwrap();
    let config = Config::parse("inbox = 'inbox'\nstate = 'state'\nmin_free_mib = 1\n[screen]\n", root.path()).unwrap();

    let (sender, drawn) = channel();
    let vitals = SharedVitals::default();
    let (device, settings) = (path("fb0"), config.screen.as_ref().unwrap().scene);
    let open = move || Ok(Watched { framebuffer: Framebuffer::open(&device, &sysfs)?, drawn: sender.clone() });
    let screen = Drawn::start("screen", settings, vitals.clone(), open).unwrap();
    let journal = config.journal();
    let chosen = choose::at_start(&config, Deaths::NotCounted).unwrap();
    let panel = Panel::new(vitals).with("screen", screen);
    let (daemon, handle) = Daemon::open(config, chosen, panel).unwrap();
    let unit = thread::spawn(|| daemon.run());
    fs::write(path("film.png"), running_unit::film(1, ImageFormat::Png)).unwrap();
    fs::rename(path("film.png"), path("inbox/film.png")).unwrap();

    let is_reading = |drawing: &Drawing| drawing.reading.is_some();
    let first = iter::from_fn(|| drawn.recv_timeout(Duration::from_secs(120)).ok()).find(is_reading).unwrap();
    let mut rows = Vec::new();
    Journal::open_read_only(&journal)
        .unwrap()
        .for_each(None, |row| {
            rows.push(row.clone());
            Ok::<(), JournalError>(())
        })
        .unwrap();
    assert_eq!(first.reading.map(|(seq, _)| seq), Some(rows[0].seq));
    // Blue, green, red: the plate of the verdict.
    let plate = match rows[0].verdict().unwrap() {
        Verdict::Normal => [250, 150, 86],
        Verdict::BacterialPneumonia => [0, 160, 240],
        Verdict::Covid19Pneumonia => [170, 128, 200],
        Verdict::Refer => [120, 238, 245],
        Verdict::Refused(_) => [240, 240, 222],
        Verdict::Fault(_) => [40, 82, 222],
    };
    let plated = first.memory.chunks_exact(4).filter(|pixel| pixel[..3] == plate).count();
    assert!(plated > 640 * 480 / 20, "{plated} pixels of {:?}", rows[0].verdict());
    if rows[0].probabilities().is_some() {
        let with_film = |drawing: &Drawing| drawing.reading.is_some_and(|(_, film)| film);
        let found = with_film(&first)
            || iter::from_fn(|| drawn.recv_timeout(Duration::from_secs(120)).ok()).any(|drawing| with_film(&drawing));
        assert!(found, "the film follows its verdict");
    }
    handle.stop();
    unit.join().unwrap().unwrap();
    let last = drawn.iter().last();
    assert!(last.is_some_and(|last| last.reading.is_none()), "at last it says that the unit has ended");
}

#[test]
fn what_cannot_be_drawn_is_told() {
    for (arguments, told) in [
        (["--size", "100x100"], "128x64, or 240x240 to 4096x4096"),
        (["--size", "wide"], "128x64, or 240x240 to 4096x4096"),
        (["--language", "tlh"], "none of en, fr, es, sw, hi"),
    ] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_chestlight")).arg("screens").args(arguments).arg("/none").output();
        let output = output.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(told), "{stderr}");
    }
}
