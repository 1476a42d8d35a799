//! C-STORE and C-ECHO towards the site's archive.

use std::io::{self, Read, Write};
use std::time::Duration;

use dicom_dictionary_std::uids;
use dicom_object::InMemDicomObject;
use dicom_ul::association::{ClientAssociation, ClientAssociationOptions, CloseSocket, Error};
use dicom_ul::pdu::{PDataValue, PDataValueType, Pdu, PresentationContextNegotiated};
use thiserror::Error;

use crate::config::Pacs;
use crate::dimse::{Command, MAX_COMMAND, VERIFICATION};
use crate::tls::{self, TlsError};

/// How long the archive may take to accept the connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long it may be silent while something is expected of it: archives store before they answer.
const SILENCE: Duration = Duration::from_secs(60);

/// An object on its way out.
pub struct Outgoing {
    /// Its class.
    pub sop_class: &'static str,
    /// Its identifier.
    pub sop_instance: String,
    /// The data set, without meta information.
    pub data_set: InMemDicomObject,
}

/// Nothing can be sent now; later it may.
#[derive(Debug, Error)]
pub enum SendError {
    /// No association could be made, or it broke.
    #[error("the archive {title} at {host}:{port} cannot be reached: {why}")]
    Association {
        /// Its title.
        title: String,
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
        /// What went wrong.
        why: String,
    },
    /// This unit cannot prove itself to the archive.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The archive has no room.
    #[error("the archive takes no objects now: status {0:04X}")]
    OutOfResources(u16),
    /// It does not speak DIMSE as agreed.
    #[error("the archive gave an answer that is none: {0}")]
    Answer(&'static str),
    /// An object cannot be written.
    #[error("an object cannot be written: {0}")]
    Encode(String),
}

/// What the archive said to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has it.
    Stored,
    /// It will never take it, with its status; `None` when it does not take the class at all.
    Refused(Option<u16>),
}

/// Sends objects over one association.
///
/// # Errors
/// [`SendError`]: they must all be sent again later. The archive knows those that it has by their identifiers.
pub fn store(pacs: &Pacs, objects: &[Outgoing]) -> Result<Vec<Answer>, SendError> {
    let mut association = associate(pacs, objects.iter().map(|object| object.sop_class))?;
    let mut answers = Vec::new();
    for (message, object) in (1..).zip(objects) {
        let context = association.contexts().iter().find(|it| it.abstract_syntax == object.sop_class);
        let Some((id, syntax)) = context.map(|context| (context.id, context.transfer_syntax.clone())) else {
            answers.push(Answer::Refused(None));
            continue;
        };
        let data_set = encode(&object.data_set, &syntax)?;
        let request = Command::store_request(message, object.sop_class, &object.sop_instance);
        send_command(pacs, association.as_mut(), id, &request)?;
        association.send_data(id, &data_set).map_err(|error| broken(pacs, &error))?;
        answers.push(match receive_status(pacs, association.as_mut(), message)? {
            // Warnings: stored, with something coerced or left out.
            0x0000 | 0xB000..=0xBFFF => Answer::Stored,
            status @ 0xA700..=0xA7FF => return Err(SendError::OutOfResources(status)),
            status => Answer::Refused(Some(status)),
        });
    }
    release(association);
    Ok(answers)
}

/// Asks the archive whether it is there.
///
/// # Errors
/// [`SendError`].
pub fn echo(pacs: &Pacs) -> Result<(), SendError> {
    let mut association = associate(pacs, [VERIFICATION].into_iter())?;
    let id = association.contexts().first().map_or(1, |context| context.id);
    send_command(pacs, association.as_mut(), id, &Command::echo_request(1))?;
    match receive_status(pacs, association.as_mut(), 1)? {
        0 => {
            release(association);
            Ok(())
        }
        _ => Err(SendError::Answer("verification failed")),
    }
}

/// An association, over TCP or TLS.
trait Connection {
    fn contexts(&self) -> &[PresentationContextNegotiated];
    fn send(&mut self, pdu: &Pdu) -> Result<(), Error>;
    fn send_data(&mut self, context: u8, data: &[u8]) -> io::Result<()>;
    fn receive(&mut self) -> Result<Pdu, Error>;
    fn release(self: Box<Self>) -> Result<(), Error>;
}

