//! Any bytes as a DICOM object: what it says of itself and its pixels are read within the limits.

use chestlight::decode::{Limits, decode, dicom, origin};

pub fn run(bytes: &[u8]) {
    let limits = Limits { max_bytes: 1 << 20, max_pixels: 1 << 18, max_alloc: 4 << 20 };
    let _ = dicom::is_directory(bytes);
    if let Some(origin) = origin(bytes, &limits) {
        assert!(origin.age_years.is_none_or(|years| (0.0..=150.0).contains(&years)));
        assert!(origin.sop_uid.is_none_or(|uid| uid.len() <= 64));
    }
    if let Ok(film) = decode(bytes, &limits) {
        assert!(u64::from(film.width()) * u64::from(film.height()) <= limits.max_pixels);
    }
}
