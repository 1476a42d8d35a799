//! Sequential DCT JPEG with Huffman coding (ITU-T T.81, annexes A and F): 12 bits, which the decoder for JPEG files does
//! not read, and RGB of 8 bits, which it takes for YCbCr.

use super::super::damaged;
use super::super::pixels::Stored;
use super::jpeg::{Bits, Component, Huffman, Image, NATURAL, Scan};
use super::packed;
use crate::decode::DecodeError;

const SIDE: usize = 8;
const BLOCK: usize = SIDE * SIDE;

/// One component's samples, padded to whole MCUs.
struct Plane {
    samples: Vec<u16>,
    /// Samples a row, a multiple of 8.
    stride: usize,
    /// Blocks across and down that hold samples of the film.
    blocks: (usize, usize),
    factors: (usize, usize),
    is_done: bool,
}

pub(super) fn decode(bytes: &[u8], image: &Image) -> Result<Stored<'static>, DecodeError> {
    let frame = &image.frame;
    if !matches!(frame.precision, 8 | 12) {
        return Err(damaged(format!("a DCT frame of {} bits", frame.precision)));
    }
    let (width, height) = (frame.width as usize, frame.height as usize);
    let most = |factor: fn(&Component) -> usize| frame.components.iter().map(factor).max().unwrap_or(1);
    let (across, down) = (most(|component| component.across), most(|component| component.down));
    let mcus = (width.div_ceil(SIDE * across), height.div_ceil(SIDE * down));
    let mut planes: Vec<Plane> = frame
        .components
        .iter()
        .map(|component| {
            let size = |whole: usize, factor: usize, most: usize| (whole * factor).div_ceil(most).div_ceil(SIDE);
            let stride = mcus.0 * component.across * SIDE;
            Plane {
                samples: vec![0; stride * mcus.1 * component.down * SIDE],
                stride,
                blocks: (size(width, component.across, across), size(height, component.down, down)),
                factors: (component.across, component.down),
                is_done: false,
            }
        })
        .collect();
    let basis = Basis::new();
    for scan in &image.scans {
        decode_scan(bytes, image, scan, mcus, &mut planes, &basis)?;
    }
    if planes.iter().any(|plane| !plane.is_done) {
        return Err(damaged("a component of the JPEG codestream has no scan".into()));
    }
    let mut samples = Vec::with_capacity(width * height * planes.len());
    for row in 0..height {
        for column in 0..width {
            for plane in &planes {
                let (x, y) = (column * plane.factors.0 / across, row * plane.factors.1 / down);
                samples.push(plane.samples.get(y * plane.stride + x).copied().unwrap_or(0));
            }
        }
    }
    Ok(Stored { samples: packed(samples, frame.precision), planar: false, photometric: None })
}

/// What a component needs in a scan.
struct Part<'a> {
    place: usize,
    dc: &'a Huffman,
    ac: &'a Huffman,
    quantisation: &'a [u16; BLOCK],
    previous: i32,
}

