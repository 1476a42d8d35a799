//! The value that walks the road: one film's grey pixels with what is known of them.

use std::fmt;

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
    /// DICOM PS3.10, with or without its preamble.
    Dicom,
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
            Self::Dicom => "application/dicom",
            Self::Phantom => "application/x-chestlight-phantom",
        }
    }
}

/// From where the rays came and where they went (DICOM PS3.3 C.8.11.5, PS3.16 CID 4010).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Anterior to posterior.
    Ap,
    /// Posterior to anterior.
    Pa,
    /// One of the two, without saying which.
    Frontal,
    /// From one side to the other.
    Lateral,
    /// At an angle.
    Oblique,
    /// A stated view that is none of these (axial, tangential, ...).
    Other,
}

/// Of which side of the body the film says that it is (DICOM PS3.3 C.7.6.1.1.1, C.8.11.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Laterality {
    /// The left of a paired part of the body.
    Left,
    /// The right of a paired part of the body.
    Right,
    /// Both of a paired part.
    Both,
    /// A part of the body that is not paired, such as a chest.
    Unpaired,
}

/// Distance between the middles of neighbouring pixels, mm, above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelSpacing {
    /// Between rows.
    pub rows_mm: f32,
    /// Between columns.
    pub columns_mm: f32,
    /// Measured at the detector (Imager Pixel Spacing), so without correction for magnification.
    pub at_detector: bool,
}

/// A patient's identifier. `Debug` does not tell it, so that no log line can.
#[derive(Clone, PartialEq, Eq)]
pub struct PatientId(String);

impl PatientId {
    /// Wraps an identifier.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The identifier itself: for keyed hashing and for answers to the archive that sent the film, never for logs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PatientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PatientId(hidden)")
    }
}

/// What a DICOM file says of itself. Tags may lie: the gate refuses what they rule out, and trusts them in nothing
/// else. Absent, empty and malformed attributes are `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// Modality (0008,0060), upper case: `CR`, `DX`, ...
    pub modality: Option<String>,
    /// View Code Sequence (0054,0220), else View Position (0018,5101).
    pub view: Option<View>,
    /// Image Laterality (0020,0062), else Laterality (0020,0060).
    pub laterality: Option<Laterality>,
    /// Body Part Examined (0018,0015), else the meaning in Anatomic Region Sequence (0008,2218); upper case.
    pub body_part: Option<String>,
    /// Patient's Age (0010,1010), else from birth date to study date; years, 0..=150.
    pub age_years: Option<f32>,
    /// Pixel Spacing (0028,0030), else Imager Pixel Spacing (0018,1164).
    pub pixel_spacing: Option<PixelSpacing>,
    /// Study Instance UID (0020,000D); digits and dots, at most 64.
    pub study_uid: Option<String>,
    /// Series Instance UID (0020,000E); digits and dots, at most 64.
    pub series_uid: Option<String>,
    /// SOP Instance UID (0008,0018); digits and dots, at most 64.
    pub sop_uid: Option<String>,
    /// Patient ID (0010,0020).
    pub patient_id: Option<PatientId>,
    /// Study Date and Study Time (0008,0020 and 0008,0030) in the clinic's own time: `2026-11-25T09:13:00`, or the date
    /// alone.
    pub study_at: Option<String>,
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
#[derive(Clone, Debug, PartialEq)]
pub struct Radiograph {
    width: u32,
    height: u32,
    pixels: Grey,
    encoding: Encoding,
    origin: Option<Origin>,
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
        Ok(Self { width, height, pixels, encoding, origin: None })
    }

    /// The same radiograph with what its file says of it.
    #[must_use]
    pub fn with_origin(self, origin: Origin) -> Self {
        Self { origin: Some(origin), ..self }
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

    /// What the film's DICOM file says of it; `None` for other encodings.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debugging_an_origin_does_not_tell_the_patient() {
        let origin = Origin { patient_id: Some(PatientId::new("SECRET-77")), ..Origin::default() };
        assert!(!format!("{origin:?}").contains("SECRET"));
        assert_eq!(origin.patient_id.unwrap().expose(), "SECRET-77");
    }

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
