//! An indicator with a thread of its own: the daemon's loop leaves word for it and goes on.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

/// What the loop leaves for the thread, and the thread for the loop; only the latest of each.
pub(super) struct Mailbox<T> {
    letters: Mutex<Letters<T>>,
    changed: Condvar,
}

struct Letters<T> {
    told: T,
    /// Counts what was told, so that the thread sleeps over none of it.
    news: u64,
    ended: bool,
    wrong: Option<String>,
}

/// How far a thread has read its mailbox.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    news: u64,
    /// Nothing more will come: the thread does its last work and ends.
    pub(super) ended: bool,
}

impl<T> Mailbox<T> {
    fn lock(&self) -> MutexGuard<'_, Letters<T>> {
        // Each change is whole: what a thread that panicked left behind can be used.
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was told, as `look` sees it. The mailbox is locked only so long.
    pub(super) fn read<R>(&self, look: impl FnOnce(&T) -> R) -> (R, Seen) {
        let letters = self.lock();
        (look(&letters.told), Seen { news: letters.news, ended: letters.ended })
    }

    /// Tells the loop what is wrong, or that nothing is.
    pub(super) fn report(&self, wrong: Option<String>) {
        self.lock().wrong = wrong;
    }

    /// Sleeps until `at`, or until more was told than was `seen`; without `at`, until then alone.
    pub(super) fn wait(&self, seen: Seen, at: Option<Instant>) {
        let letters = self.lock();
        if letters.news == seen.news && letters.ended == seen.ended {
            // Waking up too soon does no harm.
            match at.map(|at| at.saturating_duration_since(Instant::now())) {
                Some(patience) => drop(self.changed.wait_timeout(letters, patience)),
                None => drop(self.changed.wait(letters)),
            }
        }
    }
}

/// The loop's end of the thread.
pub(super) struct Attended<T> {
    mailbox: Arc<Mailbox<T>>,
    /// Absent while it is dropped.
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Attended<T> {
    /// Starts the thread `name`, which runs `attend` until the mailbox says that it has ended.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start(name: &str, told: T, attend: impl FnOnce(&Mailbox<T>) + Send + 'static) -> io::Result<Self> {
        let letters = Mutex::new(Letters { told, news: 0, ended: false, wrong: None });
        let mailbox = Arc::new(Mailbox { letters, changed: Condvar::new() });
        let theirs = Arc::clone(&mailbox);
        let thread = Builder::new().name(name.to_owned()).spawn(move || attend(&theirs))?;
        Ok(Self { mailbox, thread: Some(thread) })
    }

    /// Leaves word.
    pub(super) fn tell(&self, change: impl FnOnce(&mut T)) {
        let mut letters = self.mailbox.lock();
        change(&mut letters.told);
        letters.news = letters.news.wrapping_add(1);
        self.mailbox.changed.notify_all();
    }

    /// As [`super::Indicator::check`].
    ///
    /// # Errors
    /// What the thread has reported, or that it has died.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err(io::Error::other("its thread has ended; restart the unit"));
        }
        self.mailbox.lock().wrong.clone().map_or(Ok(()), |wrong| Err(io::Error::other(wrong)))
    }
}

impl<T> Drop for Attended<T> {
    fn drop(&mut self) {
        self.mailbox.lock().ended = true;
        self.mailbox.changed.notify_all();
        // So that the indicator's last word is heard. If the thread panicked there is nobody left to tell.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
