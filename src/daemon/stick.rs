//! The daemon's end of a USB stick: one thread that serves each stick once, as soon as it is mounted.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::Event;
use super::reception::{Desk, Unkept};
use crate::choose;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::journal::{Journal, Row};
use crate::model::Manifest;
use crate::model::slots::Slots;
use crate::spool::{self, Whereabouts};
use crate::stick::{self, Candidate, Export, StickError};

/// Time between two looks whether a stick is there.
const LOOK: Duration = Duration::from_secs(1);
const PULLED: &str = "the stick was pulled before its films were taken and its results written";

/// Serves sticks as long as it lives.
#[derive(Debug)]
pub(super) struct Sticks {
    _end: SyncSender<()>,
}

struct Attendant {
    config: Config,
    stick: config::Stick,
    unit: String,
    desk: Desk,
    events: SyncSender<Event>,
}

impl Sticks {
    /// Begins to wait for sticks, if the configuration says where they are mounted. `unit` stands for this unit on them.
    pub(super) fn start(
        config: &Config,
        unit: String,
        desk: Desk,
        events: &SyncSender<Event>,
    ) -> io::Result<Option<Self>> {
        let Some(stick) = config.stick.clone() else { return Ok(None) };
        let (end, ended) = sync_channel(0);
        let attendant = Attendant { config: config.clone(), stick, unit, desk, events: events.clone() };
        thread::Builder::new().name("stick".into()).spawn(move || attendant.run(&ended))?;
        Ok(Some(Self { _end: end }))
    }
}

impl Attendant {
    fn run(&self, ended: &Receiver<()>) {
        let folder = &self.stick.folder;
        let (mut seen, mut served) = (None, Ok(()));
        while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            let mounted = stick::mounted(folder);
            if mounted == seen {
                continue;
            }
            if mounted.is_some() {
                served = self.serve(ended);
                log::debug!("a stick was served");
            }
            // One that was pulled meanwhile may be back before the next look, under the same number.
            seen = mounted.filter(|device| stick::mounted(folder) == Some(*device));
            if seen.is_none() {
                log::debug!("no stick is there");
            }
            self.tell(Event::Stick { is_in: seen.is_some(), served: served.clone() });
        }
    }

    fn tell(&self, event: Event) {
        // Nobody receives when the daemon has ended, and then there is nothing to tell it.
        let _ = self.events.send(event);
    }

    /// Takes the films, waits until they are read, and writes the results.
    fn serve(&self, ended: &Receiver<()>) -> Result<(), String> {
        let folder = &self.stick.folder;
        let told = |error: StickError| error.to_string();
        let journal = Journal::open_read_only(&self.config.journal()).map_err(|error| error.to_string())?;
        let (mut taken, mut left) = (Vec::new(), None);
        for film in stick::films(folder, &journal) {
            match film
                .map_err(told)
                .and_then(|film| film.map(|film| self.take(&film).map(|()| film.digest)).transpose())
            {
                Ok(new) => taken.extend(new),
                Err(wrong) => left = Some(wrong),
            }
            if stick::mounted(folder).is_none() {
                return Err(PULLED.into());
            }
        }
        log::info!("{} films were taken from a stick", taken.len());
        self.offer()?;
        while !taken.is_empty() {
            if ended.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                return Ok(());
            }
            if stick::mounted(folder).is_none() {
                return Err(PULLED.into());
            }
            taken.retain(|digest| !self.is_settled(&journal, digest));
        }
        let export = Export {
            journal: &journal,
            archive: &self.config.state.join("archive"),
            unit: &self.unit,
            now: &Clock::system().now(),
            names: self.stick.names,
            overlays: self.stick.overlays,
        };
        if let Some(last) = stick::export(folder, &export).map_err(told)? {
            log::info!("results up to row {last} were written onto a stick");
            self.tell(Event::Exported(last));
        }
        left.map_or(Ok(()), |wrong| Err(format!("a film stays on the stick: {wrong}")))
    }

    fn is_settled(&self, journal: &Journal, digest: &str) -> bool {
        let row = journal.find(digest).ok().flatten();
        let whereabouts = |row: Row| spool::whereabouts(&self.config.state, row.seq, digest, &row.file_name);
        row.is_some_and(|row| whereabouts(row) != Whereabouts::Waiting)
    }

    /// Copies a film into the spool, durably; the original stays on the stick.
    fn take(&self, film: &Candidate) -> Result<(), String> {
        let copy = || -> io::Result<_> {
            let mut landed = self.desk.begin()?;
            io::copy(&mut film.open()?, &mut landed)?;
            Ok(landed)
        };
        let landed = copy().map_err(|error| error.to_string())?;
        if landed.digest() != film.digest {
            return Err("the stick gave other bytes the second time".into());
        }
        self.desk.keep(landed, &film.name).map(drop).map_err(Unkept::into_words)
    }

    /// Keeps a newer signed model until a person installs it.
    fn offer(&self) -> Result<(), String> {
        if self.config.trusted_keys.is_none() {
            return Ok(());
        }
        let keys = choose::trusted_keys(&self.config).map_err(|error| error.to_string())?;
        let highest = Slots::new(&self.config.state).record().map_err(|error| error.to_string())?.highest;
        let Some(offer) = stick::offer(&self.stick.folder, &keys, highest) else { return Ok(()) };
        let kept =
            offer.keep(&self.config.state).map_err(|error| format!("the offered model cannot be kept: {error}"))?;
        let version = offer.signed.bundle.version;
        let name = Manifest::parse(&offer.signed.bundle.files.manifest).map_err(|error| error.to_string())?.name;
        self.tell(Event::Offered { version, model: offered(&name, version, &kept) });
        Ok(())
    }
}

fn offered(name: &str, version: u64, kept: &Path) -> String {
    format!("the stick offers the signed model {name} version {version}, kept in {}", kept.display())
}
