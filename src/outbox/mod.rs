//! Results on their way to the site's archive, each as a report and a capture in the study of its film.
//!
//! The journal is the queue, and the one number in `outbox/sent` says how far it was sent: so nothing is lost by a
//! crash, weeks without a network take no space beyond films and journal, and the loop that reads films never waits.
//! One thread, `outbox`, makes the objects from the settled film when it is their turn.

mod capture;
mod original;
mod report;
mod send;

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, Length, PrimitiveValue, Tag, VR};
use dicom_object::InMemDicomObject;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use capture::capture;
pub use original::Original;
pub use report::report;
pub use send::{Answer, Outgoing, SendError, echo, store};

use crate::config::Pacs;
use crate::decode::dicom::Header;
use crate::decode::{self, Limits};
use crate::dimse::Uid;
use crate::journal::{Journal, JournalError, Record, Row};
use crate::model::ClassMap;
use crate::preprocess::InputGeometry;
use crate::refusal::Refusal;
use crate::retry::Retry;
use crate::spool::{self, Whereabouts};
use crate::verdict::Class;

/// Who made the results.
const MANUFACTURER: &str = "chestlight";
/// What made them.
const PRODUCT: &str = "chestlight reader";

/// The outbox cannot go on for now.
#[derive(Debug, Error)]
pub enum OutboxError {
    /// Its folder cannot be used.
    #[error("the outbox in the state folder: {0}")]
    State(#[from] io::Error),
    /// What was read cannot be looked up.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Nothing can be sent.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// What a capture shows beside a row and its film: where what spoke for each class lies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// How the network saw the film.
    pub geometry: InputGeometry,
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Evidence {
    /// Of one reading.
    pub fn new(geometry: &InputGeometry, map: &ClassMap) -> Self {
        let values = Class::ALL.iter().flat_map(|class| map.plane(*class)).copied().collect();
        Self { geometry: geometry.clone(), width: map.width(), height: map.height(), values }
    }

    /// The class map; `None` if it was not written whole.
    pub fn map(&self) -> Option<ClassMap> {
        ClassMap::new(self.width, self.height, self.values.clone())
    }
}

/// The sending thread's other end; dropped, the thread ends when it has no archive to wait for.
#[derive(Debug)]
pub struct Outbox {
    nudge: SyncSender<()>,
    folder: PathBuf,
}

impl Outbox {
    /// Begins to send what was recorded and not sent. At the very first start that is what will be recorded from now
    /// on: an archive does not want years of results at once.
    ///
    /// # Errors
    /// [`OutboxError`]: the folder or the journal cannot be used.
    pub fn start(pacs: Pacs, state: &Path, journal: PathBuf, limits: Limits, unit: Uid) -> Result<Self, OutboxError> {
        let sent = Sent::open(&state.join("outbox"), Journal::open_read_only(&journal)?.last_seq()?)?;
        let (nudge, nudges) = sync_channel(1);
        let mut sender = Sender { pacs, state: state.to_owned(), journal, limits, unit, sent };
        thread::Builder::new().name("outbox".into()).spawn(move || sender.run(&nudges))?;
        Ok(Self { nudge, folder: state.join("outbox") })
    }

    /// Notes the evidence of a reading until it is sent. A note that a crash takes is missed by nobody but the
    /// capture, which then shows the film alone.
    pub fn note(&self, seq: i64, evidence: &Evidence) {
        let written = serde_json::to_vec(evidence).map_err(io::Error::from);
        if let Err(error) = written.and_then(|note| fs::write(note_of(&self.folder, seq), note)) {
            log::warn!("the capture of reading {seq} will show the film alone: {error}");
        }
    }

    /// Something was recorded and settled.
    pub fn nudge(&self) {
        // A nudge that waits to be taken says the same.
        let _ = self.nudge.try_send(());
    }
}

fn note_of(folder: &Path, seq: i64) -> PathBuf {
    folder.join(format!("{seq:06}.json"))
}

/// How far the journal was sent, durably.
struct Sent {
    folder: PathBuf,
    seq: i64,
}

impl Sent {
    fn open(folder: &Path, last: i64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut sent = Self { folder: folder.to_owned(), seq: last };
        match fs::read_to_string(folder.join("sent")).map(|text| text.trim().parse::<i64>()) {
            Ok(Ok(seq)) if (0..=last).contains(&seq) => sent.seq = seq,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            unusable => {
                if unusable.is_ok() {
                    log::error!("how far results were sent is not known any more; only new ones are sent");
                }
                sent.advance(last)?;
            }
        }
        Ok(sent)
    }

    fn advance(&mut self, seq: i64) -> io::Result<()> {
        let fresh = self.folder.join(".sent");
        let mut file = File::create(&fresh)?;
        file.write_all(format!("{seq}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, self.folder.join("sent"))?;
        File::open(&self.folder)?.sync_all()?;
        self.seq = seq;
        // There may be none; one that stays costs 2 KB.
        let _ = fs::remove_file(note_of(&self.folder, seq));
        Ok(())
    }
}

struct Sender {
    pacs: Pacs,
    state: PathBuf,
    journal: PathBuf,
    limits: Limits,
    /// Stands for this unit in reports.
    unit: Uid,
    sent: Sent,
}

impl Sender {
    fn run(&mut self, nudges: &Receiver<()>) {
        let mut retry = Retry::default();
        loop {
            match self.send_all() {
                Ok(()) => {
                    if retry.is_failing() {
                        log::info!("results are sent again, up to reading {}", self.sent.seq);
                    }
                    retry.succeeded();
                }
                Err(error) => {
                    if !retry.is_failing() {
                        log::warn!("results wait behind reading {}: {error}", self.sent.seq);
                    }
                    retry.failed(Instant::now());
                }
            }
            let ended = match retry.at() {
                None => nudges.recv().is_err(),
                Some(at) => self.wait(nudges, at),
            };
            if ended {
                return;
            }
        }
    }

    /// Waits for a time, whatever is recorded meanwhile. Whether the daemon has ended.
    fn wait(&self, nudges: &Receiver<()>, until: Instant) -> bool {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match nudges.recv_timeout(left) {
                Ok(()) if left > Duration::ZERO => {}
                Err(RecvTimeoutError::Disconnected) => return true,
                _ => return false,
            }
        }
    }

    /// Sends what was settled, in the order of the journal.
    fn send_all(&mut self) -> Result<(), OutboxError> {
        let journal = Journal::open_read_only(&self.journal)?;
        while let Some(record) = journal.get(self.sent.seq + 1)? {
            if let Record::Reading(row) = &record {
                let path = match spool::whereabouts(&self.state, row.seq, &row.input_digest, &row.file_name) {
                    Whereabouts::Waiting => break,
                    Whereabouts::Settled(path) => path,
                    Whereabouts::Gone => {
                        log::warn!("reading {} is not sent: its film was taken away", row.seq);
                        self.sent.advance(row.seq)?;
                        continue;
                    }
                };
                self.send(row, &path)?;
            }
            self.sent.advance(record.seq())?;
        }
        Ok(())
    }

    fn send(&self, row: &Row, film: &Path) -> Result<(), OutboxError> {
        let mut bytes = Vec::new();
        File::open(film)?.take(self.limits.max_bytes).read_to_end(&mut bytes)?;
        // A decoder is other people's code on outside bytes: a panic in it must cost one result.
        let evidence = fs::read(note_of(&self.sent.folder, row.seq)).ok();
        let evidence = evidence.and_then(|note| serde_json::from_slice::<Evidence>(&note).ok());
        let make = || results(row, &bytes, evidence.as_ref(), &self.limits, &self.unit);
        let made = catch_unwind(AssertUnwindSafe(make));
        let objects = made.unwrap_or_default();
        if objects.is_empty() {
            log::debug!("reading {} is of no film that a result can belong to", row.seq);
            return Ok(());
        }
        for (object, answer) in objects.iter().zip(store(&self.pacs, &objects)?) {
            if let Answer::Refused(status) = answer {
                let status =
                    status.map_or("its class is not taken".to_owned(), |status| format!("status {status:04X}"));
                log::error!("the archive refused a result of reading {} ({}): {status}", row.seq, object.sop_class);
            }
        }
        Ok(())
    }
}

/// What is sent of a reading: a report, and a capture if the film has pixels that can be drawn. Nothing for a film
/// that is no DICOM object or names no study, and nothing for one on which the process has died: it is not opened again.
pub fn results(row: &Row, film: &[u8], evidence: Option<&Evidence>, limits: &Limits, unit: &Uid) -> Vec<Outgoing> {
    let killed = row.reason.as_deref() == Some(Refusal::CrashedReader.code());
    if killed || decode::origin(film, limits).is_none() {
        return Vec::new();
    }
    let Some(original) = Header::open(film, limits).ok().as_ref().and_then(Original::of) else { return Vec::new() };
    let mut results = vec![report(&original, row, unit)];
    results.extend(decode::decode(film, limits).ok().and_then(|film| capture(&original, row, &film, evidence)));
    results
}

/// When a reading was recorded, as DICOM writes it; UTC.
struct ContentTime {
    /// VR DA.
    date: String,
    /// VR TM.
    time: String,
}

fn content_time(row: &Row) -> ContentTime {
    let digits: String = row.recorded_at.chars().filter(char::is_ascii_digit).take(14).collect();
    let (date, time) = digits.split_at_checked(8).unwrap_or_default();
    ContentTime { date: date.to_owned(), time: time.to_owned() }
}

fn put(set: &mut InMemDicomObject, tag: Tag, vr: VR, text: &str) {
    set.put(DataElement::new(tag, vr, PrimitiveValue::from(text)));
}

fn put_sequence(set: &mut InMemDicomObject, tag: Tag, items: impl IntoIterator<Item = InMemDicomObject>) {
    let items: Vec<InMemDicomObject> = items.into_iter().collect();
    set.put(DataElement::new(tag, VR::SQ, DataSetSequence::new(items, Length::UNDEFINED)));
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use dicom_dictionary_std::{tags, uids};

    use super::*;
    use crate::journal::Entry;
    use crate::model::{Manifest, shipped};
    use crate::reading::Reading;

    /// An object with what a result takes over, and one pixel.
    fn film() -> Vec<u8> {
        let mut set = InMemDicomObject::new_empty();
        for (tag, vr, value) in [
            (tags::SOP_CLASS_UID, VR::UI, uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE),
            (tags::SOP_INSTANCE_UID, VR::UI, "1.2.3"),
            (tags::STUDY_INSTANCE_UID, VR::UI, "1.2"),
            (tags::SERIES_INSTANCE_UID, VR::UI, "1.2.2"),
            (tags::MODALITY, VR::CS, "CR"),
            (tags::PATIENT_AGE, VR::AS, "47"),
            (tags::PATIENT_WEIGHT, VR::DS, "70 kg"),
            (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        ] {
            put(&mut set, tag, vr, value);
        }
        for (tag, number) in [
            (tags::SAMPLES_PER_PIXEL, 1_u16),
            (tags::ROWS, 1),
            (tags::COLUMNS, 2),
            (tags::BITS_ALLOCATED, 8),
            (tags::BITS_STORED, 8),
            (tags::HIGH_BIT, 7),
            (tags::PIXEL_REPRESENTATION, 0),
        ] {
            set.put(DataElement::new(tag, VR::US, PrimitiveValue::from(number)));
        }
        set.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(vec![0_u8, 255])));
        let mut bytes = Vec::new();
        let syntax = dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN.erased();
        set.write_dataset_with_ts(&mut bytes, &syntax).unwrap();
        bytes
    }

    #[test]
    fn a_film_on_which_the_process_has_died_is_not_opened_again_and_every_other_has_its_results() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("journal.db")).unwrap();
        let model = Manifest::parse(&shipped().manifest).unwrap();
        let film = film();
        for (refusal, count) in [(Refusal::TooSmall, 2), (Refusal::CrashedReader, 0)] {
            let entry = Entry {
                input_digest: refusal.code(),
                file_name: "film",
                taken_at: SystemTime::UNIX_EPOCH,
                reading: &Reading::refused(refusal, "why"),
                patient_hash: None,
                model: &model,
            };
            let row = journal.append(&entry).unwrap();
            let results = results(&row, &film, None, &Limits::default(), &Uid::derived(&["unit"]));
            assert_eq!(results.len(), count, "{refusal:?}");
            for result in results {
                for tag in [tags::PATIENT_AGE, tags::PATIENT_WEIGHT] {
                    assert!(result.data_set.element(tag).is_err(), "what is no {tag} is left out");
                }
            }
        }
    }
}
