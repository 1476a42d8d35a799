//! An indicator may fail; what it should have shown is kept, and shown later.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::{Indicator, Status};
use crate::explain::Picture;
use crate::retry::Retry;

/// Statuses that are kept at most.
const MOST_UNSHOWN: usize = 100;

/// An indicator whose failures stop nobody.
pub struct Persistent {
    name: &'static str,
    indicator: Box<dyn Indicator + Send>,
    unshown: VecDeque<Status>,
    retry: Retry,
    wrong: Option<String>,
}

impl Persistent {
    /// Nothing is shown yet.
    pub fn new(name: &'static str, indicator: Box<dyn Indicator + Send>) -> Self {
        Self { name, indicator, unshown: VecDeque::new(), retry: Retry::default(), wrong: None }
    }

    /// What it is called where its failures are told.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What is wrong with it; absent while it works.
    pub fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    /// Shows the status, now or when the indicator works again.
    pub fn show(&mut self, status: Status) {
        // Nobody needs to see later what the unit was doing for a moment.
        self.unshown
            .retain(|status| !matches!(status, Status::Ready | Status::Warning { .. } | Status::Reading { .. }));
        self.unshown.push_back(status);
        if self.unshown.len() > MOST_UNSHOWN
            && let Some(Status::Recorded(row) | Status::AlreadyRecorded(row)) = self.unshown.pop_front()
        {
            log::warn!("reading {} was never shown; see it with: chestlight log show {0}", row.seq);
        }
        self.flush(Instant::now());
    }

    /// Shows what is not shown yet, if it is time to try.
    pub fn flush(&mut self, now: Instant) {
        while self.retry.is_due(now)
            && let Some(status) = self.unshown.pop_front()
        {
            match self.indicator.show(&status) {
                Ok(()) => self.retry.succeeded(),
                Err(error) => {
                    if !self.retry.is_failing() {
                        log::error!("the {} fails ({error}); films are read and recorded, and shown later", self.name);
                    }
                    self.wrong = Some(error.to_string());
                    self.unshown.push_front(status);
                    self.retry.failed(now);
                }
            }
        }
        if self.unshown.is_empty() {
            let wrong = self.indicator.check().err().map(|error| error.to_string());
            if let (Some(wrong), None) = (&wrong, &self.wrong) {
                log::error!("the {} fails ({wrong}); films are read and recorded all the same", self.name);
            }
            self.wrong = wrong;
        }
    }

    /// Whether it shows pictures, and everything before one could be shown.
    pub fn takes_picture(&self) -> bool {
        self.unshown.is_empty() && self.indicator.shows_pictures()
    }

    /// Hands over a picture.
    pub fn picture(&mut self, seq: i64, picture: &Arc<Picture>) {
        self.indicator.picture(seq, picture);
    }

    /// When to [`Persistent::flush`] next; absent when everything is shown.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry.at()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct State {
        works: bool,
        unplugged: bool,
        shown: Vec<String>,
    }

    /// Shows nothing until it works.
    #[derive(Clone, Default)]
    struct Loose(Arc<Mutex<State>>);

    impl Indicator for Loose {
        fn show(&mut self, status: &Status) -> io::Result<()> {
            let mut state = self.0.lock().unwrap();
            if !state.works {
                return Err(io::Error::other("a loose cable"));
            }
            state.shown.push(match status {
                Status::Ready => "ready".into(),
                Status::Fault { wrong, .. } => wrong.clone(),
                other => format!("{other:?}"),
            });
            Ok(())
        }

        fn check(&mut self) -> io::Result<()> {
            if self.0.lock().unwrap().unplugged { Err(io::Error::other("unplugged")) } else { Ok(()) }
        }
    }

    fn fault(index: usize) -> Status {
        Status::Fault { wrong: index.to_string(), advice: "" }
    }

    #[test]
    fn what_could_not_be_shown_is_shown_in_order_when_the_indicator_works_again() {
        let loose = Loose::default();
        let mut screen = Persistent::new("screen", Box::new(loose.clone()));
        for status in [Status::Ready, fault(1), Status::Ready, fault(2), Status::Ready] {
            screen.show(status);
        }
        assert!(loose.0.lock().unwrap().shown.is_empty());
        assert_eq!(screen.wrong(), Some("a loose cable"));
        loose.0.lock().unwrap().works = true;
        screen.flush(screen.retry_at().unwrap());
        assert_eq!(loose.0.lock().unwrap().shown, ["1", "2", "ready"]);
        assert_eq!((screen.retry_at(), screen.wrong()), (None, None));
    }

    #[test]
    fn an_indicator_that_breaks_while_nothing_is_shown_is_told_until_it_is_back() {
        let loose = Loose::default();
        let mut screen = Persistent::new("screen", Box::new(loose.clone()));
        loose.0.lock().unwrap().works = true;
        screen.show(Status::Ready);
        for unplugged in [false, true, false] {
            loose.0.lock().unwrap().unplugged = unplugged;
            screen.flush(Instant::now());
            assert_eq!(screen.wrong(), unplugged.then_some("unplugged"));
        }
    }

    #[test]
    fn a_dead_indicator_costs_bounded_memory() {
        let mut screen = Persistent::new("screen", Box::new(Loose::default()));
        (0..MOST_UNSHOWN * 2).for_each(|index| screen.show(fault(index)));
        assert_eq!(screen.unshown.len(), MOST_UNSHOWN);
        assert_eq!(screen.unshown.front(), Some(&fault(MOST_UNSHOWN)));
    }
}
