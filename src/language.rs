//! What screens say, in each language. Pure.
//!
//! One table, so that no message is missing in a language: the compiler holds it. Numbers, units and what the unit
//! says of a fault in its own words stay as they are. How well the words were checked: docs/screens.md.

use crate::refusal::Refusal;
use crate::verdict::{Class, Verdict};

/// A language that screens speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// French.
    French,
    /// Spanish.
    Spanish,
    /// Swahili.
    Swahili,
    /// Hindi, in Devanagari.
    Hindi,
}

impl Language {
    /// Every language, in the order of the table's columns.
    pub const ALL: [Self; 5] = [Self::English, Self::French, Self::Spanish, Self::Swahili, Self::Hindi];

    /// Its ISO 639-1 code, as in a configuration.
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
            Self::Spanish => "es",
            Self::Swahili => "sw",
            Self::Hindi => "hi",
        }
    }

    /// The language with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }
}

/// What a screen can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// A verdict in large words.
    Normal,
    /// A verdict in large words.
    BacterialPneumonia,
    /// A verdict in large words.
    Covid19Pneumonia,
    /// A verdict in large words.
    Refer,
    /// A verdict in large words.
    Repeat,
    /// A verdict in large words, and the unit's own state.
    Fault,
    /// The unit waits for films.
    Ready,
    /// What the unit waits for.
    PutInAFilm,
    /// A film is being read.
    Reading,
    /// What to do while a film is being read.
    PleaseWait,
    /// The unit waits for films, and somebody should look at it.
    Check,
    /// The unit has ended.
    Stopped,
    /// What happens to films that come now.
    ReadAtTheNextStart,
    /// The label of a class's bar.
    ClassNormal,
    /// The label of a class's bar.
    ClassBacterial,
    /// The label of a class's bar.
    ClassCovid19,
    /// Under a normal reading.
    DoesNotRuleOut,
    /// Under a pneumonia.
    DoctorMustConfirm,
    /// Under a reading that the model is not sure of.
    NotSure,
    /// Under a reading on which the unit failed.
    DoctorMustLook,
    /// What to do about a refused film.
    CopyAgain,
    /// What to do about a refused film.
    ExportSmaller,
    /// What to do about a refused film.
    ExportOtherwise,
    /// What to do about a refused film.
    ExportWhole,
    /// What to do about a refused film.
    WholeChest,
    /// What to do about a refused film.
    CheckExposure,
    /// What to do about a refused film.
    OpenCollimator,
    /// What to do about a refused film.
    BonesWhite,
    /// What to do about a refused film.
    FrontalChestOnly,
    /// What to do about a refused film.
    OtherAge,
    /// What to do about a refused film.
    KeepTheFile,
    /// Before the number of a reading.
    ReadingNumber,
    /// Above the readings before.
    Earlier,
    /// After the time of a reading that was put in again.
    PutInAgain,
    /// Under the film.
    HeatMap,
    /// Before the number of films that wait.
    Waiting,
    /// After the free space.
    Free,
    /// Nobody has set the clock since the unit started.
    ClockNotSet,
    /// Soon no film can be taken in.
    DiscNearlyFull,
    /// The board is hot.
    Hot,
    /// The board runs slower than it could.
    Slowed,
    /// The battery is nearly empty.
    BatteryLow,
    /// A lamp or another screen does not work.
    DisplayFails,
    /// The camera does not work.
    CameraFails,
    /// The last readings are not as those that the model was made from.
    UnusualFilms,
    /// On every screen.
    Notice,
}

impl Message {
    /// Every message, for tests.
    #[cfg(test)]
    pub const ALL: [Self; 46] = [
        Self::Normal,
        Self::BacterialPneumonia,
        Self::Covid19Pneumonia,
        Self::Refer,
        Self::Repeat,
        Self::Fault,
        Self::Ready,
        Self::PutInAFilm,
        Self::Reading,
        Self::PleaseWait,
        Self::Check,
        Self::Stopped,
        Self::ReadAtTheNextStart,
        Self::ClassNormal,
        Self::ClassBacterial,
        Self::ClassCovid19,
        Self::DoesNotRuleOut,
        Self::DoctorMustConfirm,
        Self::NotSure,
        Self::DoctorMustLook,
        Self::CopyAgain,
        Self::ExportSmaller,
        Self::ExportOtherwise,
        Self::ExportWhole,
        Self::WholeChest,
        Self::CheckExposure,
        Self::OpenCollimator,
        Self::BonesWhite,
        Self::FrontalChestOnly,
        Self::OtherAge,
        Self::KeepTheFile,
        Self::ReadingNumber,
        Self::Earlier,
        Self::PutInAgain,
        Self::HeatMap,
        Self::Waiting,
        Self::Free,
        Self::ClockNotSet,
        Self::DiscNearlyFull,
        Self::Hot,
        Self::Slowed,
        Self::BatteryLow,
        Self::DisplayFails,
        Self::CameraFails,
        Self::UnusualFilms,
        Self::Notice,
    ];

