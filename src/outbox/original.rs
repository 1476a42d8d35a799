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
/// Body Part Examined (0018,0015) of a chest film.
pub(super) const CHEST: &str = "CHEST";
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

/// Whether a value is one of its representation (PS3.5, 6.2): what X-ray units write wrongly must not make a result
/// wrong. Text is taken as it stands.
fn is_valid(vr: VR, bytes: &[u8]) -> bool {
    let text = str::from_utf8(bytes).map(|text| text.trim_matches([' ', '\0']));
    let number = |text: &str| text.parse::<u32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let within = |text: &str, range: std::ops::RangeInclusive<u32>| number(text).is_some_and(|it| range.contains(&it));
    let form = match (vr, text) {
        (_, Ok("")) => true,
        (VR::AS, Ok(text)) => {
            text.len() == 4 && text.strip_suffix(['D', 'W', 'M', 'Y']).is_some_and(|count| number(count).is_some())
        }
        (VR::DS, Ok(text)) => text.len() <= 16 && text.parse::<f64>().is_ok_and(f64::is_finite),
        (VR::DA, Ok(text)) => {
            text.len() == 8
                && number(text).is_some_and(|it| (1..=12).contains(&(it / 100 % 100)))
                && text.get(6..).is_some_and(|day| within(day, 1..=31))
        }
        (VR::TM, Ok(text)) => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
            let limits = [23, 59, 60];
            let parts = || whole.as_bytes().chunks(2).map(|two| str::from_utf8(two).unwrap_or_default());
            matches!(whole.len(), 2 | 4 | 6)
                && parts().zip(limits).all(|(part, most)| within(part, 0..=most))
                && fraction.len() <= 6
                && number(fraction).is_some()
        }
        (VR::CS, Ok(text)) => text.split('\\').all(|code| {
            let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b' ' | b'_');
            code.len() <= 16 && code.bytes().all(allowed)
        }),
        (VR::UI, Ok(text)) => Uid::parse(text).is_some(),
        (VR::AS | VR::DS | VR::DA | VR::TM | VR::CS | VR::UI, Err(_)) => false,
        _ => true,
    };
    form && bytes.len() <= MOST_BYTES
}

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
    /// Whether it says that it is of the chest.
    pub shows_chest: bool,
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
            if let Some((vr, bytes)) = header.element(tag).filter(|(vr, bytes)| is_valid(*vr, bytes)) {
                common.put(DataElement::new(tag, vr, PrimitiveValue::U8(bytes.into())));
            }
        }
        Some(Self {
            study: uid(tags::STUDY_INSTANCE_UID)?,
            series: uid(tags::SERIES_INSTANCE_UID)?,
            sop_class: uid(tags::SOP_CLASS_UID)?,
            sop_instance: uid(tags::SOP_INSTANCE_UID)?,
            shows_chest: header.text(tags::BODY_PART_EXAMINED) == Some(CHEST),
            is_lossy: header.is_lossy(),
            common,
        })
    }

    /// A data set that has the patient and the study and nothing else.
    pub fn result(&self) -> InMemDicomObject {
        self.common.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_none_of_its_representation_is_left_out() {
        let cases: [(VR, &[&str], &[&str]); 6] = [
            (VR::AS, &["", "047Y", "003M"], &["47", "47Y", "0047Y", "Y047", "04aY", "+47Y"]),
            (VR::DS, &["1.71 ", "71", "-1e2"], &["1,71", "70 kg", "inf", "NaN", "1.7000000000000000001"]),
            (VR::DA, &["", "20261125"], &["2026-11-25", "20261325", "20261140", "2026"]),
            (VR::TM, &["", "09", "0930", "093000.123456 "], &["9:30", "246000", "093", "093000.1234567"]),
            (VR::CS, &["M ", "ISO_IR 100", "\\ISO 2022 IR 87"], &["male", "M?", "A CODE THAT IS TOO LONG"]),
            (VR::UI, &["1.2.3\0"], &["../x", "1..2"]),
        ];
        for (vr, right, wrong) in cases {
            for (values, valid) in [(right, true), (wrong, false)] {
                for value in values {
                    assert_eq!(is_valid(vr, value.as_bytes()), valid, "{vr} {value:?}");
                }
            }
        }
        assert!(!is_valid(VR::AS, b"\xFF47Y") && is_valid(VR::PN, b"\xFF^A"), "names have their character set");
        assert!(!is_valid(VR::LO, &[b'x'; 2_000]));
    }
}
