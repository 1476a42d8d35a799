//! A film without what tells who it is of, by the Basic Application Level Confidentiality Profile (PS3.15 annex E).
//! Pure.
//!
//! The profile lists what must go. This goes the other way round and keeps a short list, so that what the profile
//! does not know (private elements, next year's attributes) goes too. Pixels are not touched:
//! [`Deidentified::may_name_the_patient`] says whether words may be burnt into them. `docs/dicom-network.md` has the
//! lists for people.

use std::collections::BTreeMap;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::FileMetaTableBuilder;
use thiserror::Error;

use crate::decode::dicom::Header;
use crate::decode::{DecodeError, Limits};
use crate::dimse::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Uid};
use crate::privacy::PatientKey;

/// Kept as they stand: what the image is, how it was made, and what its pixels mean. No dates, no free text, no
/// sequences, nothing that names a person, a place or a device.
pub const KEPT: [Tag; 50] = [
    tags::IMAGE_TYPE,
    tags::SOP_CLASS_UID,
    tags::MODALITY,
    tags::CONVERSION_TYPE,
    tags::PRESENTATION_INTENT_TYPE,
    tags::BODY_PART_EXAMINED,
    tags::KVP,
    tags::IMAGER_PIXEL_SPACING,
    tags::RELATIVE_X_RAY_EXPOSURE,
    tags::EXPOSURE_INDEX,
    tags::TARGET_EXPOSURE_INDEX,
    tags::DEVIATION_INDEX,
    tags::POSITIONER_TYPE,
    tags::VIEW_POSITION,
    tags::DETECTOR_TYPE,
    tags::SERIES_NUMBER,
    tags::INSTANCE_NUMBER,
    tags::PATIENT_ORIENTATION,
    tags::LATERALITY,
    tags::IMAGE_LATERALITY,
    tags::SAMPLES_PER_PIXEL,
    tags::PHOTOMETRIC_INTERPRETATION,
    tags::PLANAR_CONFIGURATION,
    tags::NUMBER_OF_FRAMES,
    tags::ROWS,
    tags::COLUMNS,
    tags::PIXEL_SPACING,
    tags::PIXEL_ASPECT_RATIO,
    tags::BITS_ALLOCATED,
    tags::BITS_STORED,
    tags::HIGH_BIT,
    tags::PIXEL_REPRESENTATION,
    tags::SMALLEST_IMAGE_PIXEL_VALUE,
    tags::LARGEST_IMAGE_PIXEL_VALUE,
    tags::PIXEL_PADDING_VALUE,
    tags::PIXEL_PADDING_RANGE_LIMIT,
    tags::BURNED_IN_ANNOTATION,
    tags::PIXEL_INTENSITY_RELATIONSHIP,
    tags::PIXEL_INTENSITY_RELATIONSHIP_SIGN,
    tags::WINDOW_CENTER,
    tags::WINDOW_WIDTH,
    tags::VOILUT_FUNCTION,
    tags::RESCALE_INTERCEPT,
    tags::RESCALE_SLOPE,
    tags::RESCALE_TYPE,
    tags::LOSSY_IMAGE_COMPRESSION,
    tags::LOSSY_IMAGE_COMPRESSION_RATIO,
    tags::LOSSY_IMAGE_COMPRESSION_METHOD,
    tags::PRESENTATION_LUT_SHAPE,
    tags::PIXEL_DATA,
];
/// The palettes of colour images, kept too.
pub const KEPT_PALETTES: [Tag; 6] = [
    tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
    tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
    tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
    tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
];
/// Replaced by identifiers of their own: the same for the same one, so that films of a study stay together.
pub const REMAPPED: [Tag; 3] = [tags::SOP_INSTANCE_UID, tags::STUDY_INSTANCE_UID, tags::SERIES_INSTANCE_UID];
/// Emptied: a DICOM object must have them.
pub const EMPTIED: [(Tag, VR); 8] = [
    (tags::STUDY_DATE, VR::DA),
    (tags::STUDY_TIME, VR::TM),
    (tags::ACCESSION_NUMBER, VR::SH),
    (tags::MANUFACTURER, VR::LO),
    (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
    (tags::PATIENT_BIRTH_DATE, VR::DA),
    (tags::PATIENT_SEX, VR::CS),
    (tags::STUDY_ID, VR::SH),
];

/// A film that may leave the site, if its pixels may.
#[derive(Debug)]
pub struct Deidentified {
    /// A DICOM file.
    pub file: Vec<u8>,
    /// Its new identifier.
    pub sop_instance: Uid,
    /// The film does not say that no words are burnt into its pixels: somebody must look.
    pub may_name_the_patient: bool,
}

/// Why a film is not exported.
#[derive(Debug, Error)]
pub enum DeidentifyError {
    /// Its elements cannot be told apart.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It lacks an identifier, so that it would not be a DICOM object.
    #[error("it has no study, series or SOP instance UID")]
    NoIdentifier,
    /// Taking away a sequence would change what its pixels mean.
    #[error("its grey values need a modality lookup table, which stands in a sequence; sequences are not exported")]
    ModalityLut,
    /// It is in a form that is not written.
    #[error("it is big endian, which is retired and not written")]
    BigEndian,
    /// The meta information cannot be made.
    #[error("no file meta information can be made of it")]
    Meta,
}

/// Makes the copy.
///
/// # Errors
/// [`DeidentifyError`].
pub fn deidentify(film: &[u8], limits: &Limits, key: &PatientKey) -> Result<Deidentified, DeidentifyError> {
    let header = Header::open(film, limits)?;
    let syntax = header.transfer_syntax().ok_or(DeidentifyError::BigEndian)?;
    if header.bytes(tags::MODALITY_LUT_SEQUENCE).is_some() {
        return Err(DeidentifyError::ModalityLut);
    }
    let sop_class = header.text(tags::SOP_CLASS_UID).and_then(Uid::parse).ok_or(DeidentifyError::NoIdentifier)?;

    let mut elements: BTreeMap<Tag, Vec<u8>> = BTreeMap::new();
    for (tag, element) in header.elements() {
        if KEPT.contains(&tag) || KEPT_PALETTES.contains(&tag) {
            elements.insert(tag, element.to_vec());
        }
    }
    let mut put =
        |tag: Tag, vr: VR, value: &[u8]| drop(elements.insert(tag, encode(tag, vr, value, header.is_implicit())));
    for tag in REMAPPED {
        let uid = header.text(tag).and_then(Uid::parse).ok_or(DeidentifyError::NoIdentifier)?;
        put(tag, VR::UI, key.uid(uid.as_str()).as_str().as_bytes());
    }
    for (tag, vr) in EMPTIED {
        put(tag, vr, b"");
    }
    let patient = key.patient_hash(&String::from_utf8_lossy(header.bytes(tags::PATIENT_ID).unwrap_or_default()));
    let pseudonym = format!("CL{}", patient.get(..16).unwrap_or_default());
    put(tags::PATIENT_NAME, VR::PN, pseudonym.as_bytes());
    put(tags::PATIENT_ID, VR::LO, pseudonym.as_bytes());
    put(tags::PATIENT_IDENTITY_REMOVED, VR::CS, b"YES");
    put(tags::DEIDENTIFICATION_METHOD, VR::LO, b"chestlight: PS3.15 Basic Profile, kept by list");
    put(tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED, VR::CS, b"REMOVED");
    let code = [
        (tags::CODE_VALUE, VR::SH, &b"113100"[..]),
        (tags::CODING_SCHEME_DESIGNATOR, VR::SH, b"DCM"),
        (tags::CODE_MEANING, VR::LO, b"Basic Application Confidentiality Profile"),
    ];
    let item: Vec<u8> =
        code.iter().flat_map(|(tag, vr, value)| encode(*tag, *vr, value, header.is_implicit())).collect();
    let mut sequence = vec![0xFE, 0xFF, 0x00, 0xE0];
    sequence.extend(u32::try_from(item.len()).unwrap_or_default().to_le_bytes());
    sequence.extend(item);
    put(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE, VR::SQ, &sequence);

    let sop_instance =
        header.text(tags::SOP_INSTANCE_UID).map(|uid| key.uid(uid)).ok_or(DeidentifyError::NoIdentifier)?;
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    FileMetaTableBuilder::new()
        .media_storage_sop_class_uid(sop_class.as_str())
        .media_storage_sop_instance_uid(sop_instance.as_str())
        .transfer_syntax(syntax)
        .implementation_class_uid(IMPLEMENTATION_CLASS_UID)
        .implementation_version_name(IMPLEMENTATION_VERSION_NAME)
        .build()
        .and_then(|meta| meta.write(&mut file))
        .map_err(|_| DeidentifyError::Meta)?;
    file.extend(elements.into_values().flatten());
    let may_name_the_patient = header.text(tags::BURNED_IN_ANNOTATION) != Some("NO");
    Ok(Deidentified { file, sop_instance, may_name_the_patient })
}

/// An element, little endian, its value padded to an even length.
fn encode(tag: Tag, vr: VR, value: &[u8], implicit: bool) -> Vec<u8> {
    let mut value = value.to_vec();
    if !value.len().is_multiple_of(2) {
        value.push(if vr == VR::UI { 0 } else { b' ' });
    }
    let length = u32::try_from(value.len()).unwrap_or_default();
    let mut bytes = Vec::new();
    bytes.extend(tag.group().to_le_bytes());
    bytes.extend(tag.element().to_le_bytes());
    match (implicit, vr) {
        (true, _) => bytes.extend(length.to_le_bytes()),
        (false, VR::SQ) => {
            bytes.extend(b"SQ\0\0");
            bytes.extend(length.to_le_bytes());
        }
        // All of them are short.
        (false, vr) => {
            bytes.extend(vr.to_bytes());
            bytes.extend(u16::try_from(length).unwrap_or_default().to_le_bytes());
        }
    }
    bytes.extend(value);
    bytes
}
