//! A small display with an SSD1306 (128 x 64 pixels) on an I2C bus.

use std::convert::Infallible;
use std::io;
use std::path::Path;

use display_interface::{DataFormat, DisplayError, WriteOnlyDataCommand};
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Size};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_hal::i2c::I2c;
use linux_embedded_hal::I2cdev;
use ssd1306::Ssd1306;
use ssd1306::command::AddrMode;
use ssd1306::mode::BasicMode;
use ssd1306::prelude::{Brightness, DisplayRotation, DisplaySize128x64};

use super::display::{Display, Drawn};
use super::scene::Scene;
use super::text::Typesetter;
use crate::config;
use crate::health::SharedVitals;

const WIDTH: usize = 128;
/// A page is eight lines, a byte of it eight pixels below each other.
const PAGES: usize = 8;
/// Control byte before one command byte; after it comes another control byte.
const COMMAND: u8 = 0x80;
/// Control byte before nothing but pixels.
const DATA: u8 = 0x40;

/// The indicator on the display of a configuration.
///
/// # Errors
/// It has no thread. A display that does not answer is an error of the indicator, which tries again.
pub fn start(config: &config::Oled, vitals: &SharedVitals) -> io::Result<Drawn> {
    let config = config.clone();
    Drawn::start("oled", config.scene, vitals.clone(), move || Oled::open(&config))
}

/// Pixels as the display's memory has them.
struct Pages([[u8; WIDTH]; PAGES]);

impl OriginDimensions for Pages {
    fn size(&self) -> Size {
        Size::new(WIDTH as u32, PAGES as u32 * 8)
    }
}

impl DrawTarget for Pages {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(at, colour) in pixels {
            let (Ok(x), Ok(y)) = (usize::try_from(at.x), usize::try_from(at.y)) else { continue };
            if let Some(byte) = self.0.get_mut(y / 8).and_then(|page| page.get_mut(x)) {
                let bit = 1 << (y % 8);
                *byte = if colour.is_on() { *byte | bit } else { *byte & !bit };
            }
        }
        Ok(())
    }
}

/// The bus as the driver needs it. Every command byte has a control byte of its own: all controllers of this family
/// understand that, and so do their models in emulators.
struct Wire<I> {
    bus: I,
    address: u8,
}

impl<I: I2c> WriteOnlyDataCommand for Wire<I> {
    fn send_commands(&mut self, commands: DataFormat<'_>) -> Result<(), DisplayError> {
        let DataFormat::U8(commands) = commands else { return Err(DisplayError::DataFormatNotImplemented) };
        let bytes: Vec<u8> = commands.iter().flat_map(|command| [COMMAND, *command]).collect();
        self.bus.write(self.address, &bytes).map_err(|_| DisplayError::BusWriteError)
    }

    fn send_data(&mut self, data: DataFormat<'_>) -> Result<(), DisplayError> {
        let DataFormat::U8(data) = data else { return Err(DisplayError::DataFormatNotImplemented) };
        // Some adapters take no more than 32 bytes at a time.
        data.chunks(31).try_for_each(|part| {
            let bytes = [&[DATA], part].concat();
            self.bus.write(self.address, &bytes).map_err(|_| DisplayError::BusWriteError)
        })
    }
}

/// A display that is switched on.
pub struct Oled<I> {
    driver: Ssd1306<Wire<I>, DisplaySize128x64, BasicMode>,
    /// What it shows; nothing is known before the first scene.
    shown: Option<Pages>,
    dim: bool,
    /// What is told when it does not answer.
    silent: String,
}

impl Oled<I2cdev> {
    /// Switches on the display of a configuration.
    ///
    /// # Errors
    /// There is no such bus, this user may not use it, or nothing answers at the address.
    pub fn open(config: &config::Oled) -> io::Result<Self> {
        let at = |error: &dyn std::fmt::Display| {
            let bus = config.bus.display();
            io::Error::other(format!(
                "the bus {bus} cannot be used ({error}); is I2C enabled, and this user in its group?"
            ))
        };
        let bus = I2cdev::new(&config.bus).map_err(|error| at(&error))?;
        Self::on(bus, &config.bus, config)
    }
}

