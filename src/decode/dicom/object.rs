//! The data set of a DICOM object, walked once (PS3.5 section 7, PS3.10 section 7).
//!
//! dicom-rs reads each header; the walk is our own, because dicom-rs's object reader allocates by declared lengths and
//! recurses into sequences. This one borrows from the input, keeps the few elements that the road needs, and needs
//! neither memory nor stack for what a length or a nesting claims.

use std::collections::BTreeMap;
use std::io::Read;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use dicom_encoding::decode::Decode as _;
use dicom_encoding::decode::explicit_be::ExplicitVRBigEndianDecoder;
use dicom_encoding::decode::explicit_le::ExplicitVRLittleEndianDecoder;
use dicom_encoding::decode::implicit_le::ImplicitVRLittleEndianDecoder;
use flate2::read::DeflateDecoder;

use super::damaged;
use crate::decode::DecodeError;

/// Sequences in sequences that are walked; plain films have three at most.
const MOST_NESTED: usize = 32;
/// Fragments of one frame's pixel data; encoders make one, or one for each 64 KiB or so.
const MOST_FRAGMENTS: usize = 65_536;
/// Outermost elements that are listed; films have some hundred.
const MOST_PARTS: usize = 4_096;
/// Bytes before the magic word, which mean nothing.
const PREAMBLE: usize = 128;
const MAGIC: &[u8] = b"DICM";

const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// Sequences whose first item is kept, one level deep.
const SEQUENCES: [Tag; 4] =
    [tags::MODALITY_LUT_SEQUENCE, tags::VOILUT_SEQUENCE, tags::VIEW_CODE_SEQUENCE, tags::ANATOMIC_REGION_SEQUENCE];

/// Elements that are kept; everything else is passed over.
const NEEDED: [Tag; 45] = [
    tags::SOP_CLASS_UID,
    tags::SOP_INSTANCE_UID,
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::MODALITY,
    tags::CODE_VALUE,
    tags::CODING_SCHEME_DESIGNATOR,
    tags::CODE_MEANING,
    tags::PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_AGE,
    tags::BODY_PART_EXAMINED,
    tags::IMAGER_PIXEL_SPACING,
    tags::VIEW_POSITION,
    tags::STUDY_INSTANCE_UID,
    tags::SERIES_INSTANCE_UID,
    tags::LATERALITY,
    tags::IMAGE_LATERALITY,
    tags::SAMPLES_PER_PIXEL,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::PLANAR_CONFIGURATION,
    tags::NUMBER_OF_FRAMES,
    tags::ROWS,
    tags::COLUMNS,
    tags::PIXEL_SPACING,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
    tags::PIXEL_PADDING_VALUE,
    tags::PIXEL_PADDING_RANGE_LIMIT,
    tags::WINDOW_CENTER,
    tags::WINDOW_WIDTH,
    tags::VOILUT_FUNCTION,
    tags::RESCALE_INTERCEPT,
    tags::RESCALE_SLOPE,
    tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
    tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
    tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
    tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    tags::LUT_DESCRIPTOR,
    tags::LUT_DATA,
    tags::PRESENTATION_LUT_SHAPE,
];
/// Segmented palettes, by colour.
const SEGMENTED: [Tag; 3] = [
    tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
];

/// Byte order and form of headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    ImplicitLittle,
    ExplicitLittle,
    ExplicitBig,
}

/// An element's value field.
#[derive(Clone, Debug)]
struct Field<'a> {
    vr: VR,
    bytes: &'a [u8],
}

/// The value of Pixel Data (7FE0,0010).
#[derive(Clone, Debug)]
pub(super) enum PixelData<'a> {
    /// Samples as they are, in the data set's byte order; `words` when they were written as 16-bit words.
    Native { bytes: &'a [u8], words: bool },
    /// The fragments of an encapsulated codestream, without the offset table.
    Fragments(Vec<&'a [u8]>),
}

/// What the road needs of an object.
#[derive(Debug)]
pub(super) struct Object<'a> {
    /// By sequence (`None`: the data set itself) and tag.
    fields: BTreeMap<(Option<Tag>, Tag), Field<'a>>,
    big_endian: bool,
    explicit: bool,
    pub(super) pixel_data: Option<PixelData<'a>>,
    /// The pixel data are of a kind that is not read, such as floats.
    pub(super) float_pixels: bool,
}

