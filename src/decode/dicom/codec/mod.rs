//! Encapsulated pixel data (PS3.5 8.2, annex A.4), one codec a file.
//!
//! The codestream itself tells what it is: transfer syntaxes that name another codec are met, and no two codecs begin
//! alike. Sizes are those that the object declares, checked before; a codestream of any other size is refused before
//! anything is allocated for it.

mod jpeg;
mod jpeg2000;
mod jpeg_dct;
mod jpeg_lossless;
mod jpeg_ls;
mod rle;

use super::damaged;
use super::pixels::{Description, Samples, Stored};
use crate::decode::{DecodeError, Limits};
use jpeg::Process;

/// Decodes the codestream of one frame.
pub(super) fn decode(
    codestream: &[u8],
    description: &Description,
    limits: &Limits,
) -> Result<Stored<'static>, DecodeError> {
    let stored = if jpeg::is_jpeg(codestream) {
        let image = jpeg::parse(codestream)?;
        check_size(description, image.frame.width, image.frame.height, image.frame.components.len())?;
        let stored = match image.frame.process {
            Process::Lossless => jpeg_lossless::decode(codestream, &image)?,
            Process::Ls => jpeg_ls::decode(codestream, description, &image)?,
            Process::Sequential | Process::Progressive if image.frame.precision == 8 && !image.is_rgb(description) => {
                jpeg::eight_bits(codestream, description, limits)?
            }
            Process::Sequential => jpeg_dct::decode(codestream, &image)?,
            Process::Progressive => {
                return Err(DecodeError::Unsupported("progressive JPEG of 12 bits or of RGB is not read".into()));
            }
        };
        let is_dct = matches!(image.frame.process, Process::Sequential | Process::Progressive);
        let by_codec = is_dct && image.frame.components.len() == 3 && stored.photometric.is_none();
        let photometric = if by_codec { Some(image.colours(description)) } else { stored.photometric };
        Stored { photometric, ..stored }
    } else if jpeg2000::is_jpeg2000(codestream) {
        jpeg2000::decode(codestream, description, limits)?
    } else if rle::is_rle(codestream, description) {
        rle::decode(codestream, description)?
    } else {
        let start: Vec<String> = codestream.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let start = start.join(" ");
        return Err(DecodeError::Unsupported(format!(
            "the compression of the pixel data is not read (they begin with {start})"
        )));
    };
    match &stored.samples {
        samples if samples.len() != description.count() => {
            Err(damaged(format!("{} samples were decoded, not {}", samples.len(), description.count())))
        }
        Samples::U16(_) if description.allocated == 8 => {
            Err(damaged("samples of more than 8 bits do not fit the 8 bits allocated".into()))
        }
        _ => Ok(stored),
    }
}

/// The codestream has the size that the object declares.
fn check_size(description: &Description, width: u32, height: u32, samples: usize) -> Result<(), DecodeError> {
    if (width, height, samples) == (description.width, description.height, usize::from(description.samples)) {
        return Ok(());
    }
    Err(damaged(format!(
        "the codestream has {width} x {height} pixels of {samples} samples, the object {} x {} of {}",
        description.width, description.height, description.samples
    )))
}

/// Samples of so many bits, in as few bytes as they need.
fn packed(samples: Vec<u16>, precision: u8) -> Samples<'static> {
    if precision > 8 {
        return Samples::U16(samples);
    }
    Samples::U8(samples.into_iter().map(|sample| sample as u8).collect::<Vec<u8>>().into())
}
