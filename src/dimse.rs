//! DIMSE commands (PS3.7) as values: the little that storage and verification need, for both ends. Pure.
//!
//! `dicom-ul` has the PDUs around them; it leaves the commands inside to its user.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;

/// Most bytes of one command set. Those of storage need under 300; element lengths never allocate by themselves.
pub const MAX_COMMAND: usize = 4 << 10;
/// Verification (C-ECHO).
pub const VERIFICATION: &str = "1.2.840.10008.1.1";
/// The DICOM application context of an association.
pub const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";
/// Names this implementation to its peers: `2.25.` and a random UUID, made once.
pub const IMPLEMENTATION_CLASS_UID: &str = "2.25.113629267849086354309240926956547016099";
/// Names this implementation to people, at most 16 characters. Without a version: it goes into received files, and
/// the same object must become the same file after an update.
pub const IMPLEMENTATION_VERSION_NAME: &str = "CHESTLIGHT";

/// Element numbers in group 0000.
mod element {
    pub(super) const GROUP_LENGTH: u16 = 0x0000;
    pub(super) const AFFECTED_SOP_CLASS: u16 = 0x0002;
    pub(super) const COMMAND_FIELD: u16 = 0x0100;
    pub(super) const MESSAGE_ID: u16 = 0x0110;
    pub(super) const RESPONDED_TO: u16 = 0x0120;
    pub(super) const PRIORITY: u16 = 0x0700;
    pub(super) const DATA_SET_TYPE: u16 = 0x0800;
    pub(super) const STATUS: u16 = 0x0900;
    pub(super) const ERROR_COMMENT: u16 = 0x0902;
    pub(super) const AFFECTED_SOP_INSTANCE: u16 = 0x1000;
}

const C_STORE: u16 = 0x0001;
const C_ECHO: u16 = 0x0030;
const RESPONSE: u16 = 0x8000;
/// The data set type of a command that no data set follows.
const NO_DATA_SET: u16 = 0x0101;

/// What a C-STORE or C-ECHO is answered with (PS3.4 B.2.3, PS3.7 annex C).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done; of an object: it is durably stored.
    Success,
    /// The disc is nearly full, does not work, or too many films wait.
    OutOfResources,
    /// The object is another one, or of another class, than the command says.
    DoesNotMatch,
    /// The data set is not one.
    CannotUnderstand,
    /// The object is larger than this unit takes.
    TooLarge,
    /// The command's UID is none.
    InvalidInstance,
    /// The command's class is not the one that was agreed on.
    SopClassNotSupported,
    /// The command is neither C-STORE nor C-ECHO.
    UnrecognizedOperation,
}

impl Status {
    /// Every status, for documentation and for tests.
    pub const ALL: [Self; 8] = [
        Self::Success,
        Self::OutOfResources,
        Self::DoesNotMatch,
        Self::CannotUnderstand,
        Self::TooLarge,
        Self::InvalidInstance,
        Self::SopClassNotSupported,
        Self::UnrecognizedOperation,
    ];

    /// The code on the wire.
    pub fn code(self) -> u16 {
        match self {
            Self::Success => 0x0000,
            Self::OutOfResources => 0xA700,
            Self::DoesNotMatch => 0xA900,
            Self::CannotUnderstand => 0xC000,
            Self::TooLarge => 0xC001,
            Self::InvalidInstance => 0x0117,
            Self::SopClassNotSupported => 0x0122,
            Self::UnrecognizedOperation => 0x0211,
        }
    }
}

/// A unique identifier (PS3.5 chapter 9): digits and dots, 1 to 64 of them, no component empty.
///
/// Components with leading zeros are let pass: the standard forbids them and devices make them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Uid(String);