impl<'a> Object<'a> {
    /// Walks the data set up to the pixel data.
    pub(super) fn parse(data_set: &'a [u8], form: Form) -> Result<Self, DecodeError> {
        let mut object = Self {
            fields: BTreeMap::new(),
            big_endian: form == Form::ExplicitBig,
            explicit: form != Form::ImplicitLittle,
            pixel_data: None,
            float_pixels: false,
        };
        Walk { bytes: data_set, at: 0, form, open: Vec::new() }.run(&mut object)?;
        Ok(object)
    }

    fn field(&self, sequence: Option<Tag>, tag: Tag) -> Option<&Field<'a>> {
        self.fields.get(&(sequence, tag))
    }

    /// The bytes of an element in the first item of a sequence.
    pub(super) fn bytes_in(&self, sequence: Tag, tag: Tag) -> Option<&'a [u8]> {
        self.field(Some(sequence), tag).map(|field| field.bytes)
    }

    /// The bytes of an element.
    pub(super) fn bytes(&self, tag: Tag) -> Option<&'a [u8]> {
        self.field(None, tag).map(|field| field.bytes)
    }

    /// Whether an element in the first item of a sequence (`None`: of the data set) is stated to hold signed words;
    /// implicit headers state nothing.
    pub(super) fn states_signed(&self, sequence: Option<Tag>, tag: Tag) -> Option<bool> {
        match self.field(sequence, tag)?.vr {
            VR::SS => Some(true),
            VR::US if self.explicit => Some(false),
            _ => None,
        }
    }

    /// First value of a text element without padding; `None` when it is absent or empty.
    ///
    /// Other characters than ASCII become U+FFFD: what is read here are codes, numbers, identifiers and dates.
    pub(super) fn text(&self, tag: Tag) -> Option<String> {
        text(self.bytes(tag)?)
    }

    /// As [`Object::text`], in the first item of a sequence.
    pub(super) fn text_in(&self, sequence: Tag, tag: Tag) -> Option<String> {
        text(self.bytes_in(sequence, tag)?)
    }

    /// Values of a decimal or integer string; those that are no numbers are `None`.
    pub(super) fn decimals(&self, tag: Tag) -> Vec<Option<f64>> {
        let Some(field) = self.field(None, tag) else { return Vec::new() };
        // A few writers store what should be text in binary.
        let values: Vec<Option<f64>> = match field.vr {
            VR::US => self.words(field.bytes).map(|word| Some(f64::from(word))).collect(),
            VR::SS => self.words(field.bytes).map(|word| Some(f64::from(word as i16))).collect(),
            VR::FD => field.bytes.chunks_exact(8).map(|eight| self.eight(eight).map(f64::from_bits)).collect(),
            VR::FL => {
                field.bytes.chunks_exact(4).map(|four| self.four(four).map(f32::from_bits).map(f64::from)).collect()
            }
            _ => String::from_utf8_lossy(field.bytes)
                .split('\\')
                .map(|value| value.trim_matches([' ', '\0']).parse().ok())
                .collect(),
        };
        values.into_iter().map(|value| value.filter(|number| number.is_finite())).collect()
    }

    /// First value of a decimal or integer string.
    pub(super) fn decimal(&self, tag: Tag) -> Option<f64> {
        self.decimals(tag).first().copied().flatten()
    }

    /// First value of an unsigned short; also where it was written as text or as a long.
    pub(super) fn unsigned(&self, tag: Tag) -> Option<u32> {
        let field = self.field(None, tag)?;
        match (field.vr, field.bytes.len()) {
            (VR::IS | VR::DS, _) => text(field.bytes)?.parse().ok(),
            (VR::UL | VR::SL, 4..) => self.four(field.bytes.get(..4)?),
            _ => self.words(field.bytes).next().map(u32::from),
        }
    }

    /// The bytes as 16-bit words in the data set's byte order; an odd byte at the end is left out.
    pub(super) fn words<'b>(&self, bytes: &'b [u8]) -> impl Iterator<Item = u16> + use<'b> {
        let from_bytes = if self.big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
        bytes.chunks_exact(2).filter_map(move |two| Some(from_bytes(two.try_into().ok()?)))
    }

    /// Whether 16-bit words are stored with their high byte first.
    pub(super) fn is_big_endian(&self) -> bool {
        self.big_endian
    }

    fn four(&self, bytes: &[u8]) -> Option<u32> {
        let bytes = bytes.try_into().ok()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn eight(&self, bytes: &[u8]) -> Option<u64> {
        let bytes = bytes.try_into().ok()?;
        Some(if self.big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    let first = bytes.split(|&byte| byte == b'\\').next()?;
    let text: String = first.iter().map(|&byte| if byte.is_ascii() { char::from(byte) } else { '\u{FFFD}' }).collect();
    let text = text.trim_matches(|c: char| c == '\0' || c.is_ascii_whitespace());
    (!text.is_empty()).then(|| text.to_owned())
}

/// A sequence or an item that has begun.
#[derive(Clone, Copy)]
struct Open {
    /// Where it ends, if its length is known.
    end: Option<usize>,
    is_item: bool,
    /// The sequence, if it is one whose elements are kept, and how many of its items have begun.
    kept: Option<(Tag, u32)>,
    /// The form of headers outside of it.
    outside: Form,
}

struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    form: Form,
    open: Vec<Open>,
}

impl<'a> Walk<'a> {
    fn run(mut self, object: &mut Object<'a>) -> Result<(), DecodeError> {
        loop {
            while let Some(open) = self.open.last().copied()
                && open.end.is_some_and(|end| self.at >= end)
            {
                self.close(open);
            }
            // Nothing but padding is left: the object has no pixel data.
            if self.bytes.len() - self.at < 8 {
                return Ok(());
            }
            let (tag, vr, length) = self.header()?;
            match tag {
                ITEM => self.begin_item(length)?,
                ITEM_END => self.end(true),
                SEQUENCE_END => self.end(false),
                tags::PIXEL_DATA if self.open.is_empty() => {
                    object.pixel_data = Some(self.pixel_data(vr, length)?);
                    return Ok(());
                }
                // Those of an icon, which may be encapsulated as the film's are (PS3.5 A.4).
                tags::PIXEL_DATA => drop(self.pixel_data(vr, length)?),
                tags::FLOAT_PIXEL_DATA | tags::DOUBLE_FLOAT_PIXEL_DATA if self.open.is_empty() => {
                    object.float_pixels = true;
                    return Ok(());
                }
                _ => self.element(object, tag, vr, length)?,
            }
        }
    }

    fn element(&mut self, object: &mut Object<'a>, tag: Tag, vr: VR, length: Option<usize>) -> Result<(), DecodeError> {
        let within = self.open.iter().rev().find(|open| !open.is_item).map(|open| open.kept);
        let is_kept_sequence = self.open.is_empty() && SEQUENCES.contains(&tag);
        match length {
            // PS3.5 6.2.2: an unknown value of undefined length is a sequence in implicit form.
            None => self.begin_sequence(tag, None, is_kept_sequence, vr == VR::UN)?,
            Some(length) if is_kept_sequence => {
                self.begin_sequence(tag, Some(length), true, vr == VR::UN)?;
            }
            Some(length) => {
                let bytes = self.take(length, tag)?;
                let sequence = match within {
                    None => Some(None),
                    Some(Some((sequence, 1))) if self.open.len() == 2 => Some(Some(sequence)),
                    Some(_) => None,
                };
                if let Some(sequence) = sequence
                    && (NEEDED.contains(&tag) || SEGMENTED.contains(&tag))
                {
                    object.fields.entry((sequence, tag)).or_insert(Field { vr, bytes });
                }
            }
        }
        Ok(())
    }

    /// Tag, VR and length (`None` when undefined) of the next header.
    fn header(&mut self) -> Result<(Tag, VR, Option<usize>), DecodeError> {
        let mut rest = self.bytes.get(self.at..).unwrap_or_default();
        let header = match self.form {
            Form::ImplicitLittle => ImplicitVRLittleEndianDecoder::default().decode_header(&mut rest),
            Form::ExplicitLittle => ExplicitVRLittleEndianDecoder::default().decode_header(&mut rest),
            Form::ExplicitBig => ExplicitVRBigEndianDecoder::default().decode_header(&mut rest),
        };
        let (header, read) = header.map_err(|_| damaged(format!("it breaks off at byte {}", self.bytes.len())))?;
        self.at += read;
        Ok((header.tag, header.vr, header.len.get().map(|length| length as usize)))
    }

    fn take(&mut self, length: usize, tag: Tag) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(length).filter(|&end| end <= self.bytes.len());
        let bytes = end.and_then(|end| self.bytes.get(self.at..end)).ok_or_else(|| {
            let left = self.bytes.len() - self.at;
            damaged(format!("element {tag} has {length} bytes by its header, and {left} are left"))
        })?;
        self.at += length;
        Ok(bytes)
    }

    fn begin_sequence(
        &mut self,
        tag: Tag,
        length: Option<usize>,
        kept: bool,
        unknown: bool,
    ) -> Result<(), DecodeError> {
        let kept = kept.then_some((tag, 0));
        self.push(Open { end: self.end_at(length, tag)?, is_item: false, kept, outside: self.form })?;
        if unknown && self.form == Form::ExplicitLittle {
            self.form = Form::ImplicitLittle;
        }
        Ok(())
    }

    fn begin_item(&mut self, length: Option<usize>) -> Result<(), DecodeError> {
        let end = self.end_at(length, ITEM)?;
        match self.open.last_mut() {
            Some(sequence) if !sequence.is_item => {
                if let Some((_, items)) = &mut sequence.kept {
                    *items += 1;
                }
            }
            _ => return Err(damaged(format!("an item outside of any sequence at byte {}", self.at))),
        }
        self.push(Open { end, is_item: true, kept: None, outside: self.form })
    }

    fn end_at(&self, length: Option<usize>, tag: Tag) -> Result<Option<usize>, DecodeError> {
        let Some(length) = length else { return Ok(None) };
        let end = self.at.checked_add(length).filter(|&end| end <= self.bytes.len());
        end.map(Some).ok_or_else(|| damaged(format!("{tag} ends behind the end of the file")))
    }

    fn push(&mut self, open: Open) -> Result<(), DecodeError> {
        if self.open.len() >= 2 * MOST_NESTED {
            return Err(damaged(format!("sequences are nested more than {MOST_NESTED} deep")));
        }
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self, open: Open) {
        self.form = open.outside;
        self.open.pop();
    }

    /// An end marker closes the innermost item or sequence; one without a beginning is passed over, as other readers do.
    fn end(&mut self, is_item: bool) {
        if let Some(open) = self.open.last().copied()
            && open.is_item == is_item
        {
            self.close(open);
        }
    }

    fn pixel_data(&mut self, vr: VR, length: Option<usize>) -> Result<PixelData<'a>, DecodeError> {
        if let Some(length) = length {
            let bytes = self.take(length, tags::PIXEL_DATA)?;
            return Ok(PixelData::Native { bytes, words: vr == VR::OW });
        }
        let mut fragments = Vec::new();
        loop {
            let (tag, _, length) = self.header()?;
            match (tag, length) {
                (ITEM, Some(length)) => fragments.push(self.take(length, ITEM)?),
                (SEQUENCE_END, _) => break,
                _ => return Err(damaged(format!("{tag} stands among the fragments of the pixel data"))),
            }
            if fragments.len() > MOST_FRAGMENTS {
                return Err(damaged(format!("the pixel data have more than {MOST_FRAGMENTS} fragments")));
            }
        }
        // The first item is the offset table, which one frame does not need.
        Ok(PixelData::Fragments(fragments.into_iter().skip(1).collect()))
    }
}

