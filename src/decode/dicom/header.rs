//! The outermost elements of a data set as they stand: for results that go back into its study, and for exports.

use std::borrow::Cow;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::{tags, uids};

use super::object::{Form, Part, outermost};
use super::{DataSet, DecodeError, Limits};

/// Transfer syntaxes whose pixels have always lost something.
const LOSSY: [&str; 5] = [
    uids::JPEG_BASELINE8_BIT,
    uids::JPEG_EXTENDED12_BIT,
    "1.2.840.10008.1.2.4.53",
    "1.2.840.10008.1.2.4.55",
    uids::JPEGLS_NEAR_LOSSLESS,
];

/// A data set by its outermost elements, undecoded.
#[derive(Debug)]
pub struct Header<'a> {
    bytes: Cow<'a, [u8]>,
    syntax: Option<String>,
    form: Form,
    parts: Vec<Part>,
}

impl<'a> Header<'a> {
    /// Finds the elements.
    ///
    /// # Errors
    /// [`DecodeError`], when the data set cannot be walked to its end.
    pub fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        let DataSet { bytes, syntax, form } = DataSet::open(bytes, limits)?;
        let parts = outermost(&bytes, form)?;
        Ok(Self { bytes, syntax, form, parts })
    }

    /// VR and value of an element, in the data set's byte order.
    pub fn element(&self, tag: Tag) -> Option<(VR, &[u8])> {
        let part = self.parts.iter().find(|part| part.tag == tag)?;
        Some((part.vr, self.bytes.get(part.value..part.end)?))
    }

    /// The value of an element.
    pub fn bytes(&self, tag: Tag) -> Option<&[u8]> {
        self.element(tag).map(|(_, bytes)| bytes)
    }

    /// A short text element in ASCII without padding; `None` when it is absent, empty, or no ASCII.
    pub fn text(&self, tag: Tag) -> Option<&str> {
        let text = str::from_utf8(self.bytes(tag)?).ok()?.trim_matches(['\0', ' ']);
        (text.is_ascii() && !text.is_empty()).then_some(text)
    }

    /// Each element's tag and all of its bytes, its header among them, in the data set's order.
    pub fn elements(&self) -> impl Iterator<Item = (Tag, &[u8])> {
        self.parts.iter().filter_map(|part| Some((part.tag, self.bytes.get(part.start..part.end)?)))
    }

    /// The transfer syntax in which the elements stand here: the file's, except that a deflated data set has been
    /// inflated, and that what the file says of the form of headers may be wrong. `None` for big endian.
    pub fn transfer_syntax(&self) -> Option<&str> {
        let said = self.syntax.as_deref();
        match self.form {
            Form::ExplicitBig => None,
            Form::ImplicitLittle => Some(uids::IMPLICIT_VR_LITTLE_ENDIAN),
            Form::ExplicitLittle => match said {
                None | Some(super::DEFLATED | super::IMPLICIT | super::BIG_ENDIAN) => {
                    Some(uids::EXPLICIT_VR_LITTLE_ENDIAN)
                }
                said => said,
            },
        }
    }

    /// Whether headers have no VR.
    pub fn is_implicit(&self) -> bool {
        self.form == Form::ImplicitLittle
    }

    /// Whether the pixels have lost something to an encoder, as far as the file says.
    pub fn is_lossy(&self) -> bool {
        let by_syntax = self.syntax.as_deref().is_some_and(|syntax| LOSSY.contains(&syntax));
        by_syntax || self.text(tags::LOSSY_IMAGE_COMPRESSION) == Some("01")
    }
}
