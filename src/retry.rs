//! When to try again what has failed: soon at first, then ever more rarely. Pure.

use std::time::{Duration, Instant};

/// Time from the first failure to the second try.
const FIRST: Duration = Duration::from_millis(250);
/// Longest time between two tries.
const LONGEST: Duration = Duration::from_secs(30);

/// The tries of one step.
#[derive(Debug, Default)]
pub struct Retry {
    failures: u32,
    at: Option<Instant>,
}

impl Retry {
    /// The step failed at `now`.
    pub fn failed(&mut self, now: Instant) {
        let delay = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.at = Some(now + delay);
    }

    /// The step succeeded.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Whether the last try failed.
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// When to try again; absent when nothing has failed.
    pub fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Whether the step may be tried at `now`.
    pub fn is_due(&self, now: Instant) -> bool {
        self.at.is_none_or(|at| now >= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_begin_anew_after_success() {
        let now = Instant::now();
        let mut retry = Retry::default();
        let mut delays = || -> Vec<u128> {
            let tries = std::iter::repeat_with(|| {
                retry.failed(now);
                (retry.at().unwrap() - now).as_millis()
            });
            let delays = tries.take(9).collect();
            assert!(!retry.is_due(now) && retry.is_due(now + LONGEST));
            retry.succeeded();
            assert!(retry.is_due(now) && !retry.is_failing());
            delays
        };
        let expected = [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000];
        assert_eq!(delays(), expected);
        assert_eq!(delays(), expected);
    }
}
