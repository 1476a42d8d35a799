//! Stored values to grey: modality transformation, values of interest, presentation (PS3.3 C.11.1, C.11.2, C.11.6).
//!
//! All of it is a function of the stored value, of which there are 65,536 at most: it is computed once for each value
//! and looked up for each pixel.

use dicom_dictionary_std::tags;

use super::lut::{Descriptor, Lut};
use super::object::Object;
use super::pixels::{Description, Photometric, Samples, Stored};
use crate::decode::DecodeError;
use crate::radiograph::Grey;

pub(super) fn render(object: &Object<'_>, description: &Description, stored: &Stored<'_>) -> Result<Grey, DecodeError> {
    let padding = Padding::of(object, description);
    let modality = Modality::of(object, description)?;
    let interest = Interest::of(object, description)?;
    let inverted = description.photometric == Photometric::Monochrome1
        || object.text(tags::PRESENTATION_LUT_SHAPE).as_deref() == Some("INVERSE");
    let white = if description.stored > 8 { u16::MAX } else { u16::from(u8::MAX) };
    let span = match interest {
        Interest::Whole => modality.span(used(description, stored, padding)),
        Interest::Window(_) | Interest::Lut(_) => (0.0, 1.0),
    };
    let table: Vec<u16> = (0..=u16::MAX >> (16 - description.stored))
        .map(|index| {
            let value = description.value(index);
            if padding.is_some_and(|padding| padding.has(value)) {
                return 0;
            }
            let grey = interest.grey(modality.value(value), span).clamp(0.0, 1.0);
            let grey = if inverted { 1.0 - grey } else { grey };
            (grey * f64::from(white)).round() as u16
        })
        .collect();
    let look_up = |sample: u16| table.get(usize::from(description.index(sample))).copied().unwrap_or(0);
    Ok(match (&stored.samples, white) {
        (Samples::U8(samples), 255) => {
            Grey::U8(samples.iter().map(|&sample| look_up(u16::from(sample)) as u8).collect())
        }
        (Samples::U16(samples), 255) => Grey::U8(samples.iter().map(|&sample| look_up(sample) as u8).collect()),
        (Samples::U8(samples), _) => Grey::U16(samples.iter().map(|&sample| look_up(u16::from(sample))).collect()),
        (Samples::U16(samples), _) => Grey::U16(samples.iter().map(|&sample| look_up(sample)).collect()),
    })
}

/// Pixel Padding Value and Range Limit (0028,0120 and 0028,0121; C.7.5.1.1.2): pixels that are none, which become black.
#[derive(Clone, Copy)]
struct Padding {
    least: i32,
    most: i32,
}

impl Padding {
    fn of(object: &Object<'_>, description: &Description) -> Option<Self> {
        let value = |tag| {
            let word = object.unsigned(tag)? as u16;
            Some(if description.signed { i32::from(word as i16) } else { i32::from(word) })
        };
        let one = value(tags::PIXEL_PADDING_VALUE)?;
        let other = value(tags::PIXEL_PADDING_RANGE_LIMIT).unwrap_or(one);
        Some(Self { least: one.min(other), most: one.max(other) })
    }

    fn has(self, value: i32) -> bool {
        (self.least..=self.most).contains(&value)
    }
}

/// Least and greatest value of the bits that are in use.
///
/// Where nothing says which values are of interest, a film of 10 bits that is declared to have 16 shall not be black.
/// 8 bits are taken as they are, so that a film that was not exposed stays one.
fn used(description: &Description, stored: &Stored<'_>, padding: Option<Padding>) -> (i32, i32) {
    let values = |sample: u16| {
        let value = description.value(description.index(sample));
        (!padding.is_some_and(|padding| padding.has(value))).then_some(value)
    };
    let extremes = |(least, most): (i32, i32), value: i32| (least.min(value), most.max(value));
    let (least, most) = match &stored.samples {
        Samples::U8(samples) => samples.iter().filter_map(|&sample| values(u16::from(sample))).fold((0, 0), extremes),
        Samples::U16(samples) => samples.iter().filter_map(|&sample| values(sample)).fold((0, 0), extremes),
    };
    let bits = (8..16).find(|bits| least >= -(1 << bits) && most < 1 << bits).unwrap_or(16);
    let bits = bits.min(i32::from(description.stored) - i32::from(description.signed));
    (if least < 0 { -(1 << bits) } else { 0 }, (1 << bits) - 1)
}

