//! A reading as a picture: the film, and above it what was read, as a Secondary Capture (PS3.3 A.8.1).

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use embedded_graphics::Drawable;
use embedded_graphics::geometry::Point;
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::FONT_10X20;
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::text::{Baseline, Text};
use image::GrayImage;
use image::imageops::{FilterType, resize};

use super::original::{CHEST, Original};
use super::report::{code, reference};
use super::send::Outgoing;
use super::{Evidence, MANUFACTURER, PRODUCT, content_time, put, put_sequence};
use crate::dimse::Uid;
use crate::explain::{HeatMap, Picture};
use crate::journal::Row;
use crate::radiograph::{Grey, Radiograph};
use crate::show::NOTICE;

/// Least width, pixels: what the banner's longest line needs. A film without a class map is brought to it.
const WIDTH: u32 = 1_024;
/// No film is drawn higher than so many times its width; the gate refuses what is longer.
const MOST_SHAPE: u32 = 3;
const LINE: u32 = 24;
const MARGIN: u32 = 8;

/// The capture of a reading, in the study of its image and a series of its own. The same for the same row and film;
/// `None` for a film of no pixels.
pub fn capture(original: &Original, row: &Row, film: &Radiograph, evidence: Option<&Evidence>) -> Option<Outgoing> {
    let sheet = sheet(row, drawn(row, film, evidence)?);
    let sop_class = uids::SECONDARY_CAPTURE_IMAGE_STORAGE;
    let sop_instance = Uid::derived(&["capture", row.hash()]);
    let mut set = original.result();
    put(&mut set, tags::SOP_CLASS_UID, VR::UI, sop_class);
    put(&mut set, tags::SOP_INSTANCE_UID, VR::UI, sop_instance.as_str());
    put(&mut set, tags::MODALITY, VR::CS, "OT");
    put(&mut set, tags::CONVERSION_TYPE, VR::CS, "WSD");
    put(&mut set, tags::SERIES_INSTANCE_UID, VR::UI, Uid::derived(&["capture series", row.hash()]).as_str());
    put(&mut set, tags::SERIES_NUMBER, VR::IS, "902");
    put(&mut set, tags::SERIES_DESCRIPTION, VR::LO, "chestlight capture, research use");
    put(&mut set, tags::MANUFACTURER, VR::LO, MANUFACTURER);
    put(&mut set, tags::MANUFACTURER_MODEL_NAME, VR::LO, PRODUCT);
    put(&mut set, tags::SOFTWARE_VERSIONS, VR::LO, &row.software_version);
    put(&mut set, tags::INSTANCE_NUMBER, VR::IS, "1");
    // Of a chest there is one, of any other part nobody knows here; it must then be there, empty.
    if original.shows_chest {
        put(&mut set, tags::BODY_PART_EXAMINED, VR::CS, CHEST);
    } else {
        put(&mut set, tags::LATERALITY, VR::CS, "");
    }
    // It must be there, and may be empty.
    put(&mut set, tags::PATIENT_ORIENTATION, VR::CS, "");
    put(&mut set, tags::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY\\OTHER");
    put(&mut set, tags::DERIVATION_DESCRIPTION, VR::ST, "resized, with a banner above it; not for measuring");
    put(&mut set, tags::BURNED_IN_ANNOTATION, VR::CS, "YES");
    put(&mut set, tags::LOSSY_IMAGE_COMPRESSION, VR::CS, if original.is_lossy { "01" } else { "00" });
    let time = content_time(row);
    put(&mut set, tags::CONTENT_DATE, VR::DA, &time.date);
    put(&mut set, tags::CONTENT_TIME, VR::TM, &time.time);
    put(&mut set, tags::DATE_OF_SECONDARY_CAPTURE, VR::DA, &time.date);
    put(&mut set, tags::TIME_OF_SECONDARY_CAPTURE, VR::TM, &time.time);
    let mut source = reference(original);
    let purpose = code(("121322", "DCM", "Source image for image processing operation"));
    put_sequence(&mut source, tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, [purpose]);
    put_sequence(&mut set, tags::SOURCE_IMAGE_SEQUENCE, [source]);

    put(&mut set, tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "RGB");
    let (rows, columns) = (u16::try_from(sheet.height).ok()?, u16::try_from(sheet.width).ok()?);
    for (tag, number) in [
        (tags::SAMPLES_PER_PIXEL, 3),
        (tags::PLANAR_CONFIGURATION, 0),
        (tags::ROWS, rows),
        (tags::COLUMNS, columns),
        (tags::BITS_ALLOCATED, 8),
        (tags::BITS_STORED, 8),
        (tags::HIGH_BIT, 7),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        set.put(DataElement::new(tag, VR::US, PrimitiveValue::from(number)));
    }
    set.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(sheet.rgb)));
    Some(Outgoing { sop_class, sop_instance: sop_instance.as_str().to_owned(), data_set: set })
}

