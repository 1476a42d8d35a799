//! One frame's bytes, as a driver hands them over, to grey pixels. Pure.
//!
//! A driver is trusted in nothing: what it says of a frame's size is checked against the bytes that are there.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageError};
use thiserror::Error;

use super::format::PixelFormat;
use super::mjpg;
use crate::radiograph::Grey;

/// How the bytes of a frame lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The pixel format.
    pub format: PixelFormat,
    /// Width, pixels.
    pub width: u32,
    /// Height, pixels.
    pub height: u32,
    /// Bytes from the start of one row to that of the next; 0 where rows follow each other without a gap. Means nothing
    /// for [`PixelFormat::Mjpg`].
    pub stride: u32,
}

/// Grey pixels of a frame or a film: exactly width x height samples, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GreyFrame {
    /// Width, pixels.
    pub width: u32,
    /// Height, pixels.
    pub height: u32,
    /// The samples; 10 and 12 bits are spread over all 16.
    pub pixels: Grey,
}

/// Decodes the JPEG of a frame of at most so many pixels.
pub type DecodeJpeg = fn(&[u8], u64) -> Result<GreyFrame, String>;

/// A frame that cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// The driver states a size that no frame can have.
    #[error("the driver says that a frame has {width} x {height} pixels; at most {limit} are taken")]
    Size {
        /// Width, pixels.
        width: u32,
        /// Height, pixels.
        height: u32,
        /// Most pixels.
        limit: u64,
    },
    /// Rows overlap.
    #[error("the driver says that rows are {stride} bytes apart; {needed} are needed for one")]
    Stride {
        /// As stated.
        stride: u32,
        /// Bytes of a row.
        needed: u64,
    },
    /// Bytes are missing, most likely lost on the way from the camera.
    #[error("a frame came with {bytes} of its {needed} bytes")]
    Short {
        /// That came.
        bytes: usize,
        /// That belong to a frame.
        needed: u64,
    },
    /// The JPEG of a frame does not decode.
    #[error("a frame does not decode: {0}")]
    Jpeg(String),
}

impl GreyFrame {
    /// One sample on the 16-bit scale; 0 outside.
    pub fn sample(&self, x: usize, y: usize) -> u16 {
        if x >= self.width as usize {
            return 0;
        }
        let at = y * self.width as usize + x;
        match &self.pixels {
            // 257 maps 0..=255 onto 0..=65,535 exactly.
            Grey::U8(samples) => samples.get(at).map_or(0, |&sample| u16::from(sample) * 257),
            Grey::U16(samples) => samples.get(at).copied().unwrap_or(0),
        }
    }

    /// The pixels as a PNG of the same depth, without loss.
    ///
    /// # Errors
    /// The encoder's; for no frame that [`grey`] makes is there one.
    pub fn png(&self) -> Result<Vec<u8>, ImageError> {
        let (samples, colour): (&[u8], _) = match &self.pixels {
            Grey::U8(samples) => (samples, ExtendedColorType::L8),
            Grey::U16(samples) => (bytemuck::cast_slice(samples), ExtendedColorType::L16),
        };
        let mut png = Vec::new();
        PngEncoder::new(&mut png).write_image(samples, self.width, self.height, colour)?;
        Ok(png)
    }
}

/// Grey pixels of one frame of at most `max_pixels`.
///
/// # Errors
/// [`FrameError`]; for no input does it panic, and it allocates at most two bytes a pixel and, for a JPEG, its own
/// size and what `decode_jpeg` does.
pub fn grey(bytes: &[u8], layout: &Layout, max_pixels: u64, decode_jpeg: DecodeJpeg) -> Result<GreyFrame, FrameError> {
    let &Layout { format, width, height, stride } = layout;
    if format == PixelFormat::Mjpg {
        return decode_jpeg(&mjpg::whole(bytes), max_pixels).map_err(FrameError::Jpeg);
    }
    let rows = Rows::new(bytes, layout, max_pixels)?;
    let pixels = match format {
        PixelFormat::Y16 => Grey::U16(rows.map(2, word)),
        PixelFormat::Y12 => Grey::U16(rows.map(2, |sample| spread(word(sample), 12))),
        PixelFormat::Y10 => Grey::U16(rows.map(2, |sample| spread(word(sample), 10))),
        // The first plane of NV12, and the first byte of two of YUYV, are the luma.
        PixelFormat::Grey | PixelFormat::Nv12 => Grey::U8(rows.map(1, first)),
        PixelFormat::Yuyv => Grey::U8(rows.map(2, first)),
        PixelFormat::Rgb3 => Grey::U8(rows.map(3, luma)),
        PixelFormat::Mjpg => return Err(FrameError::Stride { stride, needed: 0 }),
    };
    Ok(GreyFrame { width, height, pixels })
}

