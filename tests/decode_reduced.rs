//! What `decode_reduced` promises: a JPEG of any sampling, with or without restarts, comes as the pixels that the first
//! frequencies of its blocks are; all else comes as from `decode`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

mod real_films;

use std::f64::consts::PI;
use std::fs;
use std::io::Cursor;

use chestlight::decode::{Limits, decode, decode_reduced};
use chestlight::phantom::{Opacity, Phantom};
use chestlight::preprocess::{Fit, InputGeometry, preprocess};
use chestlight::radiograph::{Encoding, Grey, Radiograph};
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, GrayImage, ImageFormat};
use proptest::prelude::*;

/// Quantized frequencies of one block, in the order of the zigzag.
type Block = [i32; 64];

const STEP: u8 = 3;

/// Row and column of each place of the zigzag, walked along the diagonals (ISO/IEC 10918-1, figure A.6).
fn zigzag() -> Vec<(usize, usize)> {
    (0..15)
        .flat_map(|diagonal: usize| {
            let cells: Vec<_> = (diagonal.saturating_sub(7)..=diagonal.min(7)).map(|a| (a, diagonal - a)).collect();
            if diagonal.is_multiple_of(2) { cells.into_iter().rev().collect::<Vec<_>>() } else { cells }
        })
        .collect()
}

/// A JPEG written block by block, with codes of up to 16 bits.
struct Writer {
    bytes: Vec<u8>,
    bits: u32,
    count: u32,
}

impl Writer {
    fn segment(&mut self, marker: u8, body: &[u8]) {
        self.bytes.extend([0xFF, marker]);
        self.bytes.extend((body.len() as u16 + 2).to_be_bytes());
        self.bytes.extend(body);
    }

    fn put(&mut self, value: u32, count: u32) {
        for place in (0..count).rev() {
            self.bits = self.bits << 1 | (value >> place & 1);
            self.count += 1;
            if self.count == 8 {
                self.bytes.push(self.bits as u8);
                if self.bits as u8 == 0xFF {
                    self.bytes.push(0);
                }
                (self.bits, self.count) = (0, 0);
            }
        }
    }

    fn end_segment(&mut self) {
        while self.count > 0 {
            self.put(1, 1);
        }
    }

    fn number(&mut self, value: i32, category: u32) {
        self.put(if value < 0 { value - 1 + (1 << category) } else { value } as u32, category);
    }

    fn block(&mut self, block: &Block, before: &mut i32) {
        let difference = block[0] - *before;
        *before = block[0];
        let category = 32 - difference.unsigned_abs().leading_zeros();
        self.put(category, 4);
        self.number(difference, category);
        let mut run = 0;
        for &value in &block[1..] {
            if value == 0 {
                run += 1;
                continue;
            }
            while run > 15 {
                self.symbol(0xF0);
                run -= 16;
            }
            let category = 32 - value.unsigned_abs().leading_zeros();
            self.symbol((run as u8) << 4 | category as u8);
            self.number(value, category);
            run = 0;
        }
        if run > 0 {
            self.symbol(0);
        }
    }

    fn symbol(&mut self, symbol: u8) {
        let (code, length) = ac_code(symbol);
        self.put(code, length);
    }
}

/// How many codes of each length there are, the shortest first: from 2 bits to 16.
const AC_COUNTS: [u8; 16] = [0, 1, 0, 2, 0, 4, 0, 8, 0, 16, 0, 32, 0, 0, 0, 193];

/// The end of the block has the shortest code, then come short runs of small values.
fn ac_symbols() -> Vec<u8> {
    let mut symbols: Vec<u8> = (0..=255).collect();
    symbols.sort_by_key(|&symbol| (symbol != 0, (symbol >> 4) + (symbol & 15), symbol));
    symbols
}

fn ac_code(symbol: u8) -> (u32, u32) {
    let place = ac_symbols().iter().position(|&each| each == symbol).unwrap() as u32;
    let (mut code, mut first) = (0, 0);
    for (length, count) in (1..).zip(AC_COUNTS.map(u32::from)) {
        if place < first + count {
            return (code + place - first, length);
        }
        first += count;
        code = (code + count) << 1;
    }
    unreachable!()
}

/// Luma of `across` x `down` blocks an MCU, then, in colour, one block each of Cb and Cr.
#[derive(Clone, Copy, Debug)]
struct Layout {
    across: usize,
    down: usize,
    colour: bool,
    restart: usize,
}