/// Where an outermost element stands in its data set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) tag: Tag,
    pub(super) vr: VR,
    /// Where its header begins, where its value does, and where the next element does.
    pub(super) start: usize,
    pub(super) value: usize,
    pub(super) end: usize,
}

/// Every outermost element, the pixel data and what follows them among them.
pub(super) fn outermost(data_set: &[u8], form: Form) -> Result<Vec<Part>, DecodeError> {
    let mut walk = Walk { bytes: data_set, at: 0, form, open: Vec::new() };
    let mut parts: Vec<Part> = Vec::new();
    loop {
        while let Some(open) = walk.open.last().copied()
            && open.end.is_some_and(|end| walk.at >= end)
        {
            walk.close(open);
        }
        let is_outermost = walk.open.is_empty();
        if let Some(part) = parts.last_mut()
            && is_outermost
        {
            part.end = walk.at;
        }
        if walk.bytes.len() - walk.at < 8 {
            return Ok(parts);
        }
        let start = walk.at;
        let (tag, vr, length) = walk.header()?;
        if is_outermost && tag.group() != ITEM.group() {
            if parts.len() >= MOST_PARTS {
                return Err(damaged(format!("the data set has more than {MOST_PARTS} elements")));
            }
            parts.push(Part { tag, vr, start, value: walk.at, end: walk.at });
        }
        match (tag, length) {
            (ITEM, length) => walk.begin_item(length)?,
            (ITEM_END, _) => walk.end(true),
            (SEQUENCE_END, _) => walk.end(false),
            (tags::PIXEL_DATA, length) => drop(walk.pixel_data(vr, length)?),
            (tag, None) => walk.begin_sequence(tag, None, false, vr == VR::UN)?,
            (tag, Some(length)) => {
                walk.take(length, tag)?;
            }
        }
    }
}

