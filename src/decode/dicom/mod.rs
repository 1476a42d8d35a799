//! DICOM objects with one X-ray film: computed and digital radiography, and secondary captures of them.
//!
//! `docs/dicom.md` says what is read and by which part of the standard. The rooms of this folder:
//! `object` walks the data set, `origin` reads what it says of itself, `pixels` brings the stored values out of
//! whatever encodes them, `grey` and `colour` turn them into grey.

mod codec;
mod colour;
mod grey;
mod header;
mod lut;
mod object;
mod origin;
mod pixels;

use std::borrow::Cow;

use dicom_dictionary_std::uids;

pub use header::Header;

use super::{DecodeError, Limits};
use crate::radiograph::{Encoding, Grey, Origin, Radiograph};
use object::{Form, Object};
use pixels::{Description, Encapsulated, Photometric};

/// Modalities (0008,0060) of plain films, and those that secondary captures of them bear.
const MODALITIES: [&str; 7] = ["CR", "DX", "DR", "RG", "OT", "SC", "XR"];

/// Transfer syntaxes that are read. The codec of encapsulated pixel data is told by the data themselves.
pub const TRANSFER_SYNTAXES: [&str; 17] = [
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.98",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.53",
    "1.2.840.10008.1.2.4.55",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.8.1",
];
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
const ENCAPSULATED: &str = "1.2.840.10008.1.2.1.98";
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const DEFLATED_FRAME: &str = "1.2.840.10008.1.2.8.1";

fn damaged(detail: String) -> DecodeError {
    DecodeError::Damaged { encoding: Encoding::Dicom, detail }
}

pub(super) fn is_dicom(bytes: &[u8]) -> bool {
    object::is_dicom(bytes)
}

/// Whether the bytes are a DICOMDIR (PS3.10 8.6), which lists films and is none.
pub fn is_directory(bytes: &[u8]) -> bool {
    is_dicom(bytes)
        && object::open(bytes).is_ok_and(|file| file.class.as_deref() == Some(uids::MEDIA_STORAGE_DIRECTORY_STORAGE))
}

/// What the object says of itself; its pixel data are not decoded.
///
/// # Errors
/// [`DecodeError`], when the header cannot be read.
pub fn origin(bytes: &[u8], limits: &Limits) -> Result<Origin, DecodeError> {
    let data_set = DataSet::open(bytes, limits)?;
    Ok(origin::of(&data_set.object()?))
}

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Radiograph, DecodeError> {
    let data_set = DataSet::open(bytes, limits)?;
    let object = data_set.object()?;
    let origin = origin::of(&object);
    if let Some(modality) = &origin.modality
        && !MODALITIES.contains(&modality.as_str())
    {
        return Err(DecodeError::Modality(modality.clone()));
    }
    if let Some(syntax) = &data_set.syntax
        && !TRANSFER_SYNTAXES.contains(&syntax.as_str())
    {
        return Err(DecodeError::Unsupported(format!("the transfer syntax {syntax} is not read")));
    }
    let description = Description::of(&object, limits)?;
    let encapsulated = match data_set.syntax.as_deref() {
        Some(ENCAPSULATED) => Encapsulated::Samples,
        Some(DEFLATED_FRAME) => Encapsulated::DeflatedSamples,
        _ => Encapsulated::Codestream,
    };
    let stored = pixels::stored(&object, &description, encapsulated, limits)?;
    let pixels: Grey = match description.photometric {
        Photometric::Monochrome1 | Photometric::Monochrome2 => grey::render(&object, &description, &stored)?,
        Photometric::Palette => colour::through_palette(&object, &description, &stored)?,
        Photometric::Rgb | Photometric::YbrFull | Photometric::YbrFull422 | Photometric::YbrPartial422 => {
            colour::luma(&description, &stored)?
        }
    };
    let radiograph = Radiograph::new(description.width, description.height, pixels, Encoding::Dicom)
        .map_err(|error| damaged(error.to_string()))?;
    Ok(radiograph.with_origin(origin))
}

/// The data set of a file, inflated if need be.
struct DataSet<'a> {
    bytes: Cow<'a, [u8]>,
    /// Transfer Syntax UID (0002,0010).
    syntax: Option<String>,
    form: Form,
}

impl<'a> DataSet<'a> {
    fn open(bytes: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        let file = object::open(bytes)?;
        if file.class.as_deref() == Some(uids::MEDIA_STORAGE_DIRECTORY_STORAGE) {
            return Err(DecodeError::Unsupported("this is a DICOMDIR, which lists films and is none".into()));
        }
        let bytes = match file.syntax.as_deref() {
            Some(DEFLATED) => Cow::Owned(object::inflate(file.data_set, limits.max_alloc)?),
            _ => Cow::Borrowed(file.data_set),
        };
        let by_syntax = match file.syntax.as_deref() {
            Some(BIG_ENDIAN) => Form::ExplicitBig,
            Some(IMPLICIT) | None => Form::ImplicitLittle,
            Some(_) => Form::ExplicitLittle,
        };
        // Files whose meta information is wrong about the form of headers are common, and every other reader takes
        // them: the first header tells.
        let form = object::form_of(&bytes).unwrap_or(by_syntax);
        Ok(Self { bytes, syntax: file.syntax, form })
    }

    fn object(&self) -> Result<Object<'_>, DecodeError> {
        Object::parse(&self.bytes, self.form)
    }
}
