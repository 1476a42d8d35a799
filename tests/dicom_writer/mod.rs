//! Writes DICOM films for the tests, through dicom-object.

#![allow(dead_code, reason = "each test uses its part")]

use dicom_core::value::{PixelFragmentSequence, PrimitiveValue, Value};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

pub const IMPLICIT: &str = uids::IMPLICIT_VR_LITTLE_ENDIAN;
pub const EXPLICIT: &str = uids::EXPLICIT_VR_LITTLE_ENDIAN;
pub const BIG: &str = "1.2.840.10008.1.2.2";
pub const DEFLATED: &str = uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN;

/// A film to be written.
#[derive(Clone)]
pub struct Film {
    pub object: InMemDicomObject,
}

impl Film {
    /// A grey film of so many stored bits in 8 or 16; without pixel data.
    pub fn new(width: u16, height: u16, stored: u16, allocated: u16) -> Self {
        let text = |tag, vr, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
        let word = |tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
        let object = InMemDicomObject::from_element_iter([
            text(tags::SOP_CLASS_UID, VR::UI, uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE),
            text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3.4"),
            text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3"),
            text(tags::MODALITY, VR::CS, "CR"),
            text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
            word(tags::SAMPLES_PER_PIXEL, 1),
            word(tags::ROWS, height),
            word(tags::COLUMNS, width),
            word(tags::BITS_ALLOCATED, allocated),
            word(tags::BITS_STORED, stored),
            word(tags::HIGH_BIT, stored - 1),
            word(tags::PIXEL_REPRESENTATION, 0),
        ]);
        Self { object }
    }

    pub fn with(mut self, tag: Tag, vr: VR, value: impl Into<PrimitiveValue>) -> Self {
        self.object.put(DataElement::new(tag, vr, value.into()));
        self
    }

    pub fn text(self, tag: Tag, vr: VR, value: &str) -> Self {
        self.with(tag, vr, PrimitiveValue::from(value))
    }

    pub fn word(self, tag: Tag, value: u16) -> Self {
        self.with(tag, VR::US, PrimitiveValue::from(value))
    }

    pub fn words(self, tag: Tag, vr: VR, values: &[u16]) -> Self {
        self.with(tag, vr, PrimitiveValue::U16(values.into()))
    }

    /// A sequence of one item.
    pub fn item(mut self, tag: Tag, elements: impl IntoIterator<Item = (Tag, VR, PrimitiveValue)>) -> Self {
        let item = InMemDicomObject::from_element_iter(
            elements.into_iter().map(|(tag, vr, value)| DataElement::new(tag, vr, value)),
        );
        self.object.put(DataElement::new(
            tag,
            VR::SQ,
            Value::from(dicom_core::value::DataSetSequence::from(vec![item])),
        ));
        self
    }

    /// A lookup table as the one item of a sequence.
    pub fn lut(self, sequence: Tag, first: i16, bits: u16, entries: &[u16]) -> Self {
        let descriptor = [entries.len() as u16, first as u16, bits];
        let vr = if first < 0 { VR::SS } else { VR::US };
        let descriptor = match vr {
            VR::SS => PrimitiveValue::I16(descriptor.iter().map(|&word| word as i16).collect()),
            _ => PrimitiveValue::U16(descriptor.as_slice().into()),
        };
        self.item(
            sequence,
            [(tags::LUT_DESCRIPTOR, vr, descriptor), (tags::LUT_DATA, VR::OW, PrimitiveValue::U16(entries.into()))],
        )
    }

    pub fn pixels8(self, samples: &[u8]) -> Self {
        let mut samples = samples.to_vec();
        samples.resize(samples.len().next_multiple_of(2), 0);
        self.with(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(samples.into()))
    }

    pub fn pixels16(self, samples: &[u16]) -> Self {
        self.with(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(samples.into()))
    }

    pub fn fragments(mut self, fragments: Vec<Vec<u8>>) -> Self {
        let fragments: PixelFragmentSequence<Vec<u8>> = PixelFragmentSequence::new(Vec::<u32>::new(), fragments);
        self.object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, Value::from(fragments)));
        self
    }

    pub fn write(&self, syntax: &str) -> Vec<u8> {
        // dicom-object writes deflated sets only with a feature that the device does not need.
        let written = if syntax == DEFLATED { EXPLICIT } else { syntax };
        let meta = FileMetaTableBuilder::new()
            .transfer_syntax(written)
            .media_storage_sop_class_uid(uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE)
            .media_storage_sop_instance_uid("1.2.3.4");
        let mut bytes = Vec::new();
        self.object.clone().with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
        if syntax == DEFLATED { deflated(&bytes) } else { bytes }
    }
}

