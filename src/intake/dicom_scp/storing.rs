//! One object on its way from a peer to where it lands: streamed, never held in memory, and judged by its beginning.

use std::io::{self, Write};

use dicom_dictionary_std::uids;
use dicom_object::meta::FileMetaTableBuilder;

use super::{Object, Reception};
use crate::dimse::{Command, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Status, Uid};

/// So much of a data set is looked at before any of it lands: its class and identifier stand near its beginning.
const HEAD: usize = 4 << 10;

/// What becomes of the data set of one C-STORE.
pub(super) enum Storing<'r> {
    Landing(Landing<'r>),
    /// It is read and thrown away, and answered with this.
    Refused(Status, String),
}

pub(super) struct Landing<'r> {
    object: Box<dyn Object + 'r>,
    /// The data set's first bytes until they were judged.
    head: Option<Vec<u8>>,
    sop_class: Uid,
    sop_instance: Uid,
    transfer_syntax: String,
}

impl<'r> Storing<'r> {
    pub(super) fn refused(status: Status, why: &str) -> Self {
        Self::Refused(status, why.to_owned())
    }

    /// Begins the file: preamble and file meta, which follow from the command and the context alone, so that the same
    /// object always becomes the same bytes.
    pub(super) fn begin(
        reception: &'r Reception<'_>,
        command: &Command,
        agreed_class: &str,
        transfer_syntax: &str,
    ) -> Self {
        let Some(sop_instance) = command.sop_instance() else {
            return Self::refused(Status::InvalidInstance, "the SOP instance UID is no UID");
        };
        let Some(sop_class) = command.sop_class().filter(|uid| uid.as_str() == agreed_class) else {
            return Self::refused(Status::SopClassNotSupported, "the SOP class is not that of the context");
        };
        if agreed_class == crate::dimse::VERIFICATION {
            return Self::refused(Status::SopClassNotSupported, "verification stores nothing");
        }
        let meta = FileMetaTableBuilder::new()
            .media_storage_sop_class_uid(sop_class.as_str())
            .media_storage_sop_instance_uid(sop_instance.as_str())
            .transfer_syntax(transfer_syntax)
            .implementation_class_uid(IMPLEMENTATION_CLASS_UID)
            .implementation_version_name(IMPLEMENTATION_VERSION_NAME)
            .build();
        let mut preamble = vec![0; 128];
        preamble.extend(b"DICM");
        if meta.and_then(|meta| meta.write(&mut preamble)).is_err() {
            return Self::refused(Status::CannotUnderstand, "no file meta can be made of the command");
        }
        let begun = reception.landing.begin().and_then(|mut object| object.write_all(&preamble).map(|()| object));
        match begun {
            Ok(object) => Self::Landing(Landing {
                object,
                head: Some(Vec::new()),
                sop_class,
                sop_instance,
                transfer_syntax: transfer_syntax.to_owned(),
            }),
            Err(error) => Self::failed(&error),
        }
    }

    /// Takes the next bytes of the data set. What goes wrong is said in the answer, when all of it has come.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let Self::Landing(landing) = self else { return };
        let taken = match &mut landing.head {
            Some(head) => {
                head.extend(bytes);
                if head.len() >= HEAD { landing.let_in() } else { Ok(()) }
            }
            None => landing.object.write_all(bytes).map_err(|error| Self::failed(&error)),
        };
        if let Err(refused) = taken {
            *self = refused;
        }
    }

    /// The data set is complete: makes it durable and says what to answer.
    pub(super) fn finish(self) -> (Status, String) {
        let kept = match self {
            Self::Landing(mut landing) => match landing.let_in() {
                Ok(()) => landing.object.keep().map_err(|error| Self::failed(&error)),
                Err(refused) => Err(refused),
            },
            refused => Err(refused),
        };
        match kept {
            Err(Self::Refused(status, why)) => (status, why),
            _ => (Status::Success, String::new()),
        }
    }

    fn failed(error: &io::Error) -> Self {
        let status = match error.kind() {
            io::ErrorKind::FileTooLarge => Status::TooLarge,
            _ => Status::OutOfResources,
        };
        Self::Refused(status, error.to_string())
    }
}

impl<'r> Landing<'r> {
    /// Judges the beginning, once, and lets it land.
    fn let_in(&mut self) -> Result<(), Storing<'r>> {
        let Some(head) = self.head.take() else { return Ok(()) };
        match identity(&head, &self.transfer_syntax) {
            Err(why) => return Err(Storing::refused(Status::CannotUnderstand, why)),
            Ok((class, instance)) => {
                let differs = |found: Option<Uid>, said: &Uid| found.is_some_and(|found| found != *said);
                if differs(class, &self.sop_class) || differs(instance, &self.sop_instance) {
                    return Err(Storing::refused(Status::DoesNotMatch, "the object is not the one of the command"));
                }
            }
        }
        self.object.write_all(&head).map_err(|error| Storing::failed(&error))
    }
}

