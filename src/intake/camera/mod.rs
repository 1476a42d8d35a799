//! A camera over a light box: what it sees, as films.
//!
//! Pure: [`mod@format`] (which of its modes), [`frame`] (bytes to grey), [`view`] (the light box set straight) and [`still`]
//! (does a new film lie there). [`attendant`] is the thread that uses them by [`order`] on any [`stream`] of frames, and
//! `device` the one source that is real, behind the feature `camera`.

pub mod attendant;
#[cfg(feature = "camera")]
pub mod device;
pub mod error;
pub mod format;
pub mod frame;
mod mjpg;
pub mod order;
pub mod still;
pub mod stream;
pub mod view;

use error::CameraError;
use format::PixelFormat;
use stream::Source;

/// The camera of a path or name, in one format or the best one, with frames of at most `max_pixels`.
///
/// # Errors
/// [`CameraError::NotBuilt`] in a program without the feature `camera`; whether the camera is there is not asked.
#[cfg(feature = "camera")]
pub fn source(device: &str, format: Option<PixelFormat>, max_pixels: u64) -> Result<Box<dyn Source>, CameraError> {
    Ok(Box::new(device::Camera { device: device.to_owned(), format, max_pixels }))
}

/// The camera of a path or name, in one format or the best one, with frames of at most `max_pixels`.
///
/// # Errors
/// [`CameraError::NotBuilt`] in a program without the feature `camera`; whether the camera is there is not asked.
#[cfg(not(feature = "camera"))]
pub fn source(_: &str, _: Option<PixelFormat>, _: u64) -> Result<Box<dyn Source>, CameraError> {
    Err(CameraError::NotBuilt)
}
