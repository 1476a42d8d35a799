//! A button on a GPIO line, which orders a film.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use gpiocdev::line::{Bias, EdgeDetection, EdgeEvent};
use gpiocdev::request::Request;

use crate::config::GpioLine;
use crate::gpio;
use crate::retry::Retry;

/// A contact chatters for less than this; the kernel waits for it to be steady.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// A finger is slower than this: what comes sooner after a press is the same press.
const APART: Duration = Duration::from_millis(400);
/// How often the thread asks whether it should end.
const SLICE: Duration = Duration::from_millis(250);
/// How long the end of the program waits for the thread.
const ENDING: Duration = Duration::from_secs(1);

/// Called at each press.
pub type Press = Box<dyn FnMut() + Send>;
/// Is told when the line can be had, or why not.
pub type Tell = Box<dyn FnMut(Result<(), String>) + Send>;

/// A button that is watched as long as this lives.
pub struct Button {
    stop: Arc<AtomicBool>,
    ended: Receiver<()>,
}

impl Button {
    /// Begins to watch a button on a thread of its own. A line that cannot be had is told and tried again.
    ///
    /// # Errors
    /// The system has no thread.
    pub fn start(line: GpioLine, mut press: Press, mut tell: Tell) -> io::Result<Self> {
        let (ending, ended) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&stop);
        thread::Builder::new().name("button".into()).spawn(move || {
            let mut retry = Retry::default();
            while !watched.load(Ordering::Relaxed) {
                if !retry.is_due(Instant::now()) {
                    thread::park_timeout(SLICE);
                    continue;
                }
                if let Err(wrong) = watch(&line, &watched, &mut retry, &mut press, &mut tell) {
                    tell(Err(wrong));
                    retry.failed(Instant::now());
                }
            }
            drop(ending);
        })?;
        Ok(Self { stop, ended })
    }
}

impl Drop for Button {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It waits for nothing longer than a slice.
        let _ = self.ended.recv_timeout(ENDING);
    }
}

fn watch(
    line: &GpioLine,
    stop: &AtomicBool,
    retry: &mut Retry,
    press: &mut Press,
    tell: &mut Tell,
) -> Result<(), String> {
    let failed = |error: gpiocdev::Error| format!("{line} does not work: {error}");
    let request: Request = gpio::request(line, |builder| {
        // What a button does not hold must be held by the board.
        let bias = if line.active_low { Bias::PullUp } else { Bias::PullDown };
        builder.with_edge_detection(EdgeDetection::RisingEdge).with_debounce_period(DEBOUNCE).with_bias(bias);
    })
    .map_err(|error| error.to_string())?;
    tell(Ok(()));
    retry.succeeded();
    let mut presses = Presses::default();
    while !stop.load(Ordering::Relaxed) {
        if request.wait_edge_event(SLICE).map_err(failed)? {
            let EdgeEvent { timestamp_ns, .. } = request.read_edge_event().map_err(failed)?;
            if presses.is_new(Duration::from_nanos(timestamp_ns)) {
                press();
            }
        }
    }
    Ok(())
}

/// Tells presses from what is left of chatter. Pure.
#[derive(Debug, Default)]
struct Presses {
    last: Option<Duration>,
}

impl Presses {
    /// Whether an edge at this time of the kernel's clock is a new press.
    fn is_new(&mut self, at: Duration) -> bool {
        let is_new = self.last.is_none_or(|last| at.saturating_sub(last) >= APART);
        // Also after what was none: a contact that goes on chattering is one press.
        self.last = Some(at);
        is_new
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::config::{GpioChip, GpioOffset};

    #[test]
    fn a_press_is_new_when_the_contact_was_quiet_before_it() {
        let mut presses = Presses::default();
        let told = [0, 30, 60, 420, 461, 900, 1_299, 1_699].map(|at| presses.is_new(Duration::from_millis(at)));
        assert_eq!(told, [true, false, false, false, false, true, false, true]);
    }

    #[test]
    fn a_line_that_cannot_be_had_is_told_and_the_thread_ends_all_the_same() {
        let (sender, told) = channel();
        let chip = GpioChip::Label("no such chip".into());
        let line = GpioLine { chip, line: GpioOffset::Number(0), active_low: true };
        let tell = move |works| drop(sender.send(works));
        let button = Button::start(line, Box::new(|| panic!("nobody pressed")), Box::new(tell)).unwrap();
        assert!(told.recv().unwrap().unwrap_err().contains("no such chip"));
        drop(button);
        assert!(told.iter().all(|works| works.is_err()), "the thread has dropped its end");
    }
}
