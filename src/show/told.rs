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
    status: Option<Status>,
    /// The last first.
    readings: VecDeque<ShownReading>,
    since: Instant,
}

/// What is to be seen.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// Nothing was told yet: the unit starts.
    Starting,
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
        Self { status: None, readings: VecDeque::new(), since: now }
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
        self.status = Some(status.clone());
        self.since = now;
    }

    /// The picture of a reading; passed over when another reading is the last one.
    pub fn picture(&mut self, seq: i64, picture: Arc<Picture>) {
        if let Some(last) = self.readings.front_mut().filter(|last| last.row.seq == seq) {
            last.picture = Some(picture);
        }
    }

    /// How long nothing was told.
    pub fn quiet(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// What is to be seen at the time `now`. A verdict gives way to a film, a fault or the end at once, and to
    /// nothing else for ten minutes: nobody stands before the display in the second in which it comes.
    pub fn subject(&self, now: Instant) -> Subject<'_> {
        match &self.status {
            None => Subject::Starting,
            Some(Status::Reading { name, digest }) => Subject::Busy { name, digest },
            Some(Status::Fault { wrong, advice }) => Subject::Fault { wrong, advice },
            Some(Status::Stopped) => Subject::Stopped,
            Some(Status::Ready | Status::Warning { .. } | Status::Recorded(_) | Status::AlreadyRecorded(_)) => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Reading;
    use crate::refusal::Refusal;
    use crate::show::recorded;

    fn rows<const COUNT: usize>() -> [Row; COUNT] {
        let digests: [String; COUNT] = std::array::from_fn(|place| format!("{place:064}"));
        let reading = Reading::refused(Refusal::Damaged, "the data break off");
        recorded::rows(digests.each_ref().map(|digest| (digest.as_str(), "a.png", reading.clone())))
    }

    fn seen(told: &Told, now: Instant) -> String {
        match told.subject(now) {
            Subject::Reading(reading) => format!("reading {}", reading.row.seq),
            Subject::Fault { wrong, .. } => wrong.to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_verdict_outlasts_what_follows_it_at_once_and_gives_way_to_a_film_a_fault_and_time() {
        let [row] = rows();
        let now = Instant::now();
        let later = now + HOLD;
        let busy = Status::Reading { name: "b".into(), digest: "d".into() };
        let fault = Status::Fault { wrong: "broken".into(), advice: "" };
        let warning = Status::Warning { wrong: "w".into(), advice: "" };
        for (then, at, expected) in [
            (Status::Ready, now, "reading 1"),
            (warning, now, "reading 1"),
            (Status::Ready, later, "Resting"),
            (busy, now, "Busy { name: \"b\", digest: \"d\" }"),
            (fault, later, "broken"),
            (Status::Stopped, now, "Stopped"),
        ] {
            let mut told = Told::new(now);
            assert_eq!(seen(&told, now), "Starting");
            told.tell(&Status::Recorded(row.clone()), now);
            told.tell(&then, now);
            assert_eq!(seen(&told, at), expected);
            assert_eq!(told.earlier(at).count(), usize::from(expected != "reading 1"), "it is never lost from sight");
        }
    }

    #[test]
    fn a_picture_goes_to_its_own_reading_alone_and_memory_stays_bounded() {
        let rows: [Row; 12] = rows();
        let now = Instant::now();
        let mut told = Told::new(now);
        for row in &rows {
            told.tell(&Status::Recorded(row.clone()), now);
            told.picture(row.seq - 1, Arc::new(Picture::new(1, 1)));
            assert!(told.readings[0].picture.is_none(), "that of the film before came too late");
            told.picture(row.seq, Arc::new(Picture::new(1, 1)));
        }
        assert_eq!(told.readings.len(), MOST_READINGS);
        assert_eq!(told.readings.iter().filter(|reading| reading.picture.is_some()).count(), 1);
        // Told twice, as after a display that failed.
        told.tell(&Status::Recorded(rows[11].clone()), now);
        assert_eq!(told.readings.iter().map(|reading| reading.row.seq).collect::<Vec<_>>(), [12, 11, 10, 9]);
        assert!(told.readings[0].picture.is_some());
    }
}
