//! The daemon's end of the camera: a film that it takes lands in the spool and is told to the loop.

use std::io::Write;
use std::sync::mpsc::SyncSender;

use super::reception::{Desk, Unkept};
use super::{DaemonError, Event};
use crate::config::{self, Config};
use crate::decode::{self, Limits};
use crate::health::PartVitals;
use crate::intake::button::Button;
use crate::intake::camera;
use crate::intake::camera::attendant::Attended;
use crate::intake::camera::frame::GreyFrame;
use crate::intake::camera::order::Trigger;
use crate::intake::camera::stream::Taking;
use crate::radiograph::Encoding;

/// What films are called that came from the camera.
pub const NAME: &str = "camera.png";

/// The camera with its button. The button goes first: it orders films of the camera.
pub(super) struct Camera {
    _button: Option<Button>,
    attended: Attended,
}

impl Camera {
    /// Begins to attend the camera that the configuration names.
    pub(super) fn start(config: &Config, desk: Desk, sender: &SyncSender<Event>) -> Result<Option<Self>, DaemonError> {
        let Some(settings) = &config.camera else { return Ok(None) };
        let source = camera::source(&settings.device, settings.format, settings.max_pixels)?;
        let taking = Taking {
            view: settings.view,
            settle: settings.settle,
            still: settings.still,
            max_pixels: settings.max_pixels,
            decode_jpeg,
        };
        let keep = move |png: &[u8]| keep(png, &desk);
        // Nobody receives when the daemon has ended, and then there is nothing to tell it.
        let events = sender.clone();
        let tell = move |works| drop(events.send(Event::Camera(works)));
        let attended = Attended::start(source, taking, Box::new(keep), Box::new(tell))
            .map_err(DaemonError::no_thread("the camera"))?;
        let button = settings.button.clone().map(|line| {
            let (trigger, events) = (attended.trigger(), sender.clone());
            let tell = move |works| drop(events.send(Event::Button(works)));
            Button::start(line, Box::new(move || trigger.press()), Box::new(tell))
        });
        let button = button.transpose().map_err(DaemonError::no_thread("the camera"))?;
        Ok(Some(Self { _button: button, attended }))
    }

    /// Orders films.
    pub(super) fn trigger(&self) -> Trigger {
        self.attended.trigger()
    }
}

/// The vitals of a camera of which this was told last.
pub(super) fn vitals(camera: &config::Camera, told: Option<&Result<String, String>>) -> PartVitals {
    let (name, wrong) = match told {
        None => (camera.device.clone(), Some("it was not looked at yet".into())),
        Some(Ok(mode)) => (format!("{}, {mode}", camera.device), None),
        Some(Err(wrong)) => (camera.device.clone(), Some(wrong.clone())),
    };
    PartVitals { name, wrong }
}

fn keep(png: &[u8], desk: &Desk) -> Result<String, String> {
    let mut film = desk.begin().map_err(|error| error.to_string())?;
    film.write_all(png).map_err(|error| error.to_string())?;
    desk.keep(film, NAME).map_err(Unkept::into_words)
}

/// The grey of a frame that is a JPEG.
///
/// # Errors
/// What the decoder says.
pub fn decode_jpeg(bytes: &[u8], max_pixels: u64) -> Result<GreyFrame, String> {
    if decode::sniff(bytes) != Some(Encoding::Jpeg) {
        return Err("it is no JPEG".into());
    }
    let limits = Limits { max_pixels, ..Limits::default() };
    let film = decode::decode(bytes, &limits).map_err(|error| error.to_string())?;
    let (width, height) = (film.width(), film.height());
    Ok(GreyFrame { width, height, pixels: film.pixels().clone() })
}
