//! The thread that attends a camera: waits for orders or looks for a new film, takes it, and comes back to a camera that
//! was pulled. It works on any [`Source`].

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::error::CameraError;
use super::frame::GreyFrame;
use super::order::{Order, Trigger};
use super::still::{StillFilm, Thumbnail};
use super::stream::{SLICE, Source, Taking, grey, next, one_frame, settled};
use crate::retry::Retry;

/// How often it is looked whether a camera that has nothing to do is still there.
const LOOK_AFTER: Duration = Duration::from_secs(2);
/// Time between two looks for a still film.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a fault stays after an order that failed: the person who gave it must see it.
const SHOWN: Duration = Duration::from_secs(5);
/// How long the end of the program waits for the thread.
const ENDING: Duration = Duration::from_secs(3);

/// Puts a film (PNG) durably into the spool and says how it is called there.
pub type Keep = Box<dyn FnMut(&[u8]) -> Result<String, String> + Send>;
/// Is told the mode of a camera that works, or what is wrong with it.
pub type Tell = Box<dyn FnMut(Result<String, String>) + Send>;

/// A camera that is attended as long as this lives.
pub struct Attended {
    trigger: Trigger,
    stop: Arc<AtomicBool>,
    ended: Receiver<()>,
}

impl Attended {
    /// Begins to attend a camera on a thread of its own.
    ///
    /// # Errors
    /// The system has no thread.
    pub fn start(source: Box<dyn Source>, taking: Taking, keep: Keep, tell: Tell) -> io::Result<Self> {
        let (trigger, orders) = Trigger::new();
        let (ending, ended) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let attendant = Attendant {
            source,
            still: taking.still.map(StillFilm::new),
            taking,
            keep,
            tell,
            orders,
            order: None,
            is_taking: Arc::clone(&trigger.taking),
            stop: Arc::clone(&stop),
            retry: Retry::default(),
            not_kept: Retry::default(),
        };
        thread::Builder::new().name("camera".into()).spawn(move || {
            attendant.run();
            // What it held is free: the state folder, the camera.
            drop(ending);
        })?;
        Ok(Self { trigger, stop, ended })
    }

    /// Orders films of this camera.
    pub fn trigger(&self) -> Trigger {
        self.trigger.clone()
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Err(RecvTimeoutError::Timeout) = self.ended.recv_timeout(ENDING) {
            log::warn!("the camera's driver does not return; its thread ends with the program");
        }
    }
}

struct Attendant {
    source: Box<dyn Source>,
    taking: Taking,
    still: Option<StillFilm>,
    keep: Keep,
    tell: Tell,
    orders: Receiver<Order>,
    /// In hand.
    order: Option<Order>,
    is_taking: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    retry: Retry,
    /// A film lies there that could not be kept.
    not_kept: Retry,
}

impl Attendant {
    fn run(mut self) {
        while !self.is_over() {
            let ended = catch_unwind(AssertUnwindSafe(|| match self.still {
                Some(_) => self.watch(),
                None => self.wait(),
            }));
            let error = match ended {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error,
                // The bindings panic where a driver answers against the rules.
                Err(panic) => CameraError::of_panic(&*panic),
            };
            let wrong = error.to_string();
            self.is_taking.store(false, Ordering::Relaxed);
            let now = Instant::now();
            self.retry.failed(now);
            let mut again = self.retry.at().unwrap_or(now);
            if let Some(order) = self.order.take() {
                order.answer(Err(wrong.clone()));
                again = again.max(now + SHOWN);
            }
            (self.tell)(Err(wrong));
            self.rest(again);
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits until it is time to try again, or somebody wants it sooner.
    fn rest(&mut self, until: Instant) {
        while !self.is_over() && self.order.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.order = self.orders.recv_timeout(left.min(SLICE)).ok();
        }
    }

    fn works(&mut self, mode: String) {
        self.retry.succeeded();
        (self.tell)(Ok(mode));
    }

    /// Takes films by order; the camera rests meanwhile.
    fn wait(&mut self) -> Result<(), CameraError> {
        if self.order.is_none() {
            let mode = self.source.check()?;
            self.works(mode);
        }
        loop {
            self.rest(Instant::now() + LOOK_AFTER);
            if self.is_over() {
                return Ok(());
            }
            if self.order.is_none() {
                self.source.is_there()?;
                continue;
            }
            self.is_taking.store(true, Ordering::Relaxed);
            let Some((frame, mode)) = one_frame(&mut *self.source, &self.taking, &self.stop)? else { return Ok(()) };
            self.take(&frame)?;
            self.works(mode);
        }
    }

    /// Takes films by order, and every new one that lies still.
    fn watch(&mut self) -> Result<(), CameraError> {
        let mut frames = self.source.open()?;
        if settled(&mut *frames, &self.taking, &self.stop)?.is_none() {
            return Ok(());
        }
        self.works(frames.mode());
        let (mut look_at, mut unusable) = (None, 0);
        while let Some(frame) = next(&mut *frames, &self.stop)? {
            self.order = self.order.take().or_else(|| self.orders.try_recv().ok());
            if self.order.is_none() && look_at.is_some_and(|look_at| frame.at < look_at) {
                continue;
            }
            let at = frame.at;
            let Some(grey) = grey(frame, &self.taking, &mut unusable)? else { continue };
            look_at = Some(at + LOOK_EVERY);
            let seen = Thumbnail::of(&grey, &self.taking.view);
            let is_new = self.still.as_mut().is_some_and(|still| still.look(seen));
            let taken = if self.order.is_some() || is_new { self.take(&grey) } else { Ok(()) };
            match taken {
                Ok(()) if self.not_kept.is_failing() => {
                    // It was kept after all, or it was taken away.
                    self.not_kept.succeeded();
                    self.works(frames.mode());
                }
                Ok(()) => {}
                // The camera is well, so it goes on looking; the film is told again by its next look.
                Err(error @ CameraError::NotKept(_)) if self.order.is_none() => {
                    let now = Instant::now();
                    self.not_kept.failed(now);
                    look_at = self.not_kept.at().map(|again| at + again.saturating_duration_since(now));
                    self.still.iter_mut().for_each(StillFilm::failed);
                    (self.tell)(Err(error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes a film of a frame, keeps it, and answers the order in hand. An error leaves the order there.
    fn take(&mut self, frame: &GreyFrame) -> Result<(), CameraError> {
        self.is_taking.store(true, Ordering::Relaxed);
        let png = self.taking.view.film(frame).png();
        let kept = png.map_err(CameraError::from).and_then(|png| (self.keep)(&png).map_err(CameraError::NotKept));
        self.is_taking.store(false, Ordering::Relaxed);
        let digest = kept?;
        log::info!("film {digest} came from the camera");
        self.still.iter_mut().for_each(StillFilm::took);
        if let Some(order) = self.order.take() {
            order.answer(Ok(digest));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