impl Uid {
    /// The identifier, if the text is one; padding at its end is taken off.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches(['\0', ' ']);
        let component = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        ((1..=64).contains(&text.len()) && text.split('.').all(component)).then(|| Self(text.to_owned()))
    }

    /// An identifier from 128 random or derived bits (PS3.5 B.2); of more bytes the first 16 count.
    pub fn from_random(bytes: &[u8]) -> Self {
        let number = bytes.first_chunk().map_or(0, |bits| u128::from_be_bytes(*bits));
        Self(format!("2.25.{number}"))
    }

    /// The identifier that follows from these words, and from no others.
    pub fn derived(words: &[&str]) -> Self {
        let mut digest = Sha256::new_with_prefix("chestlight identifier");
        for word in words {
            digest.update((word.len() as u64).to_be_bytes());
            digest.update(word);
        }
        Self::from_random(&digest.finalize())
    }

    /// As text, without padding.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes that are no command set.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CommandError {
    /// More than [`MAX_COMMAND`] bytes.
    #[error("a command has more than {MAX_COMMAND} bytes")]
    TooLong,
    /// The bytes break off, or leave group 0000.
    #[error("a command that is no command set")]
    Malformed,
}

/// A command set: elements of group 0000, implicit VR little endian, none of them a sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command(BTreeMap<u16, Vec<u8>>);

impl Command {
    /// Reads a whole command set.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn parse(mut bytes: &[u8]) -> Result<Self, CommandError> {
        if bytes.len() > MAX_COMMAND {
            return Err(CommandError::TooLong);
        }
        let mut elements = BTreeMap::new();
        while !bytes.is_empty() {
            let (&[g0, g1, e0, e1, l0, l1, l2, l3], rest) = bytes.split_first_chunk().ok_or(CommandError::Malformed)?;
            let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
            let value = rest.get(..length).filter(|_| [g0, g1] == [0, 0]).ok_or(CommandError::Malformed)?;
            elements.insert(u16::from_le_bytes([e0, e1]), value.to_vec());
            bytes = rest.get(length..).unwrap_or_default();
        }
        elements.remove(&element::GROUP_LENGTH);
        Ok(Self(elements))
    }

    /// The command set's bytes, with its group length.
    pub fn encode(&self) -> Vec<u8> {
        let mut elements = Vec::new();
        let mut put = |number: u16, value: &[u8]| {
            elements.extend([0, 0]);
            elements.extend(number.to_le_bytes());
            elements.extend(u32::try_from(value.len()).unwrap_or_default().to_le_bytes());
            elements.extend(value);
        };
        self.0.iter().for_each(|(number, value)| put(*number, value));
        let length = u32::try_from(elements.len()).unwrap_or_default();
        let mut encoded = vec![0, 0, 0, 0, 4, 0, 0, 0];
        encoded.extend(length.to_le_bytes());
        encoded.extend(elements);
        encoded
    }

    /// A request for verification.
    pub fn echo_request(message: u16) -> Self {
        Self::default()
            .text(element::AFFECTED_SOP_CLASS, VERIFICATION)
            .number(element::COMMAND_FIELD, C_ECHO)
            .number(element::MESSAGE_ID, message)
            .number(element::DATA_SET_TYPE, NO_DATA_SET)
    }

    /// A request to store the object that follows.
    pub fn store_request(message: u16, sop_class: &str, sop_instance: &str) -> Self {
        Self::default()
            .text(element::AFFECTED_SOP_CLASS, sop_class)
            .number(element::COMMAND_FIELD, C_STORE)
            .number(element::MESSAGE_ID, message)
            .number(element::PRIORITY, 0)
            // Any value but "none" says that a data set follows.
            .number(element::DATA_SET_TYPE, 1)
            .text(element::AFFECTED_SOP_INSTANCE, sop_instance)
    }

    /// The answer to this request. Of `comment`, which only a failure has, 64 ASCII characters are sent.
    pub fn response(&self, status: Status, comment: &str) -> Self {
        let mut response = Self::default()
            .number(element::COMMAND_FIELD, self.get(element::COMMAND_FIELD).unwrap_or_default() | RESPONSE)
            .number(element::RESPONDED_TO, self.get(element::MESSAGE_ID).unwrap_or_default())
            .number(element::DATA_SET_TYPE, NO_DATA_SET)
            .number(element::STATUS, status.code());
        for number in [element::AFFECTED_SOP_CLASS, element::AFFECTED_SOP_INSTANCE] {
            if let Some(value) = self.0.get(&number) {
                response.0.insert(number, value.clone());
            }
        }
        if status != Status::Success {
            let comment: String = comment.chars().filter(|c| c.is_ascii() && !c.is_control()).take(64).collect();
            response = response.text(element::ERROR_COMMENT, &comment);
        }
        response
    }

    /// What is asked for, if this is a request that storage and verification know.
    pub fn operation(&self) -> Option<Operation> {
        match self.get(element::COMMAND_FIELD)? {
            C_STORE => Some(Operation::Store),
            C_ECHO => Some(Operation::Echo),
            _ => None,
        }
    }

    /// Whether it is an answer.
    pub fn is_response(&self) -> bool {
        self.get(element::COMMAND_FIELD).is_some_and(|field| field & RESPONSE != 0)
    }

    /// Whether a data set follows.
    pub fn has_data_set(&self) -> bool {
        self.get(element::DATA_SET_TYPE).is_some_and(|kind| kind != NO_DATA_SET)
    }

    /// The number that the answer repeats; of an answer, of the request that it belongs to.
    pub fn message_id(&self) -> Option<u16> {
        self.get(element::MESSAGE_ID).or_else(|| self.get(element::RESPONDED_TO))
    }

    /// The code in an answer.
    pub fn status(&self) -> Option<u16> {
        self.get(element::STATUS)
    }

    /// The class that the command is about.
    pub fn sop_class(&self) -> Option<Uid> {
        self.uid(element::AFFECTED_SOP_CLASS)
    }

    /// The object that the command is about.
    pub fn sop_instance(&self) -> Option<Uid> {
        self.uid(element::AFFECTED_SOP_INSTANCE)
    }

    fn uid(&self, number: u16) -> Option<Uid> {
        Uid::parse(str::from_utf8(self.0.get(&number)?).ok()?)
    }

    fn get(&self, number: u16) -> Option<u16> {
        self.0.get(&number)?.as_slice().try_into().ok().map(u16::from_le_bytes)
    }

    fn number(mut self, number: u16, value: u16) -> Self {
        self.0.insert(number, value.to_le_bytes().to_vec());
        self
    }

    /// Padded to an even length, UIDs with a zero and text with a space.
    fn text(mut self, number: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        if !bytes.len().is_multiple_of(2) {
            bytes.push(if number == element::ERROR_COMMENT { b' ' } else { 0 });
        }
        self.0.insert(number, bytes);
        self
    }
}

