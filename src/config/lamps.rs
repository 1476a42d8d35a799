//! The section `[lamps]`: what the lamps hang on.

use std::fmt;
use std::time::Duration;

use toml::de::DeValue;

use super::{GpioLine, Reader, Section, described};

/// The lamps of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lamps {
    /// What they hang on; never empty.
    pub lines: LampLines,
    /// How long a verdict stays before the lamps show again how the unit is.
    pub verdict: Duration,
}

/// The lines that lamps hang on, by what drives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LampLines {
    /// The GPIO character device of any Linux.
    Gpiocdev(Vec<(LampColour, GpioLine)>),
    /// The registers of a Raspberry Pi.
    Rppal(Vec<(LampColour, RaspberryPin)>),
}

/// A pin of a Raspberry Pi.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaspberryPin {
    /// The BCM number, 0..=53, as in "GPIO17"; not the place on the header.
    pub number: u8,
    /// The lamp is lit when the level is low.
    pub active_low: bool,
}

/// The colours that lamps can have. The patterns carry the meaning without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LampColour {
    /// Goes on by itself.
    Green,
    /// Somebody should look.
    Yellow,
    /// Somebody must act.
    Red,
}

impl LampColour {
    /// All of them, in the order of a traffic light from below.
    pub const ALL: [Self; 3] = [Self::Green, Self::Yellow, Self::Red];

    /// The name, which is its key as well.
    pub fn name(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Yellow => "yellow",
            Self::Red => "red",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Green => "lamps.green",
            Self::Yellow => "lamps.yellow",
            Self::Red => "lamps.red",
        }
    }
}

impl LampLines {
    /// The colours of the lamps, in the order of [`LampColour::ALL`].
    pub fn colours(&self) -> Vec<LampColour> {
        match self {
            Self::Gpiocdev(lines) => lines.iter().map(|(colour, _)| *colour).collect(),
            Self::Rppal(pins) => pins.iter().map(|(colour, _)| *colour).collect(),
        }
    }

    /// Each lamp and where it hangs.
    pub fn places(&self) -> Vec<(LampColour, String)> {
        match self {
            Self::Gpiocdev(lines) => lines.iter().map(|(colour, line)| (*colour, line.to_string())).collect(),
            Self::Rppal(pins) => pins.iter().map(|(colour, pin)| (*colour, pin.to_string())).collect(),
        }
    }
}

impl fmt::Display for RaspberryPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GPIO{}", self.number)
    }
}

/// Highest BCM number.
const MOST_PINS: u64 = 53;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Driver {
    Gpiocdev,
    Rppal,
}

impl<'t> Reader<'t> {
    /// The section with what is wrong in it told; `None` where there is none.
    pub(super) fn lamps(&mut self, root: &mut Section<'t>) -> Option<Lamps> {
        let at = root.table.get("lamps")?.span().start;
        let before = self.problems.len();
        let mut section = self.section(root, "lamps");
        let driver = self.text(&mut section, "driver", "\"gpiocdev\" or \"rppal\"", |text| match text {
            "gpiocdev" => Some(Driver::Gpiocdev),
            "rppal" => Some(Driver::Rppal),
            _ => None,
        });
        let verdict = self.whole_number(&mut section, "verdict_seconds", 1..=3_600, 600);
        let lines = match driver.unwrap_or(Driver::Gpiocdev) {
            Driver::Gpiocdev => LampLines::Gpiocdev(self.each_lamp(&mut section, Self::gpio_line)),
            Driver::Rppal => LampLines::Rppal(self.each_lamp(&mut section, Self::raspberry_pin)),
        };
        let places = lines.places();
        if places.is_empty() && self.problems.len() == before {
            let wrong = "names no lamp; give at least one of green, yellow and red";
            self.problem(at, "lamps".into(), wrong.into());
        }
        for (index, (colour, place)) in places.iter().enumerate() {
            if let Some((first, _)) = places.iter().take(index).find(|(_, other)| other == place) {
                let wrong = format!("is {place}, as `{}` is", first.name());
                self.problem(at, colour.key().into(), wrong);
            }
        }
        self.unknown(&section);
        Some(Lamps { lines, verdict: Duration::from_secs(verdict) })
    }

    fn each_lamp<T>(
        &mut self,
        section: &mut Section<'t>,
        line: impl Fn(&mut Self, &mut Section<'t>, &str, &'static str) -> Option<T>,
    ) -> Vec<(LampColour, T)> {
        let lines = LampColour::ALL.into_iter();
        lines.filter_map(|colour| Some((colour, line(self, section, colour.name(), colour.key())?))).collect()
    }

