//! `export --deidentify`: what leaves the site has the film and not the patient.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

mod dicom_peer;
mod running_unit;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Cursor;

use chestlight::decode::{Limits, decode};
use chestlight::deidentify::{DeidentifyError, EMPTIED, KEPT, KEPT_PALETTES, REMAPPED, deidentify};
use chestlight::privacy::PatientKey;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr};
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, Length, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use dicom_object::{DefaultDicomObject, FileMetaTableBuilder, InMemDicomObject};
use dicom_peer::{CLASS, EXPLICIT, Instance, Peer, configuration, free_port, instance, wait_until_listening};
use running_unit::Site;

/// What no copy may have: a text, a date or number, and an identifier.
const SECRETS: [&str; 3] = ["SECRET", "19630517", "1.2.826.0.1.3680043.99"];

/// They name nobody.
const NUMBERS: [VR; 14] = {
    use VR::{AT, FD, FL, OD, OF, OL, OV, OW, SL, SS, SV, UL, US, UV};
    [AT, FD, FL, OD, OF, OL, OV, OW, SL, SS, SV, UL, US, UV]
};

fn file(set: &InMemDicomObject, uid: &str) -> Vec<u8> {
    let meta = FileMetaTableBuilder::new()
        .media_storage_sop_class_uid(CLASS)
        .media_storage_sop_instance_uid(uid)
        .transfer_syntax(EXPLICIT)
        // Not ours: it may tell who made the file.
        .source_application_entity_title("SECRETTITLE")
        .build()
        .unwrap();
    let mut bytes = Vec::new();
    set.clone().with_exact_meta(meta).write_all(&mut bytes).unwrap();
    bytes
}

fn opened(bytes: &[u8]) -> DefaultDicomObject {
    DefaultDicomObject::from_reader(Cursor::new(bytes)).unwrap()
}

/// Everything of a data set that is text, also inside sequences.
fn text(object: &InMemDicomObject) -> String {
    let mut said = String::new();
    for element in object.iter() {
        match element.items() {
            Some(items) => said.extend(items.iter().map(text)),
            None => said.push_str(&element.to_str().unwrap_or_default()),
        }
        said.push('\n');
    }
    said
}

/// A film in which every attribute that the dictionary knows, and that is no part of the image, names somebody.
fn film_that_tells_everything() -> Instance {
    let mut film = instance(1);
    let put = |set: &mut InMemDicomObject, tag, vr, value: &str| {
        set.put(DataElement::new(tag, vr, PrimitiveValue::from(value)));
    };
    let mut filled = 0;
    // The groups of Table E.1-1, overlays and curves among them; a kept attribute stays what it is.
    for group in [
        0x0008, 0x0010, 0x0012, 0x0014, 0x0018, 0x0020, 0x0022, 0x0028, 0x0032, 0x0038, 0x003A, 0x0040, 0x0044, 0x0046,
        0x0048, 0x0050, 0x0054, 0x0060, 0x0062, 0x0064, 0x0066, 0x0068, 0x0070, 0x0072, 0x0074, 0x0076, 0x0078, 0x0080,
        0x0082, 0x0088, 0x0100, 0x0400, 0x2000, 0x2010, 0x2030, 0x2050, 0x2100, 0x2110, 0x2200, 0x3002, 0x3006, 0x3008,
        0x300A, 0x300E, 0x4000, 0x4008, 0x4010, 0x5000, 0x5400, 0x6000, 0xFFFA,
    ] {
        for tag in (0..=0xFFFF).map(|element| Tag(group, element)) {
            let Some(entry) = StandardDataDictionary.by_tag(tag) else { continue };
            let VirtualVr::Exact(vr) = entry.vr() else { continue };
            let is_kept = KEPT.contains(&tag) || KEPT_PALETTES.contains(&tag);
            // A modality table is refused, and tested below; this one would be meant for other bytes.
            if is_kept || [tags::MODALITY_LUT_SEQUENCE, tags::SPECIFIC_CHARACTER_SET].contains(&tag) {
                continue;
            }
            match vr {
                VR::UI => put(&mut film.set, tag, vr, &format!("{}.{}.{}", SECRETS[2], tag.0, tag.1)),
                VR::DA | VR::DS | VR::IS => put(&mut film.set, tag, vr, SECRETS[1]),
                VR::DT => put(&mut film.set, tag, vr, "19630517070707"),
                VR::SQ => {
                    let mut item = InMemDicomObject::new_empty();
                    put(&mut item, tags::PERSON_NAME, VR::PN, "SECRET^IN^SEQUENCE");
                    let items = DataSetSequence::new(vec![item], Length::UNDEFINED);
                    film.set.put(DataElement::new(tag, vr, items));
                }
                VR::OB | VR::UN => {
                    film.set.put(DataElement::new(tag, vr, PrimitiveValue::from(b"SECRETBYTES!".to_vec())));
                }
                _ if NUMBERS.contains(&vr) => continue,
                _ => put(&mut film.set, tag, vr, "SECRET"),
            }
            filled += 1;
        }
    }
    assert!(filled > 2_500, "{filled}");
    for (tag, vr) in [(Tag(0x0009, 0x0010), VR::LO), (Tag(0x0009, 0x1001), VR::PN), (Tag(0x0029, 0x1010), VR::UT)] {
        put(&mut film.set, tag, vr, "SECRET");
    }
    put(&mut film.set, tags::MODALITY, VR::CS, "CR");
    film
}

