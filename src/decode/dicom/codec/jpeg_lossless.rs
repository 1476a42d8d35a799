//! Lossless JPEG with Huffman coding (ITU-T T.81, annex H): process 14, every predictor.

use super::super::damaged;
use super::super::pixels::Stored;
use super::jpeg::{Bits, Huffman, Image, Scan};
use super::packed;
use crate::decode::DecodeError;

pub(super) fn decode(bytes: &[u8], image: &Image) -> Result<Stored<'static>, DecodeError> {
    let frame = &image.frame;
    let count = frame.components.len();
    if frame.components.iter().any(|component| (component.across, component.down) != (1, 1)) && count > 1 {
        return Err(DecodeError::Unsupported("lossless JPEG with subsampled colour is not read".into()));
    }
    let (width, height) = (frame.width as usize, frame.height as usize);
    let mut samples = vec![0u16; width * height * count];
    let mut seen = vec![false; count];
    for scan in &image.scans {
        decode_scan(bytes, scan, &mut samples, (width, count), frame.precision)?;
        for component in &scan.components {
            if let Some(seen) = seen.get_mut(component.place) {
                *seen = true;
            }
        }
    }
    if seen.contains(&false) {
        return Err(damaged("a component of the JPEG codestream has no scan".into()));
    }
    Ok(Stored { samples: packed(samples, frame.precision), planar: false, photometric: None })
}

fn decode_scan(
    bytes: &[u8],
    scan: &Scan,
    samples: &mut [u16],
    (width, count): (usize, usize),
    precision: u8,
) -> Result<(), DecodeError> {
    let predictor = scan.start;
    if !(1..=7).contains(&predictor) || scan.low >= precision {
        return Err(damaged(format!("lossless JPEG with predictor {predictor} and point transform {}", scan.low)));
    }
    let tables: Vec<(usize, &Huffman)> = scan
        .components
        .iter()
        .map(|component| {
            let table = scan.dc.get(component.dc).and_then(Option::as_ref);
            Ok((component.place, table.ok_or_else(|| damaged("a Huffman table is missing".into()))?))
        })
        .collect::<Result<_, DecodeError>>()?;
    let first = 1u16 << (precision - scan.low - 1);
    let mut bits = Bits::new(bytes, scan.data);
    let mut until_restart = scan.restart;
    // After a restart the prediction begins anew: the row above does not count.
    let mut has_above = false;
    let mut begins = true;
    let row_length = width * count;
    for row in 0..samples.len() / row_length {
        let (done, rest) = samples.split_at_mut(row * row_length);
        let above = done.get(done.len().saturating_sub(row_length)..).unwrap_or_default();
        let current = rest.get_mut(..row_length).unwrap_or_default();
        for column in 0..width {
            if scan.restart > 0 && until_restart == 0 {
                bits.restart()?;
                until_restart = scan.restart;
                (has_above, begins) = (false, true);
            }
            until_restart = until_restart.wrapping_sub(1);
            for (place, table) in &tables {
                let at = column * count + place;
                let value = |row: &[u16], at: Option<usize>| {
                    i32::from(at.and_then(|at| row.get(at)).copied().unwrap_or(0) >> scan.low)
                };
                let left = value(current, at.checked_sub(count));
                let (up, corner) = (value(above, Some(at)), value(above, at.checked_sub(count)));
                let prediction = match (begins, has_above, column) {
                    (true, ..) => i32::from(first),
                    (_, false, _) => left,
                    (_, true, 0) => up,
                    _ => match predictor {
                        1 => left,
                        2 => up,
                        3 => corner,
                        4 => left + up - corner,
                        5 => left + ((up - corner) >> 1),
                        6 => up + ((left - corner) >> 1),
                        _ => (left + up) >> 1,
                    },
                };
                let difference = match table.decode(&mut bits)? {
                    16 => 32_768,
                    length @ 0..=15 => bits.difference(length)?,
                    length => return Err(damaged(format!("a JPEG difference of {length} bits"))),
                };
                if let Some(sample) = current.get_mut(at) {
                    *sample = ((prediction + difference) as u16) << scan.low;
                }
            }
            begins = false;
        }
        // A row that began with a restart, or the first one, is above the next; one with a restart inside is not.
        has_above = true;
    }
    Ok(())
}
