//! The sections `[screen]` and `[oled]`: displays that show more than lamps.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Reader, Section};
use crate::language::Language;

/// A screen with colours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screen {
    /// The framebuffer's device.
    pub device: PathBuf,
    /// What it says, and how.
    pub scene: SceneSettings,
}

/// A small display on an I2C bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oled {
    /// The bus's device.
    pub bus: PathBuf,
    /// Its address there, 7 bits.
    pub address: u8,
    /// Whether it is mounted upside down.
    pub upside_down: bool,
    /// What it says, and how.
    pub scene: SceneSettings,
}

/// What a display says, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SceneSettings {
    /// Its language.
    pub language: Language,
    /// How it calls films.
    pub film: FilmTag,
    /// After how much quiet it is dimmed; never when absent.
    pub dim_after: Option<Duration>,
}

/// How films are called on a screen. No name from a DICOM file is ever shown: the journal does not have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilmTag {
    /// By the number of the reading and the first digits of the film's digest, which tell bystanders nothing.
    #[default]
    Number,
    /// By the number of the reading and the file's name, which may be a patient's.
    FileName,
}

impl<'t> Reader<'t> {
    /// The section with what is wrong in it told; `None` where there is none.
    pub(super) fn screen(&mut self, root: &mut Section<'t>, base: &Path) -> Option<Screen> {
        if !root.table.contains_key("screen") {
            return None;
        }
        let mut section = self.section(root, "screen");
        let device = self.path(&mut section, "device", base).map_or_else(|| "/dev/fb0".into(), |device| device.path);
        let scene = self.scene(&mut section, 30);
        self.unknown(&section);
        Some(Screen { device, scene })
    }

    /// The section with what is wrong in it told; `None` where there is none.
    pub(super) fn oled(&mut self, root: &mut Section<'t>, base: &Path) -> Option<Oled> {
        if !root.table.contains_key("oled") {
            return None;
        }
        let mut section = self.section(root, "oled");
        let bus = self.path(&mut section, "bus", base).map_or_else(|| "/dev/i2c-1".into(), |bus| bus.path);
        let address = self.whole_number(&mut section, "address", 0x08..=0x77, 0x3c);
        let upside_down = self.truth(&mut section, "upside_down", false);
        let scene = self.scene(&mut section, 10);
        self.unknown(&section);
        Some(Oled { bus, address: u8::try_from(address).unwrap_or(0x3c), upside_down, scene })
    }

    fn scene(&mut self, section: &mut Section<'t>, dim_minutes: u64) -> SceneSettings {
        let codes = Language::ALL.map(Language::code).join(", ");
        let wanted = format!("a language in quotes, one of {codes}");
        let language = self.text(section, "language", &wanted, Language::from_code).unwrap_or_default();
        let film = self.text(section, "film", "\"number\" or \"file name\"", |text| match text {
            "number" => Some(FilmTag::Number),
            "file name" => Some(FilmTag::FileName),
            _ => None,
        });
        let minutes = self.whole_number(section, "dim_minutes", 0..=1_440, dim_minutes);
        let dim_after = (minutes > 0).then(|| Duration::from_secs(minutes * 60));
        SceneSettings { language, film: film.unwrap_or_default(), dim_after }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Problem};
    use super::*;

    fn parse(sections: &str) -> Result<Config, Vec<Problem>> {
        Config::parse(&format!("inbox = '/in'\nstate = '/state'\n{sections}"), Path::new("/etc"))
    }

    #[test]
    fn the_example_shows_real_keys_with_their_defaults() {
        let example = include_str!("../../chestlight.example.toml");
        let shown = ["screen", "oled"].map(|name| {
            let (_, section) = example.split_once(&format!("\n# [{name}]\n")).unwrap();
            let lines = section.lines().take_while(|line| line.starts_with('#'));
            let lines = lines.map(|line| line.strip_prefix("# ").unwrap_or_default());
            format!("[{name}]\n{}\n", lines.collect::<Vec<_>>().join("\n"))
        });
        assert_eq!(parse(&shown.concat()), parse("[screen]\n[oled]\n"));
        assert!(shown.iter().all(|section| section.matches(" = ").count() >= 4), "{shown:?}");
    }

    #[test]
    fn every_setting_reaches_its_display_and_mistakes_are_told() {
        let config = parse(
            "[screen]\ndevice = 'fb'\nlanguage = 'hi'\nfilm = 'file name'\ndim_minutes = 0\n\
             [oled]\nbus = '/dev/i2c-7'\naddress = 0x3d\nupside_down = true\nlanguage = 'sw'\ndim_minutes = 2\n",
        );
        let Config { screen: Some(screen), oled: Some(oled), .. } = config.unwrap() else { panic!("both are there") };
        assert_eq!(screen.device, Path::new("/etc/fb"));
        let expected = SceneSettings { language: Language::Hindi, film: FilmTag::FileName, dim_after: None };
        assert_eq!(screen.scene, expected);
        assert_eq!((oled.bus.as_path(), oled.address, oled.upside_down), (Path::new("/dev/i2c-7"), 0x3d, true));
        assert_eq!(oled.scene.language, Language::Swahili);
        assert_eq!(oled.scene.dim_after, Some(Duration::from_secs(120)));

        let problems = parse("[screen]\nlanguage = 'Hindi'\nfilm = 'patient'\nsize = 3\n[oled]\naddress = 200\n");
        let told: Vec<String> = problems.unwrap_err().iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        line 4: screen.language: must be a language in quotes, one of en, fr, es, sw, hi, not "Hindi"
        line 5: screen.film: must be "number" or "file name", not "patient"
        line 6: screen.size: is not a known key
        line 8: oled.address: must be a whole number from 8 to 119, not 200
        "#);
    }
}
