//! A DICOM storage SCP: X-ray units and archives send films here. Off unless the site's configuration names it.
//!
//! Threads: `dicom-accept` and one `dicom-N` for each association, of which there are at most so many as configured;
//! who comes then is told to come again. An object is streamed to where it lands and answered with Success only when
//! [`Object::keep`] has made it durable. Nothing that a peer says becomes a part of a path.

mod association;
mod storing;
pub mod wire;

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Scope};
use std::time::{Duration, Instant};

use dicom_dictionary_std::uids;
use dicom_ul::pdu::{
    AssociationRJ, AssociationRJResult, AssociationRJServiceProviderPresentationReason, AssociationRJSource, Pdu,
};
use rustls::ServerConfig;
use thiserror::Error;

pub use association::serve;
use wire::{Patient, part, secure, send};

use crate::config::Dicom;
use crate::retry::Retry;
use crate::tls;

/// The storage classes that are taken, with their names.
pub const STORAGE_CLASSES: [(&str, &str); 7] = [
    (uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE, "Computed Radiography Image"),
    (uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION, "Digital X-Ray Image, for presentation"),
    (uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PROCESSING, "Digital X-Ray Image, for processing"),
    (uids::SECONDARY_CAPTURE_IMAGE_STORAGE, "Secondary Capture Image"),
    (uids::MULTI_FRAME_GRAYSCALE_BYTE_SECONDARY_CAPTURE_IMAGE_STORAGE, "Multi-frame Grayscale Byte SC Image"),
    (uids::MULTI_FRAME_GRAYSCALE_WORD_SECONDARY_CAPTURE_IMAGE_STORAGE, "Multi-frame Grayscale Word SC Image"),
    (uids::MULTI_FRAME_TRUE_COLOR_SECONDARY_CAPTURE_IMAGE_STORAGE, "Multi-frame True Color SC Image"),
];

/// Stack of an association's thread, bytes: PDUs and objects lie on the heap and the disc.
const STACK: usize = 256 << 10;

/// Takes objects to where no crash loses them.
pub trait Landing: Send + Sync {
    /// Begins an object.
    ///
    /// # Errors
    /// There is no room for it; the text goes to the peer.
    fn begin(&self) -> io::Result<Box<dyn Object + '_>>;
}

/// An object that is landing. Dropped without [`Object::keep`] it leaves nothing.
pub trait Object: Write {
    /// Makes it durable and hands it over. Only after this the peer may be told Success.
    ///
    /// # Errors
    /// It is not durable; the text goes to the peer. `FileTooLarge`, here and in `write`, says that it never will be.
    fn keep(self: Box<Self>) -> io::Result<()>;
}

/// What associations share.
pub struct Reception<'r> {
    /// Who may come, and how long anything may take.
    pub config: &'r Dicom,
    /// What the decoder reads.
    pub transfer_syntaxes: &'r [&'r str],
    /// Where objects land.
    pub landing: &'r dyn Landing,
}

/// Why an association ended.
#[derive(Debug, Error)]
pub enum Ended {
    /// As it should.
    #[error("released")]
    Released,
    /// The peer aborted it.
    #[error("aborted by the peer")]
    Aborted,
    /// The peer closed the connection without a word.
    #[error("closed by the peer")]
    Closed,
    /// The peer may not speak to this unit.
    #[error("rejected: {0}")]
    Rejected(String),
    /// No TLS was agreed on.
    #[error("the peer did not prove who it is: {0}")]
    Unproven(io::Error),
    /// The peer does not speak DICOM as agreed.
    #[error("ended by this unit: {0}")]
    Malformed(&'static str),
    /// The connection failed, or waiting for it took too long.
    #[error("the connection failed: {0}")]
    Connection(#[from] io::Error),
}

/// What the listener tells whoever started it.
pub type Tell = dyn Fn(Result<SocketAddr, io::Error>) + Send + Sync;

/// A listener on threads of its own; dropped, it ends every association and returns when their threads have ended.
pub struct Listener {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    config: Dicom,
    stopping: AtomicBool,
    /// Where it listens, when it does.
    address: Mutex<Option<SocketAddr>>,
    /// The connection of each association, so that it can be ended from outside.
    slots: Mutex<Vec<Option<TcpStream>>>,
}

impl Listener {
    /// Starts listening and goes on trying where that fails; `tell` hears of each change.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(
        config: Dicom,
        transfer_syntaxes: &'static [&'static str],
        landing: impl Landing + 'static,
        tell: Box<Tell>,
    ) -> io::Result<Self> {
        let slots = Mutex::new((0..config.max_associations).map(|_| None).collect());
        let shared = Arc::new(Shared { config, stopping: AtomicBool::new(false), address: Mutex::new(None), slots });
        let for_thread = Arc::clone(&shared);
        let thread = thread::Builder::new().name("dicom-accept".into()).spawn(move || {
            let shared = for_thread;
            let reception = Reception { config: &shared.config, transfer_syntaxes, landing: &landing };
            let mut retry = Retry::default();
            while !shared.stopping.load(Ordering::SeqCst) {
                match shared.open() {
                    Ok((listener, address, tls)) => {
                        retry.succeeded();
                        *lock(&shared.address) = Some(address);
                        tell(Ok(address));
                        let desk = Desk { reception: &reception, tls: tls.as_ref() };
                        thread::scope(|scope| shared.accept(&listener, desk, scope));
                    }
                    Err(error) => {
                        if !retry.is_failing() {
                            tell(Err(error));
                        }
                        retry.failed(Instant::now());
                        let wait = retry.at().map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()));
                        thread::park_timeout(wait);
                    }
                }
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        if let Some(mut address) = *lock(&self.shared.address) {
            // Wakes the thread that accepts.
            if address.ip().is_unspecified() {
                let v4 = address.is_ipv4();
                address.set_ip(if v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
            }
            drop(TcpStream::connect_timeout(&address, Duration::from_secs(1)));
        }
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic on it was told of when it happened.
            let _ = thread.join();
        }
    }
}

/// What every association is served with.
#[derive(Clone, Copy)]
struct Desk<'d> {
    reception: &'d Reception<'d>,
    tls: Option<&'d Arc<ServerConfig>>,
}

