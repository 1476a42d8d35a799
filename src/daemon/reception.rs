//! The daemon's end of the DICOM listener: what a peer has sent lands in the spool and is told to the loop.

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
    pub(super) min_free: AtomicU64,
    pub(super) max_bytes: AtomicU64,
}

impl Bounds {
    pub(super) fn new(config: &Config) -> Arc<Self> {
        let bounds = Self { min_free: AtomicU64::new(0), max_bytes: AtomicU64::new(0) };
        bounds.set(config);
        Arc::new(bounds)
    }

    /// Bytes that must stay free on the disc.
    pub(super) fn max_bytes(&self) -> u64 {
        self.max_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn min_free(&self) -> u64 {
        self.min_free.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, config: &Config) {
        self.min_free.store(config.min_free, Ordering::Relaxed);
        self.max_bytes.store(config.limits.max_bytes, Ordering::Relaxed);
    }
}

/// Starts the listener, if the configuration names one.
pub(super) fn start(
    config: &Config,
    bounds: &Arc<Bounds>,
    landing: Landing,
    sender: &SyncSender<Event>,
) -> io::Result<Option<Listener>> {
    let Some(dicom) = config.dicom.clone() else { return Ok(None) };
    let listen = dicom.listen;
    let landing = Desk { landing, bounds: Arc::clone(bounds), sender: sender.clone() };
    let sender = sender.clone();
    let tell = move |listening: Result<_, io::Error>| {
        let told = listening.map_err(|error| format!("no DICOM can be received at {listen}: {error}"));
        // Nobody listens any more when the daemon has ended.
        let _ = sender.send(Event::Listening(told));
    };
    Listener::start(dicom, &TRANSFER_SYNTAXES, landing, Box::new(tell)).map(Some)
}

struct Desk {
    landing: Landing,
    bounds: Arc<Bounds>,
    sender: SyncSender<Event>,
}

struct Received<'d> {
    film: Landed<'d>,
    sender: &'d SyncSender<Event>,
}

impl dicom_scp::Landing for Desk {
    fn begin(&self) -> io::Result<Box<dyn dicom_scp::Object + '_>> {
        let (min_free, max_bytes) = (&self.bounds.min_free, &self.bounds.max_bytes);
        let film = self.landing.begin(min_free.load(Ordering::Relaxed), max_bytes.load(Ordering::Relaxed))?;
        Ok(Box::new(Received { film, sender: &self.sender }))
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
        let Self { film, sender } = *self;
        let (event, kept) = match film.keep(NAME) {
            Ok(film) => (Event::Received(film), Ok(())),
            Err(error @ SpoolError::Unsynced { .. }) => {
                let told = io::Error::other("the disc could not be synced");
                (Event::Unsynced(error), Err(told))
            }
            Err(error) => return Err(io::Error::other(error.to_string())),
        };
        // A full channel makes the peer wait. When the daemon has ended, the next start finds the film.
        let _ = sender.send(event);
        kept
    }
}
