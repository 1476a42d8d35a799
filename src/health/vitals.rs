//! How the unit is: what the loop, the sensors and the clock last told, for whoever asks or shows it.

use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::journal::Row;

/// From here on a board is too hot, degrees Celsius: a Raspberry Pi begins to slow itself down.
const HOT: f32 = 80.0;
/// It is too hot until it is below this, so that a temperature that wavers around [`HOT`] is one warning and not many.
const COOL: f32 = 75.0;
/// Up to here a battery is low, percent: time to end what is in hand and find a socket.
pub const LOW_BATTERY: u8 = 15;

/// What is known of the unit. It names no film and no patient.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Vitals {
    /// The model that reads.
    pub model: Option<ModelVitals>,
    /// Films that are durably in the spool and not yet read.
    pub waiting: usize,
    /// The last recorded reading.
    pub last_reading: Option<LastReading>,
    /// What does not work, the gravest first.
    pub faults: Vec<FaultVitals>,
    /// What somebody should look at while films are read, the gravest first; drift is among it.
    pub warnings: Vec<FaultVitals>,
    /// Why somebody should look at the last readings.
    pub drift: Option<String>,
    /// Lamps, screens and the terminal.
    pub displays: Vec<PartVitals>,
    /// The camera, where there is one.
    pub camera: Option<PartVitals>,
    /// The GPU, where one should be used; the CPU reads while it does not work.
    pub gpu: Option<PartVitals>,
    /// The disc of the state folder.
    pub disc: Option<DiscVitals>,
    /// The hottest sensor of the board, degrees Celsius.
    pub celsius: Option<f32>,
    /// Whether the board is too hot, by [`Self::feel`].
    pub hot: bool,
    /// Whether the board runs slower because it is hot or its supply is weak.
    pub throttled: Option<bool>,
    /// Charge of the battery, percent.
    pub battery_percent: Option<u8>,
    /// Whether the wall clock was set by something that knows the time since the board started.
    pub clock_trusted: bool,
}

/// Something that stops no reading yet and wants somebody's attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What is unusual.
    pub wrong: String,
    /// What to do about it.
    pub advice: &'static str,
}

impl Vitals {
    /// Takes note of a temperature, degrees Celsius; of none where the board has no sensor. It is hot from 80 on, and until
    /// it is below 75.
    pub fn feel(&mut self, celsius: Option<f32>) {
        let limit = if self.hot { COOL } else { HOT };
        self.celsius = celsius;
        self.hot = celsius.is_some_and(|celsius| celsius >= limit);
    }

    /// What deserves attention of the disc, the heat and the power. The films' own drift is told apart.
    pub fn board_warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let mut warn = |wrong, advice| warnings.push(Warning { wrong, advice });
        if let Some(percent) = self.battery_percent.filter(|percent| *percent <= LOW_BATTERY) {
            warn(format!("the battery is at {percent}%"), "connect the charger, or shut the unit down");
        }
        // Twice what must stay free, so that there is time before films are left in the inbox.
        if let Some(disc) = self.disc.filter(|disc| disc.free_bytes < disc.min_free_bytes.saturating_mul(2)) {
            let (free, least) = (disc.free_bytes >> 20, disc.min_free_bytes >> 20);
            let wrong = format!("{free} MiB are free on the disc, and below {least} MiB no film is read");
            warn(wrong, "export the readings and move old films out of archive/");
        }
        if let Some(celsius) = self.celsius.filter(|_| self.hot) {
            warn(format!("the board is at {celsius:.0} degrees Celsius"), "give it air and shade; clean its fan");
        }
        if self.throttled == Some(true) {
            let wrong = "the board has slowed itself down: it is hot or its power supply is weak";
            warn(wrong.to_owned(), "give it air, and use the power supply and the cable that came with it");
        }
        warnings
    }
}

/// Which model reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelVitals {
    /// Its name.
    pub name: String,
    /// SHA-256 of its network.
    pub digest: String,
    /// Where it comes from.
    pub origin: String,
    /// Why it reads instead of another one.
    pub instead: Option<String>,
}

/// A recorded reading in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReading {
    /// Its number in the journal.
    pub seq: i64,
    /// When it was recorded, RFC 3339, UTC.
    pub recorded_at: String,
    /// Its verdict's code.
    pub verdict: String,
}

impl From<&Row> for LastReading {
    fn from(row: &Row) -> Self {
        Self { seq: row.seq, recorded_at: row.recorded_at.clone(), verdict: row.verdict.clone() }
    }
}

/// Something that does not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultVitals {
    /// What is wrong.
    pub wrong: String,
    /// What to do about it.
    pub advice: String,
}

/// A part that can come and go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartVitals {
    /// What it is.
    pub name: String,
    /// What is wrong with it; absent while it works.
    pub wrong: Option<String>,
}

/// Space on a disc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscVitals {
    /// Bytes that this user may still write.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes that must stay free; below it no film is taken in.
    pub min_free_bytes: u64,
}

/// The vitals of a running unit: one place that the loop writes and everybody else reads.
#[derive(Clone, Debug, Default)]
pub struct SharedVitals(Arc<RwLock<Vitals>>);

impl SharedVitals {
    /// What is known now.
    pub fn read(&self) -> Vitals {
        // Each change is one assignment: what a thread that panicked has left behind is still true.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what is known.
    pub fn update(&self, change: impl FnOnce(&mut Vitals)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_is_hot_from_80_degrees_on_and_until_it_is_below_75() {
        let mut vitals = Vitals::default();
        for (celsius, hot) in [(79.9, false), (80.0, true), (79.9, true), (75.0, true), (74.9, false), (79.9, false)] {
            vitals.feel(Some(celsius));
            assert_eq!((vitals.celsius, vitals.hot), (Some(celsius), hot));
        }
        vitals.feel(Some(90.0));
        vitals.feel(None);
        assert!(!vitals.hot, "its sensor is gone");
    }

    #[test]
    fn warnings_begin_where_they_are_said_to() {
        let disc = |free| Some(DiscVitals { free_bytes: free, total_bytes: 100, min_free_bytes: 10 });
        let none = Vitals::default();
        for (vitals, words) in [
            (none.clone(), &[][..]),
            (Vitals { celsius: Some(79.9), throttled: Some(false), battery_percent: Some(16), ..none.clone() }, &[]),
            (Vitals { celsius: Some(76.0), hot: true, ..none.clone() }, &["76 degrees"]),
            (Vitals { disc: disc(20), ..none.clone() }, &[]),
            (Vitals { disc: disc(19), ..none.clone() }, &["MiB are free"]),
            (Vitals { battery_percent: Some(LOW_BATTERY), ..none.clone() }, &["at 15%"]),
            (
                Vitals { throttled: Some(true), battery_percent: Some(0), ..none.clone() },
                &["battery is at 0%", "slowed itself down"],
            ),
        ] {
            let told = vitals.board_warnings();
            assert_eq!(told.len(), words.len(), "{told:?}");
            for (warning, words) in told.iter().zip(words) {
                assert!(warning.wrong.contains(words), "{told:?}");
            }
        }
    }
}
