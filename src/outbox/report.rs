//! A reading as a structured report (Basic Text SR, PS3.3 A.35.1).

use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use super::original::Original;
use super::send::Outgoing;
use super::{MANUFACTURER, PRODUCT, content_time, put, put_sequence};
use crate::dimse::Uid;
use crate::journal::Row;
use crate::show::NOTICE;

/// A code: value, scheme, meaning.
type Code = (&'static str, &'static str, &'static str);

const XRAY_REPORT: Code = ("18782-3", "LN", "X-Ray Report");
const FINDINGS: Code = ("121070", "DCM", "Findings");
const FINDING: Code = ("121071", "DCM", "Finding");
const CONCLUSION: Code = ("121077", "DCM", "Conclusion");
const COMMENT: Code = ("121106", "DCM", "Comment");
const SOURCE_IMAGE: Code = ("121324", "DCM", "Source image");
const OBSERVER_TYPE: Code = ("121005", "DCM", "Observer Type");
const DEVICE: Code = ("121007", "DCM", "Device");
const OBSERVER_UID: Code = ("121012", "DCM", "Device Observer UID");
const OBSERVER_NAME: Code = ("121013", "DCM", "Device Observer Name");
const OBSERVER_MODEL: Code = ("121015", "DCM", "Device Observer Model Name");
const ALGORITHM_NAME: Code = ("111001", "DCM", "Algorithm Name");
const ALGORITHM_VERSION: Code = ("111003", "DCM", "Algorithm Version");

/// The report of a reading, in the study of its image and a series of its own. The same for the same row.
pub fn report(original: &Original, row: &Row, unit: &Uid) -> Outgoing {
    let sop_class = uids::BASIC_TEXT_SR_STORAGE;
    let sop_instance = Uid::derived(&["report", row.hash()]);
    let mut set = original.result();
    put(&mut set, tags::SOP_CLASS_UID, VR::UI, sop_class);
    put(&mut set, tags::SOP_INSTANCE_UID, VR::UI, sop_instance.as_str());
    put(&mut set, tags::MODALITY, VR::CS, "SR");
    put(&mut set, tags::SERIES_INSTANCE_UID, VR::UI, Uid::derived(&["report series", row.hash()]).as_str());
    put(&mut set, tags::SERIES_NUMBER, VR::IS, "901");
    put(&mut set, tags::SERIES_DESCRIPTION, VR::LO, "chestlight report, research use");
    put_sequence(&mut set, tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, []);
    put(&mut set, tags::MANUFACTURER, VR::LO, MANUFACTURER);
    put(&mut set, tags::MANUFACTURER_MODEL_NAME, VR::LO, PRODUCT);
    put(&mut set, tags::SOFTWARE_VERSIONS, VR::LO, &row.software_version);
    put(&mut set, tags::INSTANCE_NUMBER, VR::IS, "1");
    let time = content_time(row);
    put(&mut set, tags::CONTENT_DATE, VR::DA, &time.date);
    put(&mut set, tags::CONTENT_TIME, VR::TM, &time.time);
    put(&mut set, tags::COMPLETION_FLAG, VR::CS, "COMPLETE");
    put(&mut set, tags::VERIFICATION_FLAG, VR::CS, "UNVERIFIED");
    put_sequence(&mut set, tags::PERFORMED_PROCEDURE_CODE_SEQUENCE, []);
    put_sequence(&mut set, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, [evidence(original)]);

    put(&mut set, tags::VALUE_TYPE, VR::CS, "CONTAINER");
    put_sequence(&mut set, tags::CONCEPT_NAME_CODE_SEQUENCE, [code(XRAY_REPORT)]);
    put(&mut set, tags::CONTINUITY_OF_CONTENT, VR::CS, "SEPARATE");
    put_sequence(&mut set, tags::CONTENT_SEQUENCE, content(original, row, unit));
    Outgoing { sop_class, sop_instance: sop_instance.as_str().to_owned(), data_set: set }
}

fn content(original: &Original, row: &Row, unit: &Uid) -> Vec<InMemDicomObject> {
    let words = row.verdict().map_or(row.verdict.as_str(), |verdict| verdict.words());
    let mut findings = vec![text("CONTAINS", FINDING, words), text("CONTAINS", COMMENT, &row.message)];
    if let Some(all) = row.probabilities() {
        let percent = |probability: f32| f64::from(probability) * 100.0;
        let probabilities = format!(
            "calibrated probabilities: normal {:.1}%, bacterial pneumonia {:.1}%, COVID-19 pneumonia {:.1}%",
            percent(all.normal),
            percent(all.bacterial),
            percent(all.covid19)
        );
        findings.push(text("CONTAINS", COMMENT, &probabilities));
    }
    let mut image = item("CONTAINS", "IMAGE", Some(SOURCE_IMAGE));
    put_sequence(&mut image, tags::REFERENCED_SOP_SEQUENCE, [reference(original)]);
    findings.push(image);
    let mut container = item("CONTAINS", "CONTAINER", Some(FINDINGS));
    put(&mut container, tags::CONTINUITY_OF_CONTENT, VR::CS, "SEPARATE");
    put_sequence(&mut container, tags::CONTENT_SEQUENCE, findings);

    let mut observer = item("HAS OBS CONTEXT", "CODE", Some(OBSERVER_TYPE));
    put_sequence(&mut observer, tags::CONCEPT_CODE_SEQUENCE, [code(DEVICE)]);
    let mut observer_uid = item("HAS OBS CONTEXT", "UIDREF", Some(OBSERVER_UID));
    put(&mut observer_uid, tags::UID, VR::UI, unit.as_str());
    vec![
        observer,
        observer_uid,
        text("HAS OBS CONTEXT", OBSERVER_NAME, MANUFACTURER),
        text("HAS OBS CONTEXT", OBSERVER_MODEL, &format!("{PRODUCT} {}", row.software_version)),
        container,
        text("CONTAINS", ALGORITHM_NAME, &row.model_name),
        text("CONTAINS", ALGORITHM_VERSION, &format!("SHA-256 {}", row.model_digest)),
        text("CONTAINS", CONCLUSION, NOTICE),
    ]
}

fn item(relationship: &str, kind: &str, concept: Option<Code>) -> InMemDicomObject {
    let mut item = InMemDicomObject::new_empty();
    put(&mut item, tags::RELATIONSHIP_TYPE, VR::CS, relationship);
    put(&mut item, tags::VALUE_TYPE, VR::CS, kind);
    if let Some(concept) = concept {
        put_sequence(&mut item, tags::CONCEPT_NAME_CODE_SEQUENCE, [code(concept)]);
    }
    item
}

/// Text must be ASCII, since the film's character set is taken over: other characters become `?`.
fn text(relationship: &str, concept: Code, text: &str) -> InMemDicomObject {
    let mut item = item(relationship, "TEXT", Some(concept));
    let ascii: String = text.chars().map(|c| if c.is_ascii() && !c.is_control() { c } else { '?' }).collect();
    put(&mut item, tags::TEXT_VALUE, VR::UT, &ascii);
    item
}

pub(super) fn code((value, scheme, meaning): Code) -> InMemDicomObject {
    let mut item = InMemDicomObject::new_empty();
    put(&mut item, tags::CODE_VALUE, VR::SH, value);
    put(&mut item, tags::CODING_SCHEME_DESIGNATOR, VR::SH, scheme);
    put(&mut item, tags::CODE_MEANING, VR::LO, meaning);
    item
}

/// The class and identifier of the image.
pub(super) fn reference(original: &Original) -> InMemDicomObject {
    let mut item = InMemDicomObject::new_empty();
    put(&mut item, tags::REFERENCED_SOP_CLASS_UID, VR::UI, original.sop_class.as_str());
    put(&mut item, tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, original.sop_instance.as_str());
    item
}

/// Where the image is found: study, series, image.
fn evidence(original: &Original) -> InMemDicomObject {
    let mut series = InMemDicomObject::new_empty();
    put(&mut series, tags::SERIES_INSTANCE_UID, VR::UI, original.series.as_str());
    put_sequence(&mut series, tags::REFERENCED_SOP_SEQUENCE, [reference(original)]);
    let mut study = InMemDicomObject::new_empty();
    put(&mut study, tags::STUDY_INSTANCE_UID, VR::UI, original.study.as_str());
    put_sequence(&mut study, tags::REFERENCED_SERIES_SEQUENCE, [series]);
    study
}
