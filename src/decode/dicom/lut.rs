//! Lookup tables (PS3.3 C.11.1.1): a descriptor of three words, and the entries.

use super::damaged;
use super::object::Object;
use crate::decode::DecodeError;

/// What a LUT Descriptor (0028,3002) or a palette's descriptor says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Descriptor {
    /// 1 to 65,536.
    pub(super) entries: usize,
    /// The input that the first entry is for.
    pub(super) first: i32,
    /// Bits of an entry, 8 to 16.
    pub(super) bits: u8,
}

impl Descriptor {
    pub(super) fn parse(object: &Object<'_>, bytes: &[u8], signed: bool) -> Result<Self, DecodeError> {
        let words: Vec<u16> = object.words(bytes).collect();
        let [entries, first, bits] = *words.as_slice() else {
            return Err(damaged(format!("a lookup table's descriptor has {} words, not three", words.len())));
        };
        // 10 to 16, or 8; a few writers state 0 for 16.
        let bits = if bits == 0 { 16 } else { bits };
        if !(8..=16).contains(&bits) {
            return Err(DecodeError::Unsupported(format!("lookup tables with entries of {bits} bits are not read")));
        }
        Ok(Self {
            entries: if entries == 0 { 65_536 } else { usize::from(entries) },
            first: if signed { i32::from(first as i16) } else { i32::from(first) },
            bits: bits as u8,
        })
    }

    /// The greatest value of an entry.
    pub(super) fn most(&self) -> u16 {
        u16::MAX >> (16 - self.bits)
    }
}

/// A table from integers to words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lut {
    descriptor: Descriptor,
    entries: Vec<u16>,
}

impl Lut {
    /// Joins a descriptor with its data: words, or bytes where the entries have 8 bits and are packed.
    pub(super) fn parse(object: &Object<'_>, descriptor: Descriptor, data: &[u8]) -> Result<Self, DecodeError> {
        let count = descriptor.entries;
        let entries: Vec<u16> = if data.len() >= count * 2 {
            object.words(data).take(count).collect()
        } else if descriptor.bits == 8 && data.len() >= count {
            data.iter().take(count).copied().map(u16::from).collect()
        } else {
            return Err(damaged(format!("a lookup table of {count} entries has {} bytes", data.len())));
        };
        Ok(Self { descriptor, entries })
    }

    /// A table of entries that were made otherwise.
    pub(super) fn new(descriptor: Descriptor, entries: Vec<u16>) -> Self {
        Self { descriptor, entries }
    }

    pub(super) fn descriptor(&self) -> Descriptor {
        self.descriptor
    }

    pub(super) fn entries(&self) -> &[u16] {
        &self.entries
    }

    /// The entry for an input; inputs outside of the table get its first or last one.
    pub(super) fn get(&self, input: i32) -> u16 {
        let place = usize::try_from(input.saturating_sub(self.descriptor.first)).unwrap_or(0);
        self.entries.get(place).or(self.entries.last()).copied().unwrap_or(0)
    }
}