/// The film, with what spoke for the verdict beside it where that is known.
fn drawn(row: &Row, film: &Radiograph, evidence: Option<&Evidence>) -> Option<Picture> {
    let explained = evidence.zip(row.probabilities()).and_then(|(evidence, probabilities)| {
        let (class, _) = probabilities.top();
        let heat_map = HeatMap::new(film, &evidence.geometry, &evidence.map()?, class).ok()?;
        Some(heat_map.sheet(&row.message, NOTICE))
    });
    explained.or_else(|| plain(film))
}

fn plain(film: &Radiograph) -> Option<Picture> {
    let (width, height) = (film.width(), film.height());
    let samples = match film.pixels() {
        Grey::U8(samples) => samples.clone(),
        // The high byte: for looking at, not for measuring.
        Grey::U16(samples) => samples.iter().map(|sample| (sample >> 8) as u8).collect(),
    };
    let grey = GrayImage::from_raw(width, height, samples)?;
    let drawn = (u64::from(height) * u64::from(WIDTH) / u64::from(width.max(1))).clamp(1, (MOST_SHAPE * WIDTH).into());
    let grey = resize(&grey, WIDTH, u32::try_from(drawn).ok()?, FilterType::Triangle);
    let height = grey.height();
    Some(Picture { width: WIDTH, height, rgb: grey.into_raw().into_iter().flat_map(|sample| [sample; 3]).collect() })
}

/// A picture with the banner above it.
fn sheet(row: &Row, below: Picture) -> Picture {
    let lines = banner(row);
    let strip = 2 * MARGIN + LINE * lines.len() as u32;
    // Even sides give an even number of bytes, which pixel data must have.
    let width = below.width.max(WIDTH).next_multiple_of(2);
    let height = strip + below.height;
    let mut rgb = vec![0; width as usize * strip as usize * 3];
    for pixels in below.rgb.chunks(below.width as usize * 3) {
        rgb.extend(pixels);
        rgb.resize(rgb.len() + (width - below.width) as usize * 3, 0);
    }
    let mut sheet = Picture { width, height, rgb };
    for (index, line) in (0..).zip(&lines) {
        let colour = if index == 0 { Rgb888::YELLOW } else { Rgb888::WHITE };
        let place = Point::new(MARGIN as i32, (MARGIN + LINE * index) as i32);
        let text = Text::with_baseline(line, place, MonoTextStyle::new(&FONT_10X20, colour), Baseline::Top);
        let Ok(_) = text.draw(&mut sheet);
    }
    sheet
}

/// What stands above the film; names nobody.
fn banner(row: &Row) -> Vec<String> {
    let words = row.verdict().map_or(row.verdict.as_str(), |verdict| verdict.words());
    let mut lines = vec![format!("CHESTLIGHT: {}", NOTICE.to_uppercase()), words.to_uppercase()];
    match row.probabilities() {
        Some(all) => lines.push(format!(
            "normal {:.1}%   bacterial pneumonia {:.1}%   COVID-19 pneumonia {:.1}%",
            all.normal * 100.0,
            all.bacterial * 100.0,
            all.covid19 * 100.0
        )),
        None => lines.push(row.message.clone()),
    }
    let digest = row.model_digest.get(..8).unwrap_or_default();
    lines.push(format!("reading {} of {}   model {} {digest}", row.seq, row.recorded_at, row.model_name));
    lines
}
