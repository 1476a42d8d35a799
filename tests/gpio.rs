//! Lamps on real lines of the kernel's GPIO character device, by its simulator gpio-sim, where that is: on the virtual
//! board, or on any machine with the module, as root.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by unwrapping")]

mod skipping;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chestlight::config::{Config, LampColour, LampLines};
use chestlight::show::lamps::{BlinkingLamps, last_word};
use chestlight::show::{Indicator, Status, open_leds};
use skipping::skip;

const SIMULATOR: &str = "/sys/kernel/config/gpio-sim";

/// A chip of four lines, gone when it is dropped.
struct Bank {
    device: PathBuf,
    label: String,
}

impl Bank {
    fn new() -> Self {
        let label = format!("lamps-{}", std::process::id());
        let device = Path::new(SIMULATOR).join(&label);
        let bank = device.join("bank0");
        fs::create_dir(&device).unwrap();
        fs::create_dir(&bank).unwrap();
        fs::write(bank.join("num_lines"), "4").unwrap();
        fs::write(bank.join("label"), &label).unwrap();
        fs::create_dir(bank.join("line0")).unwrap();
        fs::write(bank.join("line0/name"), "GREEN LAMP").unwrap();
        let bank = Self { device, label };
        bank.plug(true);
        bank
    }

    fn plug(&self, live: bool) {
        fs::write(self.device.join("live"), if live { "1" } else { "0" }).unwrap();
    }

    /// The level of a line.
    fn level(&self, line: usize) -> char {
        let name = |path: PathBuf| fs::read_to_string(path).unwrap().trim().to_owned();
        let (device, chip) = (name(self.device.join("dev_name")), name(self.device.join("bank0/chip_name")));
        let value = format!("/sys/devices/platform/{device}/{chip}/sim_gpio{line}/value");
        fs::read_to_string(value).unwrap().chars().next().unwrap()
    }

    fn levels(&self) -> String {
        (0..4).map(|line| self.level(line)).collect()
    }

    fn wait_for(&self, levels: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.levels() != levels {
            assert!(Instant::now() < deadline, "{} never became {levels}", self.levels());
            std::thread::yield_now();
        }
    }

    /// Green by name, yellow on an active-low line, red by number.
    fn config(&self) -> chestlight::config::Lamps {
        let text = format!(
            "inbox = 'a'\nstate = 'b'\n[lamps]\ngreen = {{ chip = '{0}', line = 'GREEN LAMP' }}\n\
             yellow = {{ chip = '{0}', line = 1, active_low = true }}\nred = {{ chip = '{0}', line = 2 }}\n",
            self.label
        );
        Config::parse(&text, Path::new("/")).unwrap().lamps.unwrap()
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        self.plug(false);
        for folder in ["bank0/line0", "bank0", ""] {
            let _ = fs::remove_dir(self.device.join(folder));
        }
    }
}

#[test]
fn lamps_on_gpio_sim_are_lit_said_to_be_in_use_lost_and_found_again() {
    if !Path::new(SIMULATOR).exists() {
        let test = "lamps_on_gpio_sim_are_lit_said_to_be_in_use_lost_and_found_again";
        skip(test, "no gpio-sim; modprobe gpio-sim, and mount configfs");
        return;
    }
    let bank = Bank::new();
    let config = bank.config();
    assert_eq!(config.lines.colours(), LampColour::ALL);
    let mut leds = open_leds(&config.lines).unwrap();
    assert_eq!(bank.levels(), "0100", "dark, the active-low one by a high level");
    leds.set(&[true, true, false]).unwrap();
    assert_eq!(bank.levels(), "1000");
    leds.set(&[false, false, true]).unwrap();
    assert_eq!(bank.levels(), "0110");

    let Err(busy) = open_leds(&config.lines) else { panic!("two have one line") };
    assert!(busy.to_string().contains("in use by \"chestlight\""), "{busy}");

    bank.plug(false);
    assert!(leds.set(&[true, true, true]).is_err(), "the chip is gone");
    let Err(gone) = open_leds(&config.lines) else { panic!("it is gone") };
    assert!(gone.to_string().contains("there is no GPIO chip"), "{gone}");
    drop(leds);

    // The thread takes them up when they come.
    let mut lamps = BlinkingLamps::start(&config).unwrap();
    lamps.show(&Status::Fault { wrong: String::new(), advice: "" }).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while lamps.check().is_ok() {
        assert!(Instant::now() < deadline, "what is wrong is not told");
        std::thread::yield_now();
    }
    bank.plug(true);
    // The lamp test, then fault.
    for levels in ["1100", "0000", "0110", "1010", "0110", "0100", "0110", "0100"] {
        bank.wait_for(levels);
    }
    lamps.check().unwrap();
    drop(lamps);
    last_word(&config).unwrap();
}

#[test]
fn what_the_configuration_names_and_is_not_there_is_told_in_full() {
    let text = "inbox = 'a'\nstate = 'b'\n[lamps]\nred = { chip = 'no such label', line = 'LAMP' }\n";
    let lamps = Config::parse(text, Path::new("/")).unwrap().lamps.unwrap();
    let Err(error) = open_leds(&lamps.lines) else { panic!("there is no such chip") };
    assert!(error.to_string().starts_with("there is no GPIO chip \"no such label\"; here are: "), "{error}");

    let pi = "inbox = 'a'\nstate = 'b'\n[lamps]\ndriver = 'rppal'\nred = { line = 17 }\n";
    let lamps = Config::parse(pi, Path::new("/")).unwrap().lamps.unwrap();
    assert!(matches!(lamps.lines, LampLines::Rppal(_)));
    if rppal::system::DeviceInfo::new().is_ok() {
        skip("rppal on another board", "this is a Raspberry Pi");
        return;
    }
    let Err(error) = open_leds(&lamps.lines) else { panic!("this is no Raspberry Pi") };
    assert!(error.to_string().contains("set `lamps.driver` to \"gpiocdev\""), "{error}");
}
