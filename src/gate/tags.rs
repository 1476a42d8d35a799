//! What a DICOM file says of itself, against what the model may judge.
//!
//! Tags only ever rule out: a film that says that it is a frontal chest film still has to look like one.

use super::Refused;
use crate::radiograph::{Origin, View};
use crate::refusal::Refusal;

/// Words in Body Part Examined (PS3.16 annex L, and what writers make of it) that a frontal chest film may have.
const CHEST: [&str; 11] =
    ["CHEST", "THORAX", "LUNG", "LUNGS", "TORAX", "POUMON", "TRUNK", "RIB", "RIBS", "CLAVICLE", "HEART"];
/// Body parts that no frontal chest film has. A part that is in neither list is left to the pixels.
const ELSEWHERE: [&str; 53] = [
    "ABDOMEN",
    "ANKLE",
    "ARM",
    "BLADDER",
    "BRAIN",
    "BREAST",
    "CALCANEUS",
    "COCCYX",
    "CSPINE",
    "ELBOW",
    "EXTREMITY",
    "FACE",
    "FEMUR",
    "FIBULA",
    "FINGER",
    "FINGERS",
    "FOOT",
    "FOREARM",
    "HAND",
    "HEAD",
    "HEEL",
    "HIP",
    "HIPS",
    "HUMERUS",
    "JAW",
    "KIDNEY",
    "KNEE",
    "LEG",
    "LIMB",
    "LSPINE",
    "MANDIBLE",
    "MAXILLA",
    "NECK",
    "NOSE",
    "ORBIT",
    "PATELLA",
    "PELVIS",
    "RADIUS",
    "SACRUM",
    "SCAPULA",
    "SHOULDER",
    "SINUS",
    "SKULL",
    "SPINE",
    "TEETH",
    "THIGH",
    "THUMB",
    "TIBIA",
    "TOE",
    "TOES",
    "TOOTH",
    "TSPINE",
    "WRIST",
];

/// Lets a film pass by its tags or says why not.
///
/// # Errors
/// [`Refused`] with [`Refusal::View`] or [`Refusal::BodyPart`].
pub(super) fn judge(origin: &Origin) -> Result<(), Refused> {
    let refuse = |refusal, detail| Err(Refused { refusal, detail });
    if let Some(view @ (View::Lateral | View::Oblique | View::Other)) = origin.view {
        let view = match view {
            View::Lateral => "lateral",
            View::Oblique => "oblique",
            _ => "not frontal",
        };
        return refuse(Refusal::View, format!("the file says that the view is {view}"));
    }
    if let Some(part) = &origin.body_part {
        let words: Vec<&str> = part.split(|c: char| !c.is_alphanumeric()).collect();
        let has = |known: &[&str]| words.iter().any(|word| known.contains(word));
        // "CHEST/ABDOMEN" may be a frontal chest film; the pixels tell.
        if !has(&CHEST) && has(&ELSEWHERE) {
            return refuse(Refusal::BodyPart, format!("the file says that it shows {}", part.to_lowercase()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_and_body_parts_that_are_no_frontal_chest_film_are_refused() {
        use Refusal::BodyPart;
        let of = |view, part: &str| {
            let body_part = (!part.is_empty()).then(|| part.to_owned());
            judge(&Origin { view, body_part, ..Origin::default() }).err().map(|refused| refused.refusal)
        };
        for (view, refusal) in [
            (None, None),
            (Some(View::Ap), None),
            (Some(View::Pa), None),
            (Some(View::Frontal), None),
            (Some(View::Lateral), Some(Refusal::View)),
            (Some(View::Oblique), Some(Refusal::View)),
            (Some(View::Other), Some(Refusal::View)),
        ] {
            assert_eq!(of(view, "CHEST"), refusal, "{view:?}");
        }
        for (part, refusal) in [
            ("", None),
            ("CHEST", None),
            ("PORT CHEST", None),
            ("THORAX", None),
            ("CHEST_ABDOMEN", None),
            ("A WORD THAT NOBODY FORESAW", None),
            ("EXTREMITY", Some(BodyPart)),
            ("HAND", Some(BodyPart)),
            ("LEFT KNEE", Some(BodyPart)),
            ("ABDOMEN", Some(BodyPart)),
            ("THORACIC SPINE", Some(BodyPart)),
            ("SKULL", Some(BodyPart)),
        ] {
            assert_eq!(of(Some(View::Pa), part), refusal, "{part}");
        }
    }
}
