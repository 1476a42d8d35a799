//! Where films come in otherwise than through the inbox: they land in the spool and are told to the loop. And the
//! daemon's end of the DICOM listener, whose films do so.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use super::Event;
use crate::config::Config;
use crate::decode::dicom::TRANSFER_SYNTAXES;
use crate::intake::dicom_scp::{self, Listener};
use crate::spool::{Landed, Landing, SpoolError};

/// What films are called that came over the network: nothing that a peer says names a file.
pub const NAME: &str = "c-store.dcm";

/// What a reread configuration may change while peers are sending.
#[derive(Debug)]
pub(super) struct Bounds {
    min_free: AtomicU64,
    max_bytes: AtomicU64,
}

impl Bounds {
    pub(super) fn new(config: &Config) -> Arc<Self> {
        let bounds = Self { min_free: AtomicU64::new(0), max_bytes: AtomicU64::new(0) };
        bounds.set(config);
        Arc::new(bounds)
    }

    /// Bytes that must stay free on the disc.
    pub(super) fn min_free(&self) -> u64 {
        self.min_free.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, config: &Config) {
        self.min_free.store(config.min_free, Ordering::Relaxed);
        self.max_bytes.store(config.limits.max_bytes, Ordering::Relaxed);
    }
}

/// Where films land, whoever brings them.
pub(super) struct Desk {
    landing: Landing,
    bounds: Arc<Bounds>,
    sender: SyncSender<Event>,
}

/// A film that was not kept, in words that may name folders of this machine.
pub(super) enum Unkept {
    /// Nor will any other be, before a new start.
    Unsynced(String),
    /// This one alone.
    Failed(String),
}

impl Unkept {
    pub(super) fn into_words(self) -> String {
        let (Self::Unsynced(words) | Self::Failed(words)) = self;
        words
    }
}

impl Desk {
    pub(super) fn new(landing: Landing, bounds: &Arc<Bounds>, sender: &SyncSender<Event>) -> Self {
        Self { landing, bounds: Arc::clone(bounds), sender: sender.clone() }
    }

    /// A film of as many bytes as the site takes, to be written into.
    pub(super) fn begin(&self) -> io::Result<Landed<'_>> {
        self.landing.begin(self.bounds.min_free(), self.bounds.max_bytes.load(Ordering::Relaxed))
    }

    /// Makes a film durable under a name and tells the loop; the first digits of its digest.
    pub(super) fn keep(&self, film: Landed<'_>, name: &str) -> Result<String, Unkept> {
        let (event, kept) = match film.keep(name) {
            Ok(film) => {
                let digest = film.short_digest().to_owned();
                (Event::Received(film), Ok(digest))
            }
            Err(error @ SpoolError::Unsynced { .. }) => {
                let words = error.to_string();
                (Event::Unsynced(error), Err(Unkept::Unsynced(words)))
            }
            Err(error) => return Err(Unkept::Failed(error.to_string())),
        };
        // A full channel makes whoever brings films wait. When the daemon has ended, the next start finds the film.
        let _ = self.sender.send(event);
        kept
    }
}

/// Starts the listener, if the configuration names one.
pub(super) fn start(config: &Config, desk: Desk) -> io::Result<Option<Listener>> {
    let Some(dicom) = config.dicom.clone() else { return Ok(None) };
    let listen = dicom.listen;
    let sender = desk.sender.clone();
    let tell = move |listening: Result<_, io::Error>| {
        let told = listening.map_err(|error| format!("no DICOM can be received at {listen}: {error}"));
        // Nobody listens any more when the daemon has ended.
        let _ = sender.send(Event::Listening(told));
    };
    Listener::start(dicom, &TRANSFER_SYNTAXES, desk, Box::new(tell)).map(Some)
}

struct Received<'d> {
    film: Landed<'d>,
    desk: &'d Desk,
}

impl dicom_scp::Landing for Desk {
    fn begin(&self) -> io::Result<Box<dyn dicom_scp::Object + '_>> {
        Ok(Box::new(Received { film: Desk::begin(self)?, desk: self }))
    }
}

impl Write for Received<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.film.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.film.flush()
    }
}

impl dicom_scp::Object for Received<'_> {
    fn keep(self: Box<Self>) -> io::Result<()> {
        let Self { film, desk } = *self;
        match desk.keep(film, NAME) {
            Ok(_) => Ok(()),
            // The peer need not know this unit's folders.
            Err(Unkept::Unsynced(_)) => Err(io::Error::other("the disc could not be synced")),
            Err(Unkept::Failed(words)) => Err(io::Error::other(words)),
        }
    }
}
