//! The thread that makes lamps blink.

use std::io;
use std::time::{Duration, Instant};

use super::board::Board;
use super::{Signal, lamp_test};
use crate::config::{LampColour, Lamps};
use crate::retry::Retry;
use crate::show::attended::{Attended, Mailbox};
use crate::show::{Indicator, LedError, Leds, Status, open_leds};

/// Lamps that show the unit's status, on a thread of their own.
///
/// Lines that fail are opened again, with pauses that grow; what is wrong is told by [`Indicator::check`]. Dropped
/// without [`Status::Stopped`] before, as by a program that fails, they tell [`Signal::Dead`].
pub struct BlinkingLamps(Attended<Board>);

impl BlinkingLamps {
    /// Starts the thread, which tests the lamps and then shows what it is told. Lines that cannot be had are no error
    /// here: they may come.
    ///
    /// # Errors
    /// There is no thread.
    pub fn start(lamps: &Lamps) -> io::Result<Self> {
        let lines = lamps.lines.clone();
        Self::start_with(lines.colours(), lamps.verdict, move || open_leds(&lines))
    }

    fn start_with(
        colours: Vec<LampColour>,
        verdict: Duration,
        open: impl FnMut() -> Result<Box<dyn Leds>, LedError> + Send + 'static,
    ) -> io::Result<Self> {
        let board = Board::new(verdict, Instant::now());
        Attended::start("lamps", board, move |mailbox| blink(mailbox, &colours, Lines::new(open))).map(Self)
    }
}

impl Indicator for BlinkingLamps {
    fn show(&mut self, status: &Status) -> io::Result<()> {
        self.0.tell(|board| board.tell(status, Instant::now()));
        Ok(())
    }

    fn check(&mut self) -> io::Result<()> {
        self.0.check()
    }
}

/// Lines that may fail and come back.
struct Lines<F> {
    open: F,
    leds: Option<Box<dyn Leds>>,
    /// When they could first be had.
    opened: Option<Instant>,
    lit: Vec<bool>,
    retry: Retry,
    wrong: Option<String>,
}

impl<F: FnMut() -> Result<Box<dyn Leds>, LedError>> Lines<F> {
    fn new(open: F) -> Self {
        Self { open, leds: None, opened: None, lit: Vec::new(), retry: Retry::default(), wrong: None }
    }

    /// Opens them, if they are not and it is time to try.
    fn open(&mut self, now: Instant) {
        if self.leds.is_some() || !self.retry.is_due(now) {
            return;
        }
        match (self.open)() {
            Ok(leds) => {
                self.leds = Some(leds);
                self.opened.get_or_insert(now);
                self.lit.clear();
            }
            Err(error) => self.failed(&error),
        }
    }