impl<I: I2c> Oled<I> {
    fn on(bus: I, path: &Path, config: &config::Oled) -> io::Result<Self> {
        let rotation = if config.upside_down { DisplayRotation::Rotate180 } else { DisplayRotation::Rotate0 };
        let wire = Wire { bus, address: config.address };
        let mut driver = Ssd1306::new(wire, DisplaySize128x64, rotation);
        let (address, bus) = (config.address, path.display());
        let silent = format!("nothing answers at address {address:#04x} of {bus}; check the cable and the address");
        // By pages and not line by line, which the SH1106 that is often sold in its place does not know.
        driver.init_with_addr_mode(AddrMode::Page).map_err(|_| io::Error::other(silent.clone()))?;
        Ok(Self { driver, shown: None, dim: false, silent })
    }

    fn send(&mut self, pages: &Pages) -> Result<(), DisplayError> {
        let before = self.shown.take();
        for (place, page) in (0_u8..).zip(&pages.0) {
            let same = before.as_ref().and_then(|before| before.0.get(usize::from(place))) == Some(page);
            if !same {
                self.driver.set_row(place * 8)?;
                self.driver.set_column(0)?;
                self.driver.draw(page)?;
            }
        }
        Ok(())
    }

    fn set_brightness(&mut self, dim: bool) -> Result<(), DisplayError> {
        self.dim = dim;
        self.driver.set_brightness(if dim { Brightness::DIMMEST } else { Brightness::NORMAL })
    }

    fn told(&self, sent: Result<(), DisplayError>) -> io::Result<()> {
        sent.map_err(|_| io::Error::other(self.silent.clone()))
    }
}

impl<I: I2c> Display for Oled<I> {
    const HAS_PAGES: bool = true;

    fn draw(&mut self, scene: &Scene<'_>, words: &mut Typesetter) -> io::Result<()> {
        let mut pages = Pages([[0; WIDTH]; PAGES]);
        let Ok(()) = scene.draw_mono(words, &mut pages);
        let sent = self.set_brightness(scene.is_dim()).and_then(|()| self.send(&pages));
        self.told(sent)?;
        self.shown = Some(pages);
        Ok(())
    }

    /// Says the brightness again: it costs nothing to see, and a display that was pulled does not acknowledge it.
    fn check(&mut self) -> io::Result<()> {
        let sent = self.set_brightness(self.dim);
        self.told(sent)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::{Duration, Instant};

    use embedded_hal::i2c::{ErrorKind, ErrorType, NoAcknowledgeSource, Operation};
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::config::SceneSettings;
    use crate::health::Vitals;
    use crate::show::Status;
    use crate::show::told::Told;

    /// What a controller does with what comes over the bus.
    struct Controller {
        memory: [[u8; 132]; PAGES],
        page: usize,
        column: usize,
        data_bytes: usize,
        contrast: u8,
        /// Command bytes whose arguments are still to come.
        waiting: Vec<u8>,
        plugged: bool,
    }

    impl Controller {
        fn command(&mut self, byte: u8) {
            self.waiting.push(byte);
            match *self.waiting {
                [0x81] | [0x20] | [0x8d] | [0xa8] | [0xd3] | [0xd5] | [0xd9] | [0xda] | [0xdb] | [0xad] => return,
                [0x81, contrast] => self.contrast = contrast,
                [low @ 0x00..=0x0f] => self.column = self.column & 0xf0 | usize::from(low),
                [high @ 0x10..=0x1f] => self.column = self.column & 0x0f | usize::from(high & 0xf) << 4,
                [page @ 0xb0..=0xb7] => self.page = usize::from(page & 7),
                _ => {}
            }
            self.waiting.clear();
        }
    }

    #[derive(Clone)]
    struct Bus(Rc<RefCell<Controller>>);

    impl ErrorType for Bus {
        type Error = ErrorKind;
    }

    impl I2c for Bus {
        fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
            let mut controller = self.0.borrow_mut();
            if address != 0x3c || !controller.plugged {
                return Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
            }
            for operation in operations {
                let Operation::Write(bytes) = operation else { panic!("nothing is read") };
                let mut bytes = *bytes;
                while let [control, rest @ ..] = bytes {
                    bytes = match *control {
                        COMMAND => {
                            controller.command(rest[0]);
                            &rest[1..]
                        }
                        DATA => {
                            for byte in rest {
                                let (page, column) = (controller.page, controller.column);
                                controller.memory[page][column] = *byte;
                                controller.column += 1;
                                controller.data_bytes += 1;
                            }
                            &[]
                        }
                        other => panic!("control byte {other:#x}"),
                    };
                }
            }
            Ok(())
        }
    }

