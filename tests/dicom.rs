//! What `decode` promises of DICOM objects: docs/dicom.md as tables of cases.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

mod dicom_writer;
mod real_films;

use std::fs;
use std::path::Path;

use chestlight::decode::{DecodeError, Limits, decode, dicom, origin};
use chestlight::gate;
use chestlight::radiograph::{Encoding, Grey, Laterality, Origin, PixelSpacing, Radiograph, View};
use chestlight::refusal::Refusal;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use dicom_writer::{BIG, DEFLATED, EXPLICIT, Film, IMPLICIT, data_set_at, deflate, jpeg_lossless, rle};
use proptest::prelude::*;

fn read(bytes: &[u8]) -> Radiograph {
    decode(bytes, &Limits::default()).unwrap()
}

fn refused(bytes: &[u8]) -> Refusal {
    match decode(bytes, &Limits::default()) {
        Ok(_) => panic!("it was read"),
        Err(error) => error.refusal(),
    }
}

/// Samples as fractions of white.
fn greys(film: &Radiograph) -> Vec<f64> {
    match film.pixels() {
        Grey::U8(samples) => samples.iter().map(|&sample| f64::from(sample) / 255.0).collect(),
        Grey::U16(samples) => samples.iter().map(|&sample| f64::from(sample) / 65_535.0).collect(),
    }
}

/// The greatest difference in grey levels of 255.
fn apart(one: &[f64], other: &[f64]) -> f64 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(a, b)| (a - b).abs() * 255.0).fold(0.0, f64::max)
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/dicom/films/{name}.dcm"))).unwrap()
}

/// Every codec, the native film it was made from, and how many grey levels it may be from it.
///
/// The films were made by dcmtk and pydicom (`tests/dicom/generate.py --fixtures`), so by encoders that are not ours.
const CODECS: [(&str, &str, f64); 45] = [
    ("8-rle", "8", 0.0),
    ("8-j2k", "8", 0.0),
    ("8-jls", "8", 0.0),
    ("8-jls-near", "8", 2.0),
    ("8-j2k-lossy", "8", 12.0),
    ("8-jpeg-sv1", "8", 0.0),
    ("8-jpeg-predictor-4", "8", 0.0),
    ("8-jpeg-predictor-7", "8", 0.0),
    ("8-jpeg-baseline", "8", 2.0),
    ("8-jpeg-extended", "8", 2.0),
    ("8-jpeg-progressive", "8", 2.0),
    ("12-rle", "12", 0.0),
    ("12-j2k", "12", 0.0),
    ("12-j2k-lossy", "12", 12.0),
    ("12-jls", "12", 0.0),
    ("12-jls-fragments", "12", 0.0),
    ("12-jls-near", "12", 0.2),
    ("12-jpeg-sv1", "12", 0.0),
    ("12-jpeg-predictor-2", "12", 0.0),
    ("12-jpeg-predictor-3", "12", 0.0),
    ("12-jpeg-predictor-4", "12", 0.0),
    ("12-jpeg-predictor-5", "12", 0.0),
    ("12-jpeg-predictor-6", "12", 0.0),
    ("12-jpeg-predictor-7", "12", 0.0),
    ("12-jpeg-point-2", "12", 0.2),
    ("12-jpeg-extended", "12", 0.2),
    ("12s-rle", "12s", 0.0),
    ("12s-j2k", "12s", 0.0),
    ("12s-jls", "12s", 0.0),
    ("16-rle", "16", 0.0),
    ("16-j2k", "16", 0.0),
    ("16-jls", "16", 0.0),
    ("16-jpeg-sv1", "16", 0.0),
    ("16-jpeg-predictor-4", "16", 0.0),
    ("16-jpeg-predictor-7", "16", 0.0),
    ("rgb-rle", "rgb", 0.0),
    ("rgb-j2k", "rgb", 0.0),
    ("rgb-j2k-lossy", "rgb", 12.0),
    ("rgb-jls-l", "rgb", 0.0),
    ("rgb-jls-s", "rgb", 0.0),
    ("rgb-jls-n", "rgb", 0.0),
    ("rgb-jls-near", "rgb", 2.0),
    ("rgb-jpeg-sv1", "rgb", 0.0),
    ("rgb-jpeg-baseline", "rgb", 3.0),
    ("rgb-jpeg-baseline-rgb", "rgb", 3.0),
];

