//! How the unit is, told to whoever shows it or asks: what fails, what wants attention, what it does.

use std::time::Instant;

use super::attention::STICK_ADVICE;
use super::{Daemon, camera};
use crate::choose::Chosen;
use crate::config::Gpu;
use crate::health::{FaultVitals, ModelVitals, PartVitals, Warning};
use crate::show::Status;

/// What can fail for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Inbox,
    State,
    Listener,
    Camera,
    Button,
    Model,
    Stick,
    Tidying,
}

impl Daemon {
    pub(super) fn tell_vitals(&self) {
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

    pub(super) fn show(&mut self, status: Status) {
        self.resting = false;
        self.panel.show(&status);
    }

    /// Everything that could be taken was taken.
    pub(super) fn rest(&mut self) {
        if !self.look_failed {
            self.look_retry.succeeded();
            self.mended(Part::Inbox);
        }
        if self.faults.is_empty() && !self.resting {
            let summary = self.drift.summary(self.chosen.model.manifest.reference.as_ref());
            let drift = summary.check().err();
            if let Err(error) = self.attention.note_drift(&summary, drift.as_ref(), &mut self.journal) {
                log::warn!("it is not noted whether films are like the model's: {error}");
            }
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

    /// Says which model reads, and shows it as a fault when it is not the one that should.
    pub(super) fn tell_model(&mut self) {
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

    pub(super) fn camera_is(&mut self, works: Result<String, String>) {
        let camera = self.config.camera.as_ref().map(|camera| camera::vitals(camera, Some(&works)));
        self.vitals.update(|vitals| vitals.camera = camera);
        match works {
            Ok(_) => self.mended(Part::Camera),
            Err(wrong) => {
                self.failed(Part::Camera, wrong, "check the camera and its cable; films in the inbox are read")
            }
        }
    }

    /// What a stick that is in does not give or take is a fault. Once it is out there is nothing to mend, and the unit works:
    /// somebody should put it in again, and nobody may have looked while it was pulled.
    pub(super) fn stick_is(&mut self, is_in: bool, served: Result<(), String>) {
        let wrong = served.err();
        if self.attention.is_unserved(wrong.clone().filter(|_| !is_in)) {
            self.resting = false;
        }
        match wrong.filter(|_| is_in) {
            Some(wrong) => self.failed(Part::Stick, wrong, STICK_ADVICE),
            None => self.mended(Part::Stick),
        }
    }

    /// Shows a fault, unless it is already shown.
    pub(super) fn failed(&mut self, place: Part, wrong: String, advice: &'static str) {
        if self.faults.get(&place).is_some_and(|(shown, _)| *shown == wrong) {
            return;
        }
        log::error!("{wrong}; {advice}");
        self.faults.insert(place, (wrong.clone(), advice));
        self.show(Status::Fault { wrong, advice });
    }

    /// What failed works again; if something else still fails, that is shown.
    pub(super) fn mended(&mut self, place: Part) {
        if let Some((wrong, _)) = self.faults.remove(&place) {
            log::info!("it works again after: {wrong}");
            self.resting = false;
            if let Some((wrong, advice)) = self.faults.values().next().cloned() {
                self.show(Status::Fault { wrong, advice });
            }
        }
    }

    pub(super) fn inbox_failed(&mut self, wrong: String, advice: &'static str) {
        if !self.look_failed {
            self.look_failed = true;
            self.look_retry.failed(Instant::now());
            // Never sooner than configured: two looks that are too close take an unfinished film for a finished one.
            self.look_at = self.look_retry.at().map_or(self.look_at, |at| at.max(self.look_at));
        }
        self.failed(Part::Inbox, wrong, advice);
    }
}
