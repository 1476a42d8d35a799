//! A camera over a light box: what it sees, as films.
//!
//! Pure: [`format`] (which of its modes), [`frame`] (bytes to grey), [`view`] (the light box set straight) and [`still`]
//! (does a new film lie there). [`attendant`] is the thread that uses them on any source of frames, and `device` the one
//! source that is real, behind the feature `camera`.

pub mod attendant;
#[cfg(feature = "camera")]
pub mod device;
pub mod error;
pub mod format;
pub mod frame;
mod mjpg;
pub mod still;
pub mod view;
