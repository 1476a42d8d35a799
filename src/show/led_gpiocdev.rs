//! Lamps on lines of GPIO chips, by the kernel's character device: on a Jetson and on any other Linux board.
//!
//! When the lines are let go, some chips keep their levels and others do not; a lamp stands still either way.

use gpiocdev::line::Value;
use gpiocdev::request::Request;

use super::{LedError, Leds};
use crate::config::GpioLine;
use crate::gpio::{self, GpioError};

/// Lines that are taken.
pub(super) struct GpioLeds(Vec<(GpioLine, Request)>);

impl GpioLeds {
    /// Takes them, dark.
    pub(super) fn open<'a>(lines: impl Iterator<Item = &'a GpioLine>) -> Result<Self, LedError> {
        let taken = lines.map(|line| {
            let request = gpio::request(line, |builder| {
                builder.as_output(Value::Inactive);
            })?;
            Ok((line.clone(), request))
        });
        taken.collect::<Result<_, LedError>>().map(Self)
    }
}

impl Leds for GpioLeds {
    fn set(&mut self, lit: &[bool]) -> Result<(), LedError> {
        for ((line, request), lit) in self.0.iter().zip(lit) {
            let failed = |source| GpioError::Line { line: line.clone(), source };
            request.set_lone_value(Value::from(*lit)).map_err(failed)?;
        }
        Ok(())
    }
}
