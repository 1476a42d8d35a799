//! What `decode` promises for every encoding, depth, colour type and orientation, and for bytes that are no film.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

use std::io::Cursor;

use chestlight::decode::{DecodeError, Limits, decode};
use chestlight::radiograph::{Grey, Radiograph};
use chestlight::refusal::Refusal;
use image::{DynamicImage, GrayImage, ImageFormat, Luma};
use proptest::prelude::*;
use tiff::encoder::{Compression, TiffEncoder, colortype};
use tiff::tags::{PhotometricInterpretation, Tag};

const WIDTH: u32 = 40;
const HEIGHT: u32 = 24;

/// Dark on the left, bright on the right, a white top left corner: every orientation looks different.
fn grey8() -> GrayImage {
    GrayImage::from_fn(WIDTH, HEIGHT, |x, y| Luma([if x < 8 && y < 8 { 250 } else { (x * 4 + y) as u8 }]))
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn grey8_as(format: ImageFormat) -> Vec<u8> {
    encoded(&grey8().into(), format)
}

fn read(bytes: &[u8]) -> Radiograph {
    decode(bytes, &Limits::default()).unwrap()
}

/// The sample at a place on the 16-bit scale.
fn sample(film: &Radiograph, x: u32, y: u32) -> i64 {
    let place = (y * film.width() + x) as usize;
    match film.pixels() {
        Grey::U8(samples) => i64::from(samples[place]) * 257,
        Grey::U16(samples) => i64::from(samples[place]),
    }
}

/// A grey ramp as 256 equal red, green and blue entries.
fn png_palette() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH, HEIGHT);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette((0..=255u8).flat_map(|v| [v, v, v]).collect::<Vec<_>>());
    encoder.write_header().unwrap().write_image_data(grey8().as_raw()).unwrap();
    bytes
}

fn png_of_two_frames() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, WIDTH, HEIGHT);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(grey8().as_raw()).unwrap_or_default();
    drop(writer);
    bytes
}

fn tiff_with(photometric: PhotometricInterpretation, samples: &[u8], more: &[(Tag, &[u16])]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
    let mut image = encoder.new_image::<colortype::Gray8>(WIDTH, HEIGHT).unwrap();
    image.encoder().write_tag(Tag::PhotometricInterpretation, photometric.to_u16()).unwrap();
    for (tag, value) in more {
        image.encoder().write_tag(*tag, *value).unwrap();
    }
    image.write_data(samples).unwrap();
    bytes.into_inner()
}

fn tiff_palette() -> Vec<u8> {
    let ramp: Vec<u16> = (0..3).flat_map(|_| (0..256u16).map(|v| v * 257)).collect();
    tiff_with(PhotometricInterpretation::RGBPalette, grey8().as_raw(), &[(Tag::ColorMap, &ramp)])
}

fn tiff_white_is_zero() -> Vec<u8> {
    let inverted: Vec<u8> = grey8().as_raw().iter().map(|v| 255 - v).collect();
    tiff_with(PhotometricInterpretation::WhiteIsZero, &inverted, &[])
}

fn tiff_of_pages(pages: usize, compression: Compression) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).unwrap().with_compression(compression);
    for _ in 0..pages {
        encoder.write_image::<colortype::Gray8>(WIDTH, HEIGHT, grey8().as_raw()).unwrap();
    }
    bytes.into_inner()
}