/// A film of `width` x `height` pixels whose luma blocks come from `block`, by column and row.
fn jpeg(width: usize, height: usize, layout: Layout, block: impl Fn(usize, usize) -> Block) -> Vec<u8> {
    let mut writer = Writer { bytes: vec![0xFF, 0xD8], bits: 0, count: 0 };
    writer.segment(0xDB, &[&[0][..], &[STEP; 64]].concat());
    let sampling = (layout.across << 4 | layout.down) as u8;
    let components: &[[u8; 3]] = &[[1, sampling, 0], [2, 0x11, 0], [3, 0x11, 0]];
    let components = if layout.colour { components } else { &components[..1] };
    let [h, w] = [height, width].map(|side| (side as u16).to_be_bytes());
    writer.segment(0xC0, &[&[8, h[0], h[1], w[0], w[1], components.len() as u8], components.as_flattened()].concat());
    let dc: Vec<u8> = [0; 3].into_iter().chain([12]).chain([0; 12]).chain(0..12).collect();
    writer.segment(0xC4, &[&[0x00][..], &dc].concat());
    writer.segment(0xC4, &[&[0x10][..], &AC_COUNTS, &ac_symbols()].concat());
    writer.segment(0xDD, &(layout.restart as u16).to_be_bytes());
    let tables = components.iter().flat_map(|[id, _, _]| [*id, 0]);
    writer.segment(0xDA, &[components.len() as u8].into_iter().chain(tables).chain([0, 63, 0]).collect::<Vec<_>>());

    let (mcu_across, mcu_down) = if layout.colour { (layout.across, layout.down) } else { (1, 1) };
    let (columns, rows) = (width.div_ceil(8 * mcu_across), height.div_ceil(8 * mcu_down));
    let mut before = [0; 3];
    for mcu in 0..columns * rows {
        if layout.restart > 0 && mcu > 0 && mcu % layout.restart == 0 {
            writer.end_segment();
            writer.bytes.extend([0xFF, 0xD0 + ((mcu / layout.restart - 1) % 8) as u8]);
            before = [0; 3];
        }
        for part in 0..mcu_across * mcu_down {
            let column = mcu % columns * mcu_across + part % mcu_across;
            let row = mcu / columns * mcu_down + part / mcu_across;
            writer.block(&block(column, row), &mut before[0]);
        }
        for chroma in before[1..components.len()].iter_mut() {
            let mut block = [0; 64];
            (block[0], block[9]) = ((mcu % 5) as i32, 2);
            writer.block(&block, chroma);
        }
    }
    writer.end_segment();
    writer.bytes.extend([0xFF, 0xD9]);
    writer.bytes
}

/// The pixel at `x`, `y` of a block shown with `side` x `side` pixels: its lowest frequencies' inverse transform.
fn expected(block: &Block, side: usize, x: usize, y: usize) -> f64 {
    let wave = |place: usize, frequency: usize| {
        let scale = if frequency == 0 { 1.0 } else { 2f64.sqrt() };
        scale * ((2 * place + 1) as f64 * frequency as f64 * PI / (2 * side) as f64).cos()
    };
    let sum: f64 = (zigzag().into_iter().zip(block))
        .filter(|((row, column), _)| *row < side && *column < side)
        .map(|((row, column), &value)| f64::from(value * i32::from(STEP)) * wave(y, row) * wave(x, column))
        .sum();
    (sum / 8.0 + 128.0).clamp(0.0, 255.0)
}

fn samples(film: &Radiograph) -> &[u8] {
    let Grey::U8(samples) = film.pixels() else { panic!("a JPEG has 8 bits") };
    samples
}

/// Some blocks are full to the last place, some end early, most have long runs.
fn some_block(seed: u64, column: usize, row: usize) -> Block {
    let mut state = seed ^ (column as u64) << 32 ^ (row as u64) << 16;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as i32
    };
    let last = random() % 64;
    let mut block = [0; 64];
    block[0] = random() % 500 - 250;
    for value in &mut block[1..=last as usize] {
        *value = match random() % 8 {
            0 => random() % 401 - 200,
            1 | 2 => random() % 15 - 7,
            3..6 => random() % 3 - 1,
            _ => 0,
        };
    }
    block
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn each_pixel_is_what_the_first_frequencies_of_its_block_are(
        (width, height) in (70usize..150, 70usize..150),
        (across, down, colour) in prop_oneof![
            Just((1usize, 1usize, false)), Just((2, 2, false)), Just((1, 1, true)), Just((2, 1, true)), Just((2, 2, true)),
        ],
        restart in 0usize..40,
        side in prop_oneof![Just(1usize), Just(2), Just(4)],
        seed in any::<u64>(),
    ) {
        let block = |column, row| some_block(seed, column, row);
        let film = jpeg(width, height, Layout { across, down, colour, restart }, block);
        let at_least = (width.min(height) * side / 8) as u32;
        let reduced = decode_reduced(&film, &Limits::default(), at_least).unwrap();
        let [wanted_width, wanted_height] = [width, height].map(|pixels| (pixels * side).div_ceil(8));
        prop_assert_eq!((reduced.width() as usize, reduced.height() as usize), (wanted_width, wanted_height));
        for (place, &sample) in samples(&reduced).iter().enumerate() {
            let (x, y) = (place % wanted_width, place / wanted_width);
            let wanted = expected(&block(x / side, y / side), side, x % side, y % side);
            prop_assert!((f64::from(sample) - wanted).abs() <= 1.5, "{sample} at {x}, {y}, expected {wanted}");
        }
        // The general decoder takes the film for whole, so the comparison is of a sound one.
        prop_assert_eq!(decode(&film, &Limits::default()).unwrap().width() as usize, width);
    }

    #[test]
    fn changed_bytes_are_read_or_refused_but_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        kept in 100usize..2_000,
        colour in any::<bool>(),
    ) {
        let layout = Layout { across: 2, down: 2, colour, restart: 7 };
        let mut film = jpeg(90, 75, layout, |column, row| some_block(5, column, row));
        film.truncate(kept);
        for (at, value) in changes {
            let at = at.index(film.len());
            film[at] = value;
        }
        let limits = Limits { max_pixels: 100_000, max_alloc: 1 << 20, ..Limits::default() };
        if let Ok(film) = decode_reduced(&film, &limits, 9) {
            prop_assert!(u64::from(film.width()) * u64::from(film.height()) <= limits.max_pixels);
        }
    }
}

