//! A data set of phantoms, so that every command can be tried, and tested, without a radiograph.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chestlight::phantom::{Opacity, Phantom};
use chestlight::radiograph::Grey;
use image::{ExtendedColorType, ImageFormat};
use thiserror::Error;

/// Width and height of a film, pixels; what the gate lets pass.
const SIZE: (u32, u32) = (240, 224);

/// What is drawn for each label, and which source it pretends to be from.
const KINDS: [(&str, &str, Opacity); 5] = [
    ("normal", "drawn", Opacity::None),
    ("bacterial", "drawn", Opacity::Focal),
    ("covid", "drawn", Opacity::Diffuse),
    ("viral", "drawn", Opacity::Diffuse),
    ("normal", "elsewhere", Opacity::None),
];

/// The data set cannot be drawn.
#[derive(Debug, Error)]
#[error("{path}: {source}")]
pub struct PhantomsError {
    path: PathBuf,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Draws `each` films of every kind into a folder, two of each patient, and their index; returns the index.
///
/// # Errors
/// [`PhantomsError`] names the file that cannot be written.
pub fn draw(folder: &Path, each: u64) -> Result<PathBuf, PhantomsError> {
    let failed =
        |path: &Path, source: Box<dyn std::error::Error + Send + Sync>| PhantomsError { path: path.to_owned(), source };
    fs::create_dir_all(folder).map_err(|error| failed(folder, error.into()))?;
    let mut rows = String::from("file,label,source,group_id,licence\n");
    for (kind, (label, source, opacity)) in KINDS.into_iter().enumerate() {
        for number in 1..=each {
            let file = format!("{source}-{label}-{number}.png");
            // Every kind has its own seeds, or one chest would come with and without a disease.
            let seed = kind as u64 * 1_000_000 + number;
            let path = folder.join(&file);
            write_film(&path, &Phantom::new(seed, opacity).sized(SIZE.0, SIZE.1))
                .map_err(|error| failed(&path, error))?;
            let _ = writeln!(rows, "{file},{label},{source},{source}-{label}-{},CC0", number / 2);
        }
    }
    let index = folder.join("index.csv");
    fs::write(&index, rows).map_err(|error| failed(&index, error.into()))?;
    Ok(index)
}

fn write_film(path: &Path, phantom: &Phantom) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let radiograph = phantom.render()?;
    let Grey::U8(samples) = radiograph.pixels() else { return Err(io::Error::other("a phantom has 8 bits").into()) };
    let (width, height) = (radiograph.width(), radiograph.height());
    Ok(image::save_buffer_with_format(path, samples, width, height, ExtendedColorType::L8, ImageFormat::Png)?)
}
