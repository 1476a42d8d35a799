//! What the lamps were told, and which of it they show now. Pure: whoever asks brings the time.

use std::time::{Duration, Instant};

use super::Signal;
use crate::show::Status;

/// No film takes this long: whoever reads for longer has come to a stop.
const LONGEST_READING: Duration = Duration::from_secs(300);

/// How long a verdict hides a fault that is still there.
const OVER_A_FAULT: Duration = Duration::from_secs(30);

/// How the unit is, and what is shown over that for a while.
#[derive(Debug)]
pub(super) struct Board {
    verdict: Duration,
    rest: Shown,
    over: Option<Shown>,
}

/// A signal and when it began, from which its pattern is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// What is told.
    pub signal: Signal,
    /// Since when.
    pub since: Instant,
}

impl Board {
    /// Nothing was told yet; a verdict will stay for so long.
    pub fn new(verdict: Duration, now: Instant) -> Self {
        Self { verdict, rest: Shown { signal: Signal::Stopped, since: now }, over: None }
    }

    /// Takes a status.
    pub fn tell(&mut self, status: &Status, now: Instant) {
        let shown = Shown { signal: Signal::of(status), since: now };
        match status {
            Status::Reading { .. } | Status::Recorded(_) | Status::AlreadyRecorded(_) => self.over = Some(shown),
            // The verdict of the last film stays for its time.
            Status::Ready | Status::Warning { .. } => {
                if self.rest.signal != shown.signal {
                    self.rest = shown;
                }
                self.over = self.over.filter(|over| over.signal != Signal::Reading);
            }
            Status::Fault { .. } | Status::Stopped => {
                self.over = None;
                if self.rest.signal != shown.signal {
                    self.rest = shown;
                }
            }
        }
    }

    /// What is shown now.
    pub fn shown(&self, now: Instant) -> Shown {
        match self.over {
            Some(over) => match self.ends(over) {
                Some(end) if end <= now && over.signal == Signal::Reading => {
                    Shown { signal: Signal::Fault, since: end }
                }
                // The pattern below it goes on from where it would be.
                Some(end) if end <= now => self.rest,
                _ => over,
            },
            None => self.rest,
        }
    }

    /// When something else is shown without being told; absent when nothing will be.
    pub fn changes_at(&self, now: Instant) -> Option<Instant> {
        self.ends(self.over?).filter(|end| *end > now)
    }

    fn ends(&self, over: Shown) -> Option<Instant> {
        let stays = match (over.signal, self.rest.signal) {
            (Signal::Reading, _) => LONGEST_READING,
            (_, Signal::Fault) => self.verdict.min(OVER_A_FAULT),
            _ => self.verdict,
        };
        over.since.checked_add(stays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::lamps::tests::row;
    use crate::verdict::Verdict;

    #[test]
    fn a_verdict_stays_for_its_time_unless_something_graver_or_another_film_comes() {
        let [ready, reading, fault, stopped] = [
            Status::Ready,
            Status::Reading { name: String::new(), digest: String::new() },
            Status::Fault { wrong: String::new(), advice: "" },
            Status::Stopped,
        ];
        let (normal, refer) = (Status::Recorded(row(Verdict::Normal)), Status::AlreadyRecorded(row(Verdict::Refer)));
        use Signal as S;
        // What is told at which second, and what is shown at which second; a verdict stays for 60.
        type At<'a, T> = &'a [(u64, T)];
        let cases: [(At<'_, &Status>, At<'_, Signal>); 9] = [
            (&[], &[(0, S::Stopped)]),
            (&[(1, &ready)], &[(0, S::Stopped), (1, S::Ready), (9_999, S::Ready)]),
            (
                &[(1, &ready), (2, &reading), (3, &normal), (3, &ready)],
                &[(2, S::Reading), (62, S::Normal), (63, S::Ready)],
            ),
            (
                &[(1, &reading), (2, &normal), (3, &reading), (4, &refer)],
                &[(2, S::Normal), (3, S::Reading), (63, S::Refer)],
            ),
            (&[(1, &normal), (2, &fault)], &[(1, S::Normal), (2, S::Fault), (99, S::Fault)]),
            (&[(1, &fault), (2, &normal)], &[(1, S::Fault), (2, S::Normal), (31, S::Normal), (32, S::Fault)]),
            (&[(1, &fault), (2, &normal), (3, &ready)], &[(3, S::Normal), (62, S::Ready)]),
            (&[(1, &normal), (2, &stopped)], &[(2, S::Stopped), (99, S::Stopped)]),
            (&[(1, &ready), (2, &reading)], &[(301, S::Reading), (302, S::Fault), (9_999, S::Fault)]),
        ];
        for (told, expected) in cases {
            let start = Instant::now();
            let at = |second| start + Duration::from_secs(second);
            for (second, signal) in expected {
                let mut board = Board::new(Duration::from_secs(60), start);
                told.iter()
                    .filter(|(told_at, _)| told_at <= second)
                    .for_each(|(at_, status)| board.tell(status, at(*at_)));
                assert_eq!(board.shown(at(*second)).signal, *signal, "{told:?} at {second} s");
            }
        }
    }

    #[test]
    fn a_pattern_goes_on_when_the_same_status_comes_again() {
        let start = Instant::now();
        let mut board = Board::new(Duration::from_secs(60), start);
        board.tell(&Status::Ready, start);
        board.tell(&Status::Ready, start + Duration::from_secs(2));
        assert_eq!(board.shown(start + Duration::from_secs(3)), Shown { signal: Signal::Ready, since: start });
        board.tell(&Status::Recorded(row(Verdict::Normal)), start + Duration::from_secs(4));
        assert_eq!(board.changes_at(start + Duration::from_secs(5)), Some(start + Duration::from_secs(64)));
        assert_eq!(board.changes_at(start + Duration::from_secs(64)), None);
    }
}