/// The same file with its data set deflated.
fn deflated(bytes: &[u8]) -> Vec<u8> {
    let place = data_set_at(bytes);
    let (meta, data_set) = bytes.split_at(place);
    let mut meta = meta.to_vec();
    let explicit = b"1.2.840.10008.1.2.1\0";
    let at = meta.windows(explicit.len()).position(|part| part == explicit).unwrap();
    meta.splice(at - 2..at + explicit.len(), [&22u16.to_le_bytes(), b"1.2.840.10008.1.2.1.99".as_slice()].concat());
    meta[140] += 2;
    [meta, deflate(data_set)].concat()
}

pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Where the data set begins, by the group length of the meta information.
pub fn data_set_at(bytes: &[u8]) -> usize {
    144 + u32::from_le_bytes(bytes[140..144].try_into().unwrap()) as usize
}

/// Planes of bytes as RLE without any compression.
pub fn rle(planes: &[Vec<u8>]) -> Vec<u8> {
    let mut header = vec![planes.len() as u32];
    let mut body = Vec::new();
    for plane in planes {
        header.push(64 + body.len() as u32);
        for part in plane.chunks(128) {
            body.push(part.len() as u8 - 1);
            body.extend(part);
        }
        body.resize(body.len().next_multiple_of(2), 0x80);
    }
    header.resize(16, 0);
    header.iter().flat_map(|word| word.to_le_bytes()).chain(body).collect()
}

/// Grey samples as lossless JPEG (T.81 annex H) with a restart after every `rows` rows. Every size of difference has a
/// code of five bits.
pub fn jpeg_lossless(samples: &[u16], width: u16, precision: u8, predictor: u8, rows: u16) -> Vec<u8> {
    let height = samples.len() as u16 / width;
    let word = |value: u16| value.to_be_bytes();
    let mut bytes = b"\xFF\xD8\xFF\xC3\0\x0B".to_vec();
    bytes.push(precision);
    bytes.extend([word(height), word(width)].concat());
    bytes.extend(b"\x01\x01\x11\0\xFF\xC4\0\x24\0\0\0\0\0\x11\0\0\0\0\0\0\0\0\0\0\0");
    bytes.extend(0..=16);
    bytes.extend(b"\xFF\xDD\0\x04");
    bytes.extend(word(width * rows));
    bytes.extend(b"\xFF\xDA\0\x08\x01\x01\0");
    bytes.extend([predictor, 0, 0]);
    let width = usize::from(width);
    for (number, part) in samples.chunks(width * usize::from(rows)).enumerate() {
        if number > 0 {
            bytes.extend([0xFF, 0xD0 + (number as u8 - 1) % 8]);
        }
        let mut bits: Vec<bool> = Vec::new();
        for (place, &sample) in part.iter().enumerate() {
            let before = |distance: usize| i32::from(part[place - distance]);
            let prediction = match (place, place % width) {
                (0, _) => 1 << (precision - 1),
                (1.., _) if place < width => before(1),
                (_, 0) => before(width),
                _ => {
                    let (left, up, corner) = (before(1), before(width), before(width + 1));
                    match predictor {
                        1 => left,
                        2 => up,
                        3 => corner,
                        4 => left + up - corner,
                        5 => left + ((up - corner) >> 1),
                        6 => up + ((left - corner) >> 1),
                        _ => (left + up) >> 1,
                    }
                }
            };
            // Differences are of 16 bits, and -32,768 is the one of size 16, without further bits.
            let difference = i32::from((i32::from(sample) - prediction) as i16);
            let size = 32 - difference.unsigned_abs().leading_zeros();
            let more = if difference < 0 { difference - 1 } else { difference };
            bits.extend((0..5).rev().map(|bit| size >> bit & 1 == 1));
            bits.extend((0..size % 16).rev().map(|bit| more >> bit & 1 == 1));
        }
        bits.resize(bits.len().next_multiple_of(8), true);
        for eight in bits.chunks(8) {
            let byte = eight.iter().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
            bytes.push(byte);
            if byte == 0xFF {
                bytes.push(0);
            }
        }
    }
    bytes.extend(b"\xFF\xD9");
    bytes
}
