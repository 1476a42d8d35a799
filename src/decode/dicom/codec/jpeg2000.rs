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

/// Floats for each sample that the decoder holds at its peak: components, coefficients, and two steps of a transform.
const FLOATS_A_SAMPLE: u64 = 4;

pub(super) fn is_jpeg2000(bytes: &[u8]) -> bool {
    bytes.starts_with(CODESTREAM) || bytes.starts_with(JP2)
}

pub(super) fn decode(bytes: &[u8], description: &Description, limits: &Limits) -> Result<Stored<'static>, DecodeError> {
    let size = Size::find(bytes).ok_or_else(|| damaged("the JPEG 2000 codestream has no size".into()))?;
    check_size(description, size.width, size.height, size.components.len())?;
    let precision = size.check(description)?;
    let floats = description.count() as u64 * FLOATS_A_SAMPLE * 4;
    if floats > limits.max_alloc.saturating_mul(2) {
        return Err(DecodeError::TooMuchMemory { limit: limits.max_alloc });
    }
    let failed = |error: hayro_jpeg2000::DecodeError| damaged(format!("JPEG 2000: {error}"));
    let settings = DecodeSettings { resolve_palette_indices: false, strict: true, target_resolution: None };
    let image = Image::new(bytes, &settings).map_err(failed)?;
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
    fn find(bytes: &[u8]) -> Option<Self> {
        // In a JP2 file the codestream stands in a box of its own.
        let start = bytes.windows(CODESTREAM.len()).position(|four| four == CODESTREAM)?;
        let siz = bytes.get(start + 4..)?;
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
        // T.800 allows 65,535 tiles; films have one, or tiles of some hundred pixels.
        if self.tiles > 65_535.min(1 + description.pixels() as u64 / 256) {
            return Err(damaged(format!("JPEG 2000 with {} tiles", self.tiles)));
        }
        Ok(first.bits)
    }
}
