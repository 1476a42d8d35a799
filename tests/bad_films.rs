//! Two hundred files that are no usable films: each ends in `refused/` with its reason, and the unit lives.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

mod dicom_writer;
mod running_unit;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Cursor;
use std::os::unix::fs::symlink;

use dicom_writer::{DEFLATED, EXPLICIT, Film, data_set_at, deflate, rle};
use image::{EncodableLayout, GrayImage, ImageBuffer, ImageFormat, Luma, PixelWithColorType, Rgb};
use running_unit::{Site, digest, film};

/// What the unit may need for the decoded samples of a film, MiB.
const MOST_DECODED: u64 = 64;
/// Peak memory of the unit over all of them, MiB: twice the decoded samples, as the example configuration says, and
/// the program with its model.
const MOST_MEMORY: u64 = 2 * MOST_DECODED + 128;

/// Name and bytes of 200 files, all different, the same on every run.
fn bad_films() -> Vec<(String, Vec<u8>)> {
    let mut films: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |kind: &str, bytes: Vec<u8>| films.push((format!("bad-{:03}-{kind}", films.len()), bytes));
    add("empty.png", Vec::new());

    let formats = [(ImageFormat::Png, "png"), (ImageFormat::Jpeg, "jpg"), (ImageFormat::Tiff, "tif")];
    for (format, extension) in formats {
        for part in 0..30 {
            let mut bytes = film(part, format);
            bytes.truncate(bytes.len() * (part as usize + 1) / 32);
            add(&format!("truncated.{extension}"), bytes);
        }
    }
    // Every chunk of a PNG has a checksum.
    for seed in 0..30 {
        let mut bytes = film(seed, ImageFormat::Png);
        let place = 20 + seed as usize * (bytes.len() - 40) / 30;
        bytes[place] ^= 0x55;
        add("corrupted.png", bytes);
    }
    for size in 0..10u32 {
        let (width, height) = (60_000 + size, 60_000 - size);
        let mut png = film(1, ImageFormat::Png);
        png[16..20].copy_from_slice(&width.to_be_bytes());
        png[20..24].copy_from_slice(&height.to_be_bytes());
        let sum = crc32(&png[12..29]);
        png[29..33].copy_from_slice(&sum.to_be_bytes());
        add("huge.png", png);

        let mut jpeg = film(1, ImageFormat::Jpeg);
        let start_of_frame = jpeg.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
        jpeg[start_of_frame + 5..start_of_frame + 7].copy_from_slice(&(height as u16).to_be_bytes());
        jpeg[start_of_frame + 7..start_of_frame + 9].copy_from_slice(&(width as u16).to_be_bytes());
        add("huge.jpg", jpeg);
    }
    for (index, head) in [
        &b"%PDF-1.7\n"[..],
        b"PK\x03\x04",
        b"GIF89a",
        b"BM",
        b"<!DOCTYPE html>",
        b"RIFF\0\0\0\0WEBP",
        b"\x7fELF",
        b"patient,verdict\n",
        b"\0\0\0\x0cjP  ",
        b"SQLite format 3\0",
    ]
    .into_iter()
    .enumerate()
    {
        for length in [9, 500, 70_000] {
            add("wrong.jpg", [head, &noise(index as u64 * 3 + length, length as usize)].concat());
        }
    }
    for (kind, dicom) in hostile_dicom() {
        add(kind, dicom);
    }
    for index in 0..4 {
        let mut dicom = vec![0; 128];
        dicom.extend(b"DICM");
        dicom.extend(noise(index, 3_000));
        add("dicom.dcm", dicom);
    }
    for side in [3_200, 3_300] {
        // Small as a file, just within the limits once decoded.
        add("vast.png", encoded(&Rgb16::from_pixel(side, side, Rgb([7; 3]))));
    }
    for shade in 0..5u8 {
        if shade < 3 {
            add("blank.png", encoded(&GrayImage::from_pixel(300, 300, Luma([shade * 60]))));
        }
        add("small.png", encoded(&GrayImage::from_fn(100 + u32::from(shade), 100, |x, y| Luma([(x * 2 + y) as u8]))));
        add("long.png", encoded(&GrayImage::from_fn(900 + u32::from(shade), 250, |x, y| Luma([(x + y) as u8]))));
    }
    for index in 0..4 {
        add("heavy.png", [film(1, ImageFormat::Png), noise(index, 1_200_000)].concat());
    }
    films
}

