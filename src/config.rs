//! A site's configuration: raw TOML to a validated [`Config`], every mistake told at once with its key and line.

mod camera;
mod dicom;
mod gpio;
mod lamps;
mod screen;
mod stick;
mod storage;

use std::fmt;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use camera::Camera;
pub use dicom::{Dicom, Pacs, Tls};
pub use gpio::{GpioChip, GpioLine, GpioOffset};
pub use lamps::{LampColour, LampLines, Lamps, RaspberryPin};
pub use screen::{FilmTag, Oled, SceneSettings, Screen};
pub use stick::Stick;

use crate::decode::Limits;
use crate::retention::Policy;

const MIB: u64 = 1 << 20;

/// What a site decides about its unit. What belongs to the model stands in the model's manifest instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The watched folder, absolute.
    pub inbox: PathBuf,
    /// The folder with the spool, the archive, the refused films and the journal, absolute.
    pub state: PathBuf,
    /// The manifest of a model to read with that nobody need have signed, for development; when absent the installed
    /// model reads, or the one inside the program.
    pub model: Option<PathBuf>,
    /// Threads that the network of one film uses; as many as there are big cores when absent.
    pub threads: Option<NonZeroUsize>,
    /// Whether the network runs on a GPU.
    pub gpu: Gpu,
    /// The public key, or the folder of public keys, whose signed models may be installed.
    pub trusted_keys: Option<PathBuf>,
    /// Time between two looks at the inbox.
    pub rescan: Duration,
    /// What one film may cost.
    pub limits: Limits,
    /// Space that must stay free on the disc of `state`, bytes.
    pub min_free: u64,
    /// The USB stick that is served; absent where none is.
    pub stick: Option<Stick>,
    /// How long films stay on the disc.
    pub storage: Policy,
    /// The DICOM listener; absent where there is none.
    pub dicom: Option<Dicom>,
    /// The camera over a light box; absent where there is none.
    pub camera: Option<Camera>,
    /// The lamps; absent where there are none.
    pub lamps: Option<Lamps>,
    /// The screen with colours; absent where there is none.
    pub screen: Option<Screen>,
    /// The small display; absent where there is none.
    pub oled: Option<Oled>,
}

/// Whether the network runs on a GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Gpu {
    /// It runs on the CPU.
    #[default]
    No,
    /// It runs on the GPU, and on the CPU whenever that fails.
    Yes,
    /// It should, but a trial has failed, and why; the CPU runs it. No configuration says so: whoever made the trial
    /// writes it here.
    Failed(String),
}

/// One mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, counted from 1; absent for what is missing.
    pub line: Option<usize>,
    /// The key with its section, as in `limits.max_file_mib`; absent where the TOML itself is broken.
    pub key: Option<String>,
    /// What is wrong and what would be right.
    pub wrong: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.wrong)
    }
}

/// A configuration that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file has mistakes; all of them are listed.
    #[error("the configuration {path} is not valid:{}", .problems.iter().map(|problem| format!("\n  {problem}")).collect::<String>())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Every mistake, by line.
        problems: Vec<Problem>,
    },
}

