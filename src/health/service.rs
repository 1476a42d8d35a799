//! What systemd is told: that the unit is ready, how it is, and that it still makes progress (sd_notify(3)).

use std::io;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// systemd's end of the unit; where no service manager listens it does nothing.
///
/// The watchdog is fed by the daemon's loop and by nothing else, each time that the loop has come round: a loop that hangs
/// in one film, on a disc or on an indicator feeds nothing, and systemd starts the unit again.
#[derive(Debug)]
pub struct Service {
    /// How long systemd waits for a sign of life.
    watchdog: Option<Duration>,
    fed: Option<Instant>,
    status: String,
}

impl Service {
    /// As the environment of this process says.
    pub fn from_environment() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled(), fed: None, status: String::new() }
    }

    /// The unit reads films, or again after [`Self::reloading`].
    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// The unit rereads its configuration; [`Self::ready`] follows.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => report(&error),
        }
    }

    /// The unit ends.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// The loop came round at `now` and the unit is as `status` says, which must name no film.
    pub fn progress(&mut self, now: Instant, status: &str) {
        // A message is lines: one that has more would say other things than its status.
        let status = status.replace('\n', " ");
        if self.status != status {
            tell(&[NotifyState::Status(&status)]);
            self.status = status;
        }
        let is_due = |every: Duration| self.fed.is_none_or(|fed| now.saturating_duration_since(fed) >= every);
        if self.every().is_some_and(is_due) {
            self.fed = Some(now);
            tell(&[NotifyState::Watchdog]);
        }
    }

    /// Longest that the loop may wait before it comes round again.
    pub fn patience(&self) -> Duration {
        self.every().unwrap_or(Duration::MAX)
    }

    /// Four times in the time that systemd waits, so that a message that comes late ends nobody.
    fn every(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| watchdog / 4)
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        report(&error);
    }
}

fn report(error: &io::Error) {
    log::warn!("the service manager cannot be told how the unit is: {error}");
}