fn phantom() -> Radiograph {
    Phantom::new(3, Opacity::Focal).sized(1_000, 900).render().unwrap()
}

fn encoded(film: &Radiograph, format: ImageFormat, colour: bool) -> Vec<u8> {
    let grey = GrayImage::from_raw(film.width(), film.height(), samples(film).to_vec()).unwrap();
    let image = if colour { DynamicImage::from(grey).to_rgb8().into() } else { DynamicImage::from(grey) };
    let mut bytes = Cursor::new(Vec::new());
    match format {
        ImageFormat::Jpeg => image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 92)).unwrap(),
        format => image.write_to(&mut bytes, format).unwrap(),
    }
    bytes.into_inner()
}

#[test]
fn a_film_is_reduced_as_far_as_its_shorter_side_allows_and_other_encodings_never() {
    let film = phantom();
    for (format, at_least, size) in [
        (ImageFormat::Jpeg, 901, (1_000, 900)),
        (ImageFormat::Jpeg, 451, (1_000, 900)),
        (ImageFormat::Jpeg, 450, (500, 450)),
        (ImageFormat::Jpeg, 226, (500, 450)),
        (ImageFormat::Jpeg, 225, (250, 225)),
        (ImageFormat::Jpeg, 112, (125, 113)),
        (ImageFormat::Jpeg, 0, (125, 113)),
        (ImageFormat::Png, 1, (1_000, 900)),
        (ImageFormat::Tiff, 1, (1_000, 900)),
    ] {
        for colour in [false, true] {
            let bytes = encoded(&film, format, colour);
            let reduced = decode_reduced(&bytes, &Limits::default(), at_least).unwrap();
            assert_eq!((reduced.width(), reduced.height()), size, "{format:?} {at_least}, colour {colour}");
        }
    }
}

#[test]
fn limits_are_asked_of_the_film_as_it_is_stored() {
    let bytes = encoded(&phantom(), ImageFormat::Jpeg, false);
    let default = Limits::default();
    for limits in [Limits { max_pixels: 899_999, ..default }, Limits { max_alloc: 899_999, ..default }] {
        assert!(decode_reduced(&bytes, &limits, 1).is_err(), "{limits:?}");
    }
}

#[test]
fn half_a_film_is_never_read_as_a_whole_one() {
    let layout = Layout { across: 1, down: 1, colour: false, restart: 5 };
    let film = jpeg(80, 80, layout, |column, row| some_block(1, column, row));
    for kept in 1..film.len() {
        let read = decode_reduced(&film[..kept], &Limits::default(), 10);
        assert!(read.is_err(), "cut to {kept} of {} bytes it was read", film.len());
    }
}

/// How far the network's inputs of the full and of the reduced film are apart, in grey levels of 255: on average, and
/// at most.
fn apart(film: &[u8]) -> (f32, f32) {
    let geometry = InputGeometry {
        width: 224,
        height: 224,
        fit: Fit::Stretch,
        exposure_low: 0.01,
        exposure_high: 0.99,
        mean: 0.0,
        std: 1.0,
        margin: 0.0,
    };
    let input = |film: Radiograph| preprocess(&film, &geometry).unwrap().plane;
    let full = input(decode(film, &Limits::default()).unwrap());
    let reduced = input(decode_reduced(film, &Limits::default(), geometry.at_least()).unwrap());
    let differences: Vec<f32> = full.iter().zip(&reduced).map(|(a, b)| (a - b).abs()).collect();
    (differences.iter().sum::<f32>() / differences.len() as f32, differences.into_iter().fold(0.0, f32::max))
}

#[test]
fn the_network_sees_the_same_film() {
    for colour in [false, true] {
        let (mean, most) = apart(&encoded(&phantom(), ImageFormat::Jpeg, colour));
        assert!(mean > 0.0 && mean < 1.0 && most < 10.0, "mean {mean}, at most {most}, colour {colour}");
    }
    let Some(folder) = real_films::folder("full_size", "the_network_sees_the_same_film") else { return };
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        if chestlight::decode::sniff(&bytes) == Some(Encoding::Jpeg) {
            let (mean, most) = apart(&bytes);
            assert!(mean < 1.0 && most < 20.0, "{}: mean {mean}, at most {most}", path.display());
        }
    }
}
