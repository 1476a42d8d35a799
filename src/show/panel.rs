//! Everything that shows the unit's status, as one.

use std::sync::Arc;
use std::time::Instant;

use super::{Indicator, Persistent, Status};
use crate::explain::Picture;
use crate::health::SharedVitals;

/// The indicators of a unit. One that fails holds up no other.
#[derive(Default)]
pub struct Panel {
    indicators: Vec<Persistent>,
    vitals: SharedVitals,
}

impl Panel {
    /// No indicator yet. Those that show more than the status read the unit's vitals from here.
    pub fn new(vitals: SharedVitals) -> Self {
        Self { indicators: Vec::new(), vitals }
    }

    /// What the unit that has this panel tells of itself.
    pub fn vitals(&self) -> &SharedVitals {
        &self.vitals
    }

    /// One more indicator, called `name` where its failures are told.
    #[must_use]
    pub fn with(mut self, name: &'static str, indicator: impl Indicator + Send + 'static) -> Self {
        self.indicators.push(Persistent::new(name, Box::new(indicator)));
        self
    }

    /// Shows the status on each, now or when it works again.
    pub fn show(&mut self, status: &Status) {
        for indicator in &mut self.indicators {
            indicator.show(status.clone());
        }
    }

    /// Hands the film of a reading under what speaks for its verdict to each indicator that works and shows pictures;
    /// it is drawn once, and only for such.
    pub fn picture(&mut self, seq: i64, draw: impl FnOnce() -> Picture) {
        let mut takers = self.indicators.iter_mut().filter(|indicator| indicator.takes_picture()).peekable();
        if takers.peek().is_some() {
            let picture = Arc::new(draw());
            takers.for_each(|indicator| indicator.picture(seq, &picture));
        }
    }

    /// Shows what is not shown yet, where it is time to try.
    pub fn flush(&mut self, now: Instant) {
        for indicator in &mut self.indicators {
            indicator.flush(now);
        }
    }

    /// When to [`Panel::flush`] next; absent when everything is shown everywhere.
    pub fn retry_at(&self) -> Option<Instant> {
        self.indicators.iter().filter_map(Persistent::retry_at).min()
    }

    /// Each indicator's name, and what is wrong with it.
    pub fn states(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        self.indicators.iter().map(|indicator| (indicator.name(), indicator.wrong()))
    }
}
