//! The value that walks the road: one film's grey pixels with what is known of them.

use thiserror::Error;

/// Grey samples, row by row from the top left; 0 is black (DICOM's MONOCHROME2 sense), the type's maximum white.
///
/// The depth of the file is kept: a 16-bit film is reduced only after it was resized and its exposure is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grey {
    /// 8 bits a sample, 0..=255.
    U8(Vec<u8>),
    /// 16 bits a sample, 0..=65,535.
    U16(Vec<u16>),
}

impl Grey {
    /// Number of samples.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(samples) => samples.len(),
            Self::U16(samples) => samples.len(),
        }
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How the film came encoded, told from its first bytes and never from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// ISO/IEC 10918-1.
    Jpeg,
    /// ISO/IEC 15948.
    Png,
    /// TIFF 6.0.
    Tiff,
    /// Drawn by [`crate::phantom`], never encoded.
    Phantom,
}

impl Encoding {
    /// The registered media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Tiff => "image/tiff",
            Self::Phantom => "application/x-chestlight-phantom",
        }
    }
}

/// The sample count did not fit the stated size.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{samples} samples cannot fill {width} x {height} pixels")]
pub struct ShapeError {
    width: u32,
    height: u32,
    samples: usize,
}

/// One X-ray image: at least one pixel, and exactly width x height samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Radiograph {
    width: u32,
    height: u32,
    pixels: Grey,
    encoding: Encoding,
}

impl Radiograph {
    /// Joins pixels and size.
    ///
    /// # Errors
    /// [`ShapeError`] when a side is 0 or the samples are not exactly width x height.
    pub fn new(width: u32, height: u32, pixels: Grey, encoding: Encoding) -> Result<Self, ShapeError> {
        let samples = pixels.len();
        let wanted = u64::from(width) * u64::from(height);
        if wanted == 0 || wanted != samples as u64 {
            return Err(ShapeError { width, height, samples });
        }
        Ok(Self { width, height, pixels, encoding })
    }

    /// Width in pixels, upright (after EXIF orientation).
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, upright (after EXIF orientation).
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The grey samples.
    pub fn pixels(&self) -> &Grey {
        &self.pixels
    }

    /// How the film came encoded.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_radiograph_has_exactly_the_samples_of_its_size() {
        for (width, height, samples, fits) in
            [(2, 3, 6, true), (2, 3, 5, false), (0, 3, 0, false), (u32::MAX, u32::MAX, 1, false)]
        {
            let made = Radiograph::new(width, height, Grey::U8(vec![0; samples]), Encoding::Png);
            assert_eq!(made.is_ok(), fits, "{width} x {height} with {samples} samples");
        }
    }
}
