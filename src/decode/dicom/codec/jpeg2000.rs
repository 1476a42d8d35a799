//! JPEG 2000 (ITU-T T.800) through `hayro-jpeg2000`, which is safe Rust.
//!
//! It allocates by what the codestream declares, so the declarations are read and bounded first.

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use super::super::damaged;
use super::super::pixels::{Description, Samples, Stored};
use super::{check_size, packed};
use crate::decode::{DecodeError, Limits};

const CODESTREAM: &[u8] = b"\xFF\x4F\xFF\x51";
const JP2: &[u8] = b"\x00\x00\x00\x0CjP  \r\n\x87\n";

/// Bytes for each sample at the peak: the decoder's components, coefficients and two steps of a transform as floats, the
/// samples, and their grey.
const BYTES_A_SAMPLE: u64 = 20;

pub(super) fn is_jpeg2000(bytes: &[u8]) -> bool {
    bytes.starts_with(CODESTREAM) || bytes.starts_with(JP2)
}

pub(super) fn decode(bytes: &[u8], description: &Description, limits: &Limits) -> Result<Stored<'static>, DecodeError> {
    // In a JP2 file, which has no place here but is met, the codestream stands in a box of its own.
    let start = bytes.windows(CODESTREAM.len()).position(|four| four == CODESTREAM).unwrap_or_default();
    let codestream = bytes.get(start..).unwrap_or_default();
    let size = Size::read(codestream).ok_or_else(|| damaged("the JPEG 2000 codestream has no size".into()))?;
    check_size(description, size.width, size.height, size.components.len())?;
    let precision = size.check(description)?;
    if description.count() as u64 * BYTES_A_SAMPLE > limits.max_alloc.saturating_mul(2) {
        return Err(DecodeError::TooMuchMemory { limit: limits.max_alloc });
    }
    check_structure(codestream, &size)?;
    let failed = |error: hayro_jpeg2000::DecodeError| damaged(format!("JPEG 2000: {error}"));
    let settings = DecodeSettings { resolve_palette_indices: false, strict: true, target_resolution: None };
    let image = Image::new(codestream, &settings).map_err(failed)?;
    let mut context = DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(failed)?;
    let planes = decoded.components();
    if planes.len() != usize::from(description.samples) {
        return Err(damaged(format!("JPEG 2000 with {} components", planes.len())));
    }
    let most = f32::from(u16::MAX >> (16 - precision));
    let mut samples = Vec::with_capacity(description.count());
    for (plane, component) in planes.iter().zip(&size.components) {
        // The decoder lifts signed samples by half their range, as it must lift unsigned ones.
        let lift = if component.signed { 1u16 << (precision - 1) } else { 0 };
        let lowered = |sample: &f32| (sample.round().clamp(0.0, most) as u16).wrapping_sub(lift);
        samples.extend(plane.samples().iter().map(lowered));
    }
    let samples = if precision > 8 { Samples::U16(samples) } else { packed(samples, precision) };
    Ok(Stored { samples, planar: true, photometric: None })
}

#[derive(Clone, Copy)]
struct Component {
    bits: u8,
    signed: bool,
    subsampled: bool,
}

/// What the marker SIZ declares (T.800, A.5.1).
struct Size {
    width: u32,
    height: u32,
    tiles: u64,
    components: Vec<Component>,
}

impl Size {
    fn read(codestream: &[u8]) -> Option<Self> {
        let siz = codestream.strip_prefix(CODESTREAM)?;
        let long = |at: usize| Some(u32::from_be_bytes(siz.get(at..at + 4)?.try_into().ok()?));
        let (right, bottom, left, top) = (long(4)?, long(8)?, long(12)?, long(16)?);
        let (tile_width, tile_height, tile_left, tile_top) = (long(20)?, long(24)?, long(28)?, long(32)?);
        if tile_width == 0 || tile_height == 0 {
            return None;
        }
        let tiles = |end: u32, start: u32, size: u32| Some(u64::from(end.checked_sub(start)?.div_ceil(size)));
        let count = usize::from(u16::from_be_bytes(siz.get(36..38)?.try_into().ok()?));
        let components = siz.get(38..38 + count.min(4) * 3)?.chunks_exact(3).map(|three| match three {
            [depth, across, down] => Component {
                bits: (depth & 0x7F) + 1,
                signed: depth & 0x80 != 0,
                subsampled: (*across, *down) != (1, 1),
            },
            _ => Component { bits: 0, signed: false, subsampled: false },
        });
        Some(Self {
            width: right.checked_sub(left)?,
            height: bottom.checked_sub(top)?,
            tiles: tiles(right, tile_left, tile_width)? * tiles(bottom, tile_top, tile_height)?,
            components: if count <= 4 { components.collect() } else { Vec::new() },
        })
    }

