//! What a DICOM file says of itself: modality, view, patient's age, identity.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::object::Object;
use crate::radiograph::{Laterality, Origin, PatientId, PixelSpacing, View};

/// Longest text that is kept, characters; PS3.5 allows 64 for what is kept here.
const MOST_CHARACTERS: usize = 64;

/// Reads the origin; what is malformed counts as absent.
pub(super) fn of(object: &Object<'_>) -> Origin {
    let study_date = object.text(tags::STUDY_DATE).as_deref().and_then(Date::parse);
    Origin {
        modality: upper(object.text(tags::MODALITY)),
        view: view(object),
        laterality: laterality(object),
        body_part: upper(
            object
                .text(tags::BODY_PART_EXAMINED)
                .or_else(|| object.text_in(tags::ANATOMIC_REGION_SEQUENCE, tags::CODE_MEANING)),
        ),
        age_years: age(object, study_date),
        pixel_spacing: spacing(object, tags::PIXEL_SPACING, false)
            .or_else(|| spacing(object, tags::IMAGER_PIXEL_SPACING, true)),
        study_uid: uid(object, tags::STUDY_INSTANCE_UID),
        series_uid: uid(object, tags::SERIES_INSTANCE_UID),
        sop_uid: uid(object, tags::SOP_INSTANCE_UID),
        patient_id: object.bytes(tags::PATIENT_ID).and_then(patient_id),
        study_at: study_date.map(|date| date.at(object.text(tags::STUDY_TIME).as_deref())),
    }
}

fn upper(text: Option<String>) -> Option<String> {
    text.map(|text| text.chars().take(MOST_CHARACTERS).collect::<String>().to_uppercase())
}

fn uid(object: &Object<'_>, tag: Tag) -> Option<String> {
    object.text(tag).filter(|uid| uid.len() <= 64 && uid.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
}

/// The identifier as it stands, in whatever character set: it is compared and hashed, never shown.
fn patient_id(bytes: &[u8]) -> Option<PatientId> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_matches([' ', '\0']);
    (!text.is_empty()).then(|| PatientId::new(text))
}

/// A view that is not known by its code or its words is not stated: the pixels tell.
fn view(object: &Object<'_>) -> Option<View> {
    let code = object.text_in(tags::VIEW_CODE_SEQUENCE, tags::CODE_VALUE);
    let meaning = || object.text_in(tags::VIEW_CODE_SEQUENCE, tags::CODE_MEANING);
    let position = || object.text(tags::VIEW_POSITION);
    code.and_then(|code| view_of_code(&code))
        .or_else(|| view_of_words(&meaning()?))
        .or_else(|| view_of_words(&position()?))
}

/// PS3.16 CID 4010 "DX View", as SNOMED CT numbers and as the older SNOMED RT codes.
fn view_of_code(code: &str) -> Option<View> {
    Some(match code {
        "399348003" | "R-10206" => View::Ap,
        "272479007" | "R-40888" | "R-10214" => View::Pa,
        "399033003" | "R-10202" => View::Frontal,
        "399067008" | "R-102CD" | "399173006" | "R-10236" | "399198007" | "R-10232" | "399352003" | "R-10228"
        | "399260004" | "R-10224" | "30730003" | "G-A145" => View::Lateral,
        "399182000" | "R-102C1" | "399312000" | "R-10208" | "399038007" | "R-10210" | "399006002" | "R-10212"
        | "399059000" | "R-10216" | "399356000" | "R-40985" | "R-10218" | "399135007" | "R-10220" | "399368009"
        | "R-10226" | "399099002" | "R-10230" | "399236003" | "R-10234" | "399184004" | "R-10238" | "399160007"
        | "R-10204" | "260427002" | "R-40783" | "260426006" | "R-40782" => View::Oblique,
        "399061009" | "R-10241" | "399162004" | "R-10242" | "399196006" | "R-10244" | "399110001" | "R-102C2"
        | "399255003" | "R-10256" | "399360002" | "R-10257" => View::Other,
        _ => return None,
    })
}