impl<S: Read + Write + CloseSocket> Connection for ClientAssociation<S> {
    fn contexts(&self) -> &[PresentationContextNegotiated] {
        self.presentation_contexts()
    }

    fn send(&mut self, pdu: &Pdu) -> Result<(), Error> {
        self.send(pdu)
    }

    fn send_data(&mut self, context: u8, data: &[u8]) -> io::Result<()> {
        let mut writer = self.send_pdata(context);
        writer.write_all(data).and_then(|()| writer.finish())
    }

    fn receive(&mut self) -> Result<Pdu, Error> {
        self.receive()
    }

    fn release(self: Box<Self>) -> Result<(), Error> {
        (*self).release()
    }
}

fn associate(pacs: &Pacs, classes: impl Iterator<Item = &'static str>) -> Result<Box<dyn Connection>, SendError> {
    let options = ClientAssociationOptions::new()
        .calling_ae_title(pacs.calling_ae_title.clone())
        .called_ae_title(pacs.ae_title.clone())
        .connection_timeout(CONNECT)
        .read_timeout(SILENCE)
        .write_timeout(SILENCE);
    let syntaxes = || vec![uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN];
    let options = classes.fold(options, |options, class| options.with_presentation_context(class, syntaxes()));
    let address = (pacs.host.as_str(), pacs.port);
    let association: Result<Box<dyn Connection>, Error> = match &pacs.tls {
        None => options.establish(address).map(|it| Box::new(it) as _),
        Some(tls) => {
            let options = options.tls_config(tls::client(tls)?).server_name(&pacs.host);
            options.establish_tls(address).map(|it| Box::new(it) as _)
        }
    };
    association.map_err(|error| broken(pacs, &error))
}

/// The archive has answered everything: if it does not take the farewell, nothing is lost.
fn release(association: Box<dyn Connection>) {
    if let Err(error) = association.release() {
        log::debug!("the archive did not release the association: {error}");
    }
}

fn broken(pacs: &Pacs, error: &dyn std::error::Error) -> SendError {
    // The library's own words and the system's below them.
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        why = format!("{why}: {error}");
        cause = error.source();
    }
    SendError::Association { title: pacs.ae_title.clone(), host: pacs.host.clone(), port: pacs.port, why }
}

fn encode(data_set: &InMemDicomObject, transfer_syntax: &str) -> Result<Vec<u8>, SendError> {
    use dicom_transfer_syntax_registry::entries::{EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN};
    let syntax = if transfer_syntax.trim_end_matches('\0') == uids::IMPLICIT_VR_LITTLE_ENDIAN {
        IMPLICIT_VR_LITTLE_ENDIAN.erased()
    } else {
        EXPLICIT_VR_LITTLE_ENDIAN.erased()
    };
    let mut bytes = Vec::new();
    data_set.write_dataset_with_ts(&mut bytes, &syntax).map_err(|error| SendError::Encode(error.to_string()))?;
    Ok(bytes)
}

fn send_command(pacs: &Pacs, association: &mut dyn Connection, id: u8, command: &Command) -> Result<(), SendError> {
    let value = PDataValue {
        presentation_context_id: id,
        value_type: PDataValueType::Command,
        is_last: true,
        data: command.encode(),
    };
    association.send(&Pdu::PData { data: vec![value] }).map_err(|error| broken(pacs, &error))
}

fn receive_status(pacs: &Pacs, association: &mut dyn Connection, message: u16) -> Result<u16, SendError> {
    let mut command = Vec::new();
    loop {
        let Pdu::PData { data } = association.receive().map_err(|error| broken(pacs, &error))? else {
            return Err(broken(pacs, &io::Error::from(io::ErrorKind::ConnectionAborted)));
        };
        for value in data {
            command.extend(value.data);
            if value.value_type != PDataValueType::Command || command.len() > MAX_COMMAND {
                return Err(SendError::Answer("data instead of a status"));
            }
            if value.is_last {
                let response = Command::parse(&command).map_err(|_| SendError::Answer("no command set"))?;
                let status = response.status().filter(|_| response.message_id() == Some(message));
                return status.ok_or(SendError::Answer("an answer to something else"));
            }
        }
    }
}