#[test]
fn a_copy_has_the_film_and_nothing_else_that_any_attribute_can_tell() {
    let state = tempfile::tempdir().unwrap();
    let key = PatientKey::open(state.path()).unwrap();
    let film = film_that_tells_everything();
    let original = file(&film.set, &film.uid);
    let copy = deidentify(&original, &Limits::default(), &key).unwrap();
    for secret in SECRETS {
        assert!(original.windows(secret.len()).any(|it| it == secret.as_bytes()), "{secret}");
        assert!(!copy.file.windows(secret.len()).any(|it| it == secret.as_bytes()), "{secret}");
    }
    let object = opened(&copy.file);
    let found: BTreeSet<Tag> = object.tags().collect();
    let added = [
        tags::PATIENT_NAME,
        tags::PATIENT_ID,
        tags::PATIENT_IDENTITY_REMOVED,
        tags::DEIDENTIFICATION_METHOD,
        tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE,
        tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED,
    ];
    let emptied = EMPTIED.map(|(tag, _)| tag);
    let known: BTreeSet<Tag> =
        KEPT.into_iter().chain(KEPT_PALETTES).chain(REMAPPED).chain(added).chain(emptied).collect();
    assert!(found.is_subset(&known), "{:?}", found.difference(&known));
    assert!(emptied.iter().all(|tag| object.element(*tag).unwrap().to_str().unwrap().is_empty()));
    let (before, after) = (decode(&original, &Limits::default()), decode(&copy.file, &Limits::default()));
    assert_eq!(before.unwrap().pixels(), after.unwrap().pixels(), "the film is the same");
    assert_eq!(object.meta().media_storage_sop_instance_uid(), copy.sop_instance.as_str());
    assert_eq!(object.meta().source_application_entity_title, None);
}