/// The view that a View Position (PS3.3 C.8.7.1.1.2, C.8.11.5) or the words of a code tell; writers are free with both.
fn view_of_words(words: &str) -> Option<View> {
    const WORDS: [(View, &[&str]); 6] = [
        (View::Oblique, &["OBLIQUE", "OBL", "RAO", "LAO", "RPO", "LPO", "RLO", "LLO", "MLO"]),
        (View::Other, &["DECUBITUS", "DECUB", "LLD", "RLD", "AXIAL", "LORDOTIC", "TANGENTIAL", "CC", "SWIMMERS"]),
        (View::Lateral, &["LAT", "LATERAL", "LL", "RL", "LLAT", "RLAT", "LLATERAL", "RLATERAL", "ML", "LM"]),
        (View::Pa, &["PA", "POSTEROANTERIOR"]),
        (View::Ap, &["AP", "ANTEROPOSTERIOR"]),
        (View::Frontal, &["FRONTAL", "FRONT"]),
    ];
    let upper = words.to_uppercase().replace("ERO-ANT", "EROANT").replace("ERO-POST", "EROPOST");
    let upper = upper.replace("ERO ANT", "EROANT").replace("ERO POST", "EROPOST");
    let words: Vec<&str> = upper.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    WORDS.into_iter().find_map(|(view, known)| words.iter().any(|word| known.contains(word)).then_some(view))
}

fn laterality(object: &Object<'_>) -> Option<Laterality> {
    let side = object.text(tags::IMAGE_LATERALITY).or_else(|| object.text(tags::LATERALITY))?;
    match side.to_uppercase().as_str() {
        "L" => Some(Laterality::Left),
        "R" => Some(Laterality::Right),
        "B" => Some(Laterality::Both),
        "U" => Some(Laterality::Unpaired),
        _ => None,
    }
}

fn spacing(object: &Object<'_>, tag: Tag, at_detector: bool) -> Option<PixelSpacing> {
    let [rows, columns] = object.decimals(tag).try_into().ok()?;
    let usable = |mm: Option<f64>| mm.filter(|mm| (1e-3..=100.0).contains(mm)).map(|mm| mm as f32);
    Some(PixelSpacing { rows_mm: usable(rows)?, columns_mm: usable(columns)?, at_detector })
}

/// PS3.5 6.2, `AS`: three digits and a unit. Fewer digits and a missing unit (years) are met.
fn age(object: &Object<'_>, study_date: Option<Date>) -> Option<f32> {
    let stated = object.text(tags::PATIENT_AGE).and_then(|age| {
        let digits = age.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: f32 = digits.trim().parse::<u16>().ok()?.into();
        match age.get(digits.len()..)?.to_ascii_uppercase().as_str() {
            "D" => Some(number / 365.25),
            "W" => Some(number * 7.0 / 365.25),
            "M" => Some(number / 12.0),
            "Y" | "" => Some(number),
            _ => None,
        }
    });
    let from_dates = || {
        let birth = object.text(tags::PATIENT_BIRTH_DATE).as_deref().and_then(Date::parse)?;
        Some(study_date?.years_since(birth))
    };
    stated.or_else(from_dates).filter(|years| (0.0..=150.0).contains(years))
}

/// A day by the Gregorian calendar.
#[derive(Clone, Copy)]
struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// `YYYYMMDD`, or `YYYY.MM.DD` of ACR-NEMA.
    fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|c| !matches!(c, '.' | '-')).collect();
        if digits.len() != 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let date = Self {
            year: digits.get(..4)?.parse().ok()?,
            month: digits.get(4..6)?.parse().ok()?,
            day: digits.get(6..)?.parse().ok()?,
        };
        ((1..=12).contains(&date.month) && (1..=31).contains(&date.day) && date.year >= 1850).then_some(date)
    }

    /// Years, to a few days.
    fn years_since(self, other: Self) -> f32 {
        let years = |date: Self| {
            f64::from(date.year) + f64::from(date.month - 1) / 12.0 + f64::from(date.day - 1) / (31.0 * 12.0)
        };
        (years(self) - years(other)) as f32
    }

    /// `YYYY-MM-DD`, with `THH:MM:SS` if the time (`HHMMSS.FFFFFF`) is one.
    fn at(self, time: Option<&str>) -> String {
        let Self { year, month, day } = self;
        let date = format!("{year:04}-{month:02}-{day:02}");
        let clock = time.and_then(|time| {
            let digits: String = time.chars().filter(|c| *c != ':').take(6).collect();
            let part = |at: usize, most: u8| {
                digits.get(at..at + 2).unwrap_or("00").parse::<u8>().ok().filter(|part| *part <= most)
            };
            let is_time = digits.len() >= 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_time.then_some(())?;
            Some(format!("T{:02}:{:02}:{:02}", part(0, 23)?, part(2, 59)?, part(4, 60)?))
        });
        date + &clock.unwrap_or_default()
    }
}