#[test]
fn every_encoding_depth_and_colour_type_gives_the_same_grey() {
    use ImageFormat::{Jpeg, Png, Tiff};
    let image = DynamicImage::from(grey8());
    let jpeg_loss = 20 * 257;
    let cases: Vec<(&str, Vec<u8>, u32, i64)> = vec![
        ("JPEG grey", encoded(&image, Jpeg), 8, jpeg_loss),
        ("JPEG RGB", encoded(&image.to_rgb8().into(), Jpeg), 8, jpeg_loss),
        ("PNG grey 8", encoded(&image, Png), 8, 0),
        ("PNG grey 16", encoded(&image.to_luma16().into(), Png), 16, 0),
        ("PNG RGB 8", encoded(&image.to_rgb8().into(), Png), 8, 0),
        ("PNG RGB 16", encoded(&image.to_rgb16().into(), Png), 16, 0),
        ("PNG RGBA 8", encoded(&image.to_rgba8().into(), Png), 8, 0),
        ("PNG RGBA 16", encoded(&image.to_rgba16().into(), Png), 16, 0),
        ("PNG grey alpha 8", encoded(&image.to_luma_alpha8().into(), Png), 8, 0),
        ("PNG grey alpha 16", encoded(&image.to_luma_alpha16().into(), Png), 16, 0),
        ("PNG palette", png_palette(), 8, 0),
        ("TIFF grey 8", encoded(&image, Tiff), 8, 0),
        ("TIFF grey 16", encoded(&image.to_luma16().into(), Tiff), 16, 0),
        ("TIFF RGB 8", encoded(&image.to_rgb8().into(), Tiff), 8, 0),
        ("TIFF RGB 16", encoded(&image.to_rgb16().into(), Tiff), 16, 0),
        ("TIFF RGBA 8", encoded(&image.to_rgba8().into(), Tiff), 8, 0),
        ("TIFF LZW", tiff_of_pages(1, Compression::Lzw), 8, 0),
        ("TIFF palette", tiff_palette(), 8, 0),
        ("TIFF white is zero", tiff_white_is_zero(), 8, 0),
    ];
    for (name, bytes, depth, tolerance) in cases {
        let film = decode(&bytes, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((film.width(), film.height()), (WIDTH, HEIGHT), "{name}");
        assert_eq!(matches!(film.pixels(), Grey::U16(_)), depth == 16, "{name}: depth");
        for (x, y) in [(2, 2), (20, 2), (2, 20), (39, 23), (14, 14)] {
            let (found, expected) = (sample(&film, x, y), i64::from(grey8().get_pixel(x, y)[0]) * 257);
            assert!((found - expected).abs() <= tolerance, "{name}: {found} at {x}, {y}, expected {expected}");
        }
    }
}

#[test]
fn transparency_is_laid_over_black() {
    let mut image = DynamicImage::from(grey8()).to_luma_alpha8();
    image.get_pixel_mut(0, 0).0 = [200, 0];
    image.get_pixel_mut(1, 0).0 = [200, 128];
    let film = read(&encoded(&image.into(), ImageFormat::Png));
    assert_eq!((sample(&film, 0, 0), sample(&film, 1, 0)), (0, 100 * 257));
}

/// A JPEG with an EXIF block that holds the orientation alone.
fn jpeg_oriented(orientation: u8) -> Vec<u8> {
    let jpeg = grey8_as(ImageFormat::Jpeg);
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let length = (exif.len() + 2) as u16;
    [&jpeg[..2], b"\xFF\xE1", &length.to_be_bytes(), &exif, &jpeg[2..]].concat()
}

fn tiff_oriented(orientation: u8) -> Vec<u8> {
    let orientation: &[u16] = &[u16::from(orientation)];
    tiff_with(PhotometricInterpretation::BlackIsZero, grey8().as_raw(), &[(Tag::Orientation, orientation)])
}

#[test]
fn exif_orientation_is_applied() {
    // Whether the white corner of the stored image lies right, bottom once it is upright (EXIF 2.32, table 4).
    let corners = [(false, false), (true, false), (true, true), (false, true)];
    for (name, oriented) in [("JPEG", jpeg_oriented as fn(u8) -> Vec<u8>), ("TIFF", tiff_oriented)] {
        for (orientation, (right, bottom)) in (1..=8).zip(corners.into_iter().cycle()) {
            let film = read(&oriented(orientation));
            let upright = if orientation < 5 { (WIDTH, HEIGHT) } else { (HEIGHT, WIDTH) };
            assert_eq!((film.width(), film.height()), upright, "{name} {orientation}");
            let x = if right { film.width() - 4 } else { 3 };
            let y = if bottom { film.height() - 4 } else { 3 };
            assert!(sample(&film, x, y) > 200 * 257, "{name} {orientation}: no white corner at {x}, {y}");
        }
    }
}

/// A PNG whose header declares another size, with the checksum mended.
fn png_declaring(width: u32, height: u32) -> Vec<u8> {
    let mut png = grey8_as(ImageFormat::Png);
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

fn jpeg_declaring(width: u16, height: u16) -> Vec<u8> {
    let mut jpeg = grey8_as(ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|two| two == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    jpeg
}

fn tiff_declaring(width: u32) -> Vec<u8> {
    let mut tiff = grey8_as(ImageFormat::Tiff);
    // The little-endian directory entry of ImageWidth (256) as LONG (4).
    let entry = tiff.windows(4).rposition(|four| four == [0x00, 0x01, 0x04, 0x00]).unwrap();
    tiff[entry + 8..entry + 12].copy_from_slice(&width.to_le_bytes());
    tiff
}

#[test]
fn what_is_no_film_is_refused_with_the_right_reason() {
    let default = Limits::default();
    let small = Limits { max_bytes: 100, ..default };
    let few = Limits { max_pixels: 900, ..default };
    let poor = Limits { max_alloc: 900, ..default };
    let jpeg = grey8_as(ImageFormat::Jpeg);
    let float = encoded(&DynamicImage::from(grey8()).to_rgb32f().into(), ImageFormat::Tiff);
    for (name, bytes, limits, refusal) in [
        ("no bytes", vec![], default, Refusal::Empty),
        ("one byte", vec![0xFF], default, Refusal::UnknownFormat),
        ("text", b"Patient: none".to_vec(), default, Refusal::UnknownFormat),
        ("PDF", b"%PDF-1.7\n".to_vec(), default, Refusal::UnknownFormat),
        ("GIF", b"GIF89a\x01\0\x01\0".to_vec(), default, Refusal::UnknownFormat),
        ("over the byte limit", jpeg.clone(), small, Refusal::TooManyBytes),
        ("over the pixel limit", jpeg.clone(), few, Refusal::TooLarge),
        ("over the memory limit", jpeg.clone(), poor, Refusal::TooLarge),
        ("PNG bomb", png_declaring(60_000, 60_000), default, Refusal::TooLarge),
        ("PNG as wide as can be", png_declaring(0x7FFF_FFFF, 0x7FFF_FFFF), default, Refusal::TooLarge),
        ("PNG without pixels", png_declaring(0, 5), default, Refusal::Damaged),
        ("PNG with frames", png_of_two_frames(), default, Refusal::Unsupported),
        ("JPEG bomb", jpeg_declaring(65_500, 65_500), default, Refusal::TooLarge),
        ("TIFF bomb", tiff_declaring(0x4000_0000), default, Refusal::TooLarge),
        ("JPEG start alone", jpeg[..3].to_vec(), default, Refusal::Damaged),
        ("JPEG without image", [&jpeg[..2], b"\xFF\xD9"].concat(), default, Refusal::Damaged),
        ("float TIFF", float, default, Refusal::Unsupported),
        ("TIFF of two pages", tiff_of_pages(2, Compression::Uncompressed), default, Refusal::Unsupported),
    ] {
        match decode(&bytes, &limits) {
            Ok(_) => panic!("{name} was read"),
            Err(error) => assert_eq!(error.refusal(), refusal, "{name}: {error}"),
        }
    }
}

#[test]
fn half_a_film_is_never_read_as_a_whole_one() {
    // What follows the last pixel of a PNG may be missing: its 12 bytes of IEND.
    for (name, bytes, tail) in [
        ("JPEG", grey8_as(ImageFormat::Jpeg), 0),
        ("PNG", grey8_as(ImageFormat::Png), 12),
        ("TIFF", tiff_of_pages(1, Compression::Lzw), 0),
    ] {
        for kept in 1..bytes.len() - tail {
            let read = decode(&bytes[..kept], &Limits::default());
            assert!(read.is_err(), "{name} cut to {kept} of {} bytes was read", bytes.len());
        }
    }
}

#[test]
fn bytes_behind_a_whole_film_do_no_harm() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Tiff] {
        let mut bytes = grey8_as(format);
        bytes.extend([0; 100]);
        assert_eq!(read(&bytes).width(), WIDTH, "{format:?}");
    }
}

#[test]
fn an_unknown_format_is_described_by_its_first_bytes() {
    let error = decode(b"RIFF....WEBP", &Limits::default()).unwrap_err();
    assert!(matches!(&error, DecodeError::UnknownFormat(start) if start == "52 49 46 46 2e 2e 2e 2e"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn changed_bytes_are_read_or_refused_within_the_limits_but_never_panic(
        which in 0usize..6,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let limits = Limits { max_pixels: 100_000, max_alloc: 1 << 20, ..Limits::default() };
        let mut bytes = match which {
            0 => grey8_as(ImageFormat::Jpeg),
            1 => grey8_as(ImageFormat::Png),
            2 => grey8_as(ImageFormat::Tiff),
            3 => tiff_palette(),
            4 => png_palette(),
            _ => jpeg_oriented(6),
        };
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(film) = decode(&bytes, &limits) {
            prop_assert!(u64::from(film.width()) * u64::from(film.height()) <= limits.max_pixels);
        }
    }

    #[test]
    fn any_bytes_behind_a_known_start_never_panic(
        which in 0usize..6,
        rest in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let starts: [&[u8]; 6] = [b"\xFF\xD8\xFF", b"\x89PNG\r\n\x1A\n", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];
        let _ = decode(&[starts[which], &rest].concat(), &Limits::default());
    }
}