/// Where the data set begins, and in which transfer syntax it is.
#[derive(Debug)]
pub(super) struct File<'a> {
    /// Everything behind the meta information.
    pub(super) data_set: &'a [u8],
    /// Transfer Syntax UID (0002,0010); `None` where there is no meta information.
    pub(super) syntax: Option<String>,
    /// Media Storage SOP Class UID (0002,0002).
    pub(super) class: Option<String>,
}

/// The meta information, with or without preamble; a bare data set has none.
pub(super) fn open(bytes: &[u8]) -> Result<File<'_>, DecodeError> {
    let after_magic = match bytes.get(PREAMBLE..) {
        Some(rest) if rest.starts_with(MAGIC) => rest.get(MAGIC.len()..),
        _ => bytes.strip_prefix(MAGIC),
    };
    let rest = after_magic.unwrap_or(bytes);
    let mut walk = Walk { bytes: rest, at: 0, form: Form::ExplicitLittle, open: Vec::new() };
    let (mut syntax, mut class) = (None, None);
    // Group 0002 is always explicit little endian; a few writers use implicit all the same.
    if is_meta(rest) && form_of(rest) == Some(Form::ImplicitLittle) {
        walk.form = Form::ImplicitLittle;
    }
    while is_meta(rest.get(walk.at..).unwrap_or_default()) {
        let (tag, _, length) = walk.header()?;
        let length = length.ok_or_else(|| damaged(format!("{tag} has no length")))?;
        let bytes = walk.take(length, tag)?;
        match tag {
            tags::TRANSFER_SYNTAX_UID => syntax = text(bytes),
            tags::MEDIA_STORAGE_SOP_CLASS_UID => class = text(bytes),
            _ => {}
        }
    }
    Ok(File { data_set: rest.get(walk.at..).unwrap_or_default(), syntax, class })
}

