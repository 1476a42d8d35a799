//! One film down the road: in, read, recorded, shown, settled.

use std::time::Instant;

use thiserror::Error;

use super::{Daemon, Part};
use crate::fault;
use crate::health::LastReading;
use crate::journal::{Entry, JournalError, Row};
use crate::outbox::Evidence;
use crate::reading::{self, Reading};
use crate::refusal::Refusal;
use crate::show::{NOTICE, Status};
use crate::spool::{Film, Place, SpoolError, TakenIn};

/// A film on which the process died so often is not tried again.
const MOST_DEATHS: u32 = 2;
/// How the name of a heat map ends beside its film.
const HEAT_MAP: &str = "heatmap.png";

/// A film cannot go on; it stays where it is and is tried again.
#[derive(Debug, Error)]
pub(super) enum Held {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A film on its way from the spool to where it stays.
pub(super) struct InHand {
    pub(super) film: Film,
    /// Kept until it is recorded, so that a journal that fails costs no second reading.
    pub(super) reading: Option<Reading>,
    /// Its verdict is news. Not so for a film that was recorded when it came in.
    pub(super) news: bool,
    pub(super) shown: bool,
}

impl Daemon {
    /// Does one thing with one film. Whether there was something to do.
    pub(super) fn step(&mut self) -> Result<bool, SpoolError> {
        if !self.films.is_empty() && !self.films_retry.is_due(Instant::now()) {
            return Ok(false);
        }
        let Some(mut in_hand) = self.films.pop_front() else { return self.take_in() };
        match self.finish(&mut in_hand) {
            Ok(()) => {
                self.films_retry.succeeded();
                self.mended(Part::State);
            }
            Err(Held::Spool(error @ SpoolError::Unsynced { .. })) => return Err(error),
            // It holds up no other film, and the next look finds it again.
            Err(Held::Spool(error)) if in_hand.film.is_in_inbox() => {
                self.inbox_failed(error.to_string(), "check who may write to the inbox");
            }
            Err(error) => {
                let advice = match error {
                    Held::Spool(_) => "no film is lost; check the disc of the state folder",
                    Held::Journal(_) => {
                        "no film is lost, but none is read; check the disc, then: chestlight log verify"
                    }
                };
                self.films_retry.failed(Instant::now());
                self.failed(Part::State, error.to_string(), advice);
                self.films.push_front(in_hand);
            }
        }
        Ok(true)
    }

    /// Takes the next complete film out of the inbox. Whether there was one.
    fn take_in(&mut self) -> Result<bool, SpoolError> {
        let Some(path) = self.folder.next_complete() else {
            self.rest();
            return self.tidy();
        };
        match self.spool.take_in(&path, self.folder.path(), self.config.min_free) {
            Ok(TakenIn::Film(film)) => {
                self.films.push_back(InHand { film, reading: None, news: false, shown: false });
            }
            Ok(TakenIn::Gone | TakenIn::Unfinished) => {}
            Err(error @ SpoolError::Unsynced { .. }) => return Err(error),
            Err(error) => {
                if matches!(error, SpoolError::NoRoom { .. }) {
                    self.tidying.hurry();
                }
                let advice = match error {
                    SpoolError::NoRoom { .. } => "films stay in the inbox until there is room",
                    _ => "the film stays in the inbox and is tried again; check who may read and write there",
                };
                self.inbox_failed(error.to_string(), advice);
            }
        }
        Ok(true)
    }

