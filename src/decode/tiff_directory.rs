//! What a TIFF's directory says before its pixels are decoded (TIFF 6.0, sections 2 and 5).
//!
//! The `image` crate reads the first page of many without a word, and refuses palettes. Here several pages are
//! refused, and a palette film is decoded as the grey indices that it stores, which are then looked up.

use std::io::Cursor;

use image::DynamicImage;
use image::codecs::tiff::TiffDecoder;
use tiff::TiffError;
use tiff::decoder::Decoder;
use tiff::tags::{ByteOrder, PhotometricInterpretation, Tag};

use super::{DecodeError, Limits, raster};
use crate::radiograph::Encoding;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<DynamicImage, DecodeError> {
    let failed = |error: TiffError| match error {
        TiffError::UnsupportedError(error) => DecodeError::Unsupported(error.to_string()),
        TiffError::LimitsExceeded => DecodeError::TooMuchMemory { limit: limits.max_alloc },
        error => damaged(error.to_string()),
    };
    let mut directory = Decoder::new(Cursor::new(bytes)).map_err(failed)?;
    if directory.more_images() {
        return Err(DecodeError::Unsupported(
            "the TIFF holds several images; which one is the film is not known".into(),
        ));
    }
    let photometric: u16 = directory.get_tag_unsigned(Tag::PhotometricInterpretation).map_err(failed)?;
    if photometric != PhotometricInterpretation::RGBPalette.to_u16() {
        return raster::upright(TiffDecoder::new(Cursor::new(bytes)), Encoding::Tiff, limits);
    }
    let palette = Palette::new(&directory.get_tag_u16_vec(Tag::ColorMap).map_err(failed)?);
    let indices = stored_as_grey(bytes, &mut directory).ok_or_else(|| damaged("it has no directory".into()))?;
    let mut image = raster::upright(TiffDecoder::new(Cursor::new(&indices)), Encoding::Tiff, limits)?;
    let samples =
        image.as_mut_luma8().ok_or_else(|| DecodeError::Unsupported("only palettes of 8 bits are read".into()))?;
    for sample in samples.iter_mut() {
        *sample = palette.luma(*sample)?;
    }
    Ok(image)
}

fn damaged(detail: String) -> DecodeError {
    DecodeError::Damaged { encoding: Encoding::Tiff, detail }
}

/// The Rec. 709 luma of each palette entry.
struct Palette(Vec<u8>);

impl Palette {
    /// `map` has all reds, then all greens, then all blues, 0..=65,535 each.
    fn new(map: &[u16]) -> Self {
        let entries = map.len() / 3;
        let (reds, rest) = map.split_at(entries);
        let (greens, blues) = rest.split_at(entries);
        let luma = |((&r, &g), &b): ((&u16, &u16), &u16)| {
            let luma = 0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b);
            (luma / 257.0).round() as u8
        };
        Self(reds.iter().zip(greens).zip(blues).map(luma).collect())
    }

    fn luma(&self, index: u8) -> Result<u8, DecodeError> {
        self.0.get(usize::from(index)).copied().ok_or_else(|| damaged(format!("the palette has no entry {index}")))
    }
}

/// The same file with its photometric interpretation changed from palette to grey.
fn stored_as_grey(bytes: &[u8], directory: &mut Decoder<Cursor<&[u8]>>) -> Option<Vec<u8>> {
    let order = directory.byte_order();
    let number = |at: usize| -> Option<u16> {
        let two = <[u8; 2]>::try_from(bytes.get(at..at + 2)?).ok()?;
        Some(match order {
            ByteOrder::LittleEndian => u16::from_le_bytes(two),
            ByteOrder::BigEndian => u16::from_be_bytes(two),
        })
    };
    // Classic TIFF counts entries in 2 bytes and gives each 12 with the value at 8; BigTIFF 8, 20 and 12.
    let (count_bytes, entry_bytes, value_at) = if number(2)? == 43 { (8, 20, 12) } else { (2, 12, 8) };
    let mut entry = usize::try_from(directory.ifd_pointer()?.0).ok()?.checked_add(count_bytes)?;
    while number(entry)? != Tag::PhotometricInterpretation.to_u16() {
        entry = entry.checked_add(entry_bytes)?;
    }
    let grey = PhotometricInterpretation::BlackIsZero.to_u16();
    let mut patched = bytes.to_vec();
    patched.get_mut(entry + value_at..entry + value_at + 2)?.copy_from_slice(&match order {
        ByteOrder::LittleEndian => grey.to_le_bytes(),
        ByteOrder::BigEndian => grey.to_be_bytes(),
    });
    Some(patched)
}
