//! Frames of any camera: how they are waited for, and the first one that can be used.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::error::CameraError;
use super::frame::{self, DecodeJpeg, GreyFrame, Layout};
use super::view::View;

/// A camera that sends nothing for so long is dead.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// So many frames in a row that cannot be used are a fault. Of a camera on a long cable one is lost now and then.
pub(super) const MOST_UNUSABLE: u32 = 30;
/// Frames of a slow camera are not waited for longer than so until its exposure has settled.
const MOST_SETTLING: Duration = Duration::from_secs(10);
/// How often the thread asks whether it should end.
pub(super) const SLICE: Duration = Duration::from_millis(250);

/// A camera, as the thread sees it.
pub trait Source: Send {
    /// Whether it is still plugged in. Must cost next to nothing.
    ///
    /// # Errors
    /// [`CameraError`].
    fn is_there(&mut self) -> Result<(), CameraError>;

    /// Whether it can be used, and in which mode, in words.
    ///
    /// # Errors
    /// [`CameraError`].
    fn check(&mut self) -> Result<String, CameraError>;

    /// Begins a stream.
    ///
    /// # Errors
    /// [`CameraError`].
    fn open(&mut self) -> Result<Box<dyn Frames>, CameraError>;
}

/// A stream of frames; ends when it is dropped.
pub trait Frames {
    /// The mode, in words.
    fn mode(&self) -> String;

    /// Waits for a frame, and says whether there is one now.
    ///
    /// # Errors
    /// [`CameraError`]; the stream is then of no use any more.
    fn wait(&mut self, within: Duration) -> Result<bool, CameraError>;

    /// The frame that was waited for.
    ///
    /// # Errors
    /// [`CameraError`]; the stream is then of no use any more.
    fn next(&mut self) -> Result<Frame<'_>, CameraError>;
}

/// One frame of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'s> {
    /// Its bytes.
    pub bytes: &'s [u8],
    /// How they lie.
    pub layout: Layout,
    /// When it came.
    pub at: Instant,
}

/// How films are taken.
#[derive(Clone, Copy, Debug)]
pub struct Taking {
    /// Where the film lies in the frame.
    pub view: View,
    /// Frames of a new stream that are thrown away while the exposure settles.
    pub settle: u32,
    /// A new film is taken by itself when it was still for so many looks, 5 a second; by order alone where absent.
    pub still: Option<u32>,
    /// Most pixels of a frame.
    pub max_pixels: u64,
    /// Decodes the frames of [`super::format::PixelFormat::Mjpg`].
    pub decode_jpeg: DecodeJpeg,
}

/// One frame of a camera that rests otherwise, with its mode in words; none where `stop` says so meanwhile.
///
/// # Errors
/// [`CameraError`].
pub fn one_frame(
    source: &mut dyn Source,
    taking: &Taking,
    stop: &AtomicBool,
) -> Result<Option<(GreyFrame, String)>, CameraError> {
    let mut frames = source.open()?;
    let frame = settled(&mut *frames, taking, stop)?;
    Ok(frame.map(|frame| (frame, frames.mode())))
}

/// The first frame that can be used after the exposure has settled.
pub(super) fn settled(
    frames: &mut dyn Frames,
    taking: &Taking,
    stop: &AtomicBool,
) -> Result<Option<GreyFrame>, CameraError> {
    let (mut begun, mut passed, mut unusable) = (None, 0, 0);
    while let Some(frame) = next(frames, stop)? {
        let since = frame.at.saturating_duration_since(*begun.get_or_insert(frame.at));
        if passed < taking.settle && since < MOST_SETTLING {
            passed += 1;
        } else if let Some(grey) = grey(frame, taking, &mut unusable)? {
            return Ok(Some(grey));
        }
    }
    Ok(None)
}

/// The next frame; none where the thread is to end.
pub(super) fn next<'f>(frames: &'f mut dyn Frames, stop: &AtomicBool) -> Result<Option<Frame<'f>>, CameraError> {
    let until = Instant::now() + PATIENCE;
    while !stop.load(Ordering::Relaxed) {
        if frames.wait(SLICE)? {
            return frames.next().map(Some);
        }
        if Instant::now() >= until {
            return Err(CameraError::Silent(PATIENCE));
        }
    }
    Ok(None)
}

/// The grey of a frame; none of one that cannot be used, if they are few.
pub(super) fn grey(frame: Frame<'_>, taking: &Taking, unusable: &mut u32) -> Result<Option<GreyFrame>, CameraError> {
    match frame::grey(frame.bytes, &frame.layout, taking.max_pixels, taking.decode_jpeg) {
        Ok(grey) => {
            *unusable = 0;
            Ok(Some(grey))
        }
        Err(last) => {
            *unusable += 1;
            if *unusable < MOST_UNUSABLE { Ok(None) } else { Err(CameraError::Unusable { frames: *unusable, last }) }
        }
    }
}
