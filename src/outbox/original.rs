//! What a result takes over from the film that it belongs to: the patient, the study, and which image was read.

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::decode::dicom::Header;
use crate::dimse::Uid;

/// The patient, patient study and study modules, as far as a result repeats them, and the character set of the text.
const TAKEN_OVER: [Tag; 20] = [
    tags::SPECIFIC_CHARACTER_SET,
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::ACCESSION_NUMBER,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::STUDY_DESCRIPTION,
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::ISSUER_OF_PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_BIRTH_TIME,
    tags::PATIENT_SEX,
    tags::OTHER_PATIENT_NAMES,
    tags::PATIENT_AGE,
    tags::PATIENT_SIZE,
    tags::PATIENT_WEIGHT,
    tags::PATIENT_IDENTITY_REMOVED,
    tags::DEIDENTIFICATION_METHOD,
    tags::STUDY_INSTANCE_UID,
    tags::STUDY_ID,
];
/// Longest value that is taken over, bytes: five times what the longest of these VRs allows.
const MOST_BYTES: usize = 1 << 10;
/// Of these a result must have at least the empty value (type 2).
const REQUIRED: [(Tag, VR); 9] = [
    (tags::STUDY_DATE, VR::DA),
    (tags::STUDY_TIME, VR::TM),
    (tags::ACCESSION_NUMBER, VR::SH),
    (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
    (tags::PATIENT_NAME, VR::PN),
    (tags::PATIENT_ID, VR::LO),
    (tags::PATIENT_BIRTH_DATE, VR::DA),
    (tags::PATIENT_SEX, VR::CS),
    (tags::STUDY_ID, VR::SH),
];

/// The image that a result is about.
#[derive(Clone, Debug)]
pub struct Original {
    /// The study that the result goes into.
    pub study: Uid,
    /// The series of the image.
    pub series: Uid,
    /// The image's class.
    pub sop_class: Uid,
    /// The image.
    pub sop_instance: Uid,
    /// Whether its pixels went through a lossy encoder.
    pub is_lossy: bool,
    common: InMemDicomObject,
}

impl Original {
    /// From a film's header; `None` where it lacks an identifier, so that no result can refer to it.
    pub fn of(header: &Header<'_>) -> Option<Self> {
        let uid = |tag| Uid::parse(header.text(tag)?);
        let mut common = InMemDicomObject::new_empty();
        for (tag, vr) in REQUIRED {
            common.put(DataElement::empty(tag, vr));
        }
        for tag in TAKEN_OVER {
            if let Some((vr, bytes)) = header.element(tag).filter(|(_, bytes)| bytes.len() <= MOST_BYTES) {
                common.put(DataElement::new(tag, vr, PrimitiveValue::U8(bytes.into())));
            }
        }
        Some(Self {
            study: uid(tags::STUDY_INSTANCE_UID)?,
            series: uid(tags::SERIES_INSTANCE_UID)?,
            sop_class: uid(tags::SOP_CLASS_UID)?,
            sop_instance: uid(tags::SOP_INSTANCE_UID)?,
            is_lossy: header.is_lossy(),
            common,
        })
    }

    /// A data set that has the patient and the study and nothing else.
    pub fn result(&self) -> InMemDicomObject {
        self.common.clone()
    }
}
