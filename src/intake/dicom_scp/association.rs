//! One association from its request to its release: who may speak, what is spoken, and the objects that are stored.

use std::time::Instant;

use dicom_dictionary_std::uids;
use dicom_ul::pdu::{
    AbortRQServiceProviderReason, AbortRQSource, AssociationAC, AssociationRJ, AssociationRJResult,
    AssociationRJServiceUserReason, AssociationRJSource, AssociationRQ, PDataValue, PDataValueType, Pdu,
    PresentationContextResult, PresentationContextResultReason, UserVariableItem,
};

use super::storing::Storing;
use super::wire::{MAX_PDU, Wire, receive, send};
use super::{Ended, Reception, STORAGE_CLASSES};
use crate::dimse::{
    APPLICATION_CONTEXT, Command, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, MAX_COMMAND, Operation,
    Status, VERIFICATION,
};

const UNKNOWN_OPERATION: &str = "only C-ECHO and C-STORE are known here";

/// A presentation context that both sides agreed on.
struct Context {
    id: u8,
    sop_class: String,
    transfer_syntax: String,
}

/// A message that has begun.
struct Message<'r> {
    context: usize,
    command: Command,
    /// What becomes of its data set.
    storing: Storing<'r>,
    /// When it must be complete.
    end: Instant,
}

/// Serves one connection until it ends. Returns how many objects were stored and why it ended.
pub fn serve(wire: &mut impl Wire, reception: &Reception<'_>) -> (u32, Ended) {
    let mut stored = 0;
    let ended = match establish(wire, reception) {
        Ok(contexts) => converse(wire, reception, &contexts, &mut stored),
        Err(ended) => ended,
    };
    if let Ended::Malformed(_) = ended {
        let reason = AbortRQServiceProviderReason::UnexpectedPdu;
        let abort = Pdu::AbortRQ { source: AbortRQSource::ServiceProvider(reason) };
        // The peer is at fault, and may be gone.
        let _ = send(wire, &abort, reception.config.read);
    }
    (stored, ended)
}

/// Negotiates: the peer's titles, the classes and the transfer syntaxes.
fn establish(wire: &mut impl Wire, reception: &Reception<'_>) -> Result<Vec<Context>, Ended> {
    let config = reception.config;
    let Pdu::AssociationRQ(request) = receive(wire, config.read, config.read)? else {
        return Err(Ended::Malformed("something else than a request for an association"));
    };
    let reject = |reason| AssociationRJ {
        result: AssociationRJResult::Permanent,
        source: AssociationRJSource::ServiceUser(reason),
    };
    let refused = if request.application_context_name.trim_end_matches('\0') != APPLICATION_CONTEXT {
        Some(AssociationRJServiceUserReason::ApplicationContextNameNotSupported)
    } else if request.called_ae_title != config.ae_title {
        Some(AssociationRJServiceUserReason::CalledAETitleNotRecognized)
    } else if !config.calling_ae_titles.contains(&request.calling_ae_title) {
        Some(AssociationRJServiceUserReason::CallingAETitleNotRecognized)
    } else {
        None
    };
    if let Some(reason) = refused {
        let told = reason.to_string();
        send(wire, &Pdu::AssociationRJ(reject(reason)), config.read)?;
        return Err(Ended::Rejected(told));
    }
    let (contexts, answer) = negotiate(request, reception.transfer_syntaxes);
    send(wire, &Pdu::AssociationAC(answer), config.read)?;
    Ok(contexts)
}

/// Of each proposed context the class must be one of ours, and the first transfer syntax that the decoder reads is
/// taken: the peer knows best what it has.
fn negotiate(request: AssociationRQ, transfer_syntaxes: &[&str]) -> (Vec<Context>, AssociationAC) {
    use PresentationContextResultReason::{AbstractSyntaxNotSupported, Acceptance, TransferSyntaxesNotSupported};
    let mut contexts = Vec::new();
    let results = request.presentation_contexts.iter().map(|proposed| {
        let sop_class = proposed.abstract_syntax.trim_end_matches('\0');
        let known = sop_class == VERIFICATION || STORAGE_CLASSES.iter().any(|(uid, _)| *uid == sop_class);
        let readable = |uid: &&str| transfer_syntaxes.contains(uid);
        let chosen = proposed.transfer_syntaxes.iter().map(|uid| uid.trim_end_matches('\0')).find(readable);
        let (reason, transfer_syntax) = match chosen {
            _ if !known => (AbstractSyntaxNotSupported, uids::IMPLICIT_VR_LITTLE_ENDIAN),
            None => (TransferSyntaxesNotSupported, uids::IMPLICIT_VR_LITTLE_ENDIAN),
            Some(chosen) => {
                let (sop_class, transfer_syntax) = (sop_class.to_owned(), chosen.to_owned());
                contexts.push(Context { id: proposed.id, sop_class, transfer_syntax });
                (Acceptance, chosen)
            }
        };
        PresentationContextResult { id: proposed.id, reason, transfer_syntax: transfer_syntax.to_owned() }
    });
    let answer = AssociationAC {
        protocol_version: 1,
        application_context_name: APPLICATION_CONTEXT.to_owned(),
        presentation_contexts: results.collect(),
        called_ae_title: request.called_ae_title.clone(),
        calling_ae_title: request.calling_ae_title.clone(),
        user_variables: vec![
            UserVariableItem::MaxLength(MAX_PDU),
            UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.to_owned()),
            UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION_NAME.to_owned()),
        ],
    };
    (contexts, answer)
}

