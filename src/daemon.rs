//! The whole road as one loop: inbox, spool, reading, journal, indicator, archive.
//!
//! The loop owns every piece of state. Other threads (inotify's, the one that waits for signals) only send it
//! events through one bounded channel. A film goes down the whole road before the next one is taken.

mod attention;
pub mod camera;
mod reception;
mod stick;
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

use crate::choose::{self, ChooseError, Chosen};
use crate::clock::Clock;
use crate::config::{Config, ConfigError, Gpu};
use crate::control::{Answer, Request, Server};
use crate::drift;
use crate::fault;
use crate::health::{FaultVitals, LastReading, ModelVitals, PartVitals, Sensors, Service, SharedVitals, Warning};
use crate::intake::camera::attendant::Trigger;
use crate::intake::camera::error::CameraError;
use crate::intake::dicom_scp::Listener;
use crate::intake::folder::{Change, Folder};
use crate::journal::{self, Entry, Journal, JournalError, Row};
use crate::model::Manifest;
use crate::outbox::{Evidence, Outbox, OutboxError};
use crate::privacy::{KeyError, PatientKey};
use crate::reading::{self, Reading};
use crate::refusal::Refusal;
use crate::retry::Retry;
use crate::show::{NOTICE, Panel, Status};
use crate::spool::{Film, Place, Spool, SpoolError, TakenIn};
use attention::Attention;
use camera::Camera;
use reception::{Bounds, Desk};
use stick::Sticks;
use tidying::Tidying;

/// Events that wait for the loop; who sends one more waits until there is room.
const MOST_EVENTS: usize = 1_024;
/// A film on which the process died so often is not tried again.
const MOST_DEATHS: u32 = 2;
/// What to do about a stick that was not served to the end.
const STICK_ADVICE: &str = "nothing on it was changed; put it in again, or another one";
/// How the name of a heat map ends beside its film.
const HEAT_MAP: &str = "heatmap.png";

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
    /// A stick was served, or could not be served to the end; without one, all is well.
    Stick(Result<(), String>),
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

