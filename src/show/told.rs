//! What a display was told, and what of it is to be seen now. Pure.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Status;
use crate::explain::Picture;
use crate::journal::Row;

/// Readings that are kept: the last one and those before it.
const MOST_READINGS: usize = 4;
/// How long a verdict stays when nothing else happens.
const HOLD: Duration = Duration::from_secs(10 * 60);

/// A reading on a display.
#[derive(Clone, Debug)]
pub struct ShownReading {
    /// Its row.
    pub row: Row,
    /// The film was put in again.
    pub again: bool,
    /// Its film under what speaks for the verdict; of the last reading alone.
    pub picture: Option<Arc<Picture>>,
    told: Instant,
}

/// Everything that a display was told and that may still be shown; bounded.
#[derive(Clone, Debug)]
pub struct Told {
    status: Status,
    /// The last first.
    readings: VecDeque<ShownReading>,
    since: Instant,
    changes: u64,
}

/// What is to be seen.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// The unit waits for films.
    Resting,
    /// A film is being read.
    Busy {
        /// Its path below the inbox.
        name: &'a str,
        /// The first digits of its digest.
        digest: &'a str,
    },
    /// A reading.
    Reading(&'a ShownReading),
    /// Something does not work.
    Fault {
        /// What is wrong.
        wrong: &'a str,
        /// What to do about it.
        advice: &'a str,
    },
    /// The unit has ended.
    Stopped,
}

impl Told {
    /// Nothing yet.
    pub fn new(now: Instant) -> Self {
        Self { status: Status::Ready, readings: VecDeque::new(), since: now, changes: 0 }
    }

    /// A status at the time `now`. A status that comes twice is as good as one.
    pub fn tell(&mut self, status: &Status, now: Instant) {
        if let Status::Recorded(row) | Status::AlreadyRecorded(row) = status {
            let again = matches!(status, Status::AlreadyRecorded(_));
            let mut picture = None;
            for mut before in std::mem::take(&mut self.readings) {
                let old = before.picture.take();
                if before.row.seq == row.seq { picture = old } else { self.readings.push_back(before) }
            }
            self.readings.push_front(ShownReading { row: row.clone(), again, picture, told: now });
            self.readings.truncate(MOST_READINGS);
        }
        self.status = status.clone();
        self.since = now;
        self.changes += 1;
    }

    /// The picture of a reading; passed over when another reading is the last one.
    pub fn picture(&mut self, seq: i64, picture: Arc<Picture>) {
        if let Some(last) = self.readings.front_mut().filter(|last| last.row.seq == seq) {
            last.picture = Some(picture);
            self.changes += 1;
        }
    }

    /// Grows with everything that was told.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How long nothing was told.
    pub fn quiet(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// What is to be seen at the time `now`. A verdict gives way to a film, a fault or the end at once, and to
    /// nothing else for ten minutes: nobody stands before the display in the second in which it comes.
    pub fn subject(&self, now: Instant) -> Subject<'_> {
        match &self.status {
            Status::Reading { name, digest } => Subject::Busy { name, digest },
            Status::Fault { wrong, advice } => Subject::Fault { wrong, advice },
            Status::Stopped => Subject::Stopped,
            Status::Ready | Status::Warning { .. } | Status::Recorded(_) | Status::AlreadyRecorded(_) => {
                let last = self.readings.front();
                let fresh = last.filter(|last| now.saturating_duration_since(last.told) < HOLD);
                fresh.map_or(Subject::Resting, Subject::Reading)
            }
        }
    }

    /// The readings before what is to be seen, the last first.
    pub fn earlier(&self, now: Instant) -> impl Iterator<Item = &ShownReading> {
        let seen = usize::from(matches!(self.subject(now), Subject::Reading(_)));
        self.readings.iter().skip(seen)
    }
}