/// Takes messages until the peer has said all.
fn converse(wire: &mut impl Wire, reception: &Reception<'_>, contexts: &[Context], stored: &mut u32) -> Ended {
    let mut conversation = Conversation { wire, reception, contexts, stored, command: Vec::new(), message: None };
    loop {
        if let Err(ended) = conversation.step() {
            return ended;
        }
    }
}

struct Conversation<'c, 'r, W> {
    wire: &'c mut W,
    reception: &'r Reception<'r>,
    contexts: &'c [Context],
    stored: &'c mut u32,
    /// The fragments of a command that is not complete.
    command: Vec<u8>,
    /// The message whose data set is not complete.
    message: Option<Message<'r>>,
}

impl<W: Wire> Conversation<'_, '_, W> {
    fn step(&mut self) -> Result<(), Ended> {
        let config = self.reception.config;
        let first = match &self.message {
            None if self.command.is_empty() => config.idle,
            None => config.read,
            Some(message) => config.read.min(message.end.saturating_duration_since(Instant::now())),
        };
        match receive(self.wire, first, config.read)? {
            Pdu::PData { data } => data.into_iter().try_for_each(|value| self.take(value)),
            Pdu::ReleaseRQ => {
                send(self.wire, &Pdu::ReleaseRP, config.read)?;
                Err(Ended::Released)
            }
            Pdu::AbortRQ { .. } => Err(Ended::Aborted),
            _ => Err(Ended::Malformed("a PDU that has no place in an association")),
        }
    }

    fn take(&mut self, value: PDataValue) -> Result<(), Ended> {
        let context = self.contexts.iter().position(|context| context.id == value.presentation_context_id);
        let context = context.ok_or(Ended::Malformed("data in a context that was not agreed on"))?;
        match (value.value_type, &mut self.message) {
            (PDataValueType::Command, None) => {
                if self.command.len() + value.data.len() > MAX_COMMAND {
                    return Err(Ended::Malformed("a command that is too long"));
                }
                self.command.extend(value.data);
                if value.is_last { self.begin(context) } else { Ok(()) }
            }
            (PDataValueType::Data, Some(message)) if message.context == context => {
                message.storing.write(&value.data);
                if value.is_last { self.finish() } else { Ok(()) }
            }
            _ => Err(Ended::Malformed("a message inside another one")),
        }
    }

    /// A command is complete.
    fn begin(&mut self, context: usize) -> Result<(), Ended> {
        let command = Command::parse(&std::mem::take(&mut self.command))
            .map_err(|_| Ended::Malformed("a command that is no command set"))?;
        let agreed = self.contexts.get(context).ok_or(Ended::Malformed("data in a context that was not agreed on"))?;
        let storing = match command.operation() {
            Some(Operation::Echo) if !command.has_data_set() => {
                return self.answer(context, &command.response(Status::Success, ""));
            }
            Some(Operation::Store) if command.has_data_set() => {
                Storing::begin(self.reception, &command, &agreed.sop_class, &agreed.transfer_syntax)
            }
            _ if command.is_response() => return Err(Ended::Malformed("an answer that nobody has asked for")),
            _ if !command.has_data_set() => {
                return self.answer(context, &command.response(Status::UnrecognizedOperation, UNKNOWN_OPERATION));
            }
            _ => Storing::refused(Status::UnrecognizedOperation, UNKNOWN_OPERATION),
        };
        let end = Instant::now() + self.reception.config.object;
        self.message = Some(Message { context, command, storing, end });
        Ok(())
    }

    /// The data set of a message is complete.
    fn finish(&mut self) -> Result<(), Ended> {
        let Some(message) = self.message.take() else { return Ok(()) };
        let Message { context, command, storing, .. } = message;
        let (status, comment) = storing.finish();
        if status == Status::Success {
            *self.stored += 1;
        } else {
            log::warn!("an object was answered with {:04X}: {comment}", status.code());
        }
        self.answer(context, &command.response(status, &comment))
    }