fn is_meta(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x02, 0x00]) && bytes.len() >= 8
}

/// The form of headers, told from the first one of a data set; `None` for what cannot be one.
pub(super) fn form_of(data_set: &[u8]) -> Option<Form> {
    let head: [u8; 8] = data_set.get(..8)?.try_into().ok()?;
    let [_, _, _, _, v, r, ..] = head;
    if VR::from_binary([v, r]).is_some() {
        // Groups of a data set are below 0x0100 at its beginning.
        return Some(if head[0] == 0 && head[1] != 0 { Form::ExplicitBig } else { Form::ExplicitLittle });
    }
    let [_, _, _, _, length @ ..] = head;
    ((u32::from_le_bytes(length) as usize) < data_set.len()).then_some(Form::ImplicitLittle)
}

/// Whether the bytes begin as a DICOM file does: with the preamble, without it, or with the data set itself.
pub(super) fn is_dicom(bytes: &[u8]) -> bool {
    if bytes.get(PREAMBLE..).is_some_and(|rest| rest.starts_with(MAGIC)) || bytes.starts_with(MAGIC) {
        return true;
    }
    // (0002,0000), (0002,0001), ... or a data set that begins in group 0008.
    match bytes.get(..4) {
        Some([0x02, 0x00, 0x00..=0x10, 0x00]) | Some([0x08, 0x00, _, 0x00]) => form_of(bytes).is_some(),
        Some([0x00, 0x08, 0x00, _]) => form_of(bytes) == Some(Form::ExplicitBig),
        _ => false,
    }
}

/// Inflates a deflated data set (PS3.5 A.5) or frame to at most `limit` bytes.
pub(super) fn inflate(deflated: &[u8], limit: u64) -> Result<Vec<u8>, DecodeError> {
    let mut inflated = Vec::new();
    let read = DeflateDecoder::new(deflated).take(limit.saturating_add(1)).read_to_end(&mut inflated);
    if inflated.len() as u64 > limit {
        return Err(DecodeError::TooMuchMemory { limit });
    }
    read.map_err(|error| damaged(format!("the deflated data do not inflate: {error}")))?;
    Ok(inflated)
}