#[test]
fn every_codec_gives_what_was_encoded() {
    for (name, native, tolerance) in CODECS {
        let film = decode(&fixture(name), &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let apart = apart(&greys(&film), &greys(&read(&fixture(native))));
        assert!(apart <= tolerance + 1e-6, "{name} is {apart:.2} grey levels from {native}");
    }
}

/// Samples of so many bits, with every kind of difference between neighbours.
fn samples(precision: u8) -> Vec<u16> {
    let most = u32::from(u16::MAX >> (16 - precision));
    (0..52 * 37u32).map(|at| (at.wrapping_mul(2_654_435_761) >> (at % 15) & most) as u16).collect()
}

#[test]
fn lossless_jpeg_with_restarts_gives_what_was_encoded() {
    const SYNTAX: &str = "1.2.840.10008.1.2.4.57";
    for precision in [8, 12, 16] {
        let native = samples(precision);
        let film = || Film::new(52, 37, precision.into(), 16);
        let expected = greys(&read(&film().pixels16(&native).write(EXPLICIT)));
        for (predictor, rows) in (1..=7).flat_map(|predictor| [1, 2, 5, 100].map(|rows| (predictor, rows))) {
            let encoded = jpeg_lossless(&native, 52, precision, predictor, rows);
            let decoded = greys(&read(&film().fragments(vec![encoded]).write(SYNTAX)));
            assert_eq!(decoded, expected, "{precision} bits, predictor {predictor}, a restart every {rows} rows");
        }
    }
    // A restart that is missing, or that is another one than is due.
    let encoded = jpeg_lossless(&samples(12), 52, 12, 1, 5);
    let at = encoded.windows(2).position(|pair| pair == [0xFF, 0xD1]).unwrap();
    for (name, broken) in [
        ("another number", [&encoded[..at], &[0xFF, 0xD5], &encoded[at + 2..]].concat()),
        ("none", [&encoded[..at], &encoded[at + 2..]].concat()),
        ("none any more", [&encoded[..at], &[0xFF, 0xD9]].concat()),
    ] {
        let film = Film::new(52, 37, 12, 16).fragments(vec![broken]).write(SYNTAX);
        let refused = decode(&film, &Limits::default()).err().map(|error| error.refusal());
        assert_eq!(refused, Some(Refusal::Damaged), "{name}");
    }
}

/// A JPEG 2000 codestream whose size and coding style were changed.
fn j2k_with(side: u32, coding: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let film = fixture("16-j2k");
    let (at, length) = last_fragment(&film);
    let mut codestream = film[at..at + length].to_vec();
    for place in [8, 12, 24, 28] {
        codestream[place..place + 4].copy_from_slice(&side.to_be_bytes());
    }
    // The marker COD with its length: style, progression, layers, transform, levels, width, height, style, wavelet.
    let start = codestream.windows(2).position(|pair| pair == [0xFF, 0x52]).unwrap();
    let end = start + 2 + usize::from(u16::from_be_bytes([codestream[start + 2], codestream[start + 3]]));
    let mut body = codestream[start + 4..end].to_vec();
    coding(&mut body);
    let length = (body.len() as u16 + 2).to_be_bytes();
    codestream.splice(start..end, [&[0xFF, 0x52], &length[..], &body].concat());
    codestream
}

#[test]
fn jpeg_2000_that_is_made_to_hurt_and_its_other_parts_are_refused_before_they_are_decoded() {
    const SYNTAX: &str = "1.2.840.10008.1.2.4.90";
    let precincts = |exponents: u8| {
        move |coding: &mut Vec<u8>| {
            coding[0] |= 1;
            coding.extend(vec![exponents; usize::from(coding[5]) + 1]);
        }
    };
    let behind_size = |marker: &[u8]| {
        let mut codestream = j2k_with(2_000, |_| {});
        let end = 4 + usize::from(u16::from_be_bytes([codestream[4], codestream[5]]));
        codestream.splice(end..end, marker.to_vec());
        codestream
    };
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("precincts of one sample", j2k_with(2_000, precincts(0x00)), "precincts is not read"),
        ("precincts of eight samples", j2k_with(4_000, precincts(0x33)), "precincts is not read"),
        ("65,535 layers", j2k_with(2_000, |coding| coding[2..4].fill(0xFF)), "65535 layers"),
        ("code-blocks of 16 samples", j2k_with(2_000, |coding| coding[6..8].fill(0)), "code-blocks of 2^4 samples"),
        ("255 levels", j2k_with(2_000, |coding| coding[5] = 255), "255 levels"),
        ("changes of progression", behind_size(b"\xFF\x5F\0\x09\0\0\0\x01\x01\x01\0"), "changes of progression"),
        ("HTJ2K by its header", behind_size(b"\xFF\x50\0\x08\0\x02\0\0\0\x20"), "high-throughput"),
        ("HTJ2K by its code-blocks", j2k_with(2_000, |coding| coding[8] |= 0x40), "high-throughput"),
    ];
    for (name, codestream, why) in cases {
        let side = u16::from_be_bytes([codestream[10], codestream[11]]);
        let film = Film::new(side, side, 16, 16).fragments(vec![codestream]);
        // Under HTJ2K's own syntax that is enough.
        for (syntax, why) in [(SYNTAX, why), ("1.2.840.10008.1.2.4.201", "4.201 is not read")] {
            match decode(&film.write(syntax), &Limits::default()) {
                Err(DecodeError::Unsupported(told)) => assert!(told.contains(why), "{name}: {told}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
    // What the bounds let through ends at the end of its bytes.
    let few = j2k_with(52, |coding| coding[2..4].fill(0xFF));
    assert_eq!(refused(&Film::new(52, 52, 16, 16).fragments(vec![few]).write(SYNTAX)), Refusal::Damaged);
}

#[test]
fn half_a_film_is_never_read_as_a_whole_one() {
    for (name, ..) in CODECS {
        let whole = fixture(name);
        // Behind the pixels: padding of the codestream, its end marker, the end of the fragments.
        let tail = 12 + 8;
        for kept in (0..whole.len() - tail).step_by(7) {
            assert!(
                decode(&whole[..kept], &Limits::default()).is_err(),
                "{name} cut to {kept} of {} was read",
                whole.len()
            );
        }
    }
}

#[test]
fn a_codestream_that_breaks_off_inside_a_whole_object_is_damaged() {
    for (name, ..) in CODECS {
        let whole = fixture(name);
        // The last fragment without its second half, with its length mended.
        let (at, length) = last_fragment(&whole);
        let kept = (length / 2) & !1;
        let mut cut = whole[..at - 4].to_vec();
        cut.extend((kept as u32).to_le_bytes());
        cut.extend(&whole[at..at + kept]);
        cut.extend(b"\xFE\xFF\xDD\xE0\0\0\0\0");
        assert_eq!(refused(&cut), Refusal::Damaged, "{name}");
    }
}

/// Place and length of the last item before the end of the file.
fn last_fragment(file: &[u8]) -> (usize, usize) {
    let start = file.windows(12).position(|part| part.starts_with(b"\xE0\x7F\x10\0OB\0\0\xFF\xFF\xFF\xFF")).unwrap();
    let mut at = start + 12;
    let mut last = None;
    while file[at..].starts_with(b"\xFE\xFF\x00\xE0") {
        let length = u32::from_le_bytes(file[at + 4..at + 8].try_into().unwrap()) as usize;
        last = Some((at + 8, length));
        at += 8 + length;
    }
    last.unwrap()
}

#[test]
fn every_depth_sign_sense_and_native_syntax_gives_the_same_ramp() {
    let (width, height) = (64u16, 4u16);
    for (stored, allocated) in [(8u16, 8u16), (6, 8), (8, 16), (10, 16), (12, 16), (14, 16), (15, 16), (16, 16)] {
        let most = (1u32 << stored) - 1;
        let pixels = u32::from(width * height);
        let ramp: Vec<u16> = (0..pixels).map(|i| (i * most / (pixels - 1)) as u16).collect();
        let expected: Vec<f64> = ramp.iter().map(|&value| f64::from(value) / f64::from(most)).collect();
        for signed in [false, true] {
            let sign = 1u16 << (stored - 1);
            let mask = (most & 0xFFFF) as u16;
            let raw: Vec<u16> = ramp.iter().map(|&v| if signed { v.wrapping_sub(sign) & mask } else { v }).collect();
            for sense in ["MONOCHROME1", "MONOCHROME2"] {
                for syntax in [IMPLICIT, EXPLICIT, BIG, DEFLATED] {
                    let name = format!("{stored} in {allocated}, signed {signed}, {sense}, {syntax}");
                    let film = Film::new(width, height, stored, allocated)
                        .word(tags::PIXEL_REPRESENTATION, u16::from(signed))
                        .text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, sense);
                    let film = if allocated == 8 {
                        film.pixels8(&raw.iter().map(|&value| value as u8).collect::<Vec<_>>())
                    } else {
                        film.pixels16(&raw)
                    };
                    let film = read(&film.write(syntax));
                    assert_eq!((film.width(), film.height()), (u32::from(width), u32::from(height)), "{name}");
                    assert_eq!(matches!(film.pixels(), Grey::U16(_)), stored > 8, "{name}");
                    assert_eq!(film.encoding(), Encoding::Dicom);
                    let inverted = sense == "MONOCHROME1";
                    let expected: Vec<f64> = expected.iter().map(|v| if inverted { 1.0 - v } else { *v }).collect();
                    assert!(apart(&greys(&film), &expected) <= 0.51, "{name}");
                }
            }
        }
    }
}

/// Five stored values of 12 bits.
const VALUES: [u16; 5] = [0, 1_000, 2_000, 3_000, 4_095];

/// [`VALUES`] as a film, with what `more` adds to it.
fn five(more: impl FnOnce(Film) -> Film) -> Vec<u8> {
    more(Film::new(5, 1, 12, 16).pixels16(&VALUES)).write(EXPLICIT)
}

fn window(film: Film, centre: &str, width: &str, function: &str) -> Film {
    film.text(tags::WINDOW_CENTER, VR::DS, centre).text(tags::WINDOW_WIDTH, VR::DS, width).text(
        tags::VOILUT_FUNCTION,
        VR::CS,
        function,
    )
}

#[test]
fn modality_interest_and_presentation_are_those_of_the_standard() {
    let sigmoid = |value: f64| 1.0 / (1.0 + (-4.0 * (value - 2_000.0) / 1_000.0).exp());
    let halves: Vec<u16> = (0..4_096).map(|entry| entry / 2).collect();
    let doubles: Vec<u16> = (0..2_048).map(|entry| entry * 2).collect();
    let whole = [0.0, 1_000.0 / 4_095.0, 2_000.0 / 4_095.0, 3_000.0 / 4_095.0, 1.0];
    let inverse = whole.map(|grey| 1.0 - grey);
    type Case<'a> = (&'a str, Box<dyn FnOnce(Film) -> Film + 'a>, [f64; 5]);
    let cases: Vec<Case<'_>> = vec![
        ("nothing is said", Box::new(|film| film), whole),
        ("LINEAR", Box::new(|film| window(film, "2000", "2001", "LINEAR")), [0.0, 0.000_25, 0.500_25, 1.0, 1.0]),
        ("LINEAR_EXACT", Box::new(|film| window(film, "2000", "4000", "LINEAR_EXACT")), [0.0, 0.25, 0.5, 0.75, 1.0]),
        (
            "SIGMOID",
            Box::new(|film| window(film, "2000", "1000", "SIGMOID")),
            [0.0, 1_000.0, 2_000.0, 3_000.0, 4_095.0].map(sigmoid),
        ),
        ("a width of one", Box::new(|film| window(film, "2000", "1", "LINEAR")), [0.0, 0.0, 1.0, 1.0, 1.0]),
        (
            "the first of several windows",
            Box::new(|film| window(film, "2000\\9", "4000\\3", "LINEAR_EXACT")),
            [0.0, 0.25, 0.5, 0.75, 1.0],
        ),
        ("a window of no width", Box::new(|film| window(film, "2000", "0", "LINEAR")), whole),
        ("a window that is no number", Box::new(|film| window(film, "x", "100", "LINEAR")), whole),
        ("a window without values", Box::new(|film| window(film, "", "", "LINEAR")), whole),
        ("a width under one", Box::new(|film| window(film, "2000", "0.5", "LINEAR")), whole),
        (
            "a width under one that is exact",
            Box::new(|film| window(film, "2000", "0.5", "LINEAR_EXACT")),
            [0.0, 0.0, 0.5, 1.0, 1.0],
        ),
        (
            "a function that there is not",
            Box::new(|film| window(film, "2000", "1", "CUBIC")),
            [0.0, 0.0, 1.0, 1.0, 1.0],
        ),
        ("a centre without a width", Box::new(|film| film.text(tags::WINDOW_CENTER, VR::DS, "1")), whole),
        (
            "rescaling by nothing",
            Box::new(|film| film.text(tags::RESCALE_SLOPE, VR::DS, "0").text(tags::RESCALE_INTERCEPT, VR::DS, "7")),
            whole,
        ),
        (
            "rescaling by what is no number",
            Box::new(|film| film.text(tags::RESCALE_SLOPE, VR::DS, "NaN").text(tags::RESCALE_INTERCEPT, VR::DS, "0")),
            whole,
        ),
        (
            "the same in binary",
            Box::new(|film| {
                film.with(tags::RESCALE_SLOPE, VR::FD, f64::NAN).text(tags::RESCALE_INTERCEPT, VR::DS, "0")
            }),
            whole,
        ),
        (
            "a window around what is no number",
            Box::new(|film| film.with(tags::WINDOW_CENTER, VR::FL, f32::NAN).text(tags::WINDOW_WIDTH, VR::DS, "9")),
            whole,
        ),
        (
            "a negative intercept in binary",
            Box::new(|film| {
                let film = film.text(tags::RESCALE_SLOPE, VR::DS, "1").with(tags::RESCALE_INTERCEPT, VR::SS, -4_095i16);
                window(film, "-2095", "4000", "LINEAR_EXACT")
            }),
            [0.0, 0.25, 0.5, 0.75, 1.0],
        ),
        ("a slope alone", Box::new(|film| film.text(tags::RESCALE_SLOPE, VR::DS, "-3")), whole),
        ("padding without a value", Box::new(|film| film.words(tags::PIXEL_PADDING_VALUE, VR::US, &[])), whole),
        (
            "rescaling alone",
            Box::new(|film| {
                film.text(tags::RESCALE_SLOPE, VR::DS, "2.5").text(tags::RESCALE_INTERCEPT, VR::DS, "-1024")
            }),
            whole,
        ),
        (
            "rescaling by a negative slope",
            Box::new(|film| film.text(tags::RESCALE_SLOPE, VR::DS, "-1").text(tags::RESCALE_INTERCEPT, VR::DS, "4095")),
            inverse,
        ),
        (
            "a window over rescaled values",
            Box::new(|film| {
                let film = film.text(tags::RESCALE_SLOPE, VR::DS, "2").text(tags::RESCALE_INTERCEPT, VR::DS, "-1000");
                window(film, "3000", "8000", "LINEAR_EXACT")
            }),
            [0.0, 0.25, 0.5, 0.75, 1.0],
        ),
        (
            "a modality table",
            Box::new(|film| film.lut(tags::MODALITY_LUT_SEQUENCE, 0, 12, &halves)),
            whole.map(|grey| grey / 2.0),
        ),
        (
            "a table of interest",
            Box::new(|film| film.lut(tags::VOILUT_SEQUENCE, 0, 12, &halves)),
            whole.map(|grey| grey / 2.0),
        ),
        (
            "a table of interest that begins late and ends early",
            Box::new(|film| film.lut(tags::VOILUT_SEQUENCE, 1_500, 12, &doubles)),
            [0.0, 0.0, 1_000.0 / 4_095.0, 3_000.0 / 4_095.0, 4_094.0 / 4_095.0],
        ),
        (
            "both tables",
            Box::new(|film| {
                film.lut(tags::MODALITY_LUT_SEQUENCE, 0, 12, &halves).lut(tags::VOILUT_SEQUENCE, 0, 12, &doubles)
            }),
            whole,
        ),
        (
            "a table beats a window",
            Box::new(|film| window(film, "1", "1", "LINEAR").lut(tags::VOILUT_SEQUENCE, 0, 12, &halves)),
            whole.map(|grey| grey / 2.0),
        ),
        ("INVERSE", Box::new(|film| film.text(tags::PRESENTATION_LUT_SHAPE, VR::CS, "INVERSE")), inverse),
        (
            "MONOCHROME1 and INVERSE, which DX has together",
            Box::new(|film| {
                film.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1").text(
                    tags::PRESENTATION_LUT_SHAPE,
                    VR::CS,
                    "INVERSE",
                )
            }),
            inverse,
        ),
        (
            "padding is black",
            Box::new(|film| film.word(tags::PIXEL_PADDING_VALUE, 4_095)),
            [0.0, 1_000.0 / 4_095.0, 2_000.0 / 4_095.0, 3_000.0 / 4_095.0, 0.0],
        ),
        (
            "a range of padding is black in MONOCHROME1 too",
            Box::new(|film| {
                film.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1")
                    .word(tags::PIXEL_PADDING_VALUE, 0)
                    .word(tags::PIXEL_PADDING_RANGE_LIMIT, 1_000)
            }),
            [0.0, 0.0, inverse[2], inverse[3], inverse[4]],
        ),
    ];
    for (name, more, expected) in cases {
        let found = greys(&read(&five(more)));
        assert!(apart(&found, &expected) < 0.1, "{name}: {found:?}, expected {expected:?}");
    }
}

#[test]
fn bits_beside_the_stored_ones_are_left_out() {
    for high in [11u16, 12, 13, 15] {
        let overlay = |value: u16| (value << (high - 11)) | !(0x0FFF << (high - 11));
        let film = Film::new(5, 1, 12, 16).word(tags::HIGH_BIT, high).pixels16(&VALUES.map(overlay));
        let expected = VALUES.map(|value| f64::from(value) / 4_095.0);
        assert!(apart(&greys(&read(&film.write(EXPLICIT))), &expected) < 0.02, "high bit {high}");
    }
}

#[test]
fn ten_bits_that_are_declared_as_sixteen_are_not_black() {
    let film = Film::new(4, 1, 16, 16).pixels16(&[0, 300, 900, 1_000]);
    let expected = [0.0, 300.0, 900.0, 1_000.0].map(|value| value / 1_023.0);
    assert!(apart(&greys(&read(&film.write(EXPLICIT))), &expected) < 0.02);
}

const RED: [u8; 3] = [200, 40, 90];
const BLUE: [u8; 3] = [10, 80, 250];

fn luma([red, green, blue]: [u8; 3]) -> f64 {
    (0.2126 * f64::from(red) + 0.7152 * f64::from(green) + 0.0722 * f64::from(blue)) / 255.0
}

fn ybr([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let [red, green, blue] = [red, green, blue].map(f64::from);
    let luma = 0.299 * red + 0.587 * green + 0.114 * blue;
    [luma, (blue - luma) / 1.772 + 128.0, (red - luma) / 1.402 + 128.0]
        .map(|value| value.round().clamp(0.0, 255.0) as u8)
}

fn colour(photometric: &str, pixels: &[u8]) -> Film {
    Film::new(2, 1, 8, 8)
        .word(tags::SAMPLES_PER_PIXEL, 3)
        .word(tags::PLANAR_CONFIGURATION, 0)
        .text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric)
        .text(tags::MODALITY, VR::CS, "OT")
        .pixels8(pixels)
}

#[test]
fn colours_become_their_luma() {
    let [r, b] = [RED, BLUE];
    let (yr, yb) = (ybr(r), ybr(b));
    let planes = [r[0], b[0], r[1], b[1], r[2], b[2]];
    let both = [luma(r), luma(b)];
    for (name, film, expected) in [
        ("RGB", colour("RGB", &[r, b].concat()), both),
        ("RGB by planes", colour("RGB", &planes).word(tags::PLANAR_CONFIGURATION, 1), both),
        ("YBR_FULL", colour("YBR_FULL", &[yr, yb].concat()), both),
        ("YBR_FULL_422", colour("YBR_FULL_422", &[yr[0], yr[0], yr[1], yr[2]]), [luma(r), luma(r)]),
        (
            "RLE of RGB",
            colour("RGB", &[]).fragments(vec![rle(&planes.chunks(2).map(<[u8]>::to_vec).collect::<Vec<_>>())]),
            both,
        ),
    ] {
        let syntax = if name.starts_with("RLE") { "1.2.840.10008.1.2.5" } else { EXPLICIT };
        let found = greys(&read(&film.write(syntax)));
        assert!(apart(&found, &expected) <= 1.0, "{name}: {found:?}, expected {expected:?}");
    }
    // Written as words, bytes stand in pairs with the second one first.
    let words: Vec<u16> = [r, b].concat().chunks(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect();
    let film = colour("RGB", &[]).pixels16(&words);
    assert!(apart(&greys(&read(&film.write(BIG))), &both) <= 1.0);
}

fn palette(film: Film, bits: u16, data: [&[u16]; 3], segmented: bool) -> Film {
    let descriptors = [
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
    ];
    let plain = [
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ];
    let in_segments = [
        tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ];
    let data_tags = if segmented { in_segments } else { plain };
    let film = film.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "PALETTE COLOR");
    descriptors.into_iter().zip(data_tags).zip(data).fold(film, |film, ((descriptor, tag), data)| {
        film.words(descriptor, VR::US, &[5, 10, bits]).words(tag, VR::OW, data)
    })
}

#[test]
fn palettes_are_looked_up_plain_and_segmented() {
    let film = || Film::new(4, 1, 8, 8).pixels8(&[0, 10, 12, 200]);
    let ramp: [u16; 5] = [0, 10_000, 20_000, 30_000, 40_000];
    let expected = [0.0, 0.0, 20_000.0 / 65_535.0, 40_000.0 / 65_535.0];
    // One discrete entry, then four on a line to 40,000; then the same through an indirect segment.
    let line: [u16; 6] = [0, 1, 0, 1, 4, 40_000];
    let indirect: [u16; 10] = [0, 1, 0, 1, 1, 10_000, 1, 3, 40_000, 0];
    for (name, film) in [
        ("plain", palette(film(), 16, [&ramp; 3], false)),
        ("segmented", palette(film(), 16, [&line; 3], true)),
        ("three segments", palette(film(), 16, [&indirect[..9]; 3], true)),
        ("8 bits in 16 declared", {
            let narrow = ramp.map(|entry| entry / 257);
            palette(film(), 16, [&narrow; 3], false)
        }),
    ] {
        let found = greys(&read(&film.write(EXPLICIT)));
        assert!(apart(&found, &expected) <= 1.0, "{name}: {found:?}");
    }
    // A segment that copies segments that copy segments would have no end.
    let endless: [u16; 5] = [2, 60_000, 0, 0, 0];
    assert_eq!(refused(&palette(film(), 16, [&endless; 3], true).write(EXPLICIT)), Refusal::Damaged);
}

#[test]
fn a_film_is_known_by_its_content_with_and_without_preamble_and_meta_information() {
    let film = Film::new(5, 1, 12, 16).pixels16(&VALUES);
    let expected = greys(&read(&film.write(EXPLICIT)));
    let tiff_in_front = |mut bytes: Vec<u8>| {
        bytes[..4].copy_from_slice(b"II*\0");
        bytes
    };
    for syntax in [EXPLICIT, IMPLICIT, BIG] {
        let bytes = film.write(syntax);
        let bare = data_set_at(&bytes);
        for (name, bytes) in [
            ("whole", bytes.clone()),
            ("without preamble", bytes[128..].to_vec()),
            ("without preamble and magic", bytes[132..].to_vec()),
            ("the data set alone", bytes[bare..].to_vec()),
            ("a TIFF's magic in the preamble", tiff_in_front(bytes.clone())),
            ("bytes behind the pixels", [bytes.as_slice(), b"\xFC\xFF\xFC\xFFOB\0\0\xFF\xFF\xFF\x7F"].concat()),
        ] {
            let film = decode(&bytes, &Limits::default()).unwrap_or_else(|error| panic!("{syntax}, {name}: {error}"));
            assert_eq!(greys(&film), expected, "{syntax}, {name}");
        }
    }
    // Meta information that is wrong about the headers.
    let (explicit, implicit) = (film.write(EXPLICIT), film.write(IMPLICIT));
    let lie = [&explicit[..data_set_at(&explicit)], &implicit[data_set_at(&implicit)..]].concat();
    assert_eq!(greys(&read(&lie)), expected);
}

/// The data set of [`VALUES`], explicit, with these bytes in front of its pixel data.
fn with_in_front_of_the_pixels(more: &[u8]) -> Vec<u8> {
    let film = Film::new(5, 1, 12, 16).pixels16(&VALUES).write(EXPLICIT);
    let at = film.windows(6).position(|part| part == b"\xE0\x7F\x10\0OW").unwrap();
    [&film[..at], more, &film[at..]].concat()
}

/// A sequence of one item, both without a length.
fn endless(tag: Tag, item: &[u8]) -> Vec<u8> {
    let begin = [element(tag, b"SQ", u32::MAX, &[]), b"\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF".to_vec()].concat();
    [&begin, item, b"\xFE\xFF\x0D\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0"].concat()
}

/// Pixel data of these fragments behind an empty offset table.
fn fragments(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = [element(tags::PIXEL_DATA, b"OB", u32::MAX, &[]), b"\xFE\xFF\0\xE0\0\0\0\0".to_vec()].concat();
    for part in parts {
        bytes.extend(b"\xFE\xFF\0\xE0");
        bytes.extend((part.len() as u32).to_le_bytes());
        bytes.extend(*part);
    }
    [bytes, b"\xFE\xFF\xDD\xE0\0\0\0\0".to_vec()].concat()
}

#[test]
fn what_is_unusual_and_means_the_same_is_read_the_same() {
    const ENCAPSULATED: &str = "1.2.840.10008.1.2.1.98";
    let icon = Tag(0x0088, 0x0200);
    let small = [element(tags::ROWS, b"US", 2, &[1, 0]), element(tags::COLUMNS, b"US", 2, &[2, 0])].concat();
    let film = || Film::new(5, 1, 12, 16);
    let bytes: Vec<u8> = VALUES.iter().flat_map(|value| value.to_le_bytes()).collect();
    let whole = film().pixels16(&VALUES).write(EXPLICIT);
    let behind_meta = |first: Tag| {
        let set = &whole[data_set_at(&whole)..];
        let start = [first.0.to_le_bytes(), first.1.to_le_bytes()].concat();
        let at = set.windows(4).position(|part| part == start).unwrap();
        set[at..].to_vec()
    };
    // Of the meta information nothing but the transfer syntax.
    let syntax_alone =
        [&element(tags::TRANSFER_SYNTAX_UID, b"UI", 20, b"1.2.840.10008.1.2.1\0"), &whole[data_set_at(&whole)..]];
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("samples in one fragment", film().fragments(vec![bytes.clone()]).write(ENCAPSULATED)),
        (
            "samples in fragments, with one byte of padding",
            film().fragments(vec![bytes[..4].to_vec(), [&bytes[4..], &[0, 0]].concat()]).write(ENCAPSULATED),
        ),
        (
            "an icon with pixels of its own",
            with_in_front_of_the_pixels(&endless(
                icon,
                &[small.clone(), element(tags::PIXEL_DATA, b"OB", 2, b"ab")].concat(),
            )),
        ),
        (
            "an icon with a codestream",
            with_in_front_of_the_pixels(&endless(
                icon,
                &[small, fragments(&[b"\xFF\xD8\xFF\xC0 and more that is no element", b"\x7F"])].concat(),
            )),
        ),
        ("a private value of odd length", with_in_front_of_the_pixels(&element(Tag(0x0029, 0x1001), b"LO", 3, b"odd"))),
        ("an overlay plane", with_in_front_of_the_pixels(&element(Tag(0x6000, 0x3000), b"OW", 2, b"\xFF\xFF"))),
        ("a data set that begins with its modality", behind_meta(tags::MODALITY)),
        ("the transfer syntax alone in front", syntax_alone.concat()),
    ];
    let expected = greys(&read(&whole));
    for (name, bytes) in cases {
        let film = decode(&bytes, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(greys(&film), expected, "{name}");
        let header = dicom::Header::open(&bytes, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(header.bytes(tags::PIXEL_DATA).is_some(), "{name}");
    }
    // Nine bytes without the tenth that would make them even.
    let odd: Vec<u8> = Film::new(3, 3, 8, 8).pixels8(&[10, 20, 30, 40, 50, 60, 70, 80, 90]).write(EXPLICIT);
    let at = odd.len() - 10;
    let odd = [&odd[..at - 4], &9u32.to_le_bytes(), &odd[at..at + 9]].concat();
    assert_eq!(read(&odd).pixels(), &Grey::U8(vec![10, 20, 30, 40, 50, 60, 70, 80, 90]));
}

#[test]
fn eight_bits_that_are_declared_as_sixteen_and_other_names_of_colours_change_no_codec() {
    let (rgb, grey) = (fixture("rgb-j2k"), fixture("8"));
    let (at, length) = last_fragment(&rgb);
    let codestream = &rgb[at..at + length];
    for photometric in ["RGB", "YBR_RCT", "YBR_ICT"] {
        let film = Film::new(52, 37, 8, 8)
            .word(tags::SAMPLES_PER_PIXEL, 3)
            .word(tags::PLANAR_CONFIGURATION, 1)
            .text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric)
            .fragments(vec![codestream.to_vec()]);
        assert_eq!(greys(&read(&film.write("1.2.840.10008.1.2.4.90"))), greys(&read(&rgb)), "{photometric}");
    }
    for name in ["8-j2k", "8-jls", "8-jpeg-sv1", "8-jpeg-baseline"] {
        let film = fixture(name);
        let (at, length) = last_fragment(&film);
        let film = Film::new(52, 37, 8, 16).fragments(vec![film[at..at + length].to_vec()]);
        // Any encapsulated transfer syntax: the codestream tells what it is.
        let found = greys(&read(&film.write("1.2.840.10008.1.2.4.70")));
        assert!(apart(&found, &greys(&read(&grey))) <= 2.0, "{name}");
    }
}

#[test]
fn a_film_tells_of_itself_what_the_gate_and_the_journal_need() {
    let text = |tag, vr, value: &'static str| move |film: Film| film.text(tag, vr, value);
    let of = |more: &dyn Fn(Film) -> Film| {
        origin(&more(Film::new(5, 1, 12, 16).pixels16(&VALUES)).write(EXPLICIT), &Limits::default()).unwrap()
    };
    for (position, view) in [
        ("PA", Some(View::Pa)),
        ("AP", Some(View::Ap)),
        ("AP SUPINE", Some(View::Ap)),
        ("POSTERO_ANTERIOR", None),
        ("posterior-anterior", None),
        ("LL", Some(View::Lateral)),
        ("RL", Some(View::Lateral)),
        ("LATERAL", Some(View::Lateral)),
        ("LAT", Some(View::Lateral)),
        ("RLD", Some(View::Other)),
        ("RLO", Some(View::Oblique)),
        ("AP OBLIQUE", Some(View::Oblique)),
        ("ERECT", None),
        ("", None),
    ] {
        assert_eq!(of(&text(tags::VIEW_POSITION, VR::CS, position)).view, view, "{position}");
    }
    for (code, meaning, view) in [
        ("R-10206", "", Some(View::Ap)),
        ("272479007", "postero-anterior", Some(View::Pa)),
        ("R-10236", "left lateral", Some(View::Lateral)),
        ("399182000", "oblique", Some(View::Oblique)),
        ("LOCAL-1", "Postero-Anterior projection", Some(View::Pa)),
        ("LOCAL-2", "anything", None),
    ] {
        let coded = |film: Film| {
            let code_value = (tags::CODE_VALUE, VR::SH, code.into());
            film.item(tags::VIEW_CODE_SEQUENCE, [code_value, (tags::CODE_MEANING, VR::LO, meaning.into())])
        };
        assert_eq!(of(&coded).view, view, "{code}");
    }
    for (age, birth, years) in [
        ("034Y", "", Some(34.0)),
        ("006M", "", Some(0.5)),
        ("026W", "", Some(0.498)),
        ("073D", "", Some(0.2)),
        ("81", "", Some(81.0)),
        ("", "19761125", Some(50.0)),
        ("", "20260525", Some(0.5)),
        ("200Y", "", None),
        ("xxxY", "", None),
        ("", "unknown", None),
    ] {
        let aged = |film: Film| {
            film.text(tags::PATIENT_AGE, VR::AS, age).text(tags::PATIENT_BIRTH_DATE, VR::DA, birth).text(
                tags::STUDY_DATE,
                VR::DA,
                "20261125",
            )
        };
        let found = of(&aged).age_years;
        assert!(
            found.zip(years).map_or(found == years, |(found, years): (f32, f32)| (found - years).abs() < 0.01),
            "{age} {birth}: {found:?}"
        );
    }
    let whole = of(&|film: Film| {
        film.text(tags::STUDY_DATE, VR::DA, "20261125")
            .text(tags::STUDY_TIME, VR::TM, "091300.123")
            .text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.9")
            .text(tags::PATIENT_ID, VR::LO, "ID 7")
            .text(tags::IMAGE_LATERALITY, VR::CS, "U")
            .text(tags::BODY_PART_EXAMINED, VR::CS, "chest")
            .text(tags::IMAGER_PIXEL_SPACING, VR::DS, "0.143\\0.15")
    });
    assert_eq!(whole.patient_id.as_ref().map(|id| id.expose()), Some("ID 7"));
    let expected = Origin {
        modality: Some("CR".into()),
        laterality: Some(Laterality::Unpaired),
        body_part: Some("CHEST".into()),
        pixel_spacing: Some(PixelSpacing { rows_mm: 0.143, columns_mm: 0.15, at_detector: true }),
        study_uid: Some("1.2.3".into()),
        series_uid: Some("1.2.3.9".into()),
        sop_uid: Some("1.2.3.4".into()),
        study_at: Some("2026-11-25T09:13:00".into()),
        ..Origin::default()
    };
    assert_eq!(Origin { patient_id: None, ..whole }, expected);
}

#[test]
fn a_uid_that_is_a_path_is_none() {
    let film = Film::new(5, 1, 12, 16).pixels16(&VALUES).text(tags::STUDY_INSTANCE_UID, VR::UI, "../../etc/passwd");
    assert_eq!(origin(&film.write(EXPLICIT), &Limits::default()).unwrap().study_uid, None);
}

#[test]
fn tags_that_rule_a_film_out_are_refused_by_the_gate() {
    let samples: Vec<u16> = (0..300 * 280).map(|i: u32| (i % 4_000) as u16).collect();
    let film = || Film::new(300, 280, 12, 16).pixels16(&samples);
    for (film, refusal) in [
        (film(), None),
        (film().text(tags::VIEW_POSITION, VR::CS, "PA"), None),
        (film().text(tags::VIEW_POSITION, VR::CS, "LL"), Some(Refusal::View)),
        (film().text(tags::BODY_PART_EXAMINED, VR::CS, "HAND"), Some(Refusal::BodyPart)),
    ] {
        let judged = gate::judge(&read(&film.write(EXPLICIT)));
        assert_eq!(judged.err().map(|refused| refused.refusal), refusal);
    }
}

/// An element of the data set by hand, with a length that need not be true.
fn element(tag: Tag, vr: &[u8; 2], length: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
    bytes.extend(vr);
    if matches!(vr, b"SQ" | b"OB" | b"OW" | b"UN") {
        bytes.extend([0, 0]);
        bytes.extend(length.to_le_bytes());
    } else {
        bytes.extend((length as u16).to_le_bytes());
    }
    bytes.extend(value);
    bytes
}

/// Meta information with `data_set` behind it.
fn file_of(data_set: &[u8]) -> Vec<u8> {
    let film = Film::new(5, 1, 12, 16).pixels16(&VALUES).write(EXPLICIT);
    [&film[..data_set_at(&film)], data_set].concat()
}

/// Sequences in sequences, so many deep.
fn nested(depth: usize) -> Vec<u8> {
    let modality = element(tags::MODALITY, b"CS", 2, b"CR");
    let level =
        [element(Tag(0x0009, 0x1001), b"SQ", u32::MAX, &[]), b"\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF".to_vec()].concat();
    [modality, level.repeat(depth)].concat()
}

#[test]
fn objects_that_are_made_to_hurt_are_refused_with_the_right_reason() {
    let plain = || Film::new(64, 64, 8, 8);
    let rle_syntax = "1.2.840.10008.1.2.5";
    let j2k_syntax = "1.2.840.10008.1.2.4.90";
    let jpeg_syntax = "1.2.840.10008.1.2.4.70";
    let huge = |film: Film| film.word(tags::ROWS, 65_535).word(tags::COLUMNS, 65_535);
    let zeros = vec![0u8; 400 << 20];
    let mut cases: Vec<(&str, Vec<u8>, Refusal)> = vec![
        ("sequences nested 100,000 deep", file_of(&nested(100_000)), Refusal::Damaged),
        ("a length of 4 GiB", file_of(&element(Tag(0x0009, 0x1001), b"UN", 0xFFFF_FFF0, b"x")), Refusal::Damaged),
        ("pixels of 4 GiB", file_of(&element(tags::PIXEL_DATA, b"OW", 0xFFFF_FFF0, b"x")), Refusal::Damaged),
        (
            "a sequence longer than the file",
            file_of(&element(tags::VOILUT_SEQUENCE, b"SQ", 0x7FFF_FFFF, b"")),
            Refusal::Damaged,
        ),
        (
            "an item outside of a sequence",
            file_of(b"\xFE\xFF\x00\xE0\0\0\0\0\xFE\xFF\x00\xE0\0\0\0\0"),
            Refusal::Damaged,
        ),
        (
            "a deflate bomb",
            {
                let film = Film::new(5, 1, 12, 16).pixels16(&VALUES).write(DEFLATED);
                [&film[..data_set_at(&film)], &deflate(&zeros)].concat()
            },
            Refusal::TooLarge,
        ),
        ("more pixels than the limits allow", huge(plain()).pixels8(&[0; 64]).write(EXPLICIT), Refusal::TooLarge),
        ("the same in RLE", huge(plain()).fragments(vec![rle(&[vec![0; 64]])]).write(rle_syntax), Refusal::TooLarge),
        ("native pixels that are too few", plain().pixels8(&[0; 64]).write(EXPLICIT), Refusal::Damaged),
        ("RLE that is too short", plain().fragments(vec![rle(&[vec![0; 64]])]).write(rle_syntax), Refusal::Damaged),
        ("no fragments", plain().fragments(vec![]).write(rle_syntax), Refusal::Damaged),
        ("an unknown codec", plain().fragments(vec![vec![7; 64]]).write(rle_syntax), Refusal::Unsupported),
        (
            "frames",
            plain().text(tags::NUMBER_OF_FRAMES, VR::IS, "2").pixels8(&[0; 8_192]).write(EXPLICIT),
            Refusal::Unsupported,
        ),
        ("no pixels", plain().write(EXPLICIT), Refusal::Unsupported),
        ("a report", plain().text(tags::MODALITY, VR::CS, "SR").write(EXPLICIT), Refusal::Modality),
        (
            "samples in fragments where the transfer syntax has none",
            plain().fragments(vec![vec![7; 4_096]]).write(EXPLICIT),
            Refusal::Unsupported,
        ),
        (
            "too few samples in fragments",
            plain().fragments(vec![vec![0; 4_094]]).write("1.2.840.10008.1.2.1.98"),
            Refusal::Damaged,
        ),
        ("32 bits", plain().word(tags::BITS_ALLOCATED, 32).pixels8(&[0; 64]).write(EXPLICIT), Refusal::Unsupported),
        (
            "more bits stored than allocated",
            plain().word(tags::BITS_STORED, 12).pixels8(&[0; 4_096]).write(EXPLICIT),
            Refusal::Damaged,
        ),
        ("no bits stored", plain().word(tags::BITS_STORED, 0).pixels8(&[0; 4_096]).write(EXPLICIT), Refusal::Damaged),
        ("no rows", plain().word(tags::ROWS, 0).pixels8(&[0; 64]).write(EXPLICIT), Refusal::Damaged),
        (
            "a photometric interpretation that there is not",
            plain().text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "CIELAB").pixels8(&[0; 4_096]).write(EXPLICIT),
            Refusal::Unsupported,
        ),
        ("CT", plain().text(tags::MODALITY, VR::CS, "CT").pixels8(&[0; 4_096]).write(EXPLICIT), Refusal::Modality),
        (
            "a table without entries",
            plain().lut(tags::VOILUT_SEQUENCE, 0, 12, &[]).pixels8(&[0; 4_096]).write(EXPLICIT),
            Refusal::Damaged,
        ),
        (
            "a table of 3 bits",
            plain().lut(tags::VOILUT_SEQUENCE, 0, 3, &[1, 2]).pixels8(&[0; 4_096]).write(EXPLICIT),
            Refusal::Unsupported,
        ),
        (
            "a palette that is not there",
            plain()
                .text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "PALETTE COLOR")
                .pixels8(&[0; 4_096])
                .write(EXPLICIT),
            Refusal::Damaged,
        ),
        (
            "a segmented palette that copies itself",
            palette(plain().pixels8(&[0; 4_096]), 16, [&[2, 1, 0, 0]; 3], true).write(EXPLICIT),
            Refusal::Damaged,
        ),
        (
            "a segmented palette that copies nothing, for hours",
            palette(
                plain().pixels8(&[0; 4_096]),
                16,
                [&[&[0; 65_534][..], &[2, 65_535, 0, 0].repeat(500_000)].concat(); 3],
                true,
            )
            .write(EXPLICIT),
            Refusal::Damaged,
        ),
        (
            "a film of other colours",
            plain().words(tags::SAMPLES_PER_PIXEL, VR::US, &[4]).pixels8(&[0; 4_096]).write(EXPLICIT),
            Refusal::Unsupported,
        ),
    ];
    // Codestreams that declare another size than their object.
    for (name, syntax) in [
        ("16-j2k", j2k_syntax),
        ("16-jpeg-sv1", jpeg_syntax),
        ("16-jls", jpeg_syntax),
        ("12-jpeg-extended", jpeg_syntax),
        ("8-jpeg-baseline", jpeg_syntax),
        ("8-jpeg-progressive", jpeg_syntax),
    ] {
        let film = fixture(name);
        let (at, length) = last_fragment(&film);
        let codestream = film[at..at + length].to_vec();
        let small = Film::new(20, 20, 16, 16).fragments(vec![codestream.clone()]).write(syntax);
        cases.push((name, small, Refusal::Damaged));
        if name == "16-j2k" {
            // Tiles of one pixel, and 60,000 pixels a side.
            let mut tiles = codestream.clone();
            tiles[24..32].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
            cases.push(("tiles", Film::new(52, 37, 16, 16).fragments(vec![tiles]).write(syntax), Refusal::Damaged));
            let mut vast = codestream;
            vast[8..16].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
            cases.push(("vast", Film::new(52, 37, 16, 16).fragments(vec![vast]).write(syntax), Refusal::Damaged));
        }
    }
    for (name, bytes, refusal) in cases {
        match decode(&bytes, &Limits::default()) {
            Ok(_) => panic!("{name} was read"),
            Err(error) => assert_eq!(error.refusal(), refusal, "{name}: {error}"),
        }
    }
}