    /// The precision that all components have.
    fn check(&self, description: &Description) -> Result<u8, DecodeError> {
        let unsupported = |what: &str| Err(DecodeError::Unsupported(format!("JPEG 2000 {what} is not read")));
        let Some(first) = self.components.first() else { return unsupported("with more than four components") };
        if self.components.iter().any(|component| component.subsampled) {
            return unsupported("with subsampled components");
        }
        if self.components.iter().any(|component| (component.bits, component.signed) != (first.bits, first.signed)) {
            return unsupported("with components of different depth");
        }
        if !(1..=16).contains(&first.bits) {
            return unsupported("of more than 16 bits");
        }
        // Films have one tile, or tiles of some hundred pixels a side.
        if self.tiles > 1 + description.pixels() as u64 / 4_096 {
            return Err(damaged(format!("JPEG 2000 with {} tiles", self.tiles)));
        }
        Ok(first.bits)
    }
}

/// Code-blocks, precincts and layers for which the decoder keeps something each are no more than a film can need.
///
/// Every coding style of the codestream is looked at, also those of single components and tiles.
fn check_structure(codestream: &[u8], size: &Size) -> Result<(), DecodeError> {
    const COD: u8 = 0x52;
    const COC: u8 = 0x53;
    const POC: u8 = 0x5F;
    const CAP: u8 = 0x50;
    const SOT: u8 = 0x90;
    const SOD: u8 = 0x93;
    const END: u8 = 0xD9;
    let broken = || damaged("the JPEG 2000 codestream breaks off".into());
    let word = |at: usize| Some(usize::from(u16::from_be_bytes(codestream.get(at..at + 2)?.try_into().ok()?)));
    let mut at = 2;
    let mut layers = 1;
    // Where the tile-part in hand begins, and its length; 0 means to the end.
    let mut part = (0, 0);
    loop {
        let Some(&[0xFF, marker]) = codestream.get(at..at + 2) else {
            // Bytes behind the last tile-part are the decoder's to judge.
            return if part.0 > 0 { Ok(()) } else { Err(broken()) };
        };
        if marker == END || (marker == SOD && part.1 == 0) {
            return Ok(());
        }
        if marker == SOD {
            at = part.0 + part.1;
            continue;
        }
        let length = word(at + 2).filter(|length| *length >= 2).ok_or_else(broken)?;
        let body = codestream.get(at + 4..at + 2 + length).ok_or_else(broken)?;
        match (marker, body) {
            (SOT, [_, _, a, b, c, d, ..]) => {
                let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                if length != 0 && (length < 14 || at + length > codestream.len()) {
                    return Err(broken());
                }
                part = (at, length);
            }
            (COD, [style, _, high, low, _, coding @ ..]) => {
                layers = usize::from(*high) << 8 | usize::from(*low);
                check_coding(coding, style & 1 != 0, layers, size)?;
            }
            // Of more than 256 components the index has two bytes; there are four at most.
            (COC, [_, style, coding @ ..]) => check_coding(coding, style & 1 != 0, layers, size)?,
            // What it announces is another coding of the blocks: high-throughput JPEG 2000 (T.814).
            (CAP, _) => {
                return Err(DecodeError::Unsupported("high-throughput JPEG 2000 is not read".into()));
            }
            (POC, _) => {
                return Err(DecodeError::Unsupported("JPEG 2000 with changes of progression is not read".into()));
            }
            _ => {}
        }
        at += 2 + length;
    }
}

/// The parameters SPcod and SPcoc (T.800, A.6.1): levels, code-block width and height, style, transform, precincts.
fn check_coding(coding: &[u8], has_precincts: bool, layers: usize, size: &Size) -> Result<(), DecodeError> {
    let &[levels, width, height, style, _, ref precincts @ ..] = coding else {
        return Err(damaged("a JPEG 2000 coding style is too short".into()));
    };
    if style & 0b1100_0000 != 0 {
        return Err(DecodeError::Unsupported("high-throughput JPEG 2000 is not read".into()));
    }
    let pixels = u64::from(size.width) * u64::from(size.height);
    let area = u32::from(width & 15) + u32::from(height & 15) + 4;
    // Passes that end one by one are kept one by one.
    let ends_often = style & 0b101 != 0;
    let blocks = pixels >> area;
    let is_fine = levels <= 32 && (8..=12).contains(&area) && (!ends_often || area >= 10);
    if !is_fine || blocks.saturating_mul(layers as u64) > 4_096 + pixels / 16 {
        return Err(DecodeError::Unsupported(format!(
            "JPEG 2000 of {layers} layers, {levels} levels and code-blocks of 2^{area} samples is not read"
        )));
    }
    let mut count = 0u64;
    for (resolution, exponents) in (0..=levels).zip(precincts).filter(|_| has_precincts) {
        let side = |side: u32, exponent: u8| {
            let reduced = u64::from(side).div_ceil(1 << (levels - resolution).min(32));
            reduced.div_ceil(1 << exponent)
        };
        count += side(size.width, exponents & 15) * side(size.height, exponents >> 4) + size.tiles;
    }
    if count > 4_096 + pixels / 256 {
        return Err(DecodeError::Unsupported(format!("JPEG 2000 with {count} precincts is not read")));
    }
    Ok(())
}