    fn answer(&mut self, context: usize, response: &Command) -> Result<(), Ended> {
        let Some(context) = self.contexts.get(context) else { return Ok(()) };
        let value = PDataValue {
            presentation_context_id: context.id,
            value_type: PDataValueType::Command,
            is_last: true,
            data: response.encode(),
        };
        send(self.wire, &Pdu::PData { data: vec![value] }, self.reception.config.read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::path::Path;
    use std::sync::Mutex;

    use dicom_ul::pdu::{PresentationContextProposed, write_pdu};
    use proptest::prelude::*;

    use super::super::{Landing, Object};
    use super::*;
    use crate::config::Config;

    /// A peer that has said everything it will say.
    struct Said(io::Cursor<Vec<u8>>, Vec<u8>);

    impl Read for Said {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Wire for Said {
        fn wait_until(&mut self, _: Instant) {}
    }

    /// Keeps what landed.
    #[derive(Default)]
    struct Shelf(Mutex<Vec<Vec<u8>>>);

    struct Copy<'s>(&'s Shelf, Vec<u8>);

    impl Landing for Shelf {
        fn begin(&self) -> io::Result<Box<dyn Object + '_>> {
            Ok(Box::new(Copy(self, Vec::new())))
        }
    }

    impl Write for Copy<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Object for Copy<'_> {
        fn keep(self: Box<Self>) -> io::Result<()> {
            self.0.0.lock().unwrap().push(self.1);
            Ok(())
        }
    }

    fn request() -> Pdu {
        let proposed = PresentationContextProposed {
            id: 1,
            abstract_syntax: uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE.into(),
            transfer_syntaxes: vec!["1.2.3".into(), uids::EXPLICIT_VR_LITTLE_ENDIAN.into()],
        };
        Pdu::AssociationRQ(AssociationRQ {
            protocol_version: 1,
            calling_ae_title: "PEER".into(),
            called_ae_title: "CHESTLIGHT".into(),
            application_context_name: APPLICATION_CONTEXT.into(),
            presentation_contexts: vec![proposed],
            user_variables: vec![UserVariableItem::MaxLength(16_384)],
        })
    }

    /// What comes of an association in which the peer says these bytes: how it ended, and what landed.
    fn converse_with(said: &[Pdu], more: &[u8]) -> (Ended, Vec<Vec<u8>>) {
        let text = "inbox = '/a'\nstate = '/b'\n[dicom]\ncalling_ae_titles = ['PEER']\npeers = ['127.0.0.1']";
        let dicom = Config::parse(text, Path::new("/")).unwrap().dicom.unwrap();
        let shelf = Shelf::default();
        let transfer_syntaxes = &[uids::EXPLICIT_VR_LITTLE_ENDIAN];
        let reception = Reception { config: &dicom, transfer_syntaxes, landing: &shelf };
        let mut bytes = Vec::new();
        said.iter().for_each(|pdu| write_pdu(&mut bytes, pdu).unwrap());
        bytes.extend(more);
        let mut wire = Said(io::Cursor::new(bytes), Vec::new());
        let (stored, ended) = serve(&mut wire, &reception);
        let landed = shelf.0.into_inner().unwrap();
        assert_eq!(stored as usize, landed.len());
        (ended, landed)
    }

    fn data(value_type: PDataValueType, is_last: bool, data: &[u8]) -> Pdu {
        let value = PDataValue { presentation_context_id: 1, value_type, is_last, data: data.to_vec() };
        Pdu::PData { data: vec![value] }
    }

    #[test]
    fn an_object_in_fragments_lands_whole_and_one_that_breaks_off_does_not() {
        use PDataValueType::{Command as C, Data as D};
        let command = Command::store_request(1, uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE, "1.2.3").encode();
        let (start, end) = command.split_at(30);
        let set = b"\x08\0\x18\0UI\x06\x001.2.3\0";
        let whole = [
            request(),
            data(C, false, start),
            data(C, true, end),
            data(D, false, &set[..5]),
            data(D, true, &set[5..]),
            Pdu::ReleaseRQ,
        ];
        let (ended, landed) = converse_with(&whole, b"");
        assert!(matches!(ended, Ended::Released), "{ended}");
        assert!(landed[0].ends_with(set) && landed[0][128..].starts_with(b"DICM"));
        for (name, said, more) in [
            ("closed inside the object", &whole[..4], &b""[..]),
            ("something else inside the object", &whole[..4], b"\x05\0\0\0\0\x04\0\0\0\0"),
            ("closed inside a PDU", &whole[..4], b"\x04\0\0\0\0\x10\0"),
        ] {
            let (ended, landed) = converse_with(said, more);
            assert!(landed.is_empty(), "{name}: {ended}");
        }
        let inside = [&whole[..4], &[data(C, true, &command)]].concat();
        assert!(matches!(converse_with(&inside, b"").0, Ended::Malformed(_)), "a command inside an object");
    }

    proptest! {
        #[test]
        fn no_bytes_of_a_peer_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0_u8..9) {
            let mut pdu = vec![kind, 0];
            pdu.extend((bytes.len() as u32).to_be_bytes());
            pdu.extend(bytes);
            converse_with(&[], &pdu);
            let (ended, landed) = converse_with(&[request()], &pdu);
            prop_assert!(landed.is_empty() && !matches!(ended, Ended::Rejected(_)));
        }
    }
}
