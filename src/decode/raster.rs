//! JPEG, PNG and TIFF through the `image` crate.

use std::io::Cursor;

use image::codecs::{jpeg::JpegDecoder, png::PngDecoder, tiff::TiffDecoder};
use image::error::{ImageError, LimitErrorKind};
use image::{DynamicImage, ImageDecoder};

use super::{DecodeError, Limits, jpeg_structure};
use crate::radiograph::{Encoding, Grey, Radiograph};

pub(super) fn decode(bytes: &[u8], encoding: Encoding, limits: &Limits) -> Result<Radiograph, DecodeError> {
    let damaged = |error: ImageError| classify_error(error, encoding);
    let cursor = Cursor::new(bytes);
    let image = match encoding {
        Encoding::Jpeg => {
            jpeg_structure::check_whole(bytes).map_err(|detail| DecodeError::Damaged { encoding, detail })?;
            pixels(JpegDecoder::new(cursor).map_err(damaged)?, encoding, limits)?
        }
        Encoding::Png => {
            let decoder = PngDecoder::with_limits(cursor, image_limits(limits)).map_err(damaged)?;
            if decoder.is_apng().map_err(damaged)? {
                return Err(DecodeError::Unsupported("an animated PNG is not one film".into()));
            }
            pixels(decoder, encoding, limits)?
        }
        Encoding::Tiff => pixels(TiffDecoder::new(cursor).map_err(damaged)?, encoding, limits)?,
        Encoding::Phantom => return Err(DecodeError::Unsupported("a phantom is drawn, not decoded".into())),
    };
    let (width, height) = (image.width(), image.height());
    let pixels = grey(image)?;
    Radiograph::new(width, height, pixels, encoding)
        .map_err(|error| DecodeError::Damaged { encoding, detail: error.to_string() })
}

fn image_limits(limits: &Limits) -> image::Limits {
    let mut out = image::Limits::default();
    out.max_alloc = Some(limits.max_alloc);
    out
}

/// Checks the declared size, then decodes and turns the film upright.
fn pixels(mut decoder: impl ImageDecoder, encoding: Encoding, limits: &Limits) -> Result<DynamicImage, DecodeError> {
    let damaged = |error: ImageError| classify_error(error, encoding);
    let (width, height) = decoder.dimensions();
    let bytes = decoder.total_bytes();
    if u64::from(width) * u64::from(height) > limits.max_pixels || bytes > limits.max_alloc {
        return Err(DecodeError::TooLarge { width, height, bytes, limits: *limits });
    }
    decoder.set_limits(image_limits(limits)).map_err(damaged)?;
    let orientation = decoder.orientation().map_err(damaged)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
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

fn classify_error(error: ImageError, encoding: Encoding) -> DecodeError {
    match error {
        ImageError::Unsupported(inner) => DecodeError::Unsupported(inner.to_string()),
        ImageError::Limits(inner)
            if inner.kind()
                != LimitErrorKind::Unsupported {
                    limits: image::Limits::default(),
                    supported: image::LimitSupport::default(),
                } =>
        {
            DecodeError::Damaged { encoding, detail: inner.to_string() }
        }
        other => DecodeError::Damaged { encoding, detail: other.to_string() },
    }
}