/// Modality LUT (C.11.1).
enum Modality {
    Lut(Lut),
    Rescale { slope: f64, intercept: f64 },
}

impl Modality {
    fn of(object: &Object<'_>, description: &Description) -> Result<Self, DecodeError> {
        let sequence = tags::MODALITY_LUT_SEQUENCE;
        if let Some(lut) = lut_in(object, sequence, description)? {
            return Ok(Self::Lut(lut));
        }
        let rescale = object.decimal(tags::RESCALE_SLOPE).zip(object.decimal(tags::RESCALE_INTERCEPT));
        // A slope of 0 would make one grey of the whole film.
        let (slope, intercept) = rescale.filter(|(slope, _)| *slope != 0.0).unwrap_or((1.0, 0.0));
        Ok(Self::Rescale { slope, intercept })
    }

    fn value(&self, stored: i32) -> f64 {
        match self {
            Self::Lut(lut) => f64::from(lut.get(stored)),
            Self::Rescale { slope, intercept } => f64::from(stored) * slope + intercept,
        }
    }

    /// What black and white are when nothing else is said, for stored values between two.
    fn span(&self, (least, most): (i32, i32)) -> (f64, f64) {
        match self {
            Self::Lut(lut) => (0.0, f64::from(lut.descriptor().most())),
            Self::Rescale { .. } => {
                let (one, other) = (self.value(least), self.value(most));
                (one.min(other), one.max(other))
            }
        }
    }
}

/// VOI LUT (C.11.2); of several the first.
enum Interest {
    Lut(Lut),
    Window(Window),
    /// Nothing is said.
    Whole,
}

struct Window {
    centre: f64,
    width: f64,
    function: Function,
}

enum Function {
    Linear,
    LinearExact,
    Sigmoid,
}

impl Interest {
    fn of(object: &Object<'_>, description: &Description) -> Result<Self, DecodeError> {
        if let Some(lut) = lut_in(object, tags::VOILUT_SEQUENCE, description)? {
            return Ok(Self::Lut(lut));
        }
        let function = match object.text(tags::VOILUT_FUNCTION).as_deref() {
            Some("SIGMOID") => Function::Sigmoid,
            Some("LINEAR_EXACT") => Function::LinearExact,
            _ => Function::Linear,
        };
        let least = if matches!(function, Function::Linear) { 1.0 } else { f64::MIN_POSITIVE };
        let window = object.decimal(tags::WINDOW_CENTER).zip(object.decimal(tags::WINDOW_WIDTH));
        Ok(match window {
            Some((centre, width)) if width >= least => Self::Window(Window { centre, width, function }),
            _ => Self::Whole,
        })
    }

    /// 0 (black) to 1 (white), and outside of it what has to be clamped.
    fn grey(&self, value: f64, (black, white): (f64, f64)) -> f64 {
        match self {
            // The table is for integers: the fraction of a rescaled value is cut off.
            Self::Lut(lut) => f64::from(lut.get(value as i32)) / f64::from(lut.descriptor().most()),
            Self::Window(window) => window.grey(value),
            Self::Whole => (value - black) / (white - black),
        }
    }
}

impl Window {
    /// C.11.2.1.2 and C.11.2.1.3.
    fn grey(&self, value: f64) -> f64 {
        let (centre, width) = match self.function {
            Function::Linear => (self.centre - 0.5, self.width - 1.0),
            Function::LinearExact | Function::Sigmoid => (self.centre, self.width),
        };
        match self.function {
            Function::Sigmoid => 1.0 / (1.0 + (-4.0 * (value - centre) / width).exp()),
            _ if value <= centre - width / 2.0 => 0.0,
            _ if value > centre + width / 2.0 => 1.0,
            _ => (value - centre) / width + 0.5,
        }
    }
}

/// The table in the first item of a sequence, if there is one.
fn lut_in(
    object: &Object<'_>,
    sequence: dicom_core::Tag,
    description: &Description,
) -> Result<Option<Lut>, DecodeError> {
    let parts = object.bytes_in(sequence, tags::LUT_DESCRIPTOR).zip(object.bytes_in(sequence, tags::LUT_DATA));
    let Some((descriptor, data)) = parts else { return Ok(None) };
    let signed = object.states_signed(Some(sequence), tags::LUT_DESCRIPTOR).unwrap_or(description.signed);
    let descriptor = Descriptor::parse(object, descriptor, signed)?;
    Lut::parse(object, descriptor, data).map(Some)
}
