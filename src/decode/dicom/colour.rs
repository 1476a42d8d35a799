//! Colour to grey: Rec. 709 luma of RGB, of YCbCr (PS3.3 C.7.6.3.1.2) and of palettes (C.7.6.3.1.5, C.7.9).

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::damaged;
use super::lut::{Descriptor, Lut};
use super::object::Object;
use super::pixels::{Description, Photometric, Stored};
use crate::decode::DecodeError;
use crate::radiograph::Grey;

/// Descriptor, data and segmented data of each colour.
const PALETTE: [[Tag; 3]; 3] = [
    [
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ],
    [
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ],
    [
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ],
];

/// Rec. 709 luma, in the unit of its inputs.
fn rec709([red, green, blue]: [f32; 3]) -> f32 {
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/// Grey of three samples a pixel.
pub(super) fn luma(description: &Description, stored: &Stored<'_>) -> Result<Grey, DecodeError> {
    let photometric = stored.photometric.unwrap_or(description.photometric);
    let most = f32::from(u16::MAX >> (16 - description.stored));
    let grey_of = |triple: [u16; 3]| rec709(rgb(triple.map(|sample| description.index(sample)), photometric, most));
    let samples = &stored.samples;
    let pixels = description.pixels();
    let is_halved = samples.len() == pixels * 2;
    let triple = |pixel: usize| -> Option<[u16; 3]> {
        if is_halved {
            // Y1 Y2 Cb Cr for each two pixels.
            let pair = pixel / 2 * 4;
            return Some([samples.get(pair + pixel % 2)?, samples.get(pair + 2)?, samples.get(pair + 3)?]);
        }
        let at = |plane: usize| if stored.planar { plane * pixels + pixel } else { pixel * 3 + plane };
        Some([samples.get(at(0))?, samples.get(at(1))?, samples.get(at(2))?])
    };
    let short = || damaged(format!("{} samples cannot fill {pixels} colour pixels", samples.len()));
    let greys = (0..pixels).map(|pixel| triple(pixel).map(grey_of).ok_or_else(short));
    Ok(if description.stored > 8 {
        Grey::U16(greys.map(|grey| Ok((grey? / most * 65_535.0).round() as u16)).collect::<Result<_, DecodeError>>()?)
    } else {
        Grey::U8(greys.map(|grey| Ok((grey? / most * 255.0).round() as u8)).collect::<Result<_, DecodeError>>()?)
    })
}

/// Red, green and blue, 0 to `most`.
fn rgb(triple: [u16; 3], photometric: Photometric, most: f32) -> [f32; 3] {
    let [first, second, third] = triple.map(f32::from);
    let (luma, scale) = match photometric {
        Photometric::YbrFull | Photometric::YbrFull422 => (first, 1.0),
        // Of 256 levels 219 for luma, from the 16th, and 224 for chrominance (Rec. 601).
        Photometric::YbrPartial422 => ((first - most * 16.0 / 255.0) * (255.0 / 219.0), 255.0 / 224.0),
        _ => return [first, second, third],
    };
    let middle = (most + 1.0) / 2.0;
    let (blue, red) = ((second - middle) * scale, (third - middle) * scale);
    [luma + 1.402 * red, luma - 0.344_136 * blue - 0.714_136 * red, luma + 1.772 * blue]
        .map(|value| value.clamp(0.0, most))
}

/// Grey of indices into a palette.
pub(super) fn through_palette(
    object: &Object<'_>,
    description: &Description,
    stored: &Stored<'_>,
) -> Result<Grey, DecodeError> {
    let [red, green, blue] = [
        colour_table(object, description, 0)?,
        colour_table(object, description, 1)?,
        colour_table(object, description, 2)?,
    ];
    let white = if red.descriptor().bits > 8 { u16::MAX } else { u16::from(u8::MAX) };
    let table: Vec<u16> = (0..=u16::MAX >> (16 - description.stored))
        .map(|index| {
            let value = description.value(index);
            let colour =
                [&red, &green, &blue].map(|lut| f32::from(lut.get(value)) / f32::from(lut.descriptor().most()));
            (rec709(colour) * f32::from(white)).round() as u16
        })
        .collect();
    let look_up = |sample: u16| table.get(usize::from(description.index(sample))).copied().unwrap_or(0);
    let indices = 0..description.pixels();
    let greys = indices.map(|pixel| look_up(stored.samples.get(pixel).unwrap_or(0)));
    Ok(if white == 255 { Grey::U8(greys.map(|grey| grey as u8).collect()) } else { Grey::U16(greys.collect()) })
}

fn colour_table(object: &Object<'_>, description: &Description, colour: usize) -> Result<Lut, DecodeError> {
    let name = ["red", "green", "blue"].get(colour).copied().unwrap_or_default();
    let missing = || damaged(format!("there is no {name} palette"));
    let [descriptor_tag, data, segmented] = PALETTE.get(colour).copied().ok_or_else(missing)?;
    let signed = object.states_signed(None, descriptor_tag).unwrap_or(description.signed);
    let descriptor = Descriptor::parse(object, object.bytes(descriptor_tag).ok_or_else(missing)?, signed)?;
    let lut = match (object.bytes(data), object.bytes(segmented)) {
        (Some(data), _) => Lut::parse(object, descriptor, data)?,
        (None, Some(segments)) => Lut::new(descriptor, expand(object, descriptor, segments)?),
        (None, None) => return Err(missing()),
    };
    // Many writers declare 16 bits and fill 8 of them.
    let is_narrow = descriptor.bits == 16 && lut.entries().iter().all(|&entry| entry <= 255);
    Ok(if is_narrow { Lut::new(Descriptor { bits: 8, ..descriptor }, lut.entries().to_vec()) } else { lut })
}

/// A segmented palette as the entries that it stands for (C.7.9.2).
fn expand(object: &Object<'_>, descriptor: Descriptor, data: &[u8]) -> Result<Vec<u16>, DecodeError> {
    const DISCRETE: u16 = 0;
    const LINEAR: u16 = 1;
    const INDIRECT: u16 = 2;
    let words: Vec<u16> =
        if descriptor.bits > 8 { object.words(data).collect() } else { data.iter().copied().map(u16::from).collect() };
    let mut entries: Vec<u16> = Vec::new();
    // Segments to read: from a place in the data, so many; the last one is in hand.
    let mut segments = vec![(0usize, usize::MAX)];
    while let Some((at, left)) = segments.pop()
        && entries.len() < descriptor.entries
    {
        let (Some(&[kind, length]), true) = (words.get(at..at.saturating_add(2)), left > 0) else { continue };
        if length == 0 {
            // They add nothing, and copies of copies of nothing take for ever.
            return Err(damaged("a segmented palette has a segment without entries".into()));
        }
        let (count, body) = (usize::from(length), at + 2);
        let after = match kind {
            DISCRETE => {
                entries.extend(words.get(body..).unwrap_or_default().iter().take(count));
                body + count
            }
            LINEAR => {
                let (Some(&from), Some(&to)) = (entries.last(), words.get(body)) else {
                    return Err(damaged("a segmented palette begins with a linear segment".into()));
                };
                let (from, step) = (f64::from(from), (f64::from(to) - f64::from(from)) / f64::from(length.max(1)));
                entries.extend((1..=length).map(|place| (from + step * f64::from(place)).round() as u16));
                body + 1
            }
            // Copies of segments that stand elsewhere, `count` of them. One that copies copies could go on for ever.
            INDIRECT if segments.is_empty() => {
                // The offset is in bytes, its low word first; with 8 bits an entry it has four parts.
                let parts = if descriptor.bits > 8 { 2 } else { 4 };
                let width = 32 / parts;
                let offset = words.get(body..body + parts).unwrap_or_default().iter().rev();
                let offset = offset.fold(0usize, |offset, &part| offset << width | usize::from(part));
                segments.push((body + parts, left - 1));
                segments.push((if descriptor.bits > 8 { offset / 2 } else { offset }, count));
                continue;
            }
            _ => return Err(damaged(format!("a segmented palette has a segment of kind {kind}"))),
        };
        segments.push((after, left - 1));
    }
    entries.truncate(descriptor.entries);
    if entries.len() < descriptor.entries {
        return Err(damaged(format!("a segmented palette ends after {} entries", entries.len())));
    }
    Ok(entries)
}
