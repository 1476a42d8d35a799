//! How the unit is: what the loop, the sensors and the clock last told, for whoever asks or shows it.

use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::journal::Row;

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
    /// The disc of the state folder.
    pub disc: Option<DiscVitals>,
    /// The hottest sensor of the board, degrees Celsius.
    pub celsius: Option<f32>,
    /// Whether the board runs slower because it is hot or its supply is weak.
    pub throttled: Option<bool>,
    /// Charge of the battery, percent.
    pub battery_percent: Option<u8>,
    /// Whether the wall clock was set by something that knows the time since the board started.
    pub clock_trusted: bool,
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