impl Config {
    /// Reads and validates a file. Relative paths in it start from the file's own folder.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Read { path: path.to_owned(), source };
        let text = fs::read_to_string(path).map_err(failed)?;
        let base = fs::canonicalize(path).map_err(failed)?.parent().map(Path::to_owned).unwrap_or_default();
        Self::parse(&text, &base).map_err(|problems| ConfigError::Invalid { path: path.to_owned(), problems })
    }

    /// The journal's file.
    pub fn journal(&self) -> PathBuf {
        self.state.join("journal.db")
    }

    /// Validates a configuration's text. Pure: whether the folders exist is not asked here.
    ///
    /// # Errors
    /// Every [`Problem`], by line.
    pub fn parse(text: &str, base: &Path) -> Result<Self, Vec<Problem>> {
        let (root, syntax) = DeTable::parse_recoverable(text);
        let mut reader = Reader { text, problems: Vec::new() };
        for error in syntax {
            let line = error.span().map(|span| reader.line(span.start));
            reader.problems.push(Problem { line, key: None, wrong: error.message().to_owned() });
        }

        let mut root = Section { name: "", table: root.into_inner() };
        let mut limits = reader.section(&mut root, "limits");
        let camera = reader.camera(&mut root);
        let lamps = reader.lamps(&mut root);
        let screen = reader.screen(&mut root, base);
        let oled = reader.oled(&mut root, base);
        let dicom = reader.dicom(&mut root, base);
        let inbox = reader.folder(&mut root, "inbox", base);
        let state = reader.folder(&mut root, "state", base);
        let model = reader.path(&mut root, "model", base);
        let threads = reader.whole_number(&mut root, "threads", 1..=64, 0);
        let gpu = if reader.truth(&mut root, "gpu", false) { Gpu::Yes } else { Gpu::No };
        let trusted_keys = reader.path(&mut root, "trusted_keys", base);
        let rescan = reader.whole_number(&mut root, "rescan_seconds", 1..=3_600, 2);
        let min_free = reader.whole_number(&mut root, "min_free_mib", 1..=1 << 20, 256);
        let stick = reader.stick(&mut root, base);
        let storage = reader.storage(&mut root, min_free);
        let default = Limits::default();
        let max_file = reader.whole_number(&mut limits, "max_file_mib", 1..=1_024, default.max_bytes / MIB);
        let max_megapixels =
            reader.whole_number(&mut limits, "max_megapixels", 1..=400, default.max_pixels / 1_000_000);
        let max_decoded = reader.whole_number(&mut limits, "max_decoded_mib", 1..=4_096, default.max_alloc / MIB);
        reader.unknown(&root);
        reader.unknown(&limits);

        if let (Some(inbox), Some(state)) = (&inbox, &state)
            && (inbox.path.starts_with(&state.path) || state.path.starts_with(&inbox.path))
        {
            let wrong = "must not be the same folder as `inbox`, inside it or around it: the unit's own files would be \
                         taken for films";
            reader.problem(state.at, "state".into(), wrong.into());
        }
        match (inbox, state) {
            (Some(inbox), Some(state)) if reader.problems.is_empty() => Ok(Self {
                inbox: inbox.path,
                state: state.path,
                model: model.map(|model| model.path),
                threads: usize::try_from(threads).ok().and_then(NonZeroUsize::new),
                gpu,
                trusted_keys: trusted_keys.map(|keys| keys.path),
                rescan: Duration::from_secs(rescan),
                limits: Limits {
                    max_bytes: max_file * MIB,
                    max_pixels: max_megapixels * 1_000_000,
                    max_alloc: max_decoded * MIB,
                },
                min_free: min_free * MIB,
                stick,
                storage,
                dicom,
                camera,
                lamps,
                screen,
                oled,
            }),
            _ => {
                reader.problems.sort_by_key(|problem| problem.line);
                Err(reader.problems)
            }
        }
    }
}

/// A table whose known keys are taken out one by one; what is left is unknown.
struct Section<'t> {
    name: &'static str,
    table: DeTable<'t>,
}

impl Section<'_> {
    fn key(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

/// A path with the place in the text where it stands.
struct Placed {
    path: PathBuf,
    at: usize,
}

struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

impl<'t> Reader<'t> {
    fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|&byte| byte == b'\n').count()
    }

    fn problem(&mut self, at: usize, key: String, wrong: String) {
        let line = Some(self.line(at));
        self.problems.push(Problem { line, key: Some(key), wrong });
    }

    fn missing(&mut self, section: &Section<'t>, key: &str, wrong: &str) {
        self.problems.push(Problem { line: None, key: Some(section.key(key)), wrong: wrong.to_owned() });
    }

    fn section(&mut self, root: &mut Section<'t>, name: &'static str) -> Section<'t> {
        let table = match root.table.remove(name).map(|value| (value.span().start, value.into_inner())) {
            Some((_, DeValue::Table(table))) => table,
            Some((at, other)) => {
                let wrong = format!("must be a section, [{name}], not {}", described(&other));
                self.problem(at, root.key(name), wrong);
                DeTable::new()
            }
            None => DeTable::new(),
        };
        Section { name, table }
    }

    fn folder(&mut self, section: &mut Section<'t>, key: &str, base: &Path) -> Option<Placed> {
        if !section.table.contains_key(key) {
            self.missing(section, key, "is missing; it must name a folder");
        }
        self.path(section, key, base)
    }

    fn path(&mut self, section: &mut Section<'t>, key: &str, base: &Path) -> Option<Placed> {
        let value = section.table.remove(key)?;
        let at = value.span().start;
        match value.into_inner() {
            DeValue::String(path) if !path.is_empty() => Some(Placed { path: base.join(&*path), at }),
            other => {
                self.problem(at, section.key(key), format!("must be a path in quotes, not {}", described(&other)));
                None
            }
        }
    }

    /// A whole number within `range`; `default` where the key is absent, and where it is wrong so that the other
    /// mistakes are still found.
    fn whole_number(
        &mut self,
        section: &mut Section<'t>,
        key: &str,
        range: std::ops::RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
        let Some(value) = section.table.remove(key) else { return default };
        let number = |value: &Spanned<DeValue<'_>>| {
            let integer = value.get_ref().as_integer()?;
            u64::from_str_radix(integer.as_str(), integer.radix()).ok()
        };
        match number(&value) {
            Some(number) if range.contains(&number) => number,
            _ => {
                let wrong = format!(
                    "must be a whole number from {} to {}, not {}",
                    range.start(),
                    range.end(),
                    described(value.get_ref())
                );
                self.problem(value.span().start, section.key(key), wrong);
                default
            }
        }
    }

    /// A text that `parse` takes; `None` where it is absent, and where it is wrong, which is told.
    fn text<T>(
        &mut self,
        section: &mut Section<'t>,
        key: &str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = section.table.remove(key)?;
        let parsed = value.get_ref().as_str().and_then(parse);
        if parsed.is_none() {
            let wrong = format!("must be {wanted}, not {}", described(value.get_ref()));
            self.problem(value.span().start, section.key(key), wrong);
        }
        parsed
    }

    /// `true` or `false`; `default` where the key is absent or wrong.
    fn truth(&mut self, section: &mut Section<'t>, key: &str, default: bool) -> bool {
        let Some(value) = section.table.remove(key) else { return default };
        match value.get_ref() {
            DeValue::Boolean(truth) => *truth,
            other => {
                let wrong = format!("must be true or false, not {}", described(other));
                self.problem(value.span().start, section.key(key), wrong);
                default
            }
        }
    }

    fn unknown(&mut self, section: &Section<'_>) {
        for key in section.table.keys() {
            self.problem(key.span().start, section.key(key.get_ref()), "is not a known key".into());
        }
    }
}

