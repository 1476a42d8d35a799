//! The lines that lamps hang on, whatever drives them.

use thiserror::Error;

use super::led_gpiocdev::GpioLeds;
use super::led_rppal::RaspberryLeds;
use crate::config::{LampLines, RaspberryPin};
use crate::gpio::GpioError;

/// Lamps that can be lit.
pub trait Leds {
    /// Lights the lamps that are `true` and darkens the others, in the order of the configuration's colours.
    ///
    /// # Errors
    /// [`LedError`], after which they must be opened again.
    fn set(&mut self, lit: &[bool]) -> Result<(), LedError>;
}

/// Why lamps cannot be lit.
#[derive(Debug, Error)]
pub enum LedError {
    /// A line of a GPIO chip cannot be had, or no longer.
    #[error(transparent)]
    Gpio(#[from] GpioError),
    /// `rppal` knows Raspberry Pis alone.
    #[error(
        "this board is no Raspberry Pi that `rppal` knows; set `lamps.driver` to \"gpiocdev\" and name chip and line"
    )]
    NoRaspberryPi,
    /// This user may not.
    #[error("this user may not use {0}; it must be in the group gpio")]
    Denied(String),
    /// A pin of a Raspberry Pi cannot be had.
    #[error("{pin} cannot be had: {source}")]
    Pin {
        /// The pin.
        pin: RaspberryPin,
        /// What `rppal` says.
        source: rppal::gpio::Error,
    },
    /// The registers cannot be had.
    #[error("the pins of the Raspberry Pi cannot be had: {0}")]
    Registers(rppal::gpio::Error),
}

/// Takes the lines; all lamps are dark.
///
/// # Errors
/// [`LedError`].
pub fn open(lines: &LampLines) -> Result<Box<dyn Leds>, LedError> {
    Ok(match lines {
        LampLines::Gpiocdev(lines) => Box::new(GpioLeds::open(lines.iter().map(|(_, line)| line))?),
        LampLines::Rppal(pins) => Box::new(RaspberryLeds::open(pins.iter().map(|(_, pin)| *pin))?),
    })
}
