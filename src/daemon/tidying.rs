//! Removes films that the site does not keep, one by one, when nothing else is to be done.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Held;
use crate::clock::{Clock, Moment};
use crate::health::free_bytes;
use crate::journal::{Event, Journal, JournalError, Row};
use crate::retention::{self, Film, Policy, Why};
use crate::spool::{Settled, Spool};

/// Time between two looks at everything that is kept.
const EVERY: Duration = Duration::from_secs(600);
/// With the disc full it is looked at sooner.
const HURRY: Duration = Duration::from_secs(60);

/// What is to be removed, and when to look for more.
#[derive(Debug)]
pub(super) struct Tidying {
    looked: Instant,
    at: Instant,
    to_go: VecDeque<(Settled, Why)>,
}

impl Tidying {
    pub(super) fn new(now: Instant) -> Self {
        Self { looked: now, at: now, to_go: VecDeque::new() }
    }

    /// There is no room for a film: look soon, but not at every film.
    pub(super) fn hurry(&mut self) {
        self.at = self.at.min(self.looked + HURRY);
    }

    /// Something could not be removed: what is there is looked at again later.
    pub(super) fn failed(&mut self) {
        self.to_go.clear();
        self.looked = Instant::now();
        self.at = self.looked + HURRY;
    }

    /// When there is something to do; `None` for a site that keeps everything.
    pub(super) fn at(&self, policy: &Policy) -> Option<Instant> {
        policy.removes().then_some(if self.to_go.is_empty() { self.at } else { self.looked })
    }

    /// Looks for what is to go, or removes one film of it: first it is recorded, then it is removed, so that no film is
    /// missed without a row that says why. Whether there was something to do.
    ///
    /// A crash between the two leaves a film that a later look finds again, and that gets a second row.
    pub(super) fn step(
        &mut self,
        policy: &Policy,
        spool: &Spool,
        journal: &mut Journal,
        clock: &Clock,
    ) -> Result<bool, Held> {
        let now = Instant::now();
        if !policy.removes() {
            self.to_go.clear();
            return Ok(false);
        }
        if let Some((film, why)) = self.to_go.front() {
            let message = format!("the film of reading {} is removed, {} bytes: {}", film.seq, film.bytes, why.words());
            journal.note(Event::FilmRemoved, film.seq, &message)?;
            crate::fault::point("tidying.noted");
            spool.remove(film)?;
            crate::fault::point("tidying.removed");
            log::info!("{message}");
            self.to_go.pop_front();
            return Ok(true);
        }
        if now < self.at {
            return Ok(false);
        }
        (self.looked, self.at) = (now, now + EVERY);
        self.to_go = look(policy, spool, journal, &clock.now())?;
        Ok(!self.to_go.is_empty())
    }
}

/// Everything that is kept, as the policy needs to know it.
fn look(policy: &Policy, spool: &Spool, journal: &Journal, now: &Moment) -> Result<VecDeque<(Settled, Why)>, Held> {
    let mut settled = spool.settled()?;
    let (exported, reviewed) = (journal.exported()?, journal.reviewed()?);
    let mut films = Vec::new();
    journal.for_each(None, |row| -> Result<(), JournalError> {
        if let Some(film) = settled.get(&row.seq) {
            films.push(Film {
                seq: row.seq,
                bytes: film.bytes,
                recorded: moment(row),
                exported: row.seq <= exported,
                reviewed: reviewed.contains(&row.seq),
            });
        }
        Ok(())
    })?;
    let gone = retention::to_remove(&films, policy, now, free_bytes(spool.folder()).unwrap_or(u64::MAX));
    Ok(gone.into_iter().filter_map(|(seq, why)| Some((settled.remove(&seq)?, why))).collect())
}

fn moment(row: &Row) -> Option<Moment> {
    Some(Moment {
        wall: row.recorded_at.parse::<jiff::Timestamp>().ok()?.try_into().ok()?,
        boot_id: row.stamp.boot_id.clone(),
        since_boot: Duration::from_millis(row.stamp.boot_ms?.try_into().ok()?),
        trusted: row.stamp.clock_trusted?,
    })
}
