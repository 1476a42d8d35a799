//! Lamps on the pins of a Raspberry Pi, by its registers.
//!
//! Pins keep their levels when they are let go, so that an active-low lamp does not light up by that alone.

use rppal::gpio::{Error, Gpio, Level, OutputPin};

use super::{LedError, Leds};
use crate::config::RaspberryPin;

/// Pins that are taken.
pub(super) struct RaspberryLeds(Vec<(RaspberryPin, OutputPin)>);

fn level(pin: RaspberryPin, lit: bool) -> Level {
    Level::from(lit != pin.active_low)
}

impl RaspberryLeds {
    /// Takes them, dark.
    pub(super) fn open(pins: impl Iterator<Item = RaspberryPin>) -> Result<Self, LedError> {
        let gpio = Gpio::new().map_err(|error| match error {
            Error::UnknownModel => LedError::NoRaspberryPi,
            Error::PermissionDenied(path) => LedError::Denied(path),
            other => LedError::Registers(other),
        })?;
        let taken = pins.map(|pin| {
            let taken = gpio.get(pin.number).map_err(|source| LedError::Pin { pin, source })?;
            let mut output = match level(pin, false) {
                Level::Low => taken.into_output_low(),
                Level::High => taken.into_output_high(),
            };
            output.set_reset_on_drop(false);
            Ok((pin, output))
        });
        taken.collect::<Result<_, LedError>>().map(Self)
    }
}

impl Leds for RaspberryLeds {
    fn set(&mut self, lit: &[bool]) -> Result<(), LedError> {
        for ((pin, output), lit) in self.0.iter_mut().zip(lit) {
            output.write(level(*pin, *lit));
        }
        Ok(())
    }
}
