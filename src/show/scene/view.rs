//! A scene in words, before it is laid out.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Scene;
use super::icon::Icon;
use crate::config::FilmTag;
use crate::explain::Picture;
use crate::health::{LOW_BATTERY, Vitals};
use crate::journal::Row;
use crate::language::{Language, Message, advice};
use crate::show::told::{ShownReading, Subject};
use crate::verdict::{Class, Verdict};

/// What something on a screen means; it has a colour and an icon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tone {
    /// No pneumonia.
    Normal,
    /// Bacterial pneumonia.
    Bacterial,
    /// COVID-19 pneumonia.
    Covid19,
    /// A doctor must look.
    Refer,
    /// The film must be repeated.
    Repeat,
    /// Something is broken.
    Fault,
    /// The unit waits.
    Ready,
    /// The unit waits, and somebody should look at it.
    Check,
    /// The unit works.
    Busy,
    /// The unit has ended.
    Stopped,
}

impl Tone {
    /// Every tone, for tests.
    #[cfg(test)]
    pub const ALL: [Self; 10] = [
        Self::Normal,
        Self::Bacterial,
        Self::Covid19,
        Self::Refer,
        Self::Repeat,
        Self::Fault,
        Self::Ready,
        Self::Check,
        Self::Busy,
        Self::Stopped,
    ];

    pub fn icon(self) -> Icon {
        match self {
            Self::Normal => Icon::Tick,
            Self::Bacterial => Icon::Rods,
            Self::Covid19 => Icon::Corona,
            Self::Refer => Icon::Doctor,
            Self::Repeat => Icon::Again,
            Self::Fault => Icon::Triangle,
            Self::Ready => Icon::Tray,
            Self::Check => Icon::Mark,
            Self::Busy => Icon::Hourglass,
            Self::Stopped => Icon::Square,
        }
    }
}

impl From<Verdict> for Tone {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Normal => Self::Normal,
            Verdict::BacterialPneumonia => Self::Bacterial,
            Verdict::Covid19Pneumonia => Self::Covid19,
            Verdict::Refer => Self::Refer,
            Verdict::Refused(_) => Self::Repeat,
            Verdict::Fault(_) => Self::Fault,
        }
    }
}

/// A probability as a bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    pub tone: Tone,
    pub label: &'static str,
    /// 0..=1.
    pub share: f32,
    pub percent: String,
}

/// A reading before the one that is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub tone: Tone,
    pub words: String,
    pub tag: String,
    pub time: String,
}

/// A figure of the unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Gauge {
    pub icon: Icon,
    pub words: String,
    pub alarm: bool,
}

/// Everything on a screen, in words.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub tone: Tone,
    pub title: String,
    /// What to do, or what is wrong.
    pub line: String,
    /// The unit's own words; longer than a line.
    pub detail: String,
    /// Which film it is about; empty where it is about none.
    pub tag: String,
    pub bars: Vec<Bar>,
    pub picture: Option<Arc<Picture>>,
    pub caption: &'static str,
    pub earlier_title: &'static str,
    pub earlier: Vec<Line>,
    pub warnings: Vec<String>,
    pub gauges: Vec<Gauge>,
    pub clock: String,
    pub clock_trusted: bool,
    pub notice: &'static str,
}

impl View {
    /// Whether it must stay bright.
    pub fn is_urgent(subject: Subject<'_>) -> bool {
        matches!(subject, Subject::Fault { .. } | Subject::Busy { .. })
    }

    pub fn of(scene: &Scene<'_>) -> Self {
        let Scene { told, vitals, settings, clock, now, .. } = scene;
        let say = |message: Message| message.words(settings.language);
        let mut view = Self {
            tone: Tone::Ready,
            title: String::new(),
            line: String::new(),
            detail: String::new(),
            tag: String::new(),
            bars: Vec::new(),
            picture: None,
            caption: say(Message::HeatMap),
            earlier_title: say(Message::Earlier),
            earlier: told.earlier(*now).map(|reading| line(reading, scene)).collect(),
            warnings: warnings(vitals, settings.language),
            gauges: gauges(vitals, settings.language),
            clock: clock.strftime("%H:%M").to_string(),
            clock_trusted: vitals.clock_trusted,
            notice: say(Message::Notice),
        };
        match told.subject(*now) {
            Subject::Starting => {
                view.tone = Tone::Busy;
                view.title = say(Message::PleaseWait).into();
            }
            Subject::Resting => {
                let (tone, title) = match vitals.drift {
                    Some(_) => (Tone::Check, Message::Check),
                    None => (Tone::Ready, Message::Ready),
                };
                (view.tone, view.title, view.line) = (tone, say(title).into(), say(Message::PutInAFilm).into());
            }
            Subject::Busy { name, digest } => {
                view.tone = Tone::Busy;
                view.title = say(Message::Reading).into();
                view.line = say(Message::PleaseWait).into();
                view.tag = match settings.film {
                    FilmTag::Number => digest.to_owned(),
                    FilmTag::FileName => name.to_owned(),
                };
            }
            Subject::Reading(reading) => view.read(reading, scene),
            Subject::Fault { wrong, advice } => {
                view.tone = Tone::Fault;
                view.title = say(Message::Fault).into();
                view.detail = format!("{wrong}; {advice}");
                // It says so large enough.
                view.warnings.retain(|warning| !warning.ends_with(wrong));
            }
            Subject::Stopped => {
                view.tone = Tone::Stopped;
                view.title = say(Message::Stopped).into();
                view.line = say(Message::ReadAtTheNextStart).into();
                view.gauges.clear();
                view.warnings.clear();
            }
        }
        view
    }

