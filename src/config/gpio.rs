//! Lines of GPIO chips, as a configuration names them.

use std::fmt;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeValue;

use super::{Reader, Section, described};

/// A line of a GPIO chip, named by what stays the same from one start of the board to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpioLine {
    /// The chip.
    pub chip: GpioChip,
    /// The line on it.
    pub line: GpioOffset,
    /// The line is active when its level is low.
    pub active_low: bool,
}

/// A GPIO chip. Its number, as in `gpiochip0`, may be another one after the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GpioChip {
    /// The label that the driver gives it, as `gpiodetect` prints it.
    Label(String),
    /// A link to its device that a udev rule makes.
    Path(PathBuf),
}

/// Which line of a chip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GpioOffset {
    /// The name that the driver or the device tree gives it, as `gpioinfo` prints it.
    Name(String),
    /// Its number on the chip, from 0.
    Number(u32),
}

impl fmt::Display for GpioChip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(f, "{label:?}"),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Display for GpioLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.line {
            GpioOffset::Name(name) => write!(f, "line {name:?} of chip {}", self.chip),
            GpioOffset::Number(number) => write!(f, "line {number} of chip {}", self.chip),
        }
    }
}

/// Chips have fewer lines than this.
const MOST_LINES: u64 = 4_095;

impl<'t> Reader<'t> {
    /// `{ chip = "...", line = "..." or N, active_low = false }`; `None` where the key is absent, and where it is
    /// wrong, which is told. `full` is the key with its section.
    pub(super) fn gpio_line(&mut self, section: &mut Section<'t>, key: &str, full: &'static str) -> Option<GpioLine> {
        let mut line = self.inline_table(section, key, full)?;
        if !line.table.contains_key("chip") {
            self.missing(&line, "chip", "is missing; it must be the chip's label as gpiodetect prints it");
        }
        let chip = self.text(
            &mut line,
            "chip",
            "the chip's label as gpiodetect prints it, or the path of a link that udev makes (a number as in \
             gpiochip0 changes from one start to the next)",
            chip,
        );
        let offset = line.table.remove("line");
        if offset.is_none() {
            self.missing(&line, "line", "is missing; it must be the line's name as gpioinfo prints it, or its number");
        }
        let offset = offset.and_then(|value| self.offset(&line, &value));
        let active_low = self.truth(&mut line, "active_low", false);
        self.unknown(&line);
        Some(GpioLine { chip: chip?, line: offset?, active_low })
    }

    /// The table that a key holds.
    pub(super) fn inline_table(
        &mut self,
        section: &mut Section<'t>,
        key: &str,
        full: &'static str,
    ) -> Option<Section<'t>> {
        let value = section.table.remove(key)?;
        let at = value.span().start;
        match value.into_inner() {
            DeValue::Table(table) => Some(Section { name: full, table }),
            other => {
                let wrong = format!("must be a table as in {{ line = ... }}, not {}", described(&other));
                self.problem(at, full.to_owned(), wrong);
                None
            }
        }
    }

    fn offset(&mut self, section: &Section<'t>, value: &Spanned<DeValue<'t>>) -> Option<GpioOffset> {
        let found = match value.get_ref() {
            DeValue::String(name) if is_word(name) => Some(GpioOffset::Name(name.to_string())),
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .filter(|number| *number <= MOST_LINES)
                .and_then(|number| u32::try_from(number).ok())
                .map(GpioOffset::Number),
            _ => None,
        };
        if found.is_none() {
            let wrong = format!(
                "must be the line's name in quotes or its number from 0 to {MOST_LINES}, not {}",
                described(value.get_ref())
            );
            self.problem(value.span().start, section.key("line"), wrong);
        }
        found
    }
}

fn chip(text: &str) -> Option<GpioChip> {
    let name = text.strip_prefix("/dev/").unwrap_or(text);
    let number = name.strip_prefix("gpiochip");
    if number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    if text.starts_with('/') {
        return Some(GpioChip::Path(text.into()));
    }
    is_word(text).then(|| GpioChip::Label(text.into()))
}

/// The kernel keeps 31 bytes of a name or a label.
fn is_word(text: &str) -> bool {
    (1..=31).contains(&text.len()) && !text.contains(char::is_control)
}
