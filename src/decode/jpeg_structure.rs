//! Whether a JPEG is whole.
//!
//! The decoder fills what is missing with grey and reports success, as viewers do. Half a film read as a whole
//! one is the worst that can happen here, so the marker structure (ISO/IEC 10918-1, annex B) is walked first.

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;

/// Walks the markers from SOI to EOI; the error says where the walk ended.
pub(super) fn check_whole(bytes: &[u8]) -> Result<(), String> {
    let mut at = 0;
    let mut scans = 0;
    loop {
        let (marker, after) = next_marker(bytes, at).ok_or_else(|| format!("it breaks off at byte {}", bytes.len()))?;
        at = after;
        match marker {
            EOI if scans == 0 => return Err(format!("it ends at byte {at} without any image data")),
            EOI => return Ok(()),
            // SOI, TEM and RSTn stand alone, without a length.
            SOI | 0x01 | 0xD0..=0xD7 => {}
            _ => {
                let length = bytes
                    .get(at..at + 2)
                    .and_then(|length| <[u8; 2]>::try_from(length).ok())
                    .map(u16::from_be_bytes)
                    .ok_or_else(|| format!("it breaks off at byte {}", bytes.len()))?;
                if length < 2 {
                    return Err(format!("segment 0x{marker:02x} at byte {at} has the impossible length {length}"));
                }
                at += usize::from(length);
                scans += usize::from(marker == SOS);
            }
        }
    }
}

/// The next marker at or after `at`, and the position behind it. Entropy-coded data, stuffed zeros and fill
/// bytes are passed over.
fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += memchr::memchr(0xFF, bytes.get(at..)?)?;
        match *bytes.get(at + 1)? {
            0x00 => at += 2,
            0xFF => at += 1,
            marker => return Some((marker, at + 2)),
        }
    }
}