    fn read(&mut self, reading: &ShownReading, scene: &Scene<'_>) {
        let row = &reading.row;
        let Line { tone, words, tag, time } = line(reading, scene);
        (self.tone, self.title) = (tone, words);
        self.tag = format!("{tag} · {time}");
        let say = |message: Message| message.words(scene.settings.language);
        if reading.again {
            self.tag = format!("{} · {}", self.tag, say(Message::PutInAgain));
        }
        match row.verdict() {
            Some(verdict) => self.line = say(advice(verdict)).into(),
            // A newer chestlight wrote it.
            None => self.line.clone_from(&row.message),
        }
        if let Some(probabilities) = row.probabilities() {
            let shares = Class::ALL.into_iter().zip(probabilities.to_array());
            self.bars = shares
                .map(|(class, share)| Bar {
                    tone: match class {
                        Class::Normal => Tone::Normal,
                        Class::Bacterial => Tone::Bacterial,
                        Class::Covid19 => Tone::Covid19,
                    },
                    label: say(class.into()),
                    share,
                    percent: percent(share),
                })
                .collect();
        }
        self.picture.clone_from(&reading.picture);
    }
}

/// A reading in a line. What comes from the film's sender is shortened: it may be as long as a path.
fn line(reading: &ShownReading, scene: &Scene<'_>) -> Line {
    let row = &reading.row;
    let language = scene.settings.language;
    let (tone, words) = match row.verdict() {
        Some(verdict) => (verdict.into(), Message::from(verdict).words(language).to_owned()),
        None => (Tone::Check, row.verdict.clone()),
    };
    let film = match scene.settings.film {
        FilmTag::Number => row.short_digest().to_owned(),
        FilmTag::FileName => row.file_name.chars().take(60).collect(),
    };
    let tag = format!("{} {} · {film}", Message::ReadingNumber.words(language), row.seq);
    Line { tone, words, tag, time: time(row, scene.clock.time_zone(), scene) }
}

/// When it was recorded, on the wall's clock; with the day when it is another one.
fn time(row: &Row, zone: &TimeZone, scene: &Scene<'_>) -> String {
    let Ok(recorded) = row.recorded_at.parse::<Timestamp>() else { return row.recorded_at.clone() };
    let recorded = recorded.to_zoned_datetime(zone.clone());
    let today = recorded.date() == scene.clock.date();
    recorded.strftime(if today { "%H:%M" } else { "%m-%d %H:%M" }).to_string()
}

/// Never more sure than it is: 100% and 0% would be certainties.
fn percent(share: f32) -> String {
    match (share * 100.0).round() {
        whole if whole >= 100.0 => ">99%".into(),
        whole if whole < 1.0 => "<1%".into(),
        whole => format!("{whole:.0}%"),
    }
}

fn warnings(vitals: &Vitals, language: Language) -> Vec<String> {
    let say = |message: Message| message.words(language);
    let mut warnings: Vec<String> =
        vitals.faults.iter().map(|fault| format!("{}: {}", say(Message::Fault), fault.wrong)).collect();
    let disc_low = vitals.disc.is_some_and(|disc| disc.free_bytes < disc.min_free_bytes.saturating_mul(2));
    let camera_fails = vitals.camera.as_ref().is_some_and(|camera| camera.wrong.is_some());
    let told = [
        (disc_low, Message::DiscNearlyFull),
        (vitals.hot, Message::Hot),
        (vitals.throttled == Some(true), Message::Slowed),
        (vitals.battery_percent.is_some_and(|percent| percent <= LOW_BATTERY), Message::BatteryLow),
        (camera_fails, Message::CameraFails),
        (vitals.displays.iter().any(|display| display.wrong.is_some()), Message::DisplayFails),
        (vitals.drift.is_some(), Message::UnusualFilms),
        (!vitals.clock_trusted, Message::ClockNotSet),
    ];
    warnings.extend(told.into_iter().filter(|(is, _)| *is).map(|(_, message)| say(message).to_owned()));
    warnings
}

fn gauges(vitals: &Vitals, language: Language) -> Vec<Gauge> {
    let mut gauges = Vec::new();
    if let Some(disc) = vitals.disc {
        let free = match disc.free_bytes {
            bytes if bytes >= 1_000_000_000 => format!("{} GB", bytes / 1_000_000_000),
            bytes => format!("{} MB", bytes / 1_000_000),
        };
        let words = format!("{free} {}", Message::Free.words(language));
        gauges.push(Gauge { icon: Icon::Disc, words, alarm: disc.free_bytes < disc.min_free_bytes.saturating_mul(2) });
    }
    if let Some(celsius) = vitals.celsius {
        gauges.push(Gauge { icon: Icon::Heat, words: format!("{celsius:.0} °C"), alarm: vitals.hot });
    }
    if let Some(percent) = vitals.battery_percent {
        gauges.push(Gauge { icon: Icon::Battery, words: format!("{percent}%"), alarm: percent <= LOW_BATTERY });
    }
    if vitals.waiting > 0 {
        let words = format!("{} {}", Message::Waiting.words(language), vitals.waiting);
        gauges.push(Gauge { icon: Icon::Films, words, alarm: false });
    }
    gauges
}
