//! Why a film was not read: one closed list for every room, with stable codes and plain words.

use serde::{Deserialize, Serialize};

/// Why a film gets the verdict `Refused`.
///
/// The codes ([`Refusal::code`]) are a contract with whoever reads the JSON or the journal: they are added to,
/// never renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The file has no bytes.
    Empty,
    /// The file is larger than the configured limit.
    TooManyBytes,
    /// The bytes are none of the known encodings.
    UnknownFormat,
    /// A known encoding in a form that is not read (float samples, several pages, ...).
    Unsupported,
    /// The header declares more pixels, or needs more memory, than the limits allow.
    TooLarge,
    /// The bytes break off or contradict themselves.
    Damaged,
    /// It is not a plain file (a link, a pipe, a device).
    NotAFile,
    /// The file could not be opened or read from the disc.
    Unreadable,
    /// Fewer pixels than a chest can be judged on.
    TooSmall,
    /// Far longer than wide or wider than long: no frontal chest film has this shape.
    Shape,
    /// Hardly any contrast: unexposed, saturated or blank.
    Blank,
    /// The reading process died on this film more than once.
    CrashedReader,
    /// The film's tags say that it was made by something else than an X-ray unit for plain films.
    Modality,
    /// The film's tags say that it is no frontal view.
    View,
    /// The film's tags say that it shows another part of the body.
    BodyPart,
    /// The patient is outside the ages that the model was made for.
    Age,
    /// Most of the film is black: the field was collimated to too little.
    CutOff,
    /// Most of the film is darker than it may be.
    TooDark,
    /// Much of the film is burnt out.
    TooBright,
    /// Bones are black: the grey scale is turned round.
    Inverted,
    /// The network finds that it is unlike the frontal chest films that it knows.
    NotFrontalChest,
}

impl Refusal {
    /// Every refusal, for documentation and for tests.
    pub const ALL: [Self; 21] = [
        Self::Empty,
        Self::TooManyBytes,
        Self::UnknownFormat,
        Self::Unsupported,
        Self::TooLarge,
        Self::Damaged,
        Self::NotAFile,
        Self::Unreadable,
        Self::TooSmall,
        Self::Shape,
        Self::Blank,
        Self::CrashedReader,
        Self::Modality,
        Self::View,
        Self::BodyPart,
        Self::Age,
        Self::CutOff,
        Self::TooDark,
        Self::TooBright,
        Self::Inverted,
        Self::NotFrontalChest,
    ];

    /// The stable code, as in the JSON contract and the journal.
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooManyBytes => "too_many_bytes",
            Self::UnknownFormat => "unknown_format",
            Self::Unsupported => "unsupported",
            Self::TooLarge => "too_large",
            Self::Damaged => "damaged",
            Self::NotAFile => "not_a_file",
            Self::Unreadable => "unreadable",
            Self::TooSmall => "too_small",
            Self::Shape => "shape",
            Self::Blank => "blank",
            Self::CrashedReader => "crashed_reader",
            Self::Modality => "modality",
            Self::View => "view",
            Self::BodyPart => "body_part",
            Self::Age => "age",
            Self::CutOff => "cut_off",
            Self::TooDark => "too_dark",
            Self::TooBright => "too_bright",
            Self::Inverted => "inverted",
            Self::NotFrontalChest => "not_frontal_chest",
        }
    }

    /// Whether it is what the film shows or says that is refused, and not a file that could not be read as a film.
    pub fn is_of_the_film(self) -> bool {
        match self {
            Self::TooSmall
            | Self::Shape
            | Self::Blank
            | Self::Modality
            | Self::View
            | Self::BodyPart
            | Self::Age
            | Self::CutOff
            | Self::TooDark
            | Self::TooBright
            | Self::Inverted
            | Self::NotFrontalChest => true,
            Self::Empty
            | Self::TooManyBytes
            | Self::UnknownFormat
            | Self::Unsupported
            | Self::TooLarge
            | Self::Damaged
            | Self::NotAFile
            | Self::Unreadable
            | Self::CrashedReader => false,
        }
    }

    /// The refusal with this stable code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.code() == code)
    }

    /// What the technician can do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Empty => "copy the file again; it arrived without content",
            Self::TooManyBytes | Self::TooLarge => "export the film smaller, or raise the limits in the configuration",
            Self::UnknownFormat => "export the film as DICOM, JPEG, PNG or TIFF",
            Self::Unsupported => "export the film as a single 8 to 16 bit grey or RGB image",
            Self::Damaged => "copy the file again; if it stays damaged, repeat the film",
            Self::NotAFile => "copy the film itself, not a link to it",
            Self::Unreadable => "check the file's permissions and the disc, then copy it again",
            Self::TooSmall => "export the film at its full size",
            Self::Shape => "use an uncropped frontal chest film",
            Self::Blank => "check the exposure and repeat the film",
            Self::CutOff => "open the collimator to the whole chest and repeat the film",
            Self::TooDark | Self::TooBright => "check the exposure and the export's window, and repeat the film",
            Self::Inverted => {
                "export the film with white bones on black; if they are white, repeat it with the chest in the middle"
            }
            Self::NotFrontalChest => {
                "take the whole chest from the front, upright; if that is what the film shows, a doctor must look at it"
            }
            Self::CrashedReader => "keep the file and send it to whoever maintains this unit",
            Self::Modality => "send plain X-ray films alone (CR, DX or a secondary capture of one)",
            Self::View => "send the frontal film (PA or AP); if it is one, correct its View Position",
            Self::BodyPart => "send a chest film; if it is one, correct its Body Part Examined",
            Self::Age => "a doctor must look at this film; the model was not made for this age",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_unique_finds_its_refusal_and_equals_its_serialised_name() {
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::from_code(refusal.code()), Some(refusal));
            assert_eq!(serde_json::to_value(refusal).unwrap(), refusal.code());
            assert!(!refusal.advice().is_empty());
        }
        assert_eq!(Refusal::from_code("no such code"), None);
    }
}