/// What Table E.1-1 of PS3.15 wants of the Basic Profile: X take away, Z empty or a dummy, D a dummy, U another
/// identifier. Attributes that occur in radiographs; a stricter action than the table's is allowed.
const BASIC_PROFILE: &[(Tag, char)] = &[
    (tags::ACCESSION_NUMBER, 'Z'),
    (tags::ACQUISITION_DATE, 'X'),
    (tags::ACQUISITION_DATE_TIME, 'X'),
    (tags::ACQUISITION_DEVICE_PROCESSING_DESCRIPTION, 'X'),
    (tags::ACQUISITION_PROTOCOL_DESCRIPTION, 'X'),
    (tags::ACQUISITION_TIME, 'X'),
    (tags::ADDITIONAL_PATIENT_HISTORY, 'X'),
    (tags::ADMITTING_DIAGNOSES_DESCRIPTION, 'X'),
    (tags::ALLERGIES, 'X'),
    (tags::BRANCH_OF_SERVICE, 'X'),
    (tags::CASSETTE_ID, 'X'),
    (tags::CONTENT_DATE, 'Z'),
    (tags::CONTENT_TIME, 'Z'),
    (tags::CONTRAST_BOLUS_AGENT, 'Z'),
    (tags::DERIVATION_DESCRIPTION, 'X'),
    (tags::DETECTOR_ID, 'X'),
    (tags::DEVICE_SERIAL_NUMBER, 'X'),
    (tags::DEVICE_UID, 'U'),
    (tags::FRAME_OF_REFERENCE_UID, 'U'),
    (tags::GANTRY_ID, 'X'),
    (tags::GENERATOR_ID, 'X'),
    (tags::IMAGE_COMMENTS, 'X'),
    (tags::INSTITUTION_ADDRESS, 'X'),
    (tags::INSTITUTION_NAME, 'X'),
    (tags::INSTITUTIONAL_DEPARTMENT_NAME, 'X'),
    (tags::ISSUER_OF_PATIENT_ID, 'X'),
    (tags::MEDICAL_ALERTS, 'X'),
    (tags::MILITARY_RANK, 'X'),
    (tags::NAME_OF_PHYSICIANS_READING_STUDY, 'X'),
    (tags::OCCUPATION, 'X'),
    (tags::OPERATORS_NAME, 'X'),
    (tags::OTHER_PATIENT_NAMES, 'X'),
    (tags::PATIENT_ADDRESS, 'X'),
    (tags::PATIENT_AGE, 'X'),
    (tags::PATIENT_BIRTH_DATE, 'Z'),
    (tags::PATIENT_BIRTH_TIME, 'X'),
    (tags::PATIENT_COMMENTS, 'X'),
    (tags::PATIENT_ID, 'Z'),
    (tags::PATIENT_MOTHER_BIRTH_NAME, 'X'),
    (tags::PATIENT_NAME, 'Z'),
    (tags::PATIENT_SEX, 'Z'),
    (tags::PATIENT_SIZE, 'X'),
    (tags::PATIENT_TELEPHONE_NUMBERS, 'X'),
    (tags::PATIENT_WEIGHT, 'X'),
    (tags::PERFORMED_PROCEDURE_STEP_DESCRIPTION, 'X'),
    (tags::PERFORMED_PROCEDURE_STEP_ID, 'X'),
    (tags::PERFORMED_PROCEDURE_STEP_START_DATE, 'X'),
    (tags::PERFORMING_PHYSICIAN_NAME, 'X'),
    (tags::PLATE_ID, 'X'),
    (tags::PROTOCOL_NAME, 'X'),
    (tags::REFERENCED_PATIENT_SEQUENCE, 'X'),
    (tags::REFERENCED_STUDY_SEQUENCE, 'X'),
    (tags::REFERRING_PHYSICIAN_NAME, 'Z'),
    (tags::REFERRING_PHYSICIAN_ADDRESS, 'X'),
    (tags::REQUEST_ATTRIBUTES_SEQUENCE, 'X'),
    (tags::REQUESTED_PROCEDURE_DESCRIPTION, 'X'),
    (tags::REQUESTING_PHYSICIAN, 'X'),
    (tags::SERIES_DATE, 'X'),
    (tags::SERIES_DESCRIPTION, 'X'),
    (tags::SERIES_INSTANCE_UID, 'U'),
    (tags::SERIES_TIME, 'X'),
    (tags::SMOKING_STATUS, 'X'),
    (tags::SOP_INSTANCE_UID, 'U'),
    (tags::STATION_NAME, 'X'),
    (tags::STUDY_DATE, 'Z'),
    (tags::STUDY_DESCRIPTION, 'X'),
    (tags::STUDY_ID, 'Z'),
    (tags::STUDY_INSTANCE_UID, 'U'),
    (tags::STUDY_TIME, 'Z'),
    (tags::TIMEZONE_OFFSET_FROM_UTC, 'X'),
];

#[test]
fn each_attribute_of_the_basic_profile_is_treated_as_its_table_says() {
    let state = tempfile::tempdir().unwrap();
    let key = PatientKey::open(state.path()).unwrap();
    let film = film_that_tells_everything();
    let copy = opened(&deidentify(&file(&film.set, &film.uid), &Limits::default(), &key).unwrap().file);
    for (tag, action) in BASIC_PROFILE {
        let before = text(&InMemDicomObject::from_element_iter(film.set.element(*tag).ok().cloned()));
        assert!(!before.trim().is_empty(), "{tag} is in the film");
        let after = copy.element(*tag).ok().map(|element| element.to_str().unwrap().into_owned());
        match (action, after) {
            (_, None) => {}
            ('Z', Some(after)) => assert!(after.is_empty() || !before.contains(&after), "{tag} {after}"),
            ('U', Some(after)) => assert!(after.starts_with("2.25.") && !before.contains(&after), "{tag} {after}"),
            (_, Some(after)) => panic!("{tag} is still there: {after}"),
        }
    }
    // How the copy says what it is (PS3.15, E.1.1).
    let said = |tag| copy.element(tag).unwrap().to_str().unwrap().into_owned();
    assert_eq!(said(tags::PATIENT_IDENTITY_REMOVED), "YES");
    let codes = copy.element(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE).unwrap();
    assert_eq!(codes.items().unwrap()[0].element(tags::CODE_VALUE).unwrap().to_str().unwrap(), "113100");
}