fn decode_scan(
    bytes: &[u8],
    image: &Image,
    scan: &Scan,
    mcus: (usize, usize),
    planes: &mut [Plane],
    basis: &Basis,
) -> Result<(), DecodeError> {
    let missing = || damaged("a table of the JPEG codestream is missing".into());
    let mut parts: Vec<Part<'_>> = scan
        .components
        .iter()
        .map(|component| {
            let table = image.frame.components.get(component.place).map(|component| component.quantisation);
            Ok(Part {
                place: component.place,
                dc: scan.dc.get(component.dc).and_then(Option::as_ref).ok_or_else(missing)?,
                ac: scan.ac.get(component.ac).and_then(Option::as_ref).ok_or_else(missing)?,
                quantisation: table
                    .and_then(|table| image.quantisation.get(table))
                    .and_then(Option::as_ref)
                    .ok_or_else(missing)?,
                previous: 0,
            })
        })
        .collect::<Result<_, DecodeError>>()?;
    // A scan of one component has one block an MCU, and no blocks that are padding (T.81, A.2.2).
    let alone = parts.len() == 1;
    let (columns, rows) = match parts.first().and_then(|part| planes.get(part.place)) {
        Some(plane) if alone => plane.blocks,
        _ => mcus,
    };
    let precision = image.frame.precision;
    let mut bits = Bits::new(bytes, scan.data);
    let mut until_restart = scan.restart;
    for mcu in 0..columns * rows {
        if scan.restart > 0 && until_restart == 0 {
            bits.restart()?;
            until_restart = scan.restart;
            parts.iter_mut().for_each(|part| part.previous = 0);
        }
        until_restart = until_restart.wrapping_sub(1);
        let (column, row) = (mcu % columns, mcu / columns);
        for part in &mut parts {
            let Some(plane) = planes.get_mut(part.place) else { continue };
            plane.is_done = true;
            let (across, down) = if alone { (1, 1) } else { plane.factors };
            for block in 0..across * down {
                let (x, y) = (column * across + block % across, row * down + block / across);
                let coefficients = block_of(&mut bits, part)?;
                let start = y * SIDE * plane.stride + x * SIDE;
                let rows = plane.samples.get_mut(start..).unwrap_or_default().chunks_mut(plane.stride);
                for (row, values) in rows.zip(basis.inverse(&coefficients).chunks_exact(SIDE)) {
                    for (sample, value) in row.iter_mut().zip(values) {
                        let level = value + f32::from(1u16 << (precision - 1));
                        *sample = level.round().clamp(0.0, f32::from(u16::MAX >> (16 - precision))) as u16;
                    }
                }
            }
        }
    }
    Ok(())
}

/// The dequantised coefficients of the next block (T.81, F.2.2).
fn block_of(bits: &mut Bits<'_>, part: &mut Part<'_>) -> Result<[f32; BLOCK], DecodeError> {
    let mut coefficients = [0f32; BLOCK];
    let mut put = |place: usize, value: i32| {
        let natural = NATURAL.get(place).copied().unwrap_or(0);
        if let (Some(coefficient), Some(&factor)) = (coefficients.get_mut(natural), part.quantisation.get(natural)) {
            *coefficient = value as f32 * f32::from(factor);
        }
    };
    let length = part.dc.decode(bits)?;
    if length > 16 {
        return Err(damaged(format!("a JPEG difference of {length} bits")));
    }
    part.previous = part.previous.wrapping_add(bits.difference(length)?);
    put(0, part.previous);
    let mut place = 1;
    while place < BLOCK {
        let symbol = part.ac.decode(bits)?;
        let (zeros, length) = (usize::from(symbol >> 4), symbol & 15);
        match (zeros, length) {
            (15, 0) => place += 16,
            (_, 0) => break,
            _ => {
                place += zeros;
                if place >= BLOCK {
                    return Err(damaged("a JPEG block has more than 64 coefficients".into()));
                }
                put(place, bits.difference(length)?);
                place += 1;
            }
        }
    }
    Ok(coefficients)
}

/// Cosines of the inverse DCT (T.81, A.3.3), by sample and frequency.
struct Basis([[f32; SIDE]; SIDE]);

impl Basis {
    fn new() -> Self {
        Self(std::array::from_fn(|sample| {
            std::array::from_fn(|frequency| {
                let angle = (2 * sample + 1) as f64 * frequency as f64 * std::f64::consts::PI / 16.0;
                let norm = if frequency == 0 { std::f64::consts::FRAC_1_SQRT_2 } else { 1.0 };
                (angle.cos() * norm / 2.0) as f32
            })
        }))
    }

    /// Rows, then columns.
    fn inverse(&self, coefficients: &[f32; BLOCK]) -> [f32; BLOCK] {
        let mut half = [0f32; BLOCK];
        for (row, out) in coefficients.chunks_exact(SIDE).zip(half.chunks_exact_mut(SIDE)) {
            for (out, cosines) in out.iter_mut().zip(&self.0) {
                *out = row.iter().zip(cosines).map(|(value, cosine)| value * cosine).sum();
            }
        }
        let mut whole = [0f32; BLOCK];
        for (out, cosines) in whole.chunks_exact_mut(SIDE).zip(&self.0) {
            for (row, cosine) in half.chunks_exact(SIDE).zip(cosines) {
                for (out, value) in out.iter_mut().zip(row) {
                    *out += value * cosine;
                }
            }
        }
        whole
    }
}
