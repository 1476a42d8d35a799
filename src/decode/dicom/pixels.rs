//! The Image Pixel module (PS3.3 C.7.6.3) and the stored values of its one frame.

use std::borrow::Cow;

use dicom_dictionary_std::tags;

use super::object::{Object, PixelData};
use super::{codec, damaged, object};
use crate::decode::{DecodeError, Limits};

/// Photometric Interpretation (0028,0004), C.7.6.3.1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Photometric {
    /// The least value is white.
    Monochrome1,
    /// The least value is black.
    Monochrome2,
    Palette,
    /// Also YBR_ICT and YBR_RCT, from which the JPEG 2000 decoder has made RGB.
    Rgb,
    YbrFull,
    YbrFull422,
    YbrPartial422,
}

/// What the object declares of its pixels, checked against the limits and against itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Description {
    pub(super) width: u32,
    pub(super) height: u32,
    /// 1 or 3.
    pub(super) samples: u8,
    pub(super) photometric: Photometric,
    /// Native colour is stored plane by plane.
    pub(super) planar: bool,
    /// 8 or 16.
    pub(super) allocated: u8,
    /// 1 to `allocated`.
    pub(super) stored: u8,
    /// Bits below the stored ones.
    pub(super) shift: u8,
    pub(super) signed: bool,
}

impl Description {
    pub(super) fn of(object: &Object<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        let unsupported = |what: String| Err(DecodeError::Unsupported(what));
        if object.float_pixels {
            return unsupported("pixel data of floats are not read".into());
        }
        if object.pixel_data.is_none() {
            return unsupported("the object has no pixel data".into());
        }
        let frames = object.decimal(tags::NUMBER_OF_FRAMES).unwrap_or(1.0);
        if frames > 1.0 {
            return unsupported(format!("the object has {frames} frames, and a film has one"));
        }
        let needed = |tag, name| object.unsigned(tag).ok_or_else(|| damaged(format!("it does not state its {name}")));
        let (width, height) = (needed(tags::COLUMNS, "columns")?, needed(tags::ROWS, "rows")?);
        if width == 0 || height == 0 {
            return Err(damaged(format!("it states a size of {width} x {height} pixels")));
        }
        let allocated = needed(tags::BITS_ALLOCATED, "bits allocated")?;
        let allocated = match allocated {
            8 | 16 => allocated as u8,
            _ => return unsupported(format!("{allocated} bits allocated for a sample are not read")),
        };
        let stored = object.unsigned(tags::BITS_STORED).unwrap_or(u32::from(allocated));
        let high = object.unsigned(tags::HIGH_BIT).unwrap_or(stored.saturating_sub(1));
        if stored == 0 || stored > u32::from(allocated) || high >= u32::from(allocated) || high + 1 < stored {
            return Err(damaged(format!(
                "{stored} bits stored up to bit {high} do not fit {allocated} bits allocated"
            )));
        }
        let samples = object.unsigned(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
        let named = object.text(tags::PHOTOMETRIC_INTERPRETATION).unwrap_or_default().to_uppercase();
        let photometric = match (named.as_str(), samples) {
            ("MONOCHROME1", 1) => Photometric::Monochrome1,
            ("MONOCHROME2" | "", 1) => Photometric::Monochrome2,
            ("PALETTE COLOR", 1) => Photometric::Palette,
            ("RGB" | "YBR_ICT" | "YBR_RCT" | "", 3) => Photometric::Rgb,
            ("YBR_FULL", 3) => Photometric::YbrFull,
            ("YBR_FULL_422", 3) => Photometric::YbrFull422,
            ("YBR_PARTIAL_422" | "YBR_PARTIAL_420", 3) => Photometric::YbrPartial422,
            _ => {
                return unsupported(format!("the photometric interpretation {named} of {samples} samples is not read"));
            }
        };
        let bytes = u64::from(width) * u64::from(height) * u64::from(samples) * u64::from(allocated / 8);
        if u64::from(width) * u64::from(height) > limits.max_pixels || bytes > limits.max_alloc {
            return Err(DecodeError::TooLarge { width, height, bytes, limits: *limits });
        }
        Ok(Self {
            width,
            height,
            samples: samples as u8,
            photometric,
            planar: object.unsigned(tags::PLANAR_CONFIGURATION) == Some(1),
            allocated,
            stored: stored as u8,
            shift: (high + 1 - stored) as u8,
            signed: object.unsigned(tags::PIXEL_REPRESENTATION) == Some(1),
        })
    }

    pub(super) fn pixels(&self) -> usize {
        self.width as usize * self.height as usize
    }

    /// Samples of all planes.
    pub(super) fn count(&self) -> usize {
        self.pixels() * usize::from(self.samples)
    }

    /// The stored bits of a sample, from its allocated ones: overlays in the other bits are left out.
    pub(super) fn index(&self, allocated: u16) -> u16 {
        (allocated >> self.shift) & (u16::MAX >> (16 - self.stored))
    }

    /// The value that the stored bits mean.
    pub(super) fn value(&self, index: u16) -> i32 {
        let sign = 1i32 << (self.stored - 1);
        let index = i32::from(index);
        if self.signed && index & sign != 0 { index - 2 * sign } else { index }
    }
}

/// Samples as they were allocated.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Samples<'a> {
    U8(Cow<'a, [u8]>),
    U16(Vec<u16>),
}

impl Samples<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::U8(samples) => samples.len(),
            Self::U16(samples) => samples.len(),
        }
    }

    pub(super) fn get(&self, at: usize) -> Option<u16> {
        match self {
            Self::U8(samples) => samples.get(at).copied().map(u16::from),
            Self::U16(samples) => samples.get(at).copied(),
        }
    }
}