/// The rows of a frame that was found to be whole.
struct Rows<'b> {
    bytes: &'b [u8],
    stride: usize,
    width: usize,
    height: usize,
}

impl<'b> Rows<'b> {
    fn new(bytes: &'b [u8], layout: &Layout, max_pixels: u64) -> Result<Self, FrameError> {
        let &Layout { format, width, height, stride } = layout;
        let (columns, lines) = (u64::from(width), u64::from(height));
        if !(1..=max_pixels).contains(&(columns * lines)) {
            return Err(FrameError::Size { width, height, limit: max_pixels });
        }
        let row = match format {
            PixelFormat::Y16 | PixelFormat::Y12 | PixelFormat::Y10 => 2 * columns,
            // Two pixels share their colour.
            PixelFormat::Yuyv => 4 * columns.div_ceil(2),
            PixelFormat::Nv12 => 2 * columns.div_ceil(2),
            PixelFormat::Rgb3 => 3 * columns,
            PixelFormat::Grey | PixelFormat::Mjpg => columns,
        };
        let apart = if stride == 0 { row } else { stride.into() };
        if apart < row {
            return Err(FrameError::Stride { stride, needed: row });
        }
        let all = if format == PixelFormat::Nv12 { lines + lines.div_ceil(2) } else { lines };
        // Nothing need follow the last row.
        let needed = apart * (all - 1) + row;
        match (usize::try_from(apart), bytes.len() as u64 >= needed) {
            (Ok(stride), true) => Ok(Self { bytes, stride, width: width as usize, height: height as usize }),
            _ => Err(FrameError::Short { bytes: bytes.len(), needed }),
        }
    }

    /// Every pixel of `size` bytes.
    fn map<T>(&self, size: usize, pixel: impl Fn(&[u8]) -> T) -> Vec<T> {
        let mut pixels = Vec::with_capacity(self.width * self.height);
        for row in self.bytes.chunks(self.stride).take(self.height) {
            pixels.extend(row.chunks_exact(size).take(self.width).map(&pixel));
        }
        pixels
    }
}

fn first(bytes: &[u8]) -> u8 {
    bytes.first().copied().unwrap_or(0)
}

fn word(bytes: &[u8]) -> u16 {
    bytes.first_chunk().copied().map_or(0, u16::from_le_bytes)
}

/// `bits` bits over all 16: black stays 0, the brightest becomes 65,535. What is above `bits` bits is the brightest.
fn spread(sample: u16, bits: u32) -> u16 {
    let sample = sample.min((1 << bits) - 1);
    (sample << (16 - bits)) | (sample >> (2 * bits - 16))
}