    fn oled() -> (Bus, config::Oled) {
        let memory = [[0xaa; 132]; PAGES];
        let controller =
            Controller { memory, page: 0, column: 0, data_bytes: 0, contrast: 0, waiting: Vec::new(), plugged: true };
        let scene = SceneSettings {
            language: crate::language::Language::English,
            film: Default::default(),
            dim_after: Some(Duration::from_secs(60)),
        };
        let config = config::Oled { bus: "/dev/i2c-1".into(), address: 0x3c, upside_down: false, scene };
        (Bus(Rc::new(RefCell::new(controller))), config)
    }

    fn scene<'a>(told: &'a Told, vitals: &'a Vitals, config: &config::Oled, now: Instant) -> Scene<'a> {
        let clock = Timestamp::UNIX_EPOCH.to_zoned_datetime(TimeZone::UTC);
        Scene { told, vitals, settings: config.scene, clock, now, on: Duration::ZERO }
    }

    #[test]
    fn a_scene_reaches_the_displays_memory_and_only_what_changed_is_sent_again() {
        let (bus, config) = oled();
        let (now, vitals) = (Instant::now(), Vitals::default());
        let mut words = Typesetter::default();
        let mut display = Oled::on(bus.clone(), &config.bus, &config).unwrap();
        let mut told = Told::new(now);
        told.tell(&Status::Ready, now);
        let mut sent = Vec::new();
        for status in [None, None, Some(Status::Stopped)] {
            if let Some(status) = status {
                told.tell(&status, now);
            }
            let scene = scene(&told, &vitals, &config, now);
            bus.0.borrow_mut().data_bytes = 0;
            display.draw(&scene, &mut words).unwrap();
            let mut wanted = Pages([[0; WIDTH]; PAGES]);
            let Ok(()) = scene.draw_mono(&mut words, &mut wanted);
            for (page, wanted) in bus.0.borrow().memory.iter().zip(&wanted.0) {
                assert_eq!(page[..WIDTH], wanted[..]);
            }
            sent.push(bus.0.borrow().data_bytes);
        }
        // The notice's page at the bottom stays.
        assert_eq!(sent[..2], [WIDTH * PAGES, 0]);
        assert!(sent[2] > 0 && sent[2] < WIDTH * PAGES, "{sent:?}");
    }

    #[test]
    fn a_quiet_display_is_dimmed_and_one_that_is_pulled_says_where_it_should_be() {
        let (bus, config) = oled();
        let (now, vitals) = (Instant::now(), Vitals::default());
        let mut words = Typesetter::default();
        let mut display = Oled::on(bus.clone(), &config.bus, &config).unwrap();
        let mut told = Told::new(now);
        told.tell(&Status::Ready, now);
        display.draw(&scene(&told, &vitals, &config, now), &mut words).unwrap();
        let bright = bus.0.borrow().contrast;
        display.draw(&scene(&told, &vitals, &config, now + Duration::from_secs(61)), &mut words).unwrap();
        display.check().unwrap();
        assert!(bus.0.borrow().contrast < bright);
        bus.0.borrow_mut().plugged = false;
        let wrong = display.check().unwrap_err().to_string();
        assert!(wrong.contains("0x3c of /dev/i2c-1"), "{wrong}");
        assert!(Oled::on(bus, &config.bus, &config).is_err());
    }
}