#[test]
fn a_directory_is_known_whatever_its_name() {
    let film = Film::new(5, 1, 12, 16).pixels16(&VALUES).write(EXPLICIT);
    assert!(!dicom::is_directory(&film));
    assert!(!dicom::is_directory(b"no DICOM"));
    let class = b"1.2.840.10008.5.1.4.1.1.1\0";
    let at = film.windows(class.len()).position(|part| part == class).unwrap();
    // Media Storage Directory Storage, padded to the same length with zeros.
    let mut directory = film.clone();
    directory[at..at + class.len()].copy_from_slice(b"1.2.840.10008.1.3.10\0\0\0\0\0\0");
    assert!(dicom::is_directory(&directory));
    assert!(matches!(decode(&directory, &Limits::default()), Err(DecodeError::Unsupported(_))));
}

#[test]
fn real_films_are_as_grey_as_pydicom_makes_them() {
    let Some(folder) = real_films::folder("dicom", "real_films_are_as_grey_as_pydicom_makes_them") else { return };
    for (name, size, expected) in PYDICOM {
        let film = read(&fs::read(folder.join(name)).unwrap());
        assert_eq!((film.width(), film.height()), size, "{name}");
        let greys = greys(&film);
        let (width, height) = (size.0 as usize, size.1 as usize);
        for (place, expected) in expected.into_iter().enumerate() {
            let (x, y) = ((place % 4 * 2 + 1) * width / 8, (place / 4 * 2 + 1) * height / 8);
            let found = greys[y * width + x] * 255.0;
            assert!((found - expected).abs() <= 1.0, "{name} at {x}, {y}: {found:.2}, expected {expected:.2}");
        }
    }
}

