//! Lines of GPIO chips, found by what stays the same from one start of the board to the next.

use std::io;

use gpiocdev::chip::{Chip, chips};
use gpiocdev::request::{Builder, Request};
use thiserror::Error;

use crate::config::{GpioChip, GpioLine, GpioOffset};

/// What the kernel names as the user of a line.
pub const CONSUMER: &str = "chestlight";

/// Why a line cannot be had.
#[derive(Debug, Error)]
pub enum GpioError {
    /// No chip is what the configuration names.
    #[error("there is no GPIO chip {chip}; here are: {here} (see: gpiodetect)")]
    NoChip {
        /// The chip that is wanted.
        chip: GpioChip,
        /// The labels of those that there are, or that there is none.
        here: String,
    },
    /// A label does not tell which chip is meant.
    #[error("{count} GPIO chips are labelled {chip}; name one by the path of a link that a udev rule makes")]
    SameLabel {
        /// The chip that is wanted.
        chip: GpioChip,
        /// How many they are.
        count: usize,
    },
    /// The chip has no such line.
    #[error("there is no {0} (see: gpioinfo)")]
    NoLine(GpioLine),
    /// Another program has the line.
    #[error("{line} is in use by {consumer:?}; stop that program, or choose another line")]
    Busy {
        /// The line.
        line: GpioLine,
        /// What has it.
        consumer: String,
    },
    /// This user may not.
    #[error("this user may not use GPIO chip {chip}; it must be in the group of its device (mostly: gpio)")]
    Denied {
        /// The chip.
        chip: GpioChip,
    },
    /// The kernel says no for another reason.
    #[error("{line} does not work: {source}")]
    Line {
        /// The line.
        line: GpioLine,
        /// What the kernel said.
        source: gpiocdev::Error,
    },
}

/// Takes a line, set up by `configure`; it is free again when what comes back is dropped.
///
/// # Errors
/// [`GpioError`].
pub fn request(line: &GpioLine, configure: impl FnOnce(&mut Builder)) -> Result<Request, GpioError> {
    let chip = open(&line.chip)?;
    let failed = |source| GpioError::Line { line: line.clone(), source };
    let found = match &line.line {
        GpioOffset::Name(name) => chip.find_line_info(name),
        GpioOffset::Number(number) => {
            let lines = chip.info().map_err(failed)?.num_lines;
            (*number < lines).then(|| chip.line_info(*number)).transpose().map_err(failed)?
        }
    };
    let found = found.ok_or_else(|| GpioError::NoLine(line.clone()))?;
    if found.used {
        return Err(GpioError::Busy { line: line.clone(), consumer: found.consumer });
    }
    let mut builder = Request::builder();
    builder.on_chip(chip.path()).with_consumer(CONSUMER).with_line(found.offset);
    configure(&mut builder);
    // Last, because it is a property of the line that was set up.
    if line.active_low {
        builder.as_active_low();
    }
    builder.request().map_err(failed)
}

fn open(wanted: &GpioChip) -> Result<Chip, GpioError> {
    let (mut found, mut here, mut denied) = (Vec::new(), Vec::new(), None);
    let paths = match wanted {
        GpioChip::Path(path) => vec![path.clone()],
        // Without a /dev that can be read there are none.
        GpioChip::Label(_) => chips().unwrap_or_default(),
    };
    for path in paths {
        match Chip::from_path(&path).and_then(|chip| Ok((chip.info()?.label, chip))) {
            Ok((label, chip)) => {
                if matches!(wanted, GpioChip::Path(_)) || *wanted == GpioChip::Label(label.clone()) {
                    found.push(chip);
                }
                here.push(label);
            }
            Err(error) if is_denied(&error) => denied = Some(GpioError::Denied { chip: GpioChip::Path(path) }),
            // One that is gone by now is as good as one that never was.
            Err(_) => {}
        }
    }
    match (found.pop(), found.len(), denied) {
        (Some(chip), 0, _) => Ok(chip),
        (Some(_), others, _) => Err(GpioError::SameLabel { chip: wanted.clone(), count: others.saturating_add(1) }),
        // It may be the one that could not be looked at.
        (None, _, Some(denied)) => Err(denied),
        (None, _, None) => {
            let here = if here.is_empty() { "none that can be used".to_owned() } else { here.join(", ") };
            Err(GpioError::NoChip { chip: wanted.clone(), here })
        }
    }
}

fn is_denied(error: &gpiocdev::Error) -> bool {
    let gpiocdev::Error::Os(errno) = error else { return false };
    io::Error::from_raw_os_error(errno.0).kind() == io::ErrorKind::PermissionDenied
}
