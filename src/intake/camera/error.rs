//! What can be wrong with a camera.

use std::any::Any;
use std::io;
use std::time::Duration;

use thiserror::Error;

use super::format::PixelFormat;
use super::frame::FrameError;

/// A camera does not give a film.
#[derive(Debug, Error)]
pub enum CameraError {
    /// The program knows no cameras.
    #[error("this chestlight was built without cameras; build it with: cargo build --release --features camera")]
    NotBuilt,
    /// Nothing has the name or path.
    #[error("there is no camera {0:?}; is it plugged in? see: chestlight camera list")]
    NotThere(String),
    /// It is something else.
    #[error("{0:?} gives no video frames (V4L2 capture with streaming, one plane); see: chestlight camera list")]
    NotACamera(String),
    /// This user may not.
    #[error("this user may not use the camera {0:?}; it must be in the group of its device (mostly: video)")]
    Denied(String),
    /// Another program has it.
    #[error(
        "the camera {0:?} is in use; stop the program that has it (a unit with trigger = \"still\" has it all the time)"
    )]
    Busy(String),
    /// It offers nothing that a film can be taken in.
    #[error(
        "the camera offers no {} of at most {most_megapixels} megapixels; it offers {offered}",
        wanted.map_or("format that is read".to_owned(), |format| format!("{format} frames"))
    )]
    NoMode {
        /// The format that the configuration asks for.
        wanted: Option<PixelFormat>,
        /// The bound.
        most_megapixels: u64,
        /// What it does offer.
        offered: String,
    },
    /// Its driver did not take the mode that it had offered.
    #[error("the camera was asked for {asked} and set itself to {got}")]
    OtherMode {
        /// As offered.
        asked: String,
        /// As set.
        got: String,
    },
    /// No frame comes.
    #[error("the camera has sent nothing for {} s; unplug it and plug it in again", .0.as_secs())]
    Silent(Duration),
    /// Only frames that cannot be used come.
    #[error("{frames} frames in a row could not be used; the last one: {last}")]
    Unusable {
        /// How many.
        frames: u32,
        /// What was wrong with the last one.
        last: FrameError,
    },
    /// The film does not become a file.
    #[error("the film cannot be encoded: {0}")]
    Encode(#[from] image::ImageError),
    /// The film is not durably in the spool.
    #[error("the film could not be kept: {0}; leave it on the light box until it was read")]
    NotKept(String),
    /// The system refused a step.
    #[error("{doing}: {source}")]
    Step {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The driver answered with something that nobody foresaw.
    #[error("the camera's driver has answered nonsense: {0}")]
    Panicked(String),
}

impl CameraError {
    /// What the bindings panicked with.
    pub(super) fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let words =
            panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Self::Panicked(words.unwrap_or("panic without words").to_owned())
    }
}