/// DICOM objects that ask for more memory or stack than any film needs.
fn hostile_dicom() -> [(&'static str, Vec<u8>); 6] {
    let film = |side| Film::new(side, side, 8, 8);
    let behind_meta = |data_set: &[u8]| {
        let film = film(8).pixels8(&[0; 64]).write(EXPLICIT);
        [&film[..data_set_at(&film)], data_set].concat()
    };
    let deflated = film(8).pixels8(&[0; 64]).write(DEFLATED);
    let bomb = [&deflated[..data_set_at(&deflated)], &deflate(&vec![0; 300 << 20])].concat();
    let sequence_and_item = b"\x09\0\x01\x10SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF";
    let rle_syntax = "1.2.840.10008.1.2.5";
    [
        ("deflated.dcm", bomb),
        ("nested.dcm", behind_meta(&sequence_and_item.repeat(40_000))),
        ("length.dcm", behind_meta(b"\x09\0\x01\x10UN\0\0\xF0\xFF\xFF\xFFx")),
        ("vast.dcm", film(65_535).fragments(vec![rle(&[vec![0; 64]])]).write(rle_syntax)),
        // The largest that this unit may decode, of 2 KB.
        ("few.dcm", Film::new(2_500, 2_500, 16, 16).fragments(vec![jpeg_2000(2_500)]).write("1.2.840.10008.1.2.4.90")),
        ("short.dcm", film(8_000).fragments(vec![rle(&[vec![0; 64]])]).write(rle_syntax)),
    ]
}

/// A JPEG 2000 codestream that states this size and has the bytes of a small one.
fn jpeg_2000(side: u32) -> Vec<u8> {
    let film = include_bytes!("dicom/films/16-j2k.dcm");
    let at = film.windows(4).position(|four| four == b"\xFF\x4F\xFF\x51").unwrap();
    let mut codestream = film[at..].to_vec();
    for place in [8, 12, 24, 28] {
        codestream[place..place + 4].copy_from_slice(&side.to_be_bytes());
    }
    codestream
}

type Rgb16 = ImageBuffer<Rgb<u16>, Vec<u16>>;

fn encoded<P: PixelWithColorType>(image: &ImageBuffer<P, Vec<P::Subpixel>>) -> Vec<u8>
where
    [P::Subpixel]: EncodableLayout,
{
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Bytes of a linear congruential generator.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(length)
    .collect()
}

/// The checksum of a PNG's chunks.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 })
    })
}

#[test]
fn two_hundred_bad_films_end_in_refused_and_the_next_good_one_is_read_in_bounded_memory() {
    let films = bad_films();
    assert_eq!(films.len(), 200);
    assert_eq!(films.iter().map(|(_, bytes)| digest(bytes)).collect::<BTreeSet<_>>().len(), 200);
    let site = Site::new(&format!("[limits]\nmax_file_mib = 1\nmax_decoded_mib = {MOST_DECODED}\n"));
    for (name, bytes) in &films {
        fs::write(site.inbox().join(name), bytes).unwrap();
    }
    let mut unit = site.start();
    unit.wait_for("reading 200 of");
    unit.wait_until_ready();

    let good = film(7, ImageFormat::Png);
    site.put_in("good.png", &good);
    unit.wait_for("reading 201 of");
    unit.wait_until_ready();
    let status = fs::read_to_string(format!("/proc/{}/status", unit.id())).unwrap();
    unit.stop();

    let mut all: Vec<(&str, &[u8])> = films.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    all.push(("good.png", &good));
    let rows = site.assert_at_rest(&all);
    let read: Vec<&str> = rows.iter().filter(|row| !row.is_unread()).map(|row| row.file_name.as_str()).collect();
    assert_eq!(read, ["good.png"]);
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows[..200] {
        assert_eq!(row.verdict, "Refused", "{}: {}", row.file_name, row.message);
        *reasons.entry(row.reason.as_deref().unwrap()).or_default() += 1;
    }
    println!("refused: {reasons:?}");

    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("peak memory: {} MiB, bound {MOST_MEMORY} MiB", peak >> 10);
    assert!(peak >> 10 <= MOST_MEMORY);
}

#[test]
fn what_is_no_file_ends_in_refused_too_and_links_are_not_followed() {
    let site = Site::new("");
    fs::write(site.path("secret"), "not for the archive").unwrap();
    symlink(site.path("secret"), site.inbox().join("link.png")).unwrap();
    symlink("/nowhere", site.inbox().join("dangling.png")).unwrap();
    let pipe = rustix::fs::mknodat(
        rustix::fs::CWD,
        site.inbox().join("pipe.png"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    );
    pipe.unwrap();
    let mut unit = site.start();
    unit.wait_for("reading 3 of");
    unit.wait_until_ready();
    unit.stop();
    let rows = site.rows();
    assert!(rows.len() == 3 && rows.iter().all(|row| row.reason.as_deref() == Some("not_a_file")), "{rows:#?}");
    assert_eq!(fs::read_dir(site.inbox()).unwrap().count(), 0);
    assert_eq!(fs::read_dir(site.path("state/refused")).unwrap().count(), 6, "three and their reasons");
    assert!(site.path("secret").exists());
}
