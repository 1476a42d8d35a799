//! Writes the grey image that the road makes of each film: `grey FOLDER FILM...` makes `FOLDER/NAME.pgm`, 8 or 16 bits.
//!
//! For development: `tests/dicom/compare.py` compares the images with those of pydicom.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use chestlight::decode::{Limits, decode};
use chestlight::radiograph::{Grey, Radiograph};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(folder) = arguments.next() else {
        eprintln!("usage: grey FOLDER FILM...");
        return ExitCode::from(2);
    };
    let mut code = ExitCode::SUCCESS;
    for film in arguments {
        let film = Path::new(&film);
        let written = fs::read(film).map_err(|error| error.to_string()).and_then(|bytes| {
            let radiograph = decode(&bytes, &Limits::default()).map_err(|error| error.to_string())?;
            let mut name = film.file_name().unwrap_or_default().to_owned();
            name.push(".pgm");
            fs::write(Path::new(&folder).join(name), pgm(&radiograph)).map_err(|error| error.to_string())
        });
        if let Err(error) = written {
            eprintln!("{}: {error}", film.display());
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// Netpbm's portable greymap; samples of 16 bits have their high byte first.
fn pgm(radiograph: &Radiograph) -> Vec<u8> {
    let (most, samples) = match radiograph.pixels() {
        Grey::U8(samples) => (255, samples.clone()),
        Grey::U16(samples) => (65_535, samples.iter().flat_map(|sample| sample.to_be_bytes()).collect()),
    };
    let head = format!("P5\n{} {}\n{most}\n", radiograph.width(), radiograph.height());
    [head.into_bytes(), samples].concat()
}
