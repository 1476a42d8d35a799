//! Logits to calibrated probabilities to a verdict. Pure.

use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// Said by every screen, export and report.
pub const NOTICE: &str = "research use, not a diagnosis";

/// What the network tells apart, in the paper's order (DOI 10.1101/2020.12.14.20248158).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// No pneumonia.
    Normal,
    /// Bacterial pneumonia.
    Bacterial,
    /// COVID-19 pneumonia.
    Covid19,
}

impl Class {
    /// The classes in the order of the network's outputs.
    pub const ALL: [Self; 3] = [Self::Normal, Self::Bacterial, Self::Covid19];

    /// The name in manifests and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Bacterial => "bacterial",
            Self::Covid19 => "covid19",
        }
    }
}

/// The network's raw outputs, in the order of [`Class::ALL`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Logits(pub [f32; 3]);

/// Calibrated probabilities; they sum to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probabilities {
    /// No pneumonia, 0..=1.
    pub normal: f32,
    /// Bacterial pneumonia, 0..=1.
    pub bacterial: f32,
    /// COVID-19 pneumonia, 0..=1.
    pub covid19: f32,
}

impl Probabilities {
    /// The probabilities in the order of [`Class::ALL`].
    pub fn to_array(self) -> [f32; 3] {
        [self.normal, self.bacterial, self.covid19]
    }

    /// The most probable class and its probability; of equals the first.
    pub fn top(self) -> (Class, f32) {
        let mut top = (Class::Normal, self.normal);
        for (class, probability) in [(Class::Bacterial, self.bacterial), (Class::Covid19, self.covid19)] {
            if probability > top.1 {
                top = (class, probability);
            }
        }
        top
    }
}

/// How sure is sure enough; stands in the model's manifest, never in a site's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Divides the logits before softmax (Guo et al. 2017, DOI 10.48550/arXiv.1706.04599); above 0.
    pub temperature: f32,
    /// A top probability below this is `Refer`; 0..=1.
    pub refer_below: f32,
    /// Higher probabilities that some classes need; a model without them has `refer_below` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<OperatingPoints>,
}

/// One operating point for each class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoints {
    /// No pneumonia. Its specificity is the sensitivity for pneumonia of either kind.
    pub normal: OperatingPoint,
    /// Bacterial pneumonia.
    pub bacterial: OperatingPoint,
    /// COVID-19 pneumonia.
    pub covid19: OperatingPoint,
}

impl OperatingPoints {
    /// The point of a class.
    pub fn of(&self, class: Class) -> OperatingPoint {
        match class {
            Class::Normal => self.normal,
            Class::Bacterial => self.bacterial,
            Class::Covid19 => self.covid19,
        }
    }
}

/// The probability that a class needs to become the verdict, and what that gave on films that nothing was trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatingPoint {
    /// Below it the verdict is `Refer`; `refer_below`..=1.
    pub at_least: f32,
    /// Films of the class that got the verdict, 0..=1.
    pub sensitivity: f32,
    /// Films of the other classes that did not, 0..=1.
    pub specificity: f32,
}

impl Calibration {
    /// The probability that a class needs to become the verdict.
    pub fn needed(&self, class: Class) -> f32 {
        self.points.map_or(self.refer_below, |points| points.of(class).at_least)
    }
}

/// Why the unit could not read a film that it should have been able to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The engine returned an error or a result that is no number.
    Engine,
    /// A room panicked; the film is kept for whoever mends it.
    Panic,
}

impl Fault {
    /// The stable code, as in the JSON contract and the journal.
    pub fn code(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Panic => "panic",
        }
    }
}

/// What the technician is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// No pneumonia seen.
    Normal,
    /// Bacterial pneumonia.
    BacterialPneumonia,
    /// COVID-19 pneumonia.
    Covid19Pneumonia,
    /// Not sure enough: a doctor must look.
    Refer,
    /// Not a usable film: repeat it.
    Refused(Refusal),
    /// The unit failed, not the film.
    Fault(Fault),
}

impl Verdict {
    /// Decides from calibrated probabilities.
    pub fn decide(probabilities: Probabilities, calibration: &Calibration) -> Self {
        let (class, probability) = probabilities.top();
        if probability < calibration.needed(class) {
            return Self::Refer;
        }
        match class {
            Class::Normal => Self::Normal,
            Class::Bacterial => Self::BacterialPneumonia,
            Class::Covid19 => Self::Covid19Pneumonia,
        }
    }