/// A request that this software knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// C-STORE.
    Store,
    /// C-ECHO.
    Echo,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_identifier_is_digits_and_dots_and_nothing_that_a_path_could_be() {
        for (text, valid) in [
            ("1.2.840.10008.1.1", true),
            ("2.25.0\0", true),
            ("1.02.3", true),
            ("", false),
            (".", false),
            ("1..2", false),
            (".1", false),
            ("../../etc/passwd", false),
            ("1.2/3", false),
            ("1.2\0.3", false),
            ("1.2.x", false),
            (&"1".repeat(64), true),
            (&"1".repeat(65), false),
        ] {
            assert_eq!(Uid::parse(text).is_some(), valid, "{text:?}");
        }
    }

    #[test]
    fn requests_and_their_answers_come_back_from_their_bytes() {
        for (request, operation, data) in [
            (Command::echo_request(7), Operation::Echo, false),
            (Command::store_request(7, "1.2", "1.2.3.4"), Operation::Store, true),
        ] {
            assert_eq!(Command::parse(&request.encode()).unwrap(), request);
            assert_eq!((request.operation(), request.has_data_set()), (Some(operation), data));
            for status in Status::ALL {
                let response = request.response(status, &"why ".repeat(40));
                let response = Command::parse(&response.encode()).unwrap();
                assert!(response.is_response() && !response.has_data_set());
                assert_eq!((response.status(), response.message_id()), (Some(status.code()), Some(7)));
                assert_eq!(response.sop_instance(), request.sop_instance());
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_and_what_it_read_it_can_write(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(command) = Command::parse(&bytes) {
                prop_assert_eq!(Command::parse(&command.encode()), Ok(command));
            }
        }
    }
}
