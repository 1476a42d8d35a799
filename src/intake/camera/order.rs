//! Orders for a film, and their answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// How long somebody who orders a film waits for it: opening, settling, a frame, the disc.
const ANSWER: Duration = Duration::from_secs(60);

/// The first digits of the film's digest, or why there is none.
type Answer = Result<String, String>;

/// Somebody wants a film.
pub(super) struct Order(Option<SyncSender<Answer>>);

impl Order {
    pub(super) fn answer(self, answer: Answer) {
        if let Some(answers) = self.0 {
            // Who does not wait any more need not know.
            let _ = answers.try_send(answer);
        }
    }
}

/// Orders films. Any number of threads may.
#[derive(Clone)]
pub struct Trigger {
    orders: SyncSender<Order>,
    /// A film is being taken.
    pub(super) taking: Arc<AtomicBool>,
}

impl Trigger {
    /// And where its orders arrive, one at a time.
    pub(super) fn new() -> (Self, Receiver<Order>) {
        let (orders, ordered) = sync_channel(1);
        (Self { orders, taking: Arc::default() }, ordered)
    }

    /// Takes a film and waits until it is durably in the spool: the first digits of its digest.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn take(&self) -> Result<String, String> {
        let (answers, answer) = sync_channel(1);
        match self.orders.try_send(Order(Some(answers))) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err("another film is being taken; try again after it".into()),
            Err(TrySendError::Disconnected(_)) => return Err("the unit is ending".into()),
        }
        answer.recv_timeout(ANSWER).unwrap_or_else(|error| {
            Err(match error {
                RecvTimeoutError::Timeout => format!("the camera has not answered for {} s", ANSWER.as_secs()),
                RecvTimeoutError::Disconnected => "the unit is ending".into(),
            })
        })
    }

    /// Takes a film, unless one is being taken: whoever presses a button again does not want two.
    pub fn press(&self) {
        if self.taking.swap(true, Ordering::Relaxed) || self.orders.try_send(Order(None)).is_err() {
            log::info!("the button was pressed while a film is being taken");
        }
    }
}
