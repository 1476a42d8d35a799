//! Peers of a unit: films as X-ray units make them, and associations that send them.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use chestlight::dimse::Command;
use chestlight::phantom::{Opacity, Phantom};
use chestlight::radiograph::Grey;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTable, FileMetaTableBuilder, InMemDicomObject};
use dicom_ul::association::client::TlsStream;
use dicom_ul::association::{ClientAssociation, ClientAssociationOptions, CloseSocket};
use dicom_ul::pdu::{PDataValue, PDataValueType, Pdu};

use crate::running_unit::Site;

/// What no log may name.
pub const PATIENT: &str = "SECRETNAME^TEST";
pub const CLASS: &str = uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE;
pub const EXPLICIT: &str = uids::EXPLICIT_VR_LITTLE_ENDIAN;

/// An object that was never in a file.
pub struct Instance {
    pub uid: String,
    pub study: String,
    pub set: InMemDicomObject,
}

/// A phantom as computed radiography: 260 x 240 pixels, one study of one patient a seed.
pub fn instance(seed: u64) -> Instance {
    let phantom = Phantom::new(seed, Opacity::Diffuse).sized(260, 240).render().unwrap();
    let Grey::U8(samples) = phantom.pixels() else { panic!("a phantom has 8 bits") };
    let (uid, study) = (format!("1.2.826.0.1.3680043.10.1.{seed}.3"), format!("1.2.826.0.1.3680043.10.1.{seed}.1"));
    let mut set = InMemDicomObject::new_empty();
    for (tag, vr, value) in [
        (tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100"),
        (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY"),
        (tags::SOP_CLASS_UID, VR::UI, CLASS),
        (tags::SOP_INSTANCE_UID, VR::UI, &uid),
        (tags::STUDY_DATE, VR::DA, "20261125"),
        (tags::STUDY_TIME, VR::TM, "093000"),
        (tags::ACCESSION_NUMBER, VR::SH, "A7"),
        (tags::MODALITY, VR::CS, "CR"),
        (tags::MANUFACTURER, VR::LO, "phantoms"),
        (tags::REFERRING_PHYSICIAN_NAME, VR::PN, "REFERRER^R"),
        (tags::PATIENT_NAME, VR::PN, PATIENT),
        (tags::PATIENT_ID, VR::LO, "SECRET-ID-77"),
        (tags::PATIENT_BIRTH_DATE, VR::DA, "19800101"),
        (tags::PATIENT_SEX, VR::CS, "O"),
        (tags::BODY_PART_EXAMINED, VR::CS, "CHEST"),
        (tags::VIEW_POSITION, VR::CS, "PA"),
        (tags::STUDY_INSTANCE_UID, VR::UI, &study),
        (tags::SERIES_INSTANCE_UID, VR::UI, &format!("1.2.826.0.1.3680043.10.1.{seed}.2")),
        (tags::STUDY_ID, VR::SH, "S1"),
        (tags::SERIES_NUMBER, VR::IS, "1"),
        (tags::INSTANCE_NUMBER, VR::IS, "1"),
        (tags::PATIENT_ORIENTATION, VR::CS, "L\\F"),
        (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
    ] {
        set.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
    }
    for (tag, number) in [
        (tags::SAMPLES_PER_PIXEL, 1_u16),
        (tags::ROWS, 240),
        (tags::COLUMNS, 260),
        (tags::BITS_ALLOCATED, 8),
        (tags::BITS_STORED, 8),
        (tags::HIGH_BIT, 7),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        set.put(DataElement::new(tag, VR::US, PrimitiveValue::from(number)));
    }
    set.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(samples.clone())));
    Instance { uid, study, set }
}

impl Instance {
    /// The data set, explicit VR little endian.
    pub fn data_set(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let syntax = dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN.erased();
        self.set.write_dataset_with_ts(&mut bytes, &syntax).unwrap();
        bytes
    }

    /// As a Part 10 file.
    pub fn write_to(&self, path: &std::path::Path) {
        let meta = FileMetaTableBuilder::new()
            .media_storage_sop_class_uid(CLASS)
            .media_storage_sop_instance_uid(&self.uid)
            .transfer_syntax(EXPLICIT)
            .build()
            .unwrap();
        let file = fs::File::create(path).unwrap();
        self.set.clone().with_exact_meta(meta).write_all(file).unwrap();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// The configuration of a listener that takes films from `PEER`; `dicom` has more of its keys, `more` other sections.
pub fn configuration(port: u16, dicom: &str, more: &str) -> String {
    format!("[dicom]\nport = {port}\ncalling_ae_titles = ['PEER']\npeers = ['127.0.0.1']\n{dicom}\n{more}\n")
}

/// The unit has begun to listen.
pub fn wait_until_listening(site: &Site) {
    site.wait_until(|| site.log().contains("DICOM is received at"));
}

/// The object of each row, by the film that the row is of: a film on which the unit was killed twice is recorded too,
/// and its row knows no more of it than its digest.
pub fn recorded(site: &Site) -> Vec<String> {
    let mut films = site.films_in("state/archive");
    films.extend(site.films_in("state/refused"));
    let object = |digest: &String| {
        let film = fs::read(&films[digest]).unwrap();
        let meta = FileMetaTable::from_reader(&film[128..]).unwrap();
        meta.media_storage_sop_instance_uid().trim_end_matches('\0').to_owned()
    };
    site.rows().iter().map(|row| object(&row.input_digest)).collect()
}

/// One association with a unit.
pub struct Peer<S: Read + Write + CloseSocket = TcpStream> {
    association: ClientAssociation<S>,
    message: u16,
}

fn options(calling: &str, called: &str) -> ClientAssociationOptions<'static> {
    ClientAssociationOptions::new()
        .calling_ae_title(calling.to_owned())
        .called_ae_title(called.to_owned())
        .with_presentation_context(uids::VERIFICATION, vec![EXPLICIT])
        .with_presentation_context(CLASS, vec![EXPLICIT])
        .with_presentation_context(uids::MR_IMAGE_STORAGE, vec![EXPLICIT])
        .with_presentation_context(uids::STORAGE_COMMITMENT_PUSH_MODEL, vec![EXPLICIT])
        .read_timeout(Duration::from_secs(60))
}

impl Peer<TlsStream> {
    pub fn connect_by_tls(port: u16, tls: Arc<rustls::ClientConfig>) -> Result<Self, dicom_ul::association::Error> {
        let options = options("PEER", "CHESTLIGHT").tls_config(tls).server_name("localhost");
        Ok(Self { association: options.establish_tls(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?, message: 0 })
    }
}

impl Peer {
    pub fn connect(port: u16) -> Result<Self, dicom_ul::association::Error> {
        Self::connect_as(port, "PEER", "CHESTLIGHT")
    }

    pub fn connect_as(port: u16, calling: &str, called: &str) -> Result<Self, dicom_ul::association::Error> {
        let association = options(calling, called).establish(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        Ok(Self { association, message: 0 })
    }
}

impl<S: Read + Write + CloseSocket> Peer<S> {
    /// The classes that were agreed on.
    pub fn classes(&self) -> Vec<&str> {
        self.association.presentation_contexts().iter().map(|it| it.abstract_syntax.as_str()).collect()
    }

    fn context(&self, class: &str) -> u8 {
        let mut contexts = self.association.presentation_contexts().iter();
        contexts.find(|context| context.abstract_syntax == class).unwrap().id
    }

    /// Sends a command, and a data set if there is one; the status of the answer.
    pub fn ask(&mut self, class: &str, command: &Command, data: Option<&[u8]>) -> Option<u16> {
        let id = self.context(class);
        let value = PDataValue {
            presentation_context_id: id,
            value_type: PDataValueType::Command,
            is_last: true,
            data: command.encode(),
        };
        self.association.send(&Pdu::PData { data: vec![value] }).ok()?;
        if let Some(data) = data {
            let mut writer = self.association.send_pdata(id);
            writer.write_all(data).and_then(|()| writer.finish()).ok()?;
        }
        match self.association.receive().ok()? {
            Pdu::PData { data } => Command::parse(&data.first()?.data).ok()?.status(),
            _ => None,
        }
    }

    pub fn echo(&mut self) -> Option<u16> {
        self.ask(uids::VERIFICATION, &Command::echo_request(1), None)
    }

    /// The status that an object is answered with; `None` where there is no answer.
    pub fn store(&mut self, instance: &Instance) -> Option<u16> {
        self.store_as(CLASS, &instance.uid, &instance.data_set())
    }

    pub fn store_as(&mut self, class: &str, uid: &str, data: &[u8]) -> Option<u16> {
        self.message += 1;
        self.ask(CLASS, &Command::store_request(self.message, class, uid), Some(data))
    }

    pub fn release(self) {
        self.association.release().unwrap();
    }
}