/// A value as it is named in a message.
fn described(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        other => format!("a value of type {}", other.type_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        match Config::parse(text, Path::new("/etc/chestlight")) {
            Ok(config) => panic!("accepted as {config:?}"),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn the_example_parses_and_says_the_defaults() {
        let example = include_str!("../chestlight.example.toml");
        let config = Config::parse(example, Path::new("/")).unwrap();
        let smallest =
            Config::parse("inbox = '/var/lib/chestlight/inbox'\nstate = '/var/lib/chestlight/state'", Path::new("/"));
        assert_eq!(Ok(&config), smallest.as_ref(), "every value that the example shows as a default is the default");
        // The commented-out keys are real keys as well.
        let all = ["model", "threads", "trusted_keys"]
            .iter()
            .fold(example.to_owned(), |text, key| text.replace(&format!("\n# {key} ="), &format!("\n{key} =")));
        let all = Config::parse(&all, Path::new("/")).unwrap();
        assert!(all.model.is_some() && all.threads.is_some() && all.trusted_keys.is_some());
    }

    #[test]
    fn relative_paths_start_from_the_folder_of_the_file() {
        let config = Config::parse("inbox = 'in'\nstate = '../state'\nmodel = 'm.toml'", Path::new("/etc/x")).unwrap();
        assert_eq!(config.inbox, Path::new("/etc/x/in"));
        assert_eq!(config.model.as_deref(), Some(Path::new("/etc/x/m.toml")));
    }

    #[test]
    fn every_mistake_is_told_at_once_with_key_and_line() {
        insta::assert_snapshot!(
            problems(
                "inbox = 7\n\
                 rescan_seconds = 0\n\
                 # a remark\n\
                 min_free_mib = \"much\"\n\
                 colour = 'red'\n\
                 \n\
                 [limits]\n\
                 max_file_mib = -1\n\
                 max_megapixels = 4.5\n\
                 max_decoded = 10\n"
            )
            .join("\n"),
            @r#"
            state: is missing; it must name a folder
            line 1: inbox: must be a path in quotes, not 7
            line 2: rescan_seconds: must be a whole number from 1 to 3600, not 0
            line 4: min_free_mib: must be a whole number from 1 to 1048576, not "much"
            line 5: colour: is not a known key
            line 8: limits.max_file_mib: must be a whole number from 1 to 1024, not -1
            line 9: limits.max_megapixels: must be a whole number from 1 to 400, not 4.5
            line 10: limits.max_decoded: is not a known key
            "#
        );
    }

    #[test]
    fn each_kind_of_mistake_is_told() {
        for (text, told) in [
            ("", vec!["inbox: is missing; it must name a folder", "state: is missing; it must name a folder"]),
            ("inbox = ''\nstate = 's'", vec!["line 1: inbox: must be a path in quotes, not \"\""]),
            ("inbox = 'a'\nstate = 's'\nlimits = 3", vec!["line 3: limits: must be a section, [limits], not 3"]),
        ] {
            assert_eq!(problems(text), told, "{text:?}");
        }
    }

    #[test]
    fn broken_toml_is_told_with_its_line() {
        let told = problems("inbox = 'a'\nstate = \nrescan_seconds = 2\n");
        assert!(told.iter().any(|problem| problem.starts_with("line 2: ")), "{told:?}");
    }

    #[test]
    fn inbox_and_state_must_be_apart() {
        for (inbox, state, apart) in [
            ("/a/inbox", "/a/state", true),
            ("/a/inbox", "/a/inbox2", true),
            ("/a", "/a", false),
            ("/a", "/a/state", false),
            ("/a/inbox", "/a", false),
            ("inbox", "/etc/chestlight", false),
        ] {
            let text = format!("inbox = '{inbox}'\nstate = '{state}'");
            assert_eq!(Config::parse(&text, Path::new("/etc/chestlight")).is_ok(), apart, "{inbox} {state}");
        }
    }
}
