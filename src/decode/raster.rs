//! JPEG, PNG and TIFF through the `image` crate, to upright grey.

use std::io::Cursor;

use image::codecs::{jpeg::JpegDecoder, png::PngDecoder};
use image::error::ImageError;
use image::{DynamicImage, ImageDecoder};

use super::{DecodeError, Limits, jpeg_reduced, jpeg_structure, tiff_directory};
use crate::radiograph::{Encoding, Grey, Radiograph};

pub(super) fn decode(
    bytes: &[u8],
    encoding: Encoding,
    limits: &Limits,
    at_least: u32,
) -> Result<Radiograph, DecodeError> {
    let image = match encoding {
        Encoding::Jpeg => {
            jpeg_structure::check_whole(bytes).map_err(|detail| DecodeError::Damaged { encoding, detail })?;
            match jpeg_reduced::decode(bytes, at_least, limits) {
                Some(reduced) => reduced,
                None => upright(JpegDecoder::new(Cursor::new(bytes)), encoding, limits)?,
            }
        }
        Encoding::Png => {
            let decoder = PngDecoder::with_limits(Cursor::new(bytes), image_limits(limits));
            if decoder.as_ref().is_ok_and(|decoder| decoder.is_apng().unwrap_or(false)) {
                return Err(DecodeError::Unsupported("an animated PNG is not one film".into()));
            }
            upright(decoder, encoding, limits)?
        }
        Encoding::Tiff => tiff_directory::decode(bytes, limits)?,
        Encoding::Dicom | Encoding::Phantom => {
            return Err(DecodeError::Unsupported(format!("{} is no raster file", encoding.media_type())));
        }
    };
    let (width, height) = (image.width(), image.height());
    Radiograph::new(width, height, grey(image)?, encoding)
        .map_err(|error| DecodeError::Damaged { encoding, detail: error.to_string() })
}

fn image_limits(limits: &Limits) -> image::Limits {
    let mut of_image = image::Limits::default();
    of_image.max_alloc = Some(limits.max_alloc);
    of_image
}

/// Checks the declared size, then decodes and turns the film upright.
pub(super) fn upright<D: ImageDecoder>(
    decoder: Result<D, ImageError>,
    encoding: Encoding,
    limits: &Limits,
) -> Result<DynamicImage, DecodeError> {
    let failed = |error: ImageError| match error {
        ImageError::Unsupported(error) => DecodeError::Unsupported(error.to_string()),
        ImageError::Limits(_) => DecodeError::TooMuchMemory { limit: limits.max_alloc },
        error => DecodeError::Damaged { encoding, detail: error.to_string() },
    };
    let mut decoder = decoder.map_err(failed)?;
    let (width, height) = decoder.dimensions();
    let bytes = decoder.total_bytes();
    if u64::from(width) * u64::from(height) > limits.max_pixels || bytes > limits.max_alloc {
        return Err(DecodeError::TooLarge { width, height, bytes, limits: *limits });
    }
    decoder.set_limits(image_limits(limits)).map_err(failed)?;
    let orientation = decoder.orientation().map_err(failed)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    image.apply_orientation(orientation);
    Ok(image)
}

fn grey(image: DynamicImage) -> Result<Grey, DecodeError> {
    Ok(match image {
        DynamicImage::ImageLuma8(_) | DynamicImage::ImageRgb8(_) => Grey::U8(image.into_luma8().into_raw()),
        DynamicImage::ImageLuma16(_) | DynamicImage::ImageRgb16(_) => Grey::U16(image.into_luma16().into_raw()),
        DynamicImage::ImageLumaA8(_) | DynamicImage::ImageRgba8(_) => {
            let over_black = |[value, alpha]: [u8; 2]| ((u16::from(value) * u16::from(alpha) + 127) / 255) as u8;
            Grey::U8(image.into_luma_alpha8().pixels().map(|pixel| over_black(pixel.0)).collect())
        }
        DynamicImage::ImageLumaA16(_) | DynamicImage::ImageRgba16(_) => {
            let over_black =
                |[value, alpha]: [u16; 2]| ((u32::from(value) * u32::from(alpha) + 32_767) / 65_535) as u16;
            Grey::U16(image.into_luma_alpha16().pixels().map(|pixel| over_black(pixel.0)).collect())
        }
        other => return Err(DecodeError::Unsupported(format!("samples of type {:?} are not read", other.color()))),
    })
}
