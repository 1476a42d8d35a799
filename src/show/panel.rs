//! Everything that shows the unit's status, as one.

use std::time::Instant;

use super::{Indicator, Persistent, Status};

/// The indicators of a unit. One that fails holds up no other.
#[derive(Default)]
pub struct Panel(Vec<Persistent>);

impl Panel {
    /// One more indicator, called `name` where its failures are told.
    #[must_use]
    pub fn with(mut self, name: &'static str, indicator: impl Indicator + Send + 'static) -> Self {
        self.0.push(Persistent::new(name, Box::new(indicator)));
        self
    }

    /// Shows the status on each, now or when it works again.
    pub fn show(&mut self, status: &Status) {
        for indicator in &mut self.0 {
            indicator.show(status.clone());
        }
    }

    /// Shows what is not shown yet, where it is time to try.
    pub fn flush(&mut self, now: Instant) {
        for indicator in &mut self.0 {
            indicator.flush(now);
        }
    }

    /// When to [`Panel::flush`] next; absent when everything is shown everywhere.
    pub fn retry_at(&self) -> Option<Instant> {
        self.0.iter().filter_map(Persistent::retry_at).min()
    }

    /// Each indicator's name, and what is wrong with it.
    pub fn states(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        self.0.iter().map(|indicator| (indicator.name(), indicator.wrong()))
    }
}