    /// The words in a language.
    pub fn words(self, language: Language) -> &'static str {
        // Rows: English, French, Spanish, Swahili, Hindi.
        let [english, french, spanish, swahili, hindi] = match self {
            Self::Normal => ["Normal", "Normal", "Normal", "Kawaida", "सामान्य"],
            Self::BacterialPneumonia => [
                "Bacterial pneumonia",
                "Pneumonie bactérienne",
                "Neumonía bacteriana",
                "Nimonia ya bakteria",
                "बैक्टीरियल निमोनिया",
            ],
            Self::Covid19Pneumonia => [
                "COVID-19 pneumonia",
                "Pneumonie COVID-19",
                "Neumonía por COVID-19",
                "Nimonia ya COVID-19",
                "कोविड-19 निमोनिया",
            ],
            Self::Refer => [
                "Refer to a doctor",
                "À montrer au médecin",
                "Consultar al médico",
                "Mpeleke kwa daktari",
                "डॉक्टर को दिखाएँ",
            ],
            Self::Repeat => {
                ["Repeat the film", "Refaire le cliché", "Repetir la placa", "Rudia picha", "एक्स-रे दोबारा लें"]
            }
            Self::Fault => ["Fault", "Panne", "Avería", "Hitilafu", "ख़राबी"],
            Self::Ready => ["Ready", "Prêt", "Listo", "Tayari", "तैयार"],
            Self::PutInAFilm => [
                "Waiting for a film",
                "En attente d'un cliché",
                "A la espera de una placa",
                "Inasubiri picha",
                "एक्स-रे की प्रतीक्षा",
            ],
            Self::Reading => ["Reading…", "Lecture…", "Leyendo…", "Inasoma…", "पढ़ा जा रहा है…"],
            Self::PleaseWait => ["Please wait", "Patientez", "Espere", "Subiri", "कृपया प्रतीक्षा करें"],
            Self::Check => [
                "Ready, but check",
                "Prêt, mais vérifiez",
                "Listo, pero revise",
                "Tayari, lakini kagua",
                "तैयार, पर जाँचें",
            ],
            Self::Stopped => ["Stopped", "Arrêté", "Detenido", "Imesimama", "बंद"],
            Self::ReadAtTheNextStart => [
                "Films are read at the next start",
                "Les clichés seront lus au prochain démarrage",
                "Las placas se leerán al reiniciar",
                "Picha zitasomwa kikiwashwa tena",
                "एक्स-रे अगली बार चालू होने पर पढ़े जाएँगे",
            ],
            Self::ClassNormal => ["Normal", "Normal", "Normal", "Kawaida", "सामान्य"],
            Self::ClassBacterial => ["Bacterial", "Bactérienne", "Bacteriana", "Bakteria", "बैक्टीरियल"],
            Self::ClassCovid19 => ["COVID-19", "COVID-19", "COVID-19", "COVID-19", "कोविड-19"],
            Self::DoesNotRuleOut => [
                "Does not rule out disease",
                "N'exclut pas une maladie",
                "No descarta enfermedad",
                "Haiondoi uwezekano wa ugonjwa",
                "इससे रोग की संभावना ख़त्म नहीं होती",
            ],
            Self::DoctorMustConfirm => [
                "A doctor must confirm",
                "Un médecin doit confirmer",
                "Un médico debe confirmar",
                "Daktari lazima athibitishe",
                "डॉक्टर की पुष्टि ज़रूरी है",
            ],
            Self::NotSure => [
                "Not sure: a doctor must look",
                "Incertain : un médecin doit regarder",
                "No es seguro: debe verlo un médico",
                "Hakuna uhakika: daktari aangalie",
                "निश्चित नहीं: डॉक्टर एक्स-रे देखें",
            ],
            Self::DoctorMustLook => [
                "A doctor must look at this film",
                "Un médecin doit regarder ce cliché",
                "Un médico debe ver esta placa",
                "Daktari aangalie picha hii",
                "डॉक्टर यह एक्स-रे देखें",
            ],
            Self::CopyAgain => [
                "Copy the file again",
                "Copiez le fichier à nouveau",
                "Copie el archivo de nuevo",
                "Nakili faili tena",
                "फ़ाइल दोबारा कॉपी करें",
            ],
            Self::ExportSmaller => [
                "Export the film smaller",
                "Exportez le cliché plus petit",
                "Exporte la placa más pequeña",
                "Hamisha picha ikiwa ndogo",
                "एक्स-रे छोटा करके निर्यात करें",
            ],
            Self::ExportOtherwise => [
                "Export as DICOM, JPEG, PNG or TIFF",
                "Exportez en DICOM, JPEG, PNG ou TIFF",
                "Exporte como DICOM, JPEG, PNG o TIFF",
                "Hamisha kama DICOM, JPEG, PNG au TIFF",
                "DICOM, JPEG, PNG या TIFF में निर्यात करें",
            ],
            Self::ExportWhole => [
                "Export the film at full size",
                "Exportez en taille réelle",
                "Exporte a tamaño completo",
                "Hamisha kwa ukubwa kamili",
                "पूरे आकार में निर्यात करें",
            ],
            Self::WholeChest => [
                "Take the whole chest from the front",
                "Cadrez tout le thorax, de face",
                "Tome todo el tórax de frente",
                "Piga kifua chote kutoka mbele",
                "सामने से पूरी छाती का एक्स-रे लें",
            ],
            Self::CheckExposure => [
                "Check the exposure",
                "Vérifiez l'exposition",
                "Revise la exposición",
                "Kagua kiwango cha mionzi",
                "एक्सपोज़र जाँचें",
            ],
            Self::OpenCollimator => {
                ["Open the collimator", "Ouvrez le collimateur", "Abra el colimador", "Fungua kolimeta", "कोलिमेटर खोलें"]
            }
            Self::BonesWhite => [
                "Bones must be white",
                "Les os doivent être blancs",
                "Los huesos deben ser blancos",
                "Mifupa lazima iwe nyeupe",
                "हड्डियाँ सफ़ेद होनी चाहिए",
            ],
            Self::FrontalChestOnly => [
                "Send a frontal chest film",
                "Envoyez un thorax de face",
                "Envíe un tórax de frente",
                "Tuma picha ya kifua kutoka mbele",
                "सामने से छाती का एक्स-रे भेजें",
            ],
            Self::OtherAge => [
                "Not made for this age: a doctor must look",
                "Pas prévu à cet âge : voir un médecin",
                "No es para esta edad: vea a un médico",
                "Si kwa umri huu: daktari aangalie",
                "इस उम्र के लिए नहीं: डॉक्टर देखें",
            ],
            Self::KeepTheFile => [
                "Keep the file; call the technician",
                "Gardez le fichier ; appelez le technicien",
                "Guarde el archivo; llame al técnico",
                "Tunza faili; mwite fundi",
                "फ़ाइल रखें; तकनीशियन को बुलाएँ",
            ],
            Self::ReadingNumber => ["Reading", "Lecture", "Lectura", "Usomaji", "रीडिंग"],
            Self::Earlier => ["Earlier", "Avant", "Antes", "Awali", "पिछली रीडिंग"],
            Self::PutInAgain => ["put in again", "déjà lu", "ya leída", "imerudiwa", "पहले पढ़ा गया"],
            Self::HeatMap => [
                "Colour: what speaks for it",
                "Couleur : ce qui l'indique",
                "Color: lo que lo indica",
                "Rangi: kinachoonyesha hivyo",
                "रंग: नतीजे का आधार",
            ],
            Self::Waiting => ["Waiting", "En attente", "En espera", "Zinasubiri", "प्रतीक्षा में"],
            Self::Free => ["free", "libres", "libres", "wazi", "खाली"],
            Self::ClockNotSet => {
                ["Clock not set", "Horloge non réglée", "Reloj sin ajustar", "Saa haijawekwa", "घड़ी सेट नहीं है"]
            }
            Self::DiscNearlyFull => [
                "Disc nearly full",
                "Disque presque plein",
                "Disco casi lleno",
                "Diski karibu kujaa",
                "डिस्क लगभग भरी है",
            ],
            Self::Hot => {
                ["The unit is hot", "L'appareil est chaud", "El equipo está caliente", "Kifaa kina joto", "यूनिट गर्म है"]
            }
            Self::Slowed => [
                "Slowed: heat or power",
                "Ralenti : chaleur ou courant",
                "Lento: calor o corriente",
                "Kasi imepungua: joto au umeme",
                "धीमा: गर्मी या बिजली",
            ],
            Self::BatteryLow => ["Battery low", "Batterie faible", "Batería baja", "Betri iko chini", "बैटरी कम है"],
            Self::DisplayFails => [
                "A lamp or screen fails",
                "Lampe ou écran en panne",
                "Falla una luz o pantalla",
                "Taa au skrini ina hitilafu",
                "लैंप या स्क्रीन ख़राब है",
            ],
            Self::CameraFails => {
                ["The camera fails", "Caméra en panne", "Falla la cámara", "Kamera ina hitilafu", "कैमरा ख़राब है"]
            }
            Self::UnusualFilms => [
                "The last films are unusual",
                "Derniers clichés inhabituels",
                "Últimas placas inusuales",
                "Picha za mwisho si za kawaida",
                "पिछले एक्स-रे असामान्य हैं",
            ],
            Self::Notice => [
                "Research use, not a diagnosis",
                "Recherche, pas un diagnostic",
                "Investigación, no diagnóstico",
                "Utafiti tu, si utambuzi",
                "शोध हेतु, निदान नहीं",
            ],
        };
        match language {
            Language::English => english,
            Language::French => french,
            Language::Spanish => spanish,
            Language::Swahili => swahili,
            Language::Hindi => hindi,
        }
    }
}