    /// `{ line = N, active_low = false }`.
    fn raspberry_pin(&mut self, section: &mut Section<'t>, key: &str, full: &'static str) -> Option<RaspberryPin> {
        let mut pin = self.inline_table(section, key, full)?;
        let number = match pin.table.get("line").map(|value| (value.span().start, value.get_ref())) {
            Some((_, DeValue::Integer(_))) => {
                // The range makes it one.
                u8::try_from(self.whole_number(&mut pin, "line", 0..=MOST_PINS, 0)).ok()
            }
            Some((at, other)) => {
                let wrong = format!("must be a BCM number as in 17, not {}", described(other));
                self.problem(at, pin.key("line"), wrong);
                pin.table.remove("line");
                None
            }
            None => {
                self.missing(&pin, "line", "is missing; it must be the pin's BCM number");
                None
            }
        };
        let active_low = self.truth(&mut pin, "active_low", false);
        if let Some((key, _)) = pin.table.remove_entry("chip") {
            let wrong = "is for driver \"gpiocdev\"; a Raspberry Pi's pins have BCM numbers alone";
            self.problem(key.span().start, pin.key("chip"), wrong.into());
        }
        self.unknown(&pin);
        Some(RaspberryPin { number: number?, active_low })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::config::{Config, GpioChip, GpioOffset};

    fn parse(lamps: &str) -> Result<Option<Lamps>, Vec<String>> {
        let text = format!("inbox = 'a'\nstate = 'b'\n{lamps}");
        let told = |problems: Vec<crate::config::Problem>| problems.iter().map(ToString::to_string).collect();
        Config::parse(&text, Path::new("/")).map(|config| config.lamps).map_err(told)
    }

    #[test]
    fn lamps_hang_on_lines_by_label_path_name_and_number() {
        assert_eq!(parse(""), Ok(None));
        let lamps = parse(
            "[lamps]\n\
             green = { chip = 'tegra234-gpio', line = 'PQ.05' }\n\
             red = { chip = '/dev/chestlight-lamps', line = 7, active_low = true }\n",
        );
        let line = |chip, line, active_low| GpioLine { chip, line, active_low };
        let label = GpioChip::Label("tegra234-gpio".into());
        let path = GpioChip::Path("/dev/chestlight-lamps".into());
        let lines = LampLines::Gpiocdev(vec![
            (LampColour::Green, line(label, GpioOffset::Name("PQ.05".into()), false)),
            (LampColour::Red, line(path, GpioOffset::Number(7), true)),
        ]);
        assert_eq!(lamps, Ok(Some(Lamps { lines, verdict: Duration::from_secs(600) })));
    }

    #[test]
    fn the_example_shows_real_keys_with_their_defaults() {
        let example = include_str!("../../chestlight.example.toml");
        let (_, section) = example.split_once("\n# [lamps]\n").unwrap();
        let lines = section.lines().map_while(|line| line.strip_prefix("# ")).collect::<Vec<_>>();
        let shown = parse(&format!("[lamps]\n{}\n", lines.join("\n"))).unwrap().unwrap();
        assert_eq!(shown.lines.colours(), LampColour::ALL);
        let least = lines.iter().filter(|line| !line.starts_with("driver") && !line.starts_with("verdict"));
        let least: Vec<String> = least.map(|line| line.replace(", active_low = false", "")).collect();
        assert_eq!(parse(&format!("[lamps]\n{}\n", least.join("\n"))), Ok(Some(shown)));
    }

    #[test]
    fn a_raspberry_pi_has_pins_by_number() {
        let lamps =
            parse("[lamps]\ndriver = 'rppal'\nverdict_seconds = 5\nyellow = { line = 17, active_low = true }\n");
        let lines = LampLines::Rppal(vec![(LampColour::Yellow, RaspberryPin { number: 17, active_low: true })]);
        assert_eq!(lamps, Ok(Some(Lamps { lines, verdict: Duration::from_secs(5) })));
    }

    #[test]
    fn every_mistake_in_the_section_is_told_with_its_key_and_line() {
        for (lamps, told) in [
            ("[lamps]\n", "line 3: lamps: names no lamp; give at least one of green, yellow and red"),
            ("lamps = 3", "line 3: lamps: must be a section, [lamps], not 3"),
            ("[lamps]\ngreen = 17\n", "line 4: lamps.green: must be a table as in { line = ... }, not 17"),
            (
                "[lamps]\ngreen = { chip = 'gpiochip0', line = 1 }\n",
                "line 4: lamps.green.chip: must be the chip's label as gpiodetect prints it, or the path of a link \
                 that udev makes (a number as in gpiochip0 changes from one start to the next), not \"gpiochip0\"",
            ),
            (
                "[lamps]\ngreen = { chip = 'a', line = 1 }\nred = { chip = 'a', line = 1, active_low = true }\n",
                "line 3: lamps.red: is line 1 of chip \"a\", as `green` is",
            ),
            (
                "[lamps]\ngreen = { line = 1 }\n",
                "lamps.green.chip: is missing; it must be the chip's label as gpiodetect prints it",
            ),
            (
                "[lamps]\ngreen = { chip = 'a' }\n",
                "lamps.green.line: is missing; it must be the line's name as gpioinfo prints it, or its number",
            ),
            (
                "[lamps]\ngreen = { chip = 'a', line = -1 }\n",
                "line 4: lamps.green.line: must be the line's name in quotes or its number from 0 to 4095, not -1",
            ),
            (
                "[lamps]\ngreen = { chip = 'a', line = 1, active_low = 1 }\n",
                "line 4: lamps.green.active_low: must be true or false, not 1",
            ),
            (
                "[lamps]\ndriver = 'sysfs'\ngreen = { chip = 'a', line = 1 }\n",
                "line 4: lamps.driver: must be \"gpiocdev\" or \"rppal\", not \"sysfs\"",
            ),
            (
                "[lamps]\ndriver = 'rppal'\ngreen = { line = 'GPIO17' }\n",
                "line 5: lamps.green.line: must be a BCM number as in 17, not \"GPIO17\"",
            ),
            (
                "[lamps]\ndriver = 'rppal'\ngreen = { chip = 'x', line = 17 }\n",
                "line 5: lamps.green.chip: is for driver \"gpiocdev\"; a Raspberry Pi's pins have BCM numbers alone",
            ),
            (
                "[lamps]\nblue = { chip = 'a', line = 1 }\nred = { chip = 'a', line = 1 }\n",
                "line 4: lamps.blue: is not a known key",
            ),
        ] {
            assert_eq!(parse(lamps), Err(vec![told.to_owned()]), "{lamps}");
        }
    }
}