/// Why a configuration that was read again is not used.
#[derive(Debug, Error)]
enum ReconfigureError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{0} needs a restart")]
    NeedsRestart(&'static str),
    #[error("the model cannot be used: {0}")]
    Model(#[from] ChooseError),
}

/// A film cannot go on; it stays where it is and is tried again.
#[derive(Debug, Error)]
enum Held {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What can fail for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Inbox,
    State,
    Listener,
    Camera,
    Button,
    Model,
    Stick,
    Tidying,
}

/// A film on its way from the spool to where it stays.
struct InHand {
    film: Film,
    /// Kept until it is recorded, so that a journal that fails costs no second reading.
    reading: Option<Reading>,
    /// Its verdict is news. Not so for a film that was recorded when it came in.
    news: bool,
    shown: bool,
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

    fn tell_vitals(&self) {
        let Chosen { model, origin, instead } = &self.chosen;
        let engine = &model.engine;
        let model = ModelVitals {
            name: model.manifest.name.clone(),
            digest: model.manifest.digest.clone(),
            origin: origin.to_string(),
            instead: instead.clone(),
        };
        let part = |wrong| PartVitals { name: "GPU".into(), wrong };
        let gpu = match &self.config.gpu {
            Gpu::No => None,
            Gpu::Yes => Some(part(engine.offload_wrong())),
            Gpu::Failed(wrong) => Some(part(Some(wrong.clone()))),
        };
        let faults = self.faults.values();
        let faults = faults.map(|(wrong, advice)| FaultVitals { wrong: wrong.clone(), advice: (*advice).to_owned() });
        let displays = self.panel.states();
        let displays = displays.map(|(name, wrong)| PartVitals { name: name.into(), wrong: wrong.map(str::to_owned) });
        self.vitals.update(|vitals| {
            vitals.model = Some(model);
            vitals.gpu = gpu;
            vitals.waiting = self.films.len();
            vitals.faults = faults.collect();
            vitals.displays = displays.collect();
            vitals.clock_trusted = self.clock.now().trusted;
        });
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
            Event::Stick(Ok(())) => self.mended(Part::Stick),
            Event::Stick(Err(wrong)) => self.failed(Part::Stick, wrong, STICK_ADVICE),
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

    fn reconfigure(&mut self, read: Result<Config, ConfigError>) -> Result<(), ReconfigureError> {
        let config = read?;
        if let Some(change) = needs_restart(&self.config, &config) {
            return Err(ReconfigureError::NeedsRestart(change));
        }
        match choose::again(&config, &self.config, &self.chosen.origin) {
            Ok(None) => self.chosen.instead = None,
            Ok(Some(chosen)) => {
                match last_readings(&self.journal, &chosen.model.manifest) {
                    Ok(drift) => self.drift = drift,
                    Err(error) => log::warn!("the last readings cannot be compared: {error}"),
                }
                // Also when its name is the same: the files may be new. What is not recorded yet would be recorded as
                // this model's.
                self.films.iter_mut().for_each(|in_hand| in_hand.reading = None);
                self.chosen = chosen;
            }
            Err(error) if config.model.is_some() => return Err(error.into()),
            // An installed model that does not work must not keep the rest of the configuration from being used.
            Err(error) => self.chosen.instead = Some(error.to_string()),
        }
        self.tell_model();
        if config.inbox != self.config.inbox {
            self.folder = watched(&config.inbox, &self.sender);
            self.look_at = Instant::now();
        }
        self.look_at = self.look_at.min(Instant::now() + config.rescan);
        self.bounds.set(&config);
        self.config = config;
        Ok(())
    }

    fn camera_is(&mut self, works: Result<String, String>) {
        let camera = self.config.camera.as_ref().map(|camera| camera::vitals(camera, Some(&works)));
        self.vitals.update(|vitals| vitals.camera = camera);
        match works {
            Ok(_) => self.mended(Part::Camera),
            Err(wrong) => {
                self.failed(Part::Camera, wrong, "check the camera and its cable; films in the inbox are read")
            }
        }
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

    /// Does one thing with one film. Whether there was something to do.
    fn step(&mut self) -> Result<bool, SpoolError> {
        if !self.films.is_empty() && !self.films_retry.is_due(Instant::now()) {
            return Ok(false);
        }
        let Some(mut in_hand) = self.films.pop_front() else { return self.take_in() };
        match self.finish(&mut in_hand) {
            Ok(()) => {
                self.films_retry.succeeded();
                self.mended(Part::State);
            }
            Err(Held::Spool(error @ SpoolError::Unsynced { .. })) => return Err(error),
            // It holds up no other film, and the next look finds it again.
            Err(Held::Spool(error)) if in_hand.film.is_in_inbox() => {
                self.inbox_failed(error.to_string(), "check who may write to the inbox");
            }
            Err(error) => {
                let advice = match error {
                    Held::Spool(_) => "no film is lost; check the disc of the state folder",
                    Held::Journal(_) => {
                        "no film is lost, but none is read; check the disc, then: chestlight log verify"
                    }
                };
                self.films_retry.failed(Instant::now());
                self.failed(Part::State, error.to_string(), advice);
                self.films.push_front(in_hand);
            }
        }
        Ok(true)
    }

    /// Takes the next complete film out of the inbox. Whether there was one.
    fn take_in(&mut self) -> Result<bool, SpoolError> {
        let Some(path) = self.folder.next_complete() else {
            self.rest();
            return self.tidy();
        };
        match self.spool.take_in(&path, self.folder.path(), self.config.min_free) {
            Ok(TakenIn::Film(film)) => {
                self.films.push_back(InHand { film, reading: None, news: false, shown: false });
            }
            Ok(TakenIn::Gone | TakenIn::Unfinished) => {}
            Err(error @ SpoolError::Unsynced { .. }) => return Err(error),
            Err(error) => {
                if matches!(error, SpoolError::NoRoom { .. }) {
                    self.tidying.hurry();
                }
                let advice = match error {
                    SpoolError::NoRoom { .. } => "films stay in the inbox until there is room",
                    _ => "the film stays in the inbox and is tried again; check who may read and write there",
                };
                self.inbox_failed(error.to_string(), advice);
            }
        }
        Ok(true)
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

    /// Everything that could be taken was taken.
    fn rest(&mut self) {
        if !self.look_failed {
            self.look_retry.succeeded();
            self.mended(Part::Inbox);
        }
        if self.faults.is_empty() && !self.resting {
            let drift = self.drift.summary(self.chosen.model.manifest.reference.as_ref()).check().err();
            let drift = drift.map(|drift| drift.to_string());
            let films = self.attention.warnings(drift.clone());
            let told =
                |Warning { wrong, advice }: &Warning| FaultVitals { wrong: wrong.clone(), advice: (*advice).into() };
            // What the board says comes first: it may end the readings before long.
            let board = self.vitals.read().board_warnings();
            self.vitals.update(|vitals| {
                vitals.drift = drift;
                vitals.warnings = films.iter().map(told).collect();
            });
            self.panel.show(&match board.into_iter().chain(films).next() {
                None => Status::Ready,
                Some(Warning { wrong, advice }) => Status::Warning { wrong, advice },
            });
            self.resting = true;
        }
    }

    /// Down the road from the spool: read, record, show, settle. After an error it goes on where it stopped.
    fn finish(&mut self, in_hand: &mut InHand) -> Result<(), Held> {
        let row = match self.journal.find(&in_hand.film.digest)? {
            Some(row) => row,
            None => {
                in_hand.news = true;
                let reading = match in_hand.reading.take() {
                    Some(reading) => reading,
                    None => self.read(&in_hand.film)?,
                };
                let made = reading.origin.as_ref().and_then(|origin| origin.study_at.as_deref());
                if let Some(made) = made {
                    self.attention.film_was_made(made, &self.clock.now());
                }
                let patient = reading.origin.as_ref().and_then(|origin| origin.patient_id.as_ref());
                let patient_hash = patient.map(|patient| self.key.patient_hash(patient.expose()));
                let entry = Entry {
                    input_digest: &in_hand.film.digest,
                    file_name: &in_hand.film.name,
                    taken_at: in_hand.film.taken_at,
                    reading: in_hand.reading.insert(reading),
                    patient_hash: patient_hash.as_deref(),
                    model: &self.chosen.model.manifest,
                };
                let row = self.journal.append(&entry)?;
                self.drift.add(&row, &self.chosen.model.manifest.digest);
                self.vitals.update(|vitals| vitals.last_reading = Some(LastReading::from(&row)));
                if let (Some(outbox), Some(map)) = (&self.outbox, &entry.reading.map) {
                    outbox.note(row.seq, &Evidence::new(&self.chosen.model.manifest.input, map));
                }
                row
            }
        };
        self.spool.unmark()?;
        fault::point("reading.unmarked");
        log::debug!("reading {} of film {} is {}", row.seq, row.short_digest(), row.verdict);
        if in_hand.news && !in_hand.shown {
            self.show(Status::Recorded(row.clone()));
            in_hand.shown = true;
        }
        fault::point("reading.shown");
        let reason = row.is_unread().then(|| reason(&row));
        let place = Place { seq: row.seq, name: &row.file_name, reason: reason.as_deref() };
        self.explain(in_hand, place);
        self.spool.settle(&in_hand.film, place)?;
        if !in_hand.news {
            self.show(Status::AlreadyRecorded(row));
        }
        if let Some(outbox) = &self.outbox {
            outbox.nudge();
        }
        Ok(())
    }

    fn read(&mut self, film: &Film) -> Result<Reading, SpoolError> {
        let deaths = self.spool.times_in_hand(film);
        if deaths >= MOST_DEATHS {
            let detail = format!("the reading program died on this film {deaths} times");
            return Ok(Reading::refused(Refusal::CrashedReader, &detail));
        }
        let bytes = match self.spool.bytes(film, self.config.limits.max_bytes) {
            Ok(bytes) => bytes,
            Err((refusal, detail)) => return Ok(Reading::refused(refusal, &detail)),
        };
        self.show(Status::Reading { name: film.name.clone(), digest: film.short_digest().to_owned() });
        self.spool.mark_in_hand(film, deaths + 1)?;
        fault::point("reading.marked");
        let reading = reading::read(&self.chosen.model, &bytes, &self.config.limits);
        fault::point("reading.read");
        Ok(reading)
    }

    /// Shows the film under what spoke for its verdict, and puts it beside the film into the archive. The picture can
    /// be drawn again, so a failure costs the picture alone.
    fn explain(&mut self, in_hand: &InHand, place: Place<'_>) {
        if let Err(wrong) = self.try_to_explain(in_hand, place) {
            log::warn!("film {} has no heat map: {wrong}", in_hand.film.short_digest());
        }
    }

    fn try_to_explain(&mut self, in_hand: &InHand, place: Place<'_>) -> Result<(), String> {
        let Some(reading) = in_hand.reading.as_ref().filter(|reading| reading.map.is_some()) else { return Ok(()) };
        let limits = &self.config.limits;
        let bytes = self.spool.bytes(&in_hand.film, limits.max_bytes).map_err(|(_, detail)| detail)?;
        let heat_map = reading::heat_map(&self.chosen.model, reading, &bytes, limits);
        let Some(heat_map) = heat_map.map_err(|error| error.to_string())? else { return Ok(()) };
        // Somebody waits before the screen, nobody before the archive.
        self.panel.picture(place.seq, || heat_map.over_film());
        let png = heat_map.sheet(&reading.message, NOTICE).png().map_err(|error| error.to_string())?;
        self.spool.put_beside(&in_hand.film, place, HEAT_MAP, &png).map_err(|error| error.to_string())
    }

    fn show(&mut self, status: Status) {
        self.resting = false;
        self.panel.show(&status);
    }

    fn inbox_failed(&mut self, wrong: String, advice: &'static str) {
        if !self.look_failed {
            self.look_failed = true;
            self.look_retry.failed(Instant::now());
            // Never sooner than configured: two looks that are too close take an unfinished film for a finished one.
            self.look_at = self.look_retry.at().map_or(self.look_at, |at| at.max(self.look_at));
        }
        self.failed(Part::Inbox, wrong, advice);
    }

    /// Says which model reads, and shows it as a fault when it is not the one that should.
    fn tell_model(&mut self) {
        let Chosen { model, origin, instead } = &self.chosen;
        let reads = format!("reading with the model {} ({origin})", model.manifest.name);
        log::info!("{reads}");
        match instead.clone() {
            None => self.mended(Part::Model),
            Some(why) => {
                self.failed(
                    Part::Model,
                    format!("{reads}, because {why}"),
                    "chestlight check; chestlight model --help",
                );
            }
        }
    }

    /// Shows a fault, unless it is already shown.
    fn failed(&mut self, place: Part, wrong: String, advice: &'static str) {
        if self.faults.get(&place).is_some_and(|(shown, _)| *shown == wrong) {
            return;
        }
        log::error!("{wrong}; {advice}");
        self.faults.insert(place, (wrong.clone(), advice));
        self.show(Status::Fault { wrong, advice });
    }

    /// What failed works again; if something else still fails, that is shown.
    fn mended(&mut self, place: Part) {
        if let Some((wrong, _)) = self.faults.remove(&place) {
            log::info!("it works again after: {wrong}");
            self.resting = false;
            if let Some((wrong, advice)) = self.faults.values().next().cloned() {
                self.show(Status::Fault { wrong, advice });
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

/// What of a configuration is read at the start alone, and differs in a later one.
fn needs_restart(before: &Config, after: &Config) -> Option<&'static str> {
    let changes = [
        ("another state folder", before.state != after.state),
        ("a change of [dicom]", before.dicom != after.dicom),
        ("a change of [stick]", before.stick != after.stick),
        ("a change of [camera]", before.camera != after.camera),
        ("a change of [lamps]", before.lamps != after.lamps),
        ("a change of [screen]", before.screen != after.screen),
        ("a change of [oled]", before.oled != after.oled),
    ];
    changes.into_iter().find_map(|(change, is_there)| is_there.then_some(change))
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

/// The text beside a film in `refused/`.
fn reason(row: &Row) -> String {
    let Row { seq, message, input_digest, recorded_at, .. } = row;
    let code = row.reason.as_deref().unwrap_or("-");
    format!(
        "This film was not read: {message}.\n\n\
         Reading {seq} of {recorded_at}, verdict {}, reason {code}\n\
         SHA-256 of the film: {input_digest}\n\
         {NOTICE}\n",
        row.verdict
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::sync::mpsc::{Sender, channel};
    use std::thread::{self, JoinHandle};

    use super::*;
    use crate::decode::Limits;
    use crate::retention::Policy;
    use crate::show::Indicator;

    /// Hands every status to the test.
    struct Told(Sender<Status>);

    impl Indicator for Told {
        fn show(&mut self, status: &Status) -> io::Result<()> {
            self.0.send(status.clone()).map_err(io::Error::other)
        }
    }

    /// A unit that runs on a thread of the test.
    struct Unit {
        root: tempfile::TempDir,
        config: Config,
        handle: Handle,
        told: Receiver<Status>,
        thread: JoinHandle<Result<(), DaemonError>>,
    }

    fn start(adapt: impl FnOnce(&mut Config)) -> Unit {
        let root = tempfile::tempdir().unwrap();
        let [inbox, state] = ["inbox", "state"].map(|name| root.path().join(name));
        fs::create_dir(&inbox).unwrap();
        let rescan = Duration::from_millis(50);
        let mut config = Config {
            inbox,
            state,
            model: None,
            threads: None,
            gpu: Gpu::No,
            trusted_keys: None,
            rescan,
            limits: Limits::default(),
            min_free: 0,
            stick: None,
            storage: Policy::default(),
            dicom: None,
            camera: None,
            lamps: None,
            screen: None,
            oled: None,
        };
        adapt(&mut config);
        let (sender, told) = channel();
        let (daemon, handle) = Daemon::open(
            config.clone(),
            choose::the_shipped(&config).unwrap(),
            Panel::default().with("test", Told(sender)),
        )
        .unwrap();
        let thread = thread::spawn(move || daemon.run());
        Unit { root, config, handle, told, thread }
    }

    impl Unit {
        fn wait_for(&self, wanted: impl Fn(&Status) -> bool) -> Status {
            loop {
                let status = self.told.recv_timeout(Duration::from_secs(60)).unwrap();
                if wanted(&status) {
                    return status;
                }
            }
        }

        fn wait_for_fault(&self, word: &str) {
            self.wait_for(|status| matches!(status, Status::Fault { wrong, .. } if wrong.contains(word)));
        }

        /// Moves a file into the inbox that is no film, and so costs little time.
        fn put_in(&self, name: &str) {
            let outside = self.root.path().join(name);
            fs::write(&outside, name).unwrap();
            fs::rename(outside, self.config.inbox.join(name)).unwrap();
        }

        fn files(&self, folder: &str) -> usize {
            fs::read_dir(self.config.state.join(folder)).unwrap().count()
        }

        fn stop(self) {
            self.handle.stop();
            self.wait_for(|status| *status == Status::Stopped);
            self.thread.join().unwrap().unwrap();
        }
    }

    fn is_recorded(status: &Status) -> bool {
        matches!(status, Status::Recorded(_))
    }

    #[test]
    fn a_journal_that_fails_is_a_fault_and_the_film_is_read_once_when_it_works_again() {
        let unit = start(|_| {});
        unit.wait_for(|status| *status == Status::Ready);
        let (journal, away) = (unit.config.journal(), unit.root.path().join("away"));
        fs::rename(&journal, &away).unwrap();
        unit.put_in("a.png");
        unit.wait_for_fault("removed or replaced");
        assert_eq!((unit.files("spool"), unit.files("refused")), (2, 0), "the film, and the note that it is in hand");
        fs::rename(&away, &journal).unwrap();
        let Status::Recorded(row) = unit.wait_for(|status| !matches!(status, Status::Fault { .. })) else {
            panic!("the film was read a second time");
        };
        assert_eq!(row.file_name, "a.png");
        unit.wait_for(|status| *status == Status::Ready);
        assert_eq!((unit.files("spool"), unit.files("refused")), (0, 2));
        unit.stop();
    }

    #[test]
    fn a_full_disc_is_a_fault_and_films_stay_in_the_inbox_until_there_is_room() {
        let unit = start(|config| config.min_free = u64::MAX);
        unit.put_in("a.png");
        unit.wait_for_fault("full");
        assert!(unit.config.inbox.join("a.png").exists());
        unit.handle.reconfigure(Ok(Config { min_free: 0, ..unit.config.clone() }));
        unit.wait_for(is_recorded);
        unit.wait_for(|status| *status == Status::Ready);
        assert!(!unit.config.inbox.join("a.png").exists());
        unit.stop();
    }

    #[test]
    fn an_inbox_that_is_gone_is_a_fault_until_it_is_back() {
        let unit = start(|config| fs::remove_dir(&config.inbox).unwrap());
        unit.wait_for_fault("cannot be looked at");
        fs::create_dir(&unit.config.inbox).unwrap();
        unit.wait_for(|status| *status == Status::Ready);
        unit.put_in("a.png");
        unit.wait_for(is_recorded);
        unit.stop();
    }

    #[test]
    fn a_configuration_that_cannot_be_used_changes_nothing() {
        let unit = start(|_| {});
        let other = |adapt: fn(&mut Config)| {
            let mut config = unit.config.clone();
            adapt(&mut config);
            Ok(config)
        };
        unit.handle.reconfigure(Config::read(&unit.root.path().join("none.toml")));
        unit.handle.reconfigure(other(|config| config.state = "/elsewhere".into()));
        unit.handle.reconfigure(other(|config| {
            config.model = Some("/none.toml".into());
            config.inbox = "/elsewhere".into();
        }));
        unit.put_in("a.png");
        unit.wait_for(is_recorded);
        assert!(!unit.told.try_iter().any(|status| matches!(status, Status::Fault { .. })));
        unit.stop();
    }

    #[test]
    fn a_unit_tells_how_it_is_over_its_socket_and_that_it_has_no_camera() {
        let unit = start(|_| {});
        unit.wait_for(|status| *status == Status::Ready);
        let ask = |request| crate::control::ask(&unit.config.state, request).unwrap();
        assert!(matches!(ask(Request::Status), Answer::Status { vitals } if vitals.model.is_some()));
        assert!(matches!(ask(Request::Capture), Answer::Failed { wrong } if wrong.contains("[camera]")));
        unit.stop();
    }

    #[test]
    fn a_change_that_only_a_restart_brings_about_is_told_and_every_other_is_taken() {
        let read = |text: &str| Config::parse(&format!("inbox = 'a'\n{text}"), Path::new("/")).unwrap();
        let before = read("state = 'b'");
        for (after, told) in [
            ("state = 'b'\nmin_free_mib = 7\n[storage]\nmax_films = 9", None),
            ("state = 'c'", Some("another state folder")),
            ("state = 'b'\n[dicom]\ncalling_ae_titles = ['X']\npeers = ['127.0.0.1']", Some("a change of [dicom]")),
            ("state = 'b'\n[stick]\nfolder = 'm'", Some("a change of [stick]")),
            ("state = 'b'\n[camera]\ndevice = 'x'", Some("a change of [camera]")),
            ("state = 'b'\n[lamps]\nred = { chip = 'a', line = 1 }", Some("a change of [lamps]")),
            ("state = 'b'\n[screen]", Some("a change of [screen]")),
            ("state = 'b'\n[oled]", Some("a change of [oled]")),
        ] {
            assert_eq!(needs_restart(&before, &read(after)), told, "{after}");
        }
    }

    #[test]
    fn a_film_that_is_put_in_again_is_told_and_not_read_again() {
        let unit = start(|_| {});
        unit.put_in("a.png");
        let Status::Recorded(first) = unit.wait_for(is_recorded) else { unreachable!() };
        unit.wait_for(|status| *status == Status::Ready);
        unit.put_in("a.png");
        let next = unit.told.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(next, Status::AlreadyRecorded(first));
        assert_eq!(unit.files("refused"), 2, "the film and its reason, once");
        unit.stop();
    }
}