/// SOP class and instance UID as the beginning of a data set has them; absent where they are not reached.
///
/// Follows the elements of group 0008 as far as the instance UID. Whatever lengths they claim, nothing is allocated
/// for them.
fn identity(head: &[u8], transfer_syntax: &str) -> Result<(Option<Uid>, Option<Uid>), &'static str> {
    if transfer_syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
        return Ok((None, None));
    }
    let explicit = transfer_syntax != uids::IMPLICIT_VR_LITTLE_ENDIAN;
    let (mut class, mut instance, mut rest, mut last) = (None, None, head, (0, 0));
    while let Some((element, length, after)) = element(rest, explicit) {
        if element <= last || element.0 == 0 {
            return Err("the data set does not begin as one");
        }
        last = element;
        // A sequence of unknown length, or a value that leaves the beginning: the decoder sees the whole.
        let Some(value) = after.get(..length as usize) else { break };
        let uid = || str::from_utf8(value).ok().and_then(Uid::parse);
        match element {
            (0x0008, 0x0016) => class = uid(),
            (0x0008, 0x0018) => instance = uid(),
            _ if element > (0x0008, 0x0018) => break,
            _ => {}
        }
        rest = after.get(length as usize..).unwrap_or_default();
    }
    if last == (0, 0) { Err("the data set is empty") } else { Ok((class, instance)) }
}

/// Tag, length of the value, and what follows; absent where the bytes break off.
fn element(bytes: &[u8], explicit: bool) -> Option<((u16, u16), u32, &[u8])> {
    let (&[g0, g1, e0, e1, l0, l1, l2, l3], rest) = bytes.split_first_chunk()?;
    let tag = (u16::from_le_bytes([g0, g1]), u16::from_le_bytes([e0, e1]));
    if !explicit {
        return Some((tag, u32::from_le_bytes([l0, l1, l2, l3]), rest));
    }
    match &[l0, l1] {
        b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT" | b"UV" => {
            let (&length, rest) = rest.split_first_chunk()?;
            Some((tag, u32::from_le_bytes(length), rest))
        }
        _ => Some((tag, u32::from(u16::from_le_bytes([l2, l3])), rest)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXPLICIT: &str = uids::EXPLICIT_VR_LITTLE_ENDIAN;
    const IMPLICIT: &str = uids::IMPLICIT_VR_LITTLE_ENDIAN;

    #[test]
    fn the_beginning_of_a_data_set_says_what_it_is() {
        let explicit = b"\x08\0\x05\0CS\x0a\0ISO_IR 100\x08\0\x16\0UI\x04\x001.2\0\x08\0\x18\0UI\x04\x001.3\0";
        let implicit = b"\x08\0\x16\0\x04\0\0\x001.2\0\x08\0\x18\0\x04\0\0\x001.3\0";
        let both = Ok((Uid::parse("1.2"), Uid::parse("1.3")));
        for (name, head, transfer_syntax, found) in [
            ("explicit", &explicit[..], EXPLICIT, both.clone()),
            ("implicit", &implicit[..], IMPLICIT, both.clone()),
            ("cut off inside", &implicit[..17], IMPLICIT, Ok((Uid::parse("1.2"), None))),
            ("a path", b"\x08\0\x18\0UI\x08\0../../a\0", EXPLICIT, Ok((None, None))),
            ("a later group first", b"\x10\0\x10\0PN\x02\0ab", EXPLICIT, Ok((None, None))),
            ("a length that is not there", b"\x08\0\x05\0\xff\xff\xff\xff", IMPLICIT, Ok((None, None))),
            (
                "elements out of order",
                b"\x08\0\x16\0\0\0\0\0\x08\0\x05\0\0\0\0\0",
                IMPLICIT,
                Err("the data set does not begin as one"),
            ),
            ("a command", b"\0\0\0\0\x04\0\0\0\0\0\0\0", IMPLICIT, Err("the data set does not begin as one")),
            ("nothing", b"", IMPLICIT, Err("the data set is empty")),
            ("deflated", b"\x99\x99\x99", uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, Ok((None, None))),
        ] {
            assert_eq!(identity(head, transfer_syntax), found, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_beginning_makes_it_panic(head in prop::collection::vec(any::<u8>(), 0..200), explicit in any::<bool>()) {
            let _ = identity(&head, if explicit { EXPLICIT } else { IMPLICIT });
        }
    }
}
