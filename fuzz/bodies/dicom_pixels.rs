//! Any bytes as the codestream of a DICOM film: RLE, every JPEG, JPEG-LS and JPEG 2000, by how they begin.
//!
//! The first two bytes are the film's size, the third its depth and colours.

use chestlight::decode::{Limits, decode};

pub fn run(bytes: &[u8]) {
    let [columns, rows, kind, codestream @ ..] = bytes else { return };
    let limits = Limits { max_bytes: 1 << 20, max_pixels: 1 << 18, max_alloc: 4 << 20 };
    let _ = decode(&film([*columns, *rows, *kind], codestream), &limits);
}

/// A data set in explicit little endian, without meta information.
fn film([columns, rows, kind]: [u8; 3], codestream: &[u8]) -> Vec<u8> {
    let allocated = if kind & 1 == 0 { 8 } else { 16 };
    let stored = allocated - (kind >> 2 & 7);
    let (samples, photometric) = if kind & 2 == 0 { (1, "MONOCHROME2 ") } else { (3, "RGB ") };
    let mut film = Vec::new();
    let mut put = |group: u16, element: u16, vr: &[u8; 2], value: &[u8]| {
        film.extend([group.to_le_bytes(), element.to_le_bytes(), *vr, (value.len() as u16).to_le_bytes()].concat());
        film.extend(value);
    };
    put(0x0008, 0x0060, b"CS", b"CR");
    put(0x0028, 0x0002, b"US", &[samples, 0]);
    put(0x0028, 0x0004, b"CS", photometric.as_bytes());
    put(0x0028, 0x0010, b"US", &[rows, 0]);
    put(0x0028, 0x0011, b"US", &[columns, 0]);
    put(0x0028, 0x0100, b"US", &[allocated, 0]);
    put(0x0028, 0x0101, b"US", &[stored, 0]);
    put(0x0028, 0x0102, b"US", &[stored - 1, 0]);
    put(0x0028, 0x0103, b"US", &[kind >> 5 & 1, 0]);
    film.extend(b"\xE0\x7F\x10\x00OB\0\0\xFF\xFF\xFF\xFF\xFE\xFF\x00\xE0\0\0\0\0\xFE\xFF\x00\xE0");
    film.extend((codestream.len() as u32).to_le_bytes());
    film.extend(codestream);
    film.extend(b"\xFE\xFF\xDD\xE0\0\0\0\0");
    film
}