impl Desk<'_> {
    fn serve(self, socket: TcpStream) -> (u32, Ended) {
        let Some(tls) = self.tls else { return serve(&mut Patient::new(socket), self.reception) };
        let time = self.reception.config.read;
        match secure(socket, tls, time) {
            Ok(mut wire) => {
                let served = serve(&mut wire, self.reception);
                part(&mut wire, time);
                served
            }
            Err(ended) => (0, ended),
        }
    }
}

impl Shared {
    /// The socket, where it listens, and what is shown on it.
    fn open(&self) -> io::Result<(TcpListener, SocketAddr, Option<Arc<ServerConfig>>)> {
        let tls = self.config.tls.as_ref().map(tls::server).transpose().map_err(io::Error::other)?;
        let listener = TcpListener::bind(self.config.listen)?;
        let address = listener.local_addr()?;
        Ok((listener, address, tls))
    }

    /// Accepts until it is told to stop.
    fn accept<'s>(&'s self, listener: &TcpListener, desk: Desk<'s>, scope: &'s Scope<'s, '_>) {
        loop {
            let accepted = listener.accept();
            if self.stopping.load(Ordering::SeqCst) {
                break;
            }
            match accepted {
                Ok((socket, peer)) => self.begin(socket, peer, desk, scope),
                Err(error) => {
                    log::warn!("a DICOM connection cannot be accepted: {error}");
                    // Too many open files, mostly; accepting at once again would only spin.
                    thread::park_timeout(Duration::from_millis(100));
                }
            }
        }
        for socket in lock(&self.slots).iter().flatten() {
            // It may have ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Gives a connection a thread of its own, if the peer may come and a place is free.
    fn begin<'s>(&'s self, socket: TcpStream, peer: SocketAddr, desk: Desk<'s>, scope: &'s Scope<'s, '_>) {
        let ip = peer.ip().to_canonical();
        if !self.config.peers.contains(&ip) {
            log::warn!("a DICOM connection from {ip}, which `dicom.peers` does not name, is closed");
            return;
        }
        let Some(slot) = self.take_slot(&socket) else {
            log::warn!("a DICOM connection from {ip} is told to come again: all associations are taken");
            // Under TLS there is nothing to say before both sides have proved themselves.
            return if desk.tls.is_none() {
                turn_away(socket)
            };
        };
        let name = format!("dicom-{}", slot + 1);
        let spawned = thread::Builder::new().name(name).stack_size(STACK).spawn_scoped(scope, move || {
            // PDUs are parsed by other people's code: a panic in it must cost one association.
            let served = catch_unwind(AssertUnwindSafe(|| desk.serve(socket)));
            match served {
                Ok((stored, ended)) => log::info!("a DICOM association with {ip}: {stored} objects stored, {ended}"),
                Err(_) => log::error!("a DICOM association with {ip} ended in a panic"),
            }
            if let Some(slot) = lock(&self.slots).get_mut(slot) {
                *slot = None;
            }
        });
        if let Err(error) = spawned {
            log::error!("there is no thread for a DICOM association: {error}");
            if let Some(slot) = lock(&self.slots).get_mut(slot) {
                *slot = None;
            }
        }
    }

    fn take_slot(&self, socket: &TcpStream) -> Option<usize> {
        let handle = socket.try_clone().ok()?;
        let mut slots = lock(&self.slots);
        let (number, slot) = slots.iter_mut().enumerate().find(|(_, slot)| slot.is_none())?;
        *slot = Some(handle);
        Some(number)
    }
}

/// Tells a peer that all places are taken, without waiting for anything from it.
fn turn_away(socket: TcpStream) {
    let reason = AssociationRJServiceProviderPresentationReason::LocalLimitExceeded;
    let source = AssociationRJSource::ServiceProviderPresentation(reason);
    let rejection = Pdu::AssociationRJ(AssociationRJ { result: AssociationRJResult::Transient, source });
    // It fits into the system's buffer; a peer that does not take it is turned away all the same.
    let _ = send(&mut Patient::new(socket), &rejection, Duration::from_millis(100));
}

/// The value, also after a thread that held it has panicked: each of these is whole at any time.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