/// The samples of the frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored<'a> {
    pub(super) samples: Samples<'a>,
    /// Colour stands plane by plane, else pixel by pixel.
    pub(super) planar: bool,
    /// What the codec found the colours to be, if it knows better than the object.
    pub(super) photometric: Option<Photometric>,
}

/// What the fragments of encapsulated pixel data hold, by the transfer syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encapsulated {
    /// A codestream, which tells its codec itself.
    Codestream,
    /// The samples as they are (PS3.5 annex A.4).
    Samples,
    /// The samples, deflated.
    DeflatedSamples,
}

/// Brings the samples out of the pixel data.
pub(super) fn stored<'a>(
    object: &Object<'a>,
    description: &Description,
    encapsulated: Encapsulated,
    limits: &Limits,
) -> Result<Stored<'a>, DecodeError> {
    match &object.pixel_data {
        None => Err(damaged("the object has no pixel data".into())),
        Some(PixelData::Native { bytes, words }) => {
            native(bytes, description, object.is_big_endian(), *words && object.is_big_endian())
        }
        Some(PixelData::Fragments(fragments)) => {
            let frame: Cow<'_, [u8]> = match fragments.as_slice() {
                [] => return Err(damaged("the pixel data have no fragment".into())),
                [one] => Cow::Borrowed(*one),
                many => Cow::Owned(many.concat()),
            };
            let samples = match encapsulated {
                Encapsulated::Codestream => return codec::decode(&frame, description, limits),
                Encapsulated::Samples => frame,
                Encapsulated::DeflatedSamples => Cow::Owned(object::inflate(&frame, limits.max_alloc)?),
            };
            native(&samples, description, false, false).map(into_owned)
        }
    }
}

fn into_owned(stored: Stored<'_>) -> Stored<'static> {
    let samples = match stored.samples {
        Samples::U8(bytes) => Samples::U8(Cow::Owned(bytes.into_owned())),
        Samples::U16(words) => Samples::U16(words),
    };
    Stored { samples, planar: stored.planar, photometric: stored.photometric }
}

/// PS3.5 8.1.1, annex A.
fn native<'a>(
    bytes: &'a [u8],
    description: &Description,
    big_endian: bool,
    swapped: bool,
) -> Result<Stored<'a>, DecodeError> {
    // Two pixels share their chrominance: two samples a pixel instead of three.
    let halved = matches!(description.photometric, Photometric::YbrFull422 | Photometric::YbrPartial422);
    let count = if halved { description.pixels() * 2 } else { description.count() };
    let needed = count * usize::from(description.allocated / 8);
    if bytes.len() < needed {
        let found = bytes.len();
        return Err(damaged(format!("the pixel data have {found} bytes, and {needed} are needed for their size")));
    }
    let whole = bytes.get(..needed).unwrap_or_default();
    let samples = if description.allocated == 16 {
        let from_bytes = if big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
        Samples::U16(whole.chunks_exact(2).filter_map(|two| Some(from_bytes(two.try_into().ok()?))).collect())
    } else if swapped {
        // Bytes that were written as words stand in pairs, the second one first.
        let pairs = bytes.chunks(2).flat_map(|pair| pair.iter().rev().copied());
        Samples::U8(Cow::Owned(pairs.take(needed).collect()))
    } else {
        Samples::U8(Cow::Borrowed(whole))
    };
    Ok(Stored { samples, planar: description.planar && !halved, photometric: None })
}
