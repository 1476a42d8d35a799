//! What is known of a film.

use chestlight::verdict::Class;
use serde::{Deserialize, Serialize};

/// What a film shows, as far as the index tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// No pneumonia.
    Normal,
    /// Bacterial pneumonia.
    Bacterial,
    /// COVID-19 pneumonia.
    Covid19,
    /// Viral pneumonia other than COVID-19; an output of the paper's Model_0 only.
    Viral,
    /// Anything but COVID-19: films of adults whose pneumonia has no known cause, or that were taken before 2020.
    /// They teach what COVID-19 is not, and take no part in the confusion matrix.
    NotCovid19,
}

impl Finding {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Normal, Self::Bacterial, Self::Covid19, Self::Viral, Self::NotCovid19];

    /// What a network of the device answers, in the order of its outputs.
    pub const DEVICE: [Self; 3] = [Self::Normal, Self::Bacterial, Self::Covid19];

    /// As experiments write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Bacterial => "bacterial",
            Self::Covid19 => "covid19",
            Self::Viral => "viral",
            Self::NotCovid19 => "not-covid19",
        }
    }

    /// The device's class; `None` for what the device does not answer.
    pub fn device(self) -> Option<Class> {
        match self {
            Self::Normal => Some(Class::Normal),
            Self::Bacterial => Some(Class::Bacterial),
            Self::Covid19 => Some(Class::Covid19),
            Self::Viral | Self::NotCovid19 => None,
        }
    }

    /// Which of a network's outputs are right for such a film.
    pub fn allowed(self, outputs: &[Self; 3]) -> [bool; 3] {
        outputs.map(|output| output == self || (self == Self::NotCovid19 && output != Self::Covid19))
    }
}

impl From<Class> for Finding {
    fn from(class: Class) -> Self {
        match class {
            Class::Normal => Self::Normal,
            Class::Bacterial => Self::Bacterial,
            Class::Covid19 => Self::Covid19,
        }
    }
}