    /// Down the road from the spool: read, record, show, settle. After an error it goes on where it stopped.
    fn finish(&mut self, in_hand: &mut InHand) -> Result<(), Held> {
        let row = match self.journal.find(&in_hand.film.digest)? {
            Some(row) => row,
            None => {
                in_hand.news = true;
                let reading = match in_hand.reading.take() {
                    Some(reading) => reading,
                    None => self.read(&in_hand.film)?,
                };
                let made = reading.origin.as_ref().and_then(|origin| origin.study_at.as_deref());
                if let Some(made) = made {
                    self.attention.film_was_made(made, &self.clock.now());
                }
                let patient = reading.origin.as_ref().and_then(|origin| origin.patient_id.as_ref());
                let patient_hash = patient.map(|patient| self.key.patient_hash(patient.expose()));
                let entry = Entry {
                    input_digest: &in_hand.film.digest,
                    file_name: &in_hand.film.name,
                    taken_at: in_hand.film.taken_at,
                    reading: in_hand.reading.insert(reading),
                    patient_hash: patient_hash.as_deref(),
                    model: &self.chosen.model.manifest,
                };
                let row = self.journal.append(&entry)?;
                self.drift.add(&row, &self.chosen.model.manifest.digest);
                self.vitals.update(|vitals| vitals.last_reading = Some(LastReading::from(&row)));
                if let (Some(outbox), Some(map)) = (&self.outbox, &entry.reading.map) {
                    outbox.note(row.seq, &Evidence::new(&self.chosen.model.manifest.input, map));
                }
                row
            }
        };
        self.spool.unmark()?;
        fault::point("reading.unmarked");
        log::debug!("reading {} of film {} is {}", row.seq, row.short_digest(), row.verdict);
        if in_hand.news && !in_hand.shown {
            self.show(Status::Recorded(row.clone()));
            in_hand.shown = true;
        }
        fault::point("reading.shown");
        let reason = row.is_unread().then(|| reason(&row));
        let place = Place { seq: row.seq, name: &row.file_name, reason: reason.as_deref() };
        self.explain(in_hand, place);
        self.spool.settle(&in_hand.film, place)?;
        if !in_hand.news {
            self.show(Status::AlreadyRecorded(row));
        }
        if let Some(outbox) = &self.outbox {
            outbox.nudge();
        }
        Ok(())
    }

    fn read(&mut self, film: &Film) -> Result<Reading, SpoolError> {
        let deaths = self.spool.times_in_hand(film);
        if deaths >= MOST_DEATHS {
            let detail = format!("the reading program died on this film {deaths} times");
            return Ok(Reading::refused(Refusal::CrashedReader, &detail));
        }
        let bytes = match self.spool.bytes(film, self.config.limits.max_bytes) {
            Ok(bytes) => bytes,
            Err((refusal, detail)) => return Ok(Reading::refused(refusal, &detail)),
        };
        self.show(Status::Reading { name: film.name.clone(), digest: film.short_digest().to_owned() });
        self.spool.mark_in_hand(film, deaths + 1)?;
        fault::point("reading.marked");
        let reading = reading::read(&self.chosen.model, &bytes, &self.config.limits);
        fault::point("reading.read");
        Ok(reading)
    }

    /// Shows the film under what spoke for its verdict, and puts it beside the film into the archive. The picture can
    /// be drawn again, so a failure costs the picture alone.
    fn explain(&mut self, in_hand: &InHand, place: Place<'_>) {
        if let Err(wrong) = self.try_to_explain(in_hand, place) {
            log::warn!("film {} has no heat map: {wrong}", in_hand.film.short_digest());
        }
    }

    fn try_to_explain(&mut self, in_hand: &InHand, place: Place<'_>) -> Result<(), String> {
        let Some(reading) = in_hand.reading.as_ref().filter(|reading| reading.map.is_some()) else { return Ok(()) };
        let limits = &self.config.limits;
        let bytes = self.spool.bytes(&in_hand.film, limits.max_bytes).map_err(|(_, detail)| detail)?;
        let heat_map = reading::heat_map(&self.chosen.model, reading, &bytes, limits);
        let Some(heat_map) = heat_map.map_err(|error| error.to_string())? else { return Ok(()) };
        // Somebody waits before the screen, nobody before the archive.
        self.panel.picture(place.seq, || heat_map.over_film());
        let png = heat_map.sheet(&reading.message, NOTICE).png().map_err(|error| error.to_string())?;
        self.spool.put_beside(&in_hand.film, place, HEAT_MAP, &png).map_err(|error| error.to_string())
    }
}

/// The text beside a film in `refused/`.
fn reason(row: &Row) -> String {
    let Row { seq, message, input_digest, recorded_at, .. } = row;
    let code = row.reason.as_deref().unwrap_or("-");
    format!(
        "This film was not read: {message}.\n\n\
         Reading {seq} of {recorded_at}, verdict {}, reason {code}\n\
         SHA-256 of the film: {input_digest}\n\
         {NOTICE}\n",
        row.verdict
    )
}