/// Name, size, and the grey at sixteen places that pydicom 3.0 gives (`tests/dicom/compare.py`), in levels of 255.
type RealFilm = (&'static str, (u32, u32), [f64; 16]);
const PYDICOM: [RealFilm; 5] = [
    (
        "dwv_gdcm-CR-MONO1-10-chest_explicitLE.dcm",
        (440, 440),
        [
            154.30, 112.67, 109.93, 167.26, 145.32, 122.64, 106.44, 171.50, 116.66, 130.12, 153.30, 170.25, 136.60,
            195.43, 179.97, 111.17,
        ],
    ),
    (
        "nema_RG1_jpeg2000.dcm",
        (1841, 1955),
        [
            194.54, 158.79, 119.80, 179.08, 183.32, 155.53, 190.46, 236.27, 170.85, 198.51, 220.30, 178.67, 227.14,
            231.17, 222.47, 231.41,
        ],
    ),
    (
        "nema_RG3_rle_not_chest.dcm",
        (1760, 1760),
        [
            255.00, 91.73, 137.84, 255.00, 255.00, 17.95, 76.28, 255.00, 255.00, 20.69, 10.22, 255.00, 255.00, 148.81,
            16.70, 255.00,
        ],
    ),
    (
        "nhsx_nih_dx_implicitLE.dcm",
        (1024, 1024),
        [
            217.00, 181.00, 148.00, 195.00, 202.00, 108.00, 71.00, 184.00, 220.00, 206.00, 215.00, 207.00, 228.00,
            239.00, 228.00, 204.00,
        ],
    ),
    (
        "txrv_rsna_cr_jpegbaseline.dcm",
        (1024, 1024),
        [
            175.00, 159.00, 172.00, 228.00, 200.00, 80.00, 154.00, 200.00, 203.00, 132.00, 200.00, 212.00, 187.00,
            231.00, 226.00, 145.00,
        ],
    ),
];

proptest! {
    #[test]
    fn no_bytes_bring_the_reader_down(
        film in 0..CODECS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        kept in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut bytes = fixture(CODECS[film].0);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if is_cut {
            bytes.truncate(kept.index(bytes.len()));
        }
        let limits = Limits { max_bytes: 1 << 20, max_pixels: 1 << 20, max_alloc: 16 << 20 };
        if let Ok(film) = decode(&bytes, &limits) {
            prop_assert!(u64::from(film.width()) * u64::from(film.height()) <= limits.max_pixels);
        }
    }

    #[test]
    fn windows_never_turn_the_order_of_greys(centre in -5_000i32..5_000, width in 1u32..9_000, signed in any::<bool>()) {
        let film = Film::new(5, 1, 12, 16).pixels16(&VALUES).word(tags::PIXEL_REPRESENTATION, u16::from(signed));
        let film = window(film, &centre.to_string(), &width.to_string(), "LINEAR");
        let found = greys(&read(&film.write(EXPLICIT)));
        let value = |stored: u16| if signed && stored >= 2_048 { i32::from(stored) - 4_096 } else { i32::from(stored) };
        let mut order: Vec<usize> = (0..VALUES.len()).collect();
        order.sort_by_key(|&place| value(VALUES[place]));
        prop_assert!(order.windows(2).all(|two| found[two[0]] <= found[two[1]]));
    }
}
