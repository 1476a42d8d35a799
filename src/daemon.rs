//! The whole road as one loop: inbox, spool, reading, journal, indicator, archive.
//!
//! The loop owns every piece of state. Other threads (inotify's, the one that waits for signals) only send it
//! events through one bounded channel. A film goes down the whole road before the next one is taken.

mod attention;
pub mod camera;
mod reception;
mod reconfiguring;
mod road;
mod stick;
mod telling;
mod tidying;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::choose::Chosen;
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::control::{Answer, Request, Server};
use crate::drift;
use crate::fault;
use crate::health::{LastReading, Sensors, Service, SharedVitals};
use crate::intake::camera::error::CameraError;
use crate::intake::camera::order::Trigger;
use crate::intake::dicom_scp::Listener;
use crate::intake::folder::{Change, Folder};
use crate::journal::{self, Journal, JournalError};
use crate::model::Manifest;
use crate::outbox::{Outbox, OutboxError};
use crate::privacy::{KeyError, PatientKey};
use crate::retry::Retry;
use crate::show::{Panel, Status};
use crate::spool::{Film, Spool, SpoolError};
use attention::Attention;
use camera::Camera;
use reception::{Bounds, Desk};
use road::{Held, InHand};
use stick::Sticks;
use telling::Part;
use tidying::Tidying;

/// Events that wait for the loop; who sends one more waits until there is room.
const MOST_EVENTS: usize = 1_024;

/// Everything that reaches the loop from other threads.
#[derive(Debug)]
enum Event {
    /// Something changed in the inbox.
    Inbox(Change),
    /// A film came over the network and is durably in the spool.
    Received(Film),
    /// The spool could not be synced for a film from the network: only a new start is safe.
    Unsynced(SpoolError),
    /// Films can be received at this address, or cannot.
    Listening(Result<SocketAddr, String>),
    /// The camera works in this mode, or does not.
    Camera(Result<String, String>),
    /// The camera's button works, or does not.
    Button(Result<(), String>),
    /// The board has another warning than before.
    Board,
    /// A stick was put in or pulled.
    Stick {
        /// It is still there.
        is_in: bool,
        /// Whether the last stick was served to its end, or why not.
        served: Result<(), String>,
    },
    /// The rows up to this one are on a stick.
    Exported(i64),
    /// A stick offers a model that is newer than what this unit has read with; in words.
    Offered {
        /// Its version.
        version: u64,
        /// What it is and where it is kept.
        model: String,
    },
    /// The configuration was read again.
    Configuration(Box<Result<Config, ConfigError>>),
    /// End after the film in hand.
    Stop,
}

/// The other threads' end of a daemon. The indicator, which runs on the loop, must not use it.
#[derive(Clone, Debug)]
pub struct Handle(SyncSender<Event>);

impl Handle {
    /// Ends the daemon after the film in hand.
    pub fn stop(&self) {
        self.send(Event::Stop);
    }

    /// Hands over a configuration that was read again. One that cannot be used is reported and changes nothing.
    pub fn reconfigure(&self, read: Result<Config, ConfigError>) {
        self.send(Event::Configuration(Box::new(read)));
    }

    fn send(&self, event: Event) {
        // Nobody receives when the daemon has ended, and then there is nothing to tell it.
        let _ = self.0.send(event);
    }
}

