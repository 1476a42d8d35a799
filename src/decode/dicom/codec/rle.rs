//! RLE (PS3.5 annex G): one segment of packed bits for each byte of a sample, the high byte first.

use std::borrow::Cow;

use super::super::damaged;
use super::super::pixels::{Description, Samples, Stored};
use crate::decode::DecodeError;

/// Sixteen words: the number of segments, and where each begins.
const HEADER: usize = 64;

/// Whether the bytes begin with an RLE header for so many segments.
pub(super) fn is_rle(bytes: &[u8], description: &Description) -> bool {
    word(bytes, 0) == Some(segments(description)) && word(bytes, 1) == Some(HEADER)
}

fn segments(description: &Description) -> usize {
    usize::from(description.samples) * usize::from(description.allocated / 8)
}

fn word(bytes: &[u8], place: usize) -> Option<usize> {
    let four = bytes.get(place * 4..place * 4 + 4)?;
    Some(u32::from_le_bytes(four.try_into().ok()?) as usize)
}

pub(super) fn decode(bytes: &[u8], description: &Description) -> Result<Stored<'static>, DecodeError> {
    let pixels = description.pixels();
    let unpacked = |segment: usize, put: &mut dyn FnMut(usize, u8)| {
        let start = word(bytes, segment + 1).filter(|&start| start >= HEADER);
        let packed = start.and_then(|start| bytes.get(start..));
        let packed = packed.ok_or_else(|| damaged(format!("RLE segment {segment} lies outside of the data")))?;
        let found = unpack(packed, pixels, put);
        if found == pixels {
            Ok(())
        } else {
            Err(damaged(format!("RLE segment {segment} ends after {found} of {pixels} bytes")))
        }
    };
    let samples = if description.allocated == 8 {
        let mut samples = vec![0u8; description.count()];
        for (segment, plane) in samples.chunks_exact_mut(pixels).enumerate() {
            unpacked(segment, &mut |place, byte| {
                if let Some(sample) = plane.get_mut(place) {
                    *sample = byte;
                }
            })?;
        }
        Samples::U8(Cow::Owned(samples))
    } else {
        let mut samples = vec![0u16; description.count()];
        for (plane, samples) in samples.chunks_exact_mut(pixels).enumerate() {
            for (half, shift) in [8, 0].into_iter().enumerate() {
                unpacked(plane * 2 + half, &mut |place, byte| {
                    if let Some(sample) = samples.get_mut(place) {
                        *sample |= u16::from(byte) << shift;
                    }
                })?;
            }
        }
        Samples::U16(samples)
    };
    Ok(Stored { samples, planar: true, photometric: None })
}

/// Unpacks at most `most` bytes and hands each to `put` with its place; how many there were.
fn unpack(packed: &[u8], most: usize, put: &mut dyn FnMut(usize, u8)) -> usize {
    let mut packed = packed.iter().copied();
    let mut place = 0;
    while place < most {
        let Some(control) = packed.next() else { break };
        match control {
            0..=127 => {
                for byte in packed.by_ref().take((usize::from(control) + 1).min(most - place)) {
                    put(place, byte);
                    place += 1;
                }
            }
            128 => {}
            129..=255 => {
                let Some(byte) = packed.next() else { break };
                for _ in 0..(257 - usize::from(control)).min(most - place) {
                    put(place, byte);
                    place += 1;
                }
            }
        }
    }
    place
}