    fn set(&mut self, lit: &[bool]) {
        let Some(leds) = self.leds.as_mut().filter(|_| self.lit != lit) else { return };
        match leds.set(lit) {
            Ok(()) => {
                self.lit = lit.to_vec();
                self.retry.succeeded();
                self.wrong = None;
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &LedError) {
        self.leds = None;
        self.retry.failed(Instant::now());
        self.wrong = Some(error.to_string());
    }
}

/// Shows what the mailbox holds, until it ends.
fn blink<F: FnMut() -> Result<Box<dyn Leds>, LedError>>(
    mailbox: &Mailbox<Board>,
    colours: &[LampColour],
    mut lines: Lines<F>,
) {
    loop {
        lines.open(Instant::now());
        let now = Instant::now();
        let ((mut shown, ends), seen) = mailbox.read(|board| (board.shown(now), board.changes_at(now)));
        let ended = seen.ended;
        if ended && shown.signal != Signal::Stopped {
            shown.signal = Signal::Dead;
        }
        let test = lines.opened.filter(|_| !ended).and_then(|began| {
            let (lit, next) = lamp_test(now.saturating_duration_since(began), colours.len())?;
            Some((lit, began.checked_add(next)))
        });
        let (lit, changes) = test.unwrap_or_else(|| {
            let at = now.saturating_duration_since(shown.since);
            let next = shown.signal.pattern().next_change(at);
            (shown.signal.lit(at, colours), next.and_then(|next| shown.since.checked_add(next)))
        });
        lines.set(&lit);
        if ended {
            return;
        }
        mailbox.report(lines.wrong.clone());
        let retry = lines.retry.at().filter(|_| lines.leds.is_none());
        mailbox.wait(seen, [changes, ends, retry].into_iter().flatten().min());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::config::{GpioChip, GpioLine, GpioOffset};
    use crate::gpio::GpioError;

    const LONG: Duration = Duration::from_secs(60);

    /// Tells the test what is lit; fails when the test no longer listens.
    struct Told(Sender<Vec<bool>>);

    fn gone() -> LedError {
        let chip = GpioChip::Label("bank".into());
        GpioError::NoLine(GpioLine { chip, line: GpioOffset::Number(3), active_low: false }).into()
    }

    impl Leds for Told {
        fn set(&mut self, lit: &[bool]) -> Result<(), LedError> {
            self.0.send(lit.to_vec()).map_err(|_| gone())
        }
    }

    fn start() -> (BlinkingLamps, Receiver<Vec<bool>>) {
        let (sender, told) = channel();
        let open = move || Ok(Box::new(Told(sender.clone())) as Box<dyn Leds>);
        (BlinkingLamps::start_with(LampColour::ALL.to_vec(), LONG, open).unwrap(), told)
    }

    fn next(told: &Receiver<Vec<bool>>) -> Vec<bool> {
        told.recv_timeout(LONG).unwrap()
    }

    #[test]
    fn the_lamps_are_tested_then_show_what_they_are_told_and_dark_when_the_unit_was_stopped() {
        let (mut lamps, told) = start();
        let test = [[true, false, false], [false, true, false], [false, false, true], [true, true, true]];
        for lit in test {
            assert_eq!(next(&told), lit);
        }
        assert_eq!(next(&told), [false; 3], "nothing was told yet");
        lamps.show(&Status::Fault { wrong: String::new(), advice: "" }).unwrap();
        for _ in 0..2 {
            assert_eq!(next(&told), [false, false, true]);
            assert_eq!(next(&told), [false; 3]);
        }
        assert!(lamps.check().is_ok());
        assert_eq!(next(&told), [false, false, true]);
        lamps.show(&Status::Stopped).unwrap();
        drop(lamps);
        assert_eq!(told.iter().last(), Some(vec![false; 3]));
    }

    #[test]
    fn a_program_that_ends_without_being_told_to_leaves_all_lamps_lit() {
        let (mut lamps, told) = start();
        lamps.show(&Status::Ready).unwrap();
        next(&told);
        drop(lamps);
        assert_eq!(told.iter().last(), Some(vec![true; 3]));
    }

    #[test]
    fn lines_that_are_gone_are_told_and_taken_up_again_when_they_are_back() {
        let (asked, tries) = channel();
        let (answer, answers) = channel::<Option<Sender<Vec<bool>>>>();
        let open = move || {
            asked.send(()).unwrap();
            match answers.recv().unwrap() {
                Some(sender) => Ok(Box::new(Told(sender)) as Box<dyn Leds>),
                None => Err(gone()),
            }
        };
        let mut lamps = BlinkingLamps::start_with(vec![LampColour::Red], LONG, open).unwrap();
        lamps.show(&Status::Ready).unwrap();
        let wait_for_a_try = || tries.recv_timeout(LONG).unwrap();
        wait_for_a_try();
        answer.send(None).unwrap();
        // When it tries again it has told what was wrong.
        wait_for_a_try();
        assert_eq!(lamps.check().unwrap_err().to_string(), "there is no line 3 of chip \"bank\" (see: gpioinfo)");
        let (sender, told) = channel();
        answer.send(Some(sender)).unwrap();
        next(&told);
        // Pulled out while it blinks.
        drop(told);
        wait_for_a_try();
        assert!(lamps.check().is_err());
        let (sender, told) = channel();
        answer.send(Some(sender)).unwrap();
        next(&told);
        next(&told);
        assert!(lamps.check().is_ok());
        // Whoever waits for an answer must not wait for ever.
        drop(answer);
    }
}