#[test]
fn what_cannot_be_copied_without_a_loss_of_meaning_is_not() {
    let state = tempfile::tempdir().unwrap();
    let key = PatientKey::open(state.path()).unwrap();
    let refused = |film: &Instance| {
        deidentify(&file(&film.set, &film.uid), &Limits::default(), &key).err().map(|error| error.to_string())
    };
    let mut table = instance(1);
    let items = DataSetSequence::new(vec![InMemDicomObject::new_empty()], Length::UNDEFINED);
    table.set.put(DataElement::new(tags::MODALITY_LUT_SEQUENCE, VR::SQ, items));
    let mut nameless = instance(1);
    nameless.set.remove_element(tags::STUDY_INSTANCE_UID);
    for (film, why) in [(table, DeidentifyError::ModalityLut), (nameless, DeidentifyError::NoIdentifier)] {
        assert_eq!(refused(&film), Some(why.to_string()));
    }
    assert_eq!(refused(&instance(1)), None);
}

/// Another image of the study and series of an instance.
fn sibling(of: u64, uid: &str, burned_in: Option<&str>) -> Instance {
    let mut film = instance(of);
    uid.clone_into(&mut film.uid);
    film.set.put(DataElement::new(tags::SOP_INSTANCE_UID, VR::UI, PrimitiveValue::from(uid)));
    if let Some(word) = burned_in {
        film.set.put(DataElement::new(tags::BURNED_IN_ANNOTATION, VR::CS, PrimitiveValue::from(word)));
    }
    film
}

#[test]
fn films_of_a_study_stay_together_across_restarts_and_those_whose_pixels_must_be_looked_at_are_named() {
    let films = [
        sibling(1, "1.2.826.0.1.3680043.10.1.1.31", Some("NO")),
        sibling(1, "1.2.826.0.1.3680043.10.1.1.32", Some("YES")),
        sibling(1, "1.2.826.0.1.3680043.10.1.1.33", None),
        sibling(2, "1.2.826.0.1.3680043.10.1.2.31", Some("NO")),
    ];
    // Exports of a unit that is started anew for each film.
    let exports = || {
        let port = free_port();
        let site = Site::new(&configuration(port, "", ""));
        let mut exports: Vec<BTreeMap<String, Vec<u8>>> = Vec::new();
        for (seq, film) in (1..).zip(&films) {
            let mut unit = site.start();
            wait_until_listening(&site);
            site.wait_until(|| Peer::connect(port).is_ok());
            let mut peer = Peer::connect(port).unwrap();
            assert_eq!(peer.store(film), Some(0));
            peer.release();
            unit.wait_for(&format!("reading {seq} of"));
            unit.stop();
            let out = site.path(&format!("out-{seq}"));
            let export = site.command(&["export", "--deidentify", "--out", out.to_str().unwrap()]).output().unwrap();
            let told = String::from_utf8_lossy(&export.stderr).into_owned();
            assert_eq!(export.status.code(), Some(0), "{told}");
            for (reading, named) in [(1, false), (2, seq >= 2), (3, seq >= 3), (4, false)] {
                let line = format!("reading {reading}: look at its pixels: words may be burnt in");
                assert_eq!(told.contains(&line), named, "{told}");
            }
            let files = fs::read_dir(out).unwrap().flatten();
            exports
                .push(files.map(|it| (it.file_name().into_string().unwrap(), fs::read(it.path()).unwrap())).collect());
        }
        exports
    };
    let (exported, elsewhere) = (exports(), exports());
    let last = &exported[films.len() - 1];
    assert_eq!(last.len(), films.len());
    for (earlier, count) in exported.iter().zip(1..) {
        assert_eq!(earlier.len(), count);
        assert!(earlier.iter().all(|(name, bytes)| last.get(name) == Some(bytes)), "the same after each restart");
    }
    let of = |files: &BTreeMap<String, Vec<u8>>, tag| -> Vec<String> {
        files.values().map(|bytes| opened(bytes).element(tag).unwrap().to_str().unwrap().into_owned()).collect()
    };
    let distinct = |tag| of(last, tag).into_iter().collect::<BTreeSet<_>>();
    for (tag, count) in [
        (tags::STUDY_INSTANCE_UID, 2),
        (tags::SERIES_INSTANCE_UID, 2),
        (tags::SOP_INSTANCE_UID, 4),
        (tags::PATIENT_ID, 1),
    ] {
        assert_eq!(distinct(tag).len(), count, "{tag}");
        let others: BTreeSet<String> = of(&elsewhere[films.len() - 1], tag).into_iter().collect();
        assert!(distinct(tag).is_disjoint(&others), "another unit has another key: {tag}");
    }
    for bytes in last.values() {
        assert!(!text(&opened(bytes)).contains("SECRET"));
    }
}