/// Rec. 709 luma, as [`crate::decode`] makes it of colour.
fn luma(bytes: &[u8]) -> u8 {
    let [red, green, blue] = bytes.first_chunk().copied().unwrap_or_default().map(u32::from);
    ((2_126 * red + 7_152 * green + 722 * blue) / 10_000) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode;

    fn no_jpeg(_: &[u8], _: u64) -> Result<GreyFrame, String> {
        Err("no JPEG here".into())
    }

    fn layout(format: PixelFormat, width: u32, height: u32, stride: u32) -> Layout {
        Layout { format, width, height, stride }
    }

    #[test]
    fn each_format_becomes_the_grey_that_it_holds() {
        use PixelFormat::*;
        let words = |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        for (layout, bytes, pixels) in [
            (layout(Grey, 2, 2, 0), vec![1, 2, 3, 4], super::Grey::U8(vec![1, 2, 3, 4])),
            (layout(Grey, 2, 2, 3), vec![1, 2, 9, 3, 4], super::Grey::U8(vec![1, 2, 3, 4])),
            (layout(Y16, 2, 1, 4), words(&[0x1234, 0xFFFF]), super::Grey::U16(vec![0x1234, 0xFFFF])),
            (layout(Y16, 1, 2, 3), vec![0x34, 0x12, 9, 0x78, 0x56], super::Grey::U16(vec![0x1234, 0x5678])),
            (layout(Y12, 3, 1, 0), words(&[0, 0xFFF, 0x800]), super::Grey::U16(vec![0, 0xFFFF, 0x8008])),
            (layout(Y10, 4, 1, 0), words(&[0, 0x3FF, 1, 0x7FF]), super::Grey::U16(vec![0, 0xFFFF, 0x40, 0xFFFF])),
            (layout(Yuyv, 2, 2, 0), vec![1, 128, 2, 128, 3, 128, 4, 128], super::Grey::U8(vec![1, 2, 3, 4])),
            (layout(Nv12, 2, 2, 0), vec![1, 2, 3, 4, 128, 128], super::Grey::U8(vec![1, 2, 3, 4])),
            (layout(Rgb3, 3, 1, 0), vec![255, 255, 255, 255, 0, 0, 0, 0, 255], super::Grey::U8(vec![255, 54, 18])),
        ] {
            let (width, height) = (layout.width, layout.height);
            assert_eq!(grey(&bytes, &layout, 4, no_jpeg), Ok(GreyFrame { width, height, pixels }), "{layout:?}");
            let short = &bytes[..bytes.len() - 1];
            let refused = grey(short, &layout, 4, no_jpeg);
            assert!(matches!(refused, Err(FrameError::Short { .. })), "{layout:?} less one byte: {refused:?}");
        }
    }

    #[test]
    fn what_a_driver_cannot_mean_is_an_error() {
        use PixelFormat::*;
        for (layout, refused) in [
            (layout(Grey, 0, 5, 0), FrameError::Size { width: 0, height: 5, limit: 100 }),
            (layout(Grey, 11, 10, 0), FrameError::Size { width: 11, height: 10, limit: 100 }),
            (
                layout(Grey, u32::MAX, u32::MAX, u32::MAX),
                FrameError::Size { width: u32::MAX, height: u32::MAX, limit: 100 },
            ),
            (layout(Y16, 10, 10, 19), FrameError::Stride { stride: 19, needed: 20 }),
            (layout(Yuyv, 9, 10, 18), FrameError::Stride { stride: 18, needed: 20 }),
            (layout(Rgb3, 10, 10, u32::MAX), FrameError::Short { bytes: 400, needed: 9 * u64::from(u32::MAX) + 30 }),
            (layout(Mjpg, 10, 10, 0), FrameError::Jpeg("no JPEG here".into())),
        ] {
            assert_eq!(grey(&[7; 400], &layout, 100, no_jpeg), Err(refused), "{layout:?}");
        }
    }

    #[test]
    fn a_film_of_either_depth_is_decoded_to_the_same_samples() {
        for pixels in [Grey::U8(vec![0, 1, 127, 128, 254, 255]), Grey::U16(vec![0, 1, 255, 256, 0x1234, 65_535])] {
            let frame = GreyFrame { width: 3, height: 2, pixels };
            let film = decode::decode(&frame.png().unwrap(), &decode::Limits::default()).unwrap();
            assert_eq!(((film.width(), film.height()), film.pixels()), ((3, 2), &frame.pixels));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_whole_frame_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            format in 0usize..7, width in 0u32..20, height in 0u32..20, stride in 0u32..70,
        ) {
            let layout = layout(PixelFormat::ALL[format], width, height, stride);
            if let Ok(frame) = grey(&bytes, &layout, 300, no_jpeg) {
                prop_assert_eq!(frame.pixels.len(), (width * height) as usize);
                prop_assert_eq!((frame.width, frame.height), (width, height));
            }
        }
    }
}