    /// The name in the JSON contract and the journal.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::BacterialPneumonia => "BacterialPneumonia",
            Self::Covid19Pneumonia => "Covid19Pneumonia",
            Self::Refer => "Refer",
            Self::Refused(_) => "Refused",
            Self::Fault(_) => "Fault",
        }
    }

    /// The words on lamp and screen.
    pub fn words(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::BacterialPneumonia => "bacterial pneumonia",
            Self::Covid19Pneumonia => "COVID-19 pneumonia",
            Self::Refer => "refer to a doctor",
            Self::Refused(_) => "repeat the film",
            Self::Fault(_) => "fault",
        }
    }

    /// The stable code of the reason; none for a verdict on a disease.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Normal | Self::BacterialPneumonia | Self::Covid19Pneumonia => None,
            Self::Refer => Some("not_sure"),
            Self::Refused(refusal) => Some(refusal.code()),
            Self::Fault(fault) => Some(fault.code()),
        }
    }
}

/// Softmax of the logits over the temperature; none when a logit or the temperature is not a usable number.
pub fn calibrate(logits: Logits, calibration: &Calibration) -> Option<Probabilities> {
    let [a, b, c] = logits.0.map(|logit| f64::from(logit) / f64::from(calibration.temperature));
    let highest = a.max(b).max(c);
    let [a, b, c] = [a, b, c].map(|scaled| (scaled - highest).exp());
    let sum = a + b + c;
    let probabilities =
        Probabilities { normal: (a / sum) as f32, bacterial: (b / sum) as f32, covid19: (c / sum) as f32 };
    probabilities.to_array().iter().all(|p| p.is_finite()).then_some(probabilities)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CALIBRATION: Calibration = Calibration { temperature: 1.0, refer_below: 0.5, points: None };

    #[test]
    fn the_verdict_follows_the_top_class_and_refers_below_the_operating_point() {
        for (probabilities, verdict) in [
            ([0.9, 0.05, 0.05], Verdict::Normal),
            ([0.1, 0.8, 0.1], Verdict::BacterialPneumonia),
            ([0.1, 0.2, 0.7], Verdict::Covid19Pneumonia),
            ([0.4, 0.3, 0.3], Verdict::Refer),
            ([0.5, 0.25, 0.25], Verdict::Normal),
        ] {
            let [normal, bacterial, covid19] = probabilities;
            assert_eq!(Verdict::decide(Probabilities { normal, bacterial, covid19 }, &CALIBRATION), verdict);
        }
    }

    #[test]
    fn each_class_has_its_own_operating_point() {
        let point = |at_least| OperatingPoint { at_least, sensitivity: 1.0, specificity: 1.0 };
        let points = OperatingPoints { normal: point(0.8), bacterial: point(0.5), covid19: point(0.6) };
        let calibration = Calibration { points: Some(points), ..CALIBRATION };
        for (probabilities, verdict) in [
            ([0.8, 0.1, 0.1], Verdict::Normal),
            ([0.7, 0.2, 0.1], Verdict::Refer),
            ([0.3, 0.5, 0.2], Verdict::BacterialPneumonia),
            ([0.1, 0.3, 0.6], Verdict::Covid19Pneumonia),
            ([0.1, 0.35, 0.55], Verdict::Refer),
        ] {
            let [normal, bacterial, covid19] = probabilities;
            assert_eq!(Verdict::decide(Probabilities { normal, bacterial, covid19 }, &calibration), verdict);
        }
    }

    #[test]
    fn a_logit_that_is_no_number_gives_no_probabilities() {
        for bad in [f32::NAN, f32::INFINITY] {
            assert_eq!(calibrate(Logits([bad, 0.0, 1.0]), &CALIBRATION), None);
        }
    }

    proptest! {
        #[test]
        fn probabilities_sum_to_one_and_keep_the_order_of_the_logits(logits in prop::array::uniform3(-50f32..50.0), temperature in 0.05f32..10.0) {
            let probabilities = calibrate(Logits(logits), &Calibration { temperature, refer_below: 0.0, points: None }).unwrap().to_array();
            prop_assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            for (i, a) in logits.iter().enumerate() {
                for (j, b) in logits.iter().enumerate() {
                    if a > b { prop_assert!(probabilities[i] >= probabilities[j]); }
                }
            }
        }
    }
}
