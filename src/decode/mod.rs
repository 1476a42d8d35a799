//! Outside bytes to a [`Radiograph`], within limits. Pure.

pub mod dicom;
mod entropy;
mod jpeg_reduced;
mod jpeg_structure;
mod raster;
mod tiff_directory;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::radiograph::{Encoding, Origin, Radiograph};
use crate::refusal::Refusal;

/// What one film may cost; checked against the header before anything of that size is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest file, bytes.
    pub max_bytes: u64,
    /// Most pixels that a header may declare, width x height.
    pub max_pixels: u64,
    /// Most memory that the decoded samples may need, bytes.
    pub max_alloc: u64,
}

impl Default for Limits {
    /// Room for the largest digital detectors (about 4,300 x 4,300 pixels) in 16-bit RGBA, and no more.
    fn default() -> Self {
        Self { max_bytes: 128 << 20, max_pixels: 40_000_000, max_alloc: 320 << 20 }
    }
}

/// Why bytes did not become a radiograph.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// More bytes than [`Limits::max_bytes`].
    #[error("the file has {bytes} bytes, the limit is {limit}")]
    TooManyBytes {
        /// Bytes that the file has.
        bytes: u64,
        /// Bytes that are allowed.
        limit: u64,
    },
    /// Not one of the encodings that are read.
    #[error("the content is not DICOM, JPEG, PNG or TIFF (it begins with {0})")]
    UnknownFormat(String),
    /// A known encoding in a form that is not read.
    #[error("{0}")]
    Unsupported(String),
    /// A DICOM object of a modality that makes no plain films.
    #[error("the file says that its modality is {0}")]
    Modality(String),
    /// The header asks for more than the limits allow.
    #[error("the header declares {width} x {height} pixels ({bytes} bytes); the limits are {} pixels and {} bytes", .limits.max_pixels, .limits.max_alloc)]
    TooLarge {
        /// Declared width, pixels.
        width: u32,
        /// Declared height, pixels.
        height: u32,
        /// Memory that decoding would take, bytes.
        bytes: u64,
        /// The limits in force.
        limits: Limits,
    },
    /// Decoding would take more memory than the limits allow.
    #[error("decoding needs more than the limit of {limit} bytes of memory")]
    TooMuchMemory {
        /// Bytes that are allowed.
        limit: u64,
    },
    /// The bytes break off or contradict themselves.
    #[error("the {} data is damaged: {detail}", .encoding.media_type())]
    Damaged {
        /// What the first bytes said it is.
        encoding: Encoding,
        /// What the decoder found.
        detail: String,
    },
}

impl DecodeError {
    /// The refusal that the technician sees.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Empty => Refusal::Empty,
            Self::TooManyBytes { .. } => Refusal::TooManyBytes,
            Self::UnknownFormat(_) => Refusal::UnknownFormat,
            Self::Unsupported(_) => Refusal::Unsupported,
            Self::Modality(_) => Refusal::Modality,
            Self::TooLarge { .. } | Self::TooMuchMemory { .. } => Refusal::TooLarge,
            Self::Damaged { .. } => Refusal::Damaged,
        }
    }
}

/// Tells the encoding from the first bytes; names and extensions are never asked.
pub fn sniff(bytes: &[u8]) -> Option<Encoding> {
    const MAGIC: [(&[u8], Encoding); 6] = [
        (b"\xFF\xD8\xFF", Encoding::Jpeg),
        (b"\x89PNG\r\n\x1A\n", Encoding::Png),
        (b"II*\0", Encoding::Tiff),
        (b"MM\0*", Encoding::Tiff),
        (b"II+\0", Encoding::Tiff),
        (b"MM\0+", Encoding::Tiff),
    ];
    let by_magic = MAGIC.into_iter().find_map(|(magic, encoding)| bytes.starts_with(magic).then_some(encoding));
    // A DICOM preamble may be anything, the beginning of a TIFF among it (PS3.10 7.1).
    if dicom::is_dicom(bytes) { Some(Encoding::Dicom) } else { by_magic }
}

/// Decodes one film to upright grey pixels.
///
/// Colour is reduced to Rec. 709 luma, transparency is laid over black, EXIF orientation is applied. `docs/dicom.md`
/// says what is made of a DICOM object.
///
/// # Errors
/// [`DecodeError`]; for no input does it panic, and it allocates at most about twice [`Limits::max_alloc`]
/// beyond the input itself (samples as stored, and their grey copy).
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Radiograph, DecodeError> {
    decode_reduced(bytes, limits, u32::MAX)
}

/// As [`decode`], but a film whose encoding gives a half, a quarter or an eighth of its size for less work may come at
/// that size, its shorter side no smaller than `at_least` pixels. Colour is then the JPEG's own luma, Rec. 601.
///
/// # Errors
/// As [`decode`].
pub fn decode_reduced(bytes: &[u8], limits: &Limits, at_least: u32) -> Result<Radiograph, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    if bytes.len() as u64 > limits.max_bytes {
        return Err(DecodeError::TooManyBytes { bytes: bytes.len() as u64, limit: limits.max_bytes });
    }
    match sniff(bytes) {
        Some(Encoding::Dicom) => dicom::decode(bytes, limits),
        Some(encoding) => raster::decode(bytes, encoding, limits, at_least),
        None => {
            let start: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            Err(DecodeError::UnknownFormat(start.join(" ")))
        }
    }
}

/// What the bytes say of themselves, if they are a DICOM object whose header can be read; its pixels need not be.
pub fn origin(bytes: &[u8], limits: &Limits) -> Option<Origin> {
    let few = bytes.len() as u64 <= limits.max_bytes;
    if few && sniff(bytes) == Some(Encoding::Dicom) { dicom::origin(bytes, limits).ok() } else { None }
}
