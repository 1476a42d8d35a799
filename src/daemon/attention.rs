//! What somebody should look at while films are read, for as long as nobody has dealt with it.

use std::path::Path;

use crate::clock::{self, Moment};
use crate::drift::{Drift, Summary};
use crate::health::Warning;
use crate::journal::{Event, Journal, JournalError, Note};
use crate::model::slots::Slots;

/// What to do about a journal that was damaged.
const JOURNAL_ADVICE: &str = "copy the folder away, then: chestlight acknowledge --by WHO";
/// What to do about a clock that is behind.
const CLOCK_ADVICE: &str = "set it: sudo chestlight clock set 'YYYY-MM-DD HH:MM'";
/// What to do about films that are unlike the model's.
const DRIFT_ADVICE: &str = "see: chestlight log drift";
/// What to do about a model that a stick offers.
const OFFER_ADVICE: &str = "to use it: chestlight model install, then activate (docs/models.md)";
/// What to do about a stick that was not served to its end.
pub(super) const STICK_ADVICE: &str = "nothing on it was changed; put it in again, or another one";

/// What is open.
pub(super) struct Attention {
    /// The journal before this one was damaged, and nobody has acknowledged it.
    begun: Option<Note>,
    /// Why the clock must be behind.
    behind: Option<String>,
    /// The version of a model that a stick has offered, and what it is.
    offered: Option<(u64, String)>,
    /// Why the last stick was not served to its end.
    unserved: Option<String>,
    /// The journal's last word on the films is that they are unlike the model's.
    drifts: bool,
}

impl Attention {
    /// What is open at the start.
    pub(super) fn new(journal: &Journal) -> Result<Self, JournalError> {
        let (begun, drifts) = (journal.unacknowledged()?, journal.drifts()?);
        Ok(Self { begun, behind: None, offered: None, unserved: None, drifts })
    }

    /// A film says when it was made.
    pub(super) fn film_was_made(&mut self, at: &str, now: &Moment) {
        if let Some(wrong) = clock::is_behind(now, at) {
            self.behind = Some(wrong);
        }
    }

    /// A stick offers a model.
    pub(super) fn is_offered(&mut self, version: u64, model: String) {
        self.offered = Some((version, model));
    }

    /// A stick was pulled that was not served to its end, or it is in again, or another one was. Whether that is news.
    pub(super) fn is_unserved(&mut self, wrong: Option<String>) -> bool {
        let is_news = self.unserved != wrong;
        self.unserved = wrong;
        is_news
    }

    /// Notes when the last readings leave their bands, and when they are back.
    pub(super) fn note_drift(
        &mut self,
        summary: &Summary,
        drift: Option<&Drift>,
        journal: &mut Journal,
    ) -> Result<(), JournalError> {
        let (event, words) = match drift {
            Some(drift) if !self.drifts => (Event::DriftBegan, drift.to_string()),
            None if self.drifts => (Event::DriftEnded, "the films are like the model's again".to_owned()),
            _ => return Ok(()),
        };
        let last = journal.last_result()?;
        journal.note(event, last, &format!("{words}; {summary}"))?;
        self.drifts = drift.is_some();
        Ok(())
    }

    /// Forgets what a person has dealt with. Whether there was something.
    pub(super) fn look(&mut self, journal: &Journal, state: &Path, now: &Moment) -> bool {
        let mut dealt_with = false;
        if self.begun.is_some() && matches!(journal.unacknowledged(), Ok(None)) {
            log::info!("the damage of the journal before was acknowledged");
            self.begun = None;
            dealt_with = true;
        }
        if let Some((version, _)) = self.offered
            && Slots::new(state).record().is_ok_and(|record| record.highest >= version)
        {
            self.offered = None;
            dealt_with = true;
        }
        if self.behind.is_some() && now.trusted {
            self.behind = None;
            dealt_with = true;
        }
        dealt_with
    }

    /// Each with what to do about it, the gravest first; `drift` is what the last films have in common.
    pub(super) fn warnings(&self, drift: Option<String>) -> Vec<Warning> {
        let warning = |wrong, advice| Warning { wrong, advice };
        let begun = self.begun.as_ref().map(|note| warning(note.message.clone(), JOURNAL_ADVICE));
        let behind = self.behind.clone().map(|wrong| warning(wrong, CLOCK_ADVICE));
        let unusual = drift.map(|wrong| warning(wrong, DRIFT_ADVICE));
        let offered = self.offered.clone().map(|(_, model)| warning(model, OFFER_ADVICE));
        let unserved = self.unserved.clone().map(|wrong| warning(wrong, STICK_ADVICE));
        [begun, behind, unserved, unusual, offered].into_iter().flatten().collect()
    }
}
