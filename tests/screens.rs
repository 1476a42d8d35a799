//! Every state of every screen, pixel by pixel, and the display of a running unit.
//!
//! `CHESTLIGHT_SNAPSHOTS=write cargo test --test screens` draws the expected pictures anew: look at them before they are
//! committed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it expects by unwrapping")]

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage};

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