/// Why a daemon could not begin, or had to end.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// The state folder cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The key for hashes of patients cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Results cannot be sent.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The program knows no cameras.
    #[error(transparent)]
    Camera(#[from] CameraError),
    /// The system has no thread for a part of the unit.
    #[error("there is no thread for {part}: {source}")]
    Thread {
        /// Which part.
        part: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl DaemonError {
    fn no_thread(part: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Thread { part, source }
    }
}

/// The unit: holds its state folder, and reads films once it runs.
pub struct Daemon {
    config: Config,
    chosen: Chosen,
    spool: Spool,
    journal: Journal,
    panel: Panel,
    vitals: SharedVitals,
    service: Service,
    sender: SyncSender<Event>,
    events: Receiver<Event>,
    folder: Folder,
    look_at: Instant,
    look_retry: Retry,
    /// Something in the inbox failed since the last look at it.
    look_failed: bool,
    films: VecDeque<InHand>,
    films_retry: Retry,
    drift: drift::Window,
    bounds: Arc<Bounds>,
    key: PatientKey,
    outbox: Option<Outbox>,
    faults: BTreeMap<Part, (String, &'static str)>,
    tidying: Tidying,
    clock: Clock,
    attention: Attention,
    /// [`Status::Ready`] was the last thing to be shown.
    resting: bool,
    /// The last fields: dropped when nothing can wait for the loop any more.
    listener: Option<Listener>,
    sticks: Option<Sticks>,
    _camera: Option<Camera>,
    /// Answers programs of the same machine; dropped before what it asks.
    _control: Option<Server>,
}

impl Daemon {
    /// Takes possession of the state folder and opens the journal. A model that stands in for another one is shown
    /// as a fault until the other one works; films are read all the same.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub fn open(config: Config, chosen: Chosen, panel: Panel) -> Result<(Self, Handle), DaemonError> {
        let spool = Spool::open(&config.state)?;
        let journal = Journal::open_at_start(&config.journal(), spool.highest()?)?;
        let key = PatientKey::open(&config.state)?;
        let drift = last_readings(&journal, &chosen.model.manifest)?;
        let vitals = panel.vitals().clone();
        journal.for_each(Some(1), |row| {
            vitals.update(|vitals| vitals.last_reading = Some(LastReading::from(row)));
            Ok::<(), JournalError>(())
        })?;
        // What an earlier process took in and did not finish. If it died between recording and showing, nobody saw
        // the verdict: it is news.
        let films = spool.waiting()?.into_iter();
        let films = films.map(|film| InHand { film, reading: None, news: true, shown: false }).collect();
        let (sender, events) = sync_channel(MOST_EVENTS);
        let bounds = Bounds::new(&config);
        let camera = Camera::start(&config, Desk::new(spool.landing(), &bounds, &sender), &sender)?;
        vitals.update(|vitals| vitals.camera = config.camera.as_ref().map(|camera| camera::vitals(camera, None)));
        let control = answering(&config.state, vitals.clone(), camera.as_ref().map(Camera::trigger));
        let mut daemon = Self {
            folder: watched(&config.inbox, &sender),
            panel,
            vitals,
            service: Service::from_environment(),
            look_at: Instant::now(),
            look_retry: Retry::default(),
            look_failed: false,
            films_retry: Retry::default(),
            drift,
            bounds,
            key,
            outbox: None,
            faults: BTreeMap::new(),
            attention: Attention::new(&journal)?,
            tidying: Tidying::new(Instant::now()),
            clock: Clock::system(),
            resting: false,
            listener: None,
            sticks: None,
            _control: control,
            _camera: camera,
            sender: sender.clone(),
            config,
            chosen,
            spool,
            journal,
            events,
            films,
        };
        daemon.tell_model();
        // Whoever asks from now on is told.
        daemon.tell_vitals();
        Ok((daemon, Handle(sender)))
    }

    /// Reads films until it is told to stop.
    ///
    /// # Errors
    /// [`SpoolError::Unsynced`], after which only a new start from what is on the disc is safe. Every other
    /// failure is shown and tried again.
    pub fn run(mut self) -> Result<(), DaemonError> {
        log::info!("{} films wait in the spool", self.films.len());
        if let Some(pacs) = self.config.dicom.as_ref().and_then(|dicom| dicom.pacs.clone()) {
            let (state, journal) = (&self.config.state, self.config.journal());
            self.outbox = Some(Outbox::start(pacs, state, journal, self.config.limits, self.key.uid("unit"))?);
        }
        let desk = || Desk::new(self.spool.landing(), &self.bounds, &self.sender);
        self.sticks = Sticks::start(&self.config, self.key.unit(), desk(), &self.sender)
            .map_err(DaemonError::no_thread("USB sticks"))?;
        self.listener = reception::start(&self.config, desk()).map_err(DaemonError::no_thread("the DICOM listener"))?;
        let (bounds, sender) = (Arc::clone(&self.bounds), self.sender.clone());
        let changed = move || drop(sender.send(Event::Board));
        let min_free = move || bounds.min_free();
        let (state, vitals) = (self.config.state.clone(), self.vitals.clone());
        let _sensors = Sensors::start(fault::sys(), state, vitals, min_free, changed)
            .map_err(DaemonError::no_thread("the sensors"))?;
        self.service.ready();
        loop {
            if Instant::now() >= self.look_at {
                self.look();
            }
            let busy = match self.step() {
                Ok(busy) => busy,
                Err(error) => return Err(self.give_up(error)),
            };
            self.panel.flush(Instant::now());
            self.tell_vitals();
            let status = self.faults.values().next().map_or("reading films as they come", |(wrong, _)| wrong.as_str());
            self.service.progress(Instant::now(), status);
            let mut patience = if busy { Duration::ZERO } else { self.patience() };
            // Bounded, so that a busy inbox cannot keep films waiting.
            for _ in 0..MOST_EVENTS {
                // The daemon has a sender itself, so the only error is that nothing came.
                let Ok(event) = self.events.recv_timeout(patience) else { break };
                match self.handle(event) {
                    ControlFlow::Continue(()) => {}
                    ControlFlow::Break(None) => {
                        self.service.stopping();
                        self.show(Status::Stopped);
                        log::info!("told to stop; {} films wait in the spool", self.films.len());
                        return Ok(());
                    }
                    ControlFlow::Break(Some(error)) => return Err(self.give_up(error)),
                }
                patience = Duration::ZERO;
            }
        }
    }

    fn give_up(&mut self, error: SpoolError) -> DaemonError {
        self.show(Status::Fault { wrong: error.to_string(), advice: "the unit stops; start it again" });
        error.into()
    }

    /// Time until there is something to do without being told.
    fn patience(&self) -> Duration {
        let films_at = self.films.front().and(self.films_retry.at());
        // Films that wait come first, so tidying has to wait as well.
        let tidy_at = self.films.is_empty().then(|| self.tidying.at(&self.config.storage)).flatten();
        let next = [films_at, self.panel.retry_at(), tidy_at].into_iter().flatten().fold(self.look_at, Instant::min);
        next.saturating_duration_since(Instant::now()).min(self.service.patience())
    }

    /// Breaks when the daemon has to end: told to, or by an error.
    fn handle(&mut self, event: Event) -> ControlFlow<Option<SpoolError>> {
        match event {
            Event::Inbox(change) => self.folder.note(change),
            Event::Received(film) => {
                self.films.push_back(InHand { film, reading: None, news: false, shown: false });
            }
            Event::Unsynced(error) => return ControlFlow::Break(Some(error)),
            Event::Listening(Ok(address)) => {
                log::info!("DICOM is received at {address}");
                self.mended(Part::Listener);
            }
            Event::Listening(Err(wrong)) => {
                self.failed(Part::Listener, wrong, "check the section [dicom]; films in the inbox are read");
            }
            Event::Camera(works) => self.camera_is(works),
            Event::Button(Ok(())) => self.mended(Part::Button),
            Event::Button(Err(wrong)) => {
                let wrong = format!("the camera's button: {wrong}");
                self.failed(Part::Button, wrong, "check its wires; films are taken by: chestlight capture");
            }
            Event::Board => self.resting = false,
            Event::Stick { is_in, served } => self.stick_is(is_in, served),
            Event::Exported(last) => {
                let noted = self.journal.note(
                    journal::Event::Exported,
                    last,
                    &format!("the rows up to {last} went onto a stick"),
                );
                if let Err(error) = noted {
                    log::warn!("it is not noted that rows went onto a stick: {error}");
                }
            }
            Event::Offered { version, model } => {
                self.attention.is_offered(version, model);
                self.resting = false;
            }
            Event::Configuration(read) => {
                self.service.reloading();
                match self.reconfigure(*read) {
                    Ok(()) => log::info!("the configuration was read again and is in use"),
                    Err(error) => log::error!("the old configuration stays in use: {error}"),
                }
                self.service.ready();
            }
            Event::Stop => return ControlFlow::Break(None),
        }
        ControlFlow::Continue(())
    }

    fn look(&mut self) {
        if self.attention.look(&self.journal, &self.config.state, &self.clock.now()) {
            self.resting = false;
        }
        self.look_failed = false;
        self.look_at = Instant::now() + self.config.rescan;
        if let Err(error) = self.folder.look() {
            let wrong = format!("the inbox {} cannot be looked at: {error}", self.folder.path().display());
            self.inbox_failed(wrong, "connect or make it; the unit looks again by itself");
        }
    }

    /// Removes a film that the site does not keep. Whether there was one, or some to look for.
    fn tidy(&mut self) -> Result<bool, SpoolError> {
        match self.tidying.step(&self.config.storage, &self.spool, &mut self.journal, &self.clock) {
            Ok(busy) => {
                self.mended(Part::Tidying);
                Ok(busy)
            }
            Err(Held::Spool(error @ SpoolError::Unsynced { .. })) => Err(error),
            Err(error) => {
                self.tidying.failed();
                self.failed(
                    Part::Tidying,
                    error.to_string(),
                    "old films are not removed; check the disc of the state folder",
                );
                Ok(false)
            }
        }
    }
}

/// The last readings of a model, to be compared with its reference.
///
/// # Errors
/// [`JournalError`], when the journal cannot be read.
pub fn last_readings(journal: &Journal, model: &Manifest) -> Result<drift::Window, JournalError> {
    let mut window = drift::Window::default();
    journal.for_each(Some(drift::WINDOW as u32), |row| {
        window.add(row, &model.digest);
        Ok::<(), JournalError>(())
    })?;
    Ok(window)
}

fn watched(inbox: &Path, sender: &SyncSender<Event>) -> Folder {
    let sender = sender.clone();
    // A full channel makes inotify's thread wait; what the kernel then loses, it tells.
    Folder::new(inbox.to_owned(), move |change| drop(sender.send(Event::Inbox(change))))
}

/// Answers programs of the same machine. Without it films are read all the same.
fn answering(state: &Path, vitals: SharedVitals, camera: Option<Trigger>) -> Option<Server> {
    let respond = move |request| match request {
        Request::Status => Answer::Status { vitals: Box::new(vitals.read()) },
        Request::Capture => match camera.as_ref().map(Trigger::take) {
            Some(Ok(digest)) => Answer::Captured { digest },
            Some(Err(wrong)) => Answer::Failed { wrong },
            None => {
                Answer::Failed { wrong: "this unit has no camera; its configuration has no section [camera]".into() }
            }
        },
    };
    Server::start(state, Arc::new(respond))
        .inspect_err(|error| log::error!("the unit cannot be asked how it is, its socket cannot be made: {error}"))
        .ok()
}

#[cfg(test)]
mod tests;