impl From<Verdict> for Message {
    /// The verdict in large words.
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Normal => Self::Normal,
            Verdict::BacterialPneumonia => Self::BacterialPneumonia,
            Verdict::Covid19Pneumonia => Self::Covid19Pneumonia,
            Verdict::Refer => Self::Refer,
            Verdict::Refused(_) => Self::Repeat,
            Verdict::Fault(_) => Self::Fault,
        }
    }
}

impl From<Class> for Message {
    /// The label of the class's bar.
    fn from(class: Class) -> Self {
        match class {
            Class::Normal => Self::ClassNormal,
            Class::Bacterial => Self::ClassBacterial,
            Class::Covid19 => Self::ClassCovid19,
        }
    }
}

/// What to do now, in a few words.
pub fn advice(verdict: Verdict) -> Message {
    match verdict {
        Verdict::Normal => Message::DoesNotRuleOut,
        Verdict::BacterialPneumonia | Verdict::Covid19Pneumonia => Message::DoctorMustConfirm,
        Verdict::Refer => Message::NotSure,
        Verdict::Fault(_) => Message::DoctorMustLook,
        Verdict::Refused(refusal) => match refusal {
            Refusal::Empty | Refusal::Damaged | Refusal::NotAFile | Refusal::Unreadable => Message::CopyAgain,
            Refusal::TooManyBytes | Refusal::TooLarge => Message::ExportSmaller,
            Refusal::UnknownFormat | Refusal::Unsupported => Message::ExportOtherwise,
            Refusal::TooSmall => Message::ExportWhole,
            Refusal::Shape | Refusal::NotFrontalChest => Message::WholeChest,
            Refusal::Blank | Refusal::TooDark | Refusal::TooBright => Message::CheckExposure,
            Refusal::CutOff => Message::OpenCollimator,
            Refusal::Inverted => Message::BonesWhite,
            Refusal::Modality | Refusal::View | Refusal::BodyPart => Message::FrontalChestOnly,
            Refusal::Age => Message::OtherAge,
            Refusal::CrashedReader => Message::KeepTheFile,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_finds_its_language() {
        for language in Language::ALL {
            assert_eq!(Language::from_code(language.code()), Some(language));
        }
        assert_eq!(Language::from_code("tlh"), None);
    }

    #[test]
    fn every_language_says_every_message_and_says_no_two_verdicts_alike() {
        for language in Language::ALL {
            for message in Message::ALL {
                let words = message.words(language);
                assert!(!words.is_empty() && words.trim() == words, "{message:?} {language:?}: {words:?}");
            }
            let verdicts: BTreeSet<&str> = Message::ALL[..13].iter().map(|message| message.words(language)).collect();
            assert_eq!(verdicts.len(), 13, "{language:?}");
        }
    }

    #[test]
    fn english_words_are_those_of_every_other_output() {
        for verdict in [
            Verdict::Normal,
            Verdict::BacterialPneumonia,
            Verdict::Covid19Pneumonia,
            Verdict::Refer,
            Verdict::Refused(Refusal::Empty),
        ] {
            let shown = Message::from(verdict).words(Language::English);
            assert_eq!(shown.to_lowercase(), verdict.words().to_lowercase());
        }
        assert_eq!(Message::Notice.words(Language::English).to_lowercase(), crate::verdict::NOTICE);
    }
}
