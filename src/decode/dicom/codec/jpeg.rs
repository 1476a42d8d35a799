//! What every JPEG process shares: markers, frame and scan headers, Huffman tables, entropy-coded bits (ITU-T T.81).

use std::borrow::Cow;
use std::io::Cursor;

use image::codecs::jpeg::JpegDecoder;
use image::{ColorType, ImageDecoder as _};

use super::super::damaged;
use super::super::pixels::{Description, Photometric, Samples, Stored};
use crate::decode::{DecodeError, Limits, jpeg_structure};

/// How the samples are coded, by the start-of-frame marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    /// SOF0 and SOF1: baseline and extended sequential DCT.
    Sequential,
    /// SOF2.
    Progressive,
    /// SOF3: predictors.
    Lossless,
    /// SOF55: JPEG-LS (T.87).
    Ls,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Sampling factors, 1 to 4.
    pub(super) across: usize,
    pub(super) down: usize,
    /// Which quantisation table, 0 to 3.
    pub(super) quantisation: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) process: Process,
    /// Bits of a sample, 2 to 16.
    pub(super) precision: u8,
    pub(super) width: u32,
    pub(super) height: u32,
    /// 1 to 4.
    pub(super) components: Vec<Component>,
}

/// A component's part in a scan: its place in the frame and its tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScanComponent {
    pub(super) place: usize,
    pub(super) dc: usize,
    pub(super) ac: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Scan {
    pub(super) components: Vec<ScanComponent>,
    /// Ss: the predictor of a lossless scan, NEAR of JPEG-LS.
    pub(super) start: u8,
    /// Se: interleaving of JPEG-LS.
    pub(super) end: u8,
    /// Al: the point transform.
    pub(super) low: u8,
    /// Restart interval, MCUs; 0 for none.
    pub(super) restart: usize,
    /// Huffman tables as they stand at this scan.
    pub(super) dc: [Option<Huffman>; 4],
    pub(super) ac: [Option<Huffman>; 4],
    /// Where the entropy-coded bytes begin.
    pub(super) data: usize,
}

/// Everything but the entropy-coded data.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) frame: Frame,
    pub(super) scans: Vec<Scan>,
    /// In natural order, not zigzag.
    pub(super) quantisation: [Option<[u16; 64]>; 4],
    is_jfif: bool,
    /// The transform that an Adobe marker states: 0 none, 1 YCbCr.
    adobe: Option<u8>,
}

/// Zigzag to natural order (T.81, figure A.6).
pub(super) const NATURAL: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

pub(super) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xFF\xD8\xFF")
}

/// Reads bytes of a marker segment; every read checks that they are there.
pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&byte, rest) = self.0.split_first().ok_or_else(too_short)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(super) fn word(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(too_short)?;
        self.0 = rest;
        Ok(taken)
    }
}

fn too_short() -> DecodeError {
    damaged("a segment of the JPEG codestream is too short".into())
}

/// The marker at or behind `at`, and the place behind it; entropy-coded data are passed over.
pub(super) fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xFF)?;
        match *bytes.get(at + 1)? {
            // A stuffed zero, or in JPEG-LS a stuffed bit; RSTm stand among the data.
            0x00..=0x7F | 0xD0..=0xD7 => at += 2,
            0xFF => at += 1,
            marker => return Some((marker, at + 2)),
        }
    }
}

/// Scans of one frame: one for each component, and of a hostile file more.
const MOST_SCANS: usize = 16;

/// Reads every marker segment of a codestream.
pub(super) fn parse(bytes: &[u8]) -> Result<Image, DecodeError> {
    let mut frame = None;
    let mut scans = Vec::new();
    let mut quantisation = [None; 4];
    let (mut dc, mut ac): ([Option<Huffman>; 4], [Option<Huffman>; 4]) = Default::default();
    let (mut restart, mut is_jfif, mut adobe) = (0, false, None);
    let mut at = 2;
    while let Some((marker, after)) = next_marker(bytes, at) {
        at = after;
        if matches!(marker, 0xD8 | 0x01) {
            continue;
        }
        if marker == 0xD9 {
            break;
        }
        let length = Bytes(bytes.get(at..).unwrap_or_default()).word()?;
        let body = bytes.get(at + 2..at + usize::from(length)).ok_or_else(too_short)?;
        at += usize::from(length);
        let mut body = Bytes(body);
        match marker {
            0xC0..=0xC3 | 0xF7 if frame.is_none() => frame = Some(frame_header(marker, &mut body)?),
            0xC0..=0xC3 | 0xF7 => return Err(damaged("the JPEG codestream has two frames".into())),
            0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                return Err(DecodeError::Unsupported(format!("JPEG process 0x{marker:02x} is not read")));
            }
            0xC4 => huffman_tables(&mut body, &mut dc, &mut ac)?,
            0xDB => quantisation_tables(&mut body, &mut quantisation)?,
            0xDD => restart = usize::from(body.word()?),
            0xE0 => is_jfif |= body.0.starts_with(b"JFIF\0"),
            0xEE if body.0.starts_with(b"Adobe") => adobe = body.0.get(11).copied(),
            0xDA => {
                let frame = frame.as_ref().ok_or_else(|| damaged("a scan stands before its frame".into()))?;
                if scans.len() == MOST_SCANS && frame.process != Process::Progressive {
                    return Err(damaged(format!("the JPEG codestream has more than {MOST_SCANS} scans")));
                }
                if scans.len() < MOST_SCANS {
                    let scan = scan_header(&mut body, frame)?;
                    scans.push(Scan { restart, dc: dc.clone(), ac: ac.clone(), data: at, ..scan });
                }
            }
            _ => {}
        }
    }
    let frame = frame.ok_or_else(|| damaged("the JPEG codestream has no frame".into()))?;
    if scans.is_empty() {
        return Err(damaged("the JPEG codestream has no scan".into()));
    }
    Ok(Image { frame, scans, quantisation, is_jfif, adobe })
}

fn frame_header(marker: u8, body: &mut Bytes<'_>) -> Result<Frame, DecodeError> {
    let precision = body.byte()?;
    let (height, width) = (body.word()?, body.word()?);
    let count = body.byte()?;
    if !(2..=16).contains(&precision) || width == 0 || height == 0 || !(1..=4).contains(&count) {
        return Err(damaged(format!(
            "a JPEG frame of {width} x {height} pixels and {count} components of {precision} bits"
        )));
    }
    let process = match marker {
        0xC2 => Process::Progressive,
        0xC3 => Process::Lossless,
        0xF7 => Process::Ls,
        _ => Process::Sequential,
    };
    let components = (0..count).map(|_| {
        let (id, sampling, table) = (body.byte()?, body.byte()?, body.byte()?);
        let (across, down) = (usize::from(sampling >> 4), usize::from(sampling & 15));
        if !(1..=4).contains(&across) || !(1..=4).contains(&down) || table > 3 {
            return Err(damaged(format!("a JPEG component with the sampling {across} x {down} and table {table}")));
        }
        Ok(Component { id, across, down, quantisation: usize::from(table) })
    });
    let components = components.collect::<Result<_, DecodeError>>()?;
    Ok(Frame { process, precision, width: width.into(), height: height.into(), components })
}

fn scan_header(body: &mut Bytes<'_>, frame: &Frame) -> Result<Scan, DecodeError> {
    let count = usize::from(body.byte()?);
    if !(1..=frame.components.len()).contains(&count) {
        return Err(damaged(format!("a JPEG scan of {count} components")));
    }
    let mut components: Vec<ScanComponent> = Vec::with_capacity(count);
    for _ in 0..count {
        let (id, tables) = (body.byte()?, body.byte()?);
        let place = frame.components.iter().position(|component| component.id == id);
        let place = place.filter(|place| components.iter().all(|other| other.place != *place));
        let place = place.ok_or_else(|| damaged(format!("a JPEG scan of the unknown component {id}")))?;
        components.push(ScanComponent { place, dc: usize::from(tables >> 4) & 3, ac: usize::from(tables & 15) & 3 });
    }
    let (start, end, approximation) = (body.byte()?, body.byte()?, body.byte()?);
    let tables: ([Option<Huffman>; 4], [Option<Huffman>; 4]) = Default::default();
    let (dc, ac) = tables;
    Ok(Scan { components, start, end, low: approximation & 15, restart: 0, dc, ac, data: 0 })
}

fn quantisation_tables(body: &mut Bytes<'_>, tables: &mut [Option<[u16; 64]>; 4]) -> Result<(), DecodeError> {
    while !body.is_empty() {
        let head = body.byte()?;
        let mut table = [0; 64];
        for place in NATURAL {
            let value = if head >> 4 == 0 { u16::from(body.byte()?) } else { body.word()? };
            if let Some(entry) = table.get_mut(place) {
                *entry = value;
            }
        }
        let slot = tables.get_mut(usize::from(head & 15));
        *slot.ok_or_else(|| damaged("a quantisation table beyond the fourth".into()))? = Some(table);
    }
    Ok(())
}

fn huffman_tables(
    body: &mut Bytes<'_>,
    dc: &mut [Option<Huffman>; 4],
    ac: &mut [Option<Huffman>; 4],
) -> Result<(), DecodeError> {
    while !body.is_empty() {
        let head = body.byte()?;
        let counts = body.take(16)?;
        let total = counts.iter().copied().map(usize::from).sum();
        let table = Huffman::new(counts, body.take(total)?)?;
        let tables = if head >> 4 == 0 { &mut *dc } else { &mut *ac };
        let slot = tables.get_mut(usize::from(head & 15));
        *slot.ok_or_else(|| damaged("a Huffman table beyond the fourth".into()))? = Some(table);
    }
    Ok(())
}

impl Image {
    /// Three components that are red, green and blue and not luma and chrominance.
    pub(super) fn is_rgb(&self, description: &Description) -> bool {
        self.frame.components.len() == 3 && self.colours(description) == Photometric::Rgb
    }

    /// What the three components of a DCT process are: as the Adobe marker says, else by their identifiers, else as a
    /// JFIF marker implies, else as the object says.
    pub(super) fn colours(&self, description: &Description) -> Photometric {
        let named_rgb = self.frame.components.iter().map(|component| component.id).eq(*b"RGB");
        match self.adobe {
            Some(0) => Photometric::Rgb,
            Some(_) => Photometric::YbrFull,
            None if named_rgb => Photometric::Rgb,
            None if self.is_jfif => Photometric::YbrFull,
            None if description.photometric == Photometric::Rgb => Photometric::Rgb,
            None => Photometric::YbrFull,
        }
    }
}

/// Baseline, extended and progressive JPEG of 8 bits, through the decoder that reads JPEG files.
pub(super) fn eight_bits(
    bytes: &[u8],
    description: &Description,
    limits: &Limits,
) -> Result<Stored<'static>, DecodeError> {
    jpeg_structure::check_whole(bytes).map_err(damaged)?;
    let failed = |error: image::ImageError| match error {
        image::ImageError::Unsupported(error) => DecodeError::Unsupported(error.to_string()),
        image::ImageError::Limits(_) => DecodeError::TooMuchMemory { limit: limits.max_alloc },
        error => damaged(error.to_string()),
    };
    let decoder = JpegDecoder::new(Cursor::new(bytes)).map_err(failed)?;
    let channels = match decoder.color_type() {
        ColorType::L8 => 1,
        ColorType::Rgb8 => 3,
        other => return Err(DecodeError::Unsupported(format!("JPEG samples of type {other:?} are not read"))),
    };
    if channels != description.samples || decoder.total_bytes() != description.count() as u64 {
        return Err(damaged("the JPEG codestream has another size than the object".into()));
    }
    let mut samples = vec![0; description.count()];
    decoder.read_image(&mut samples).map_err(failed)?;
    let photometric = (channels == 3).then_some(Photometric::Rgb);
    Ok(Stored { samples: Samples::U8(Cow::Owned(samples)), planar: false, photometric })
}

/// A Huffman table, as what each 16 bits that may come begin with.
#[derive(Clone)]
pub(super) struct Huffman {
    /// Symbol and length by the next [`FAST`] bits; length 0 for a longer or unknown code.
    fast: Vec<(u8, u8)>,
    /// For each length 1 to 16: the first code that is longer, aligned to 16 bits, and what to add to a code for its
    /// symbol's place.
    limits: [(u32, i32); 16],
    symbols: Vec<u8>,
}

impl std::fmt::Debug for Huffman {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Huffman").field("symbols", &self.symbols).finish_non_exhaustive()
    }
}

/// Bits that are looked up at once.
const FAST: u32 = 9;

impl Huffman {
    /// From the number of codes of each length, and their symbols (T.81, annex C).
    fn new(counts: &[u8], symbols: &[u8]) -> Result<Self, DecodeError> {
        let mut fast = vec![(0, 0); 1 << FAST];
        let mut limits = [(0, 0); 16];
        let (mut code, mut place) = (0u32, 0usize);
        for ((length, &count), limit) in (1u32..).zip(counts).zip(&mut limits) {
            let offset = place as i32 - code as i32;
            for _ in 0..count {
                if length <= FAST
                    && let Some(&symbol) = symbols.get(place)
                {
                    let from = (code << (FAST - length)) as usize;
                    let to = ((code + 1) << (FAST - length)) as usize;
                    fast.get_mut(from..to).unwrap_or_default().fill((symbol, length as u8));
                }
                code += 1;
                place += 1;
            }
            if code > 1 << length {
                return Err(damaged("a Huffman table has more codes than there can be".into()));
            }
            *limit = (code << (16 - length), offset);
            code <<= 1;
        }
        Ok(Self { fast, limits, symbols: symbols.to_vec() })
    }

    /// The symbol that the next bits are the code of.
    pub(super) fn decode(&self, bits: &mut Bits<'_>) -> Result<u8, DecodeError> {
        let ahead = bits.peek16();
        if let Some(&(symbol, length @ 1..)) = self.fast.get((ahead >> (16 - FAST)) as usize) {
            bits.skip(u32::from(length))?;
            return Ok(symbol);
        }
        for (length, (end, offset)) in (1..).zip(self.limits) {
            if ahead < end {
                let place = (ahead >> (16 - length)) as i32 + offset;
                let symbol = usize::try_from(place).ok().and_then(|place| self.symbols.get(place));
                let symbol = symbol.copied().ok_or_else(|| damaged("a JPEG code that no table has".into()))?;
                bits.skip(length)?;
                return Ok(symbol);
            }
        }
        Err(damaged("a JPEG code that no table has".into()))
    }
}

/// The bits of one entropy-coded segment, up to the next marker. There are no more behind it: reading on is an error,
/// so that half a film is never read as a whole one.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
    /// The number of the next restart, 0 to 7.
    restart: u8,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, held: 0, count: 0, restart: 0 }
    }

    fn fill(&mut self) {
        while self.count <= 48 {
            let byte = match (self.bytes.get(self.at), self.bytes.get(self.at + 1)) {
                (Some(0xFF), Some(0x00)) => {
                    self.at += 2;
                    0xFF
                }
                (Some(0xFF) | None, _) => return,
                (Some(&byte), _) => {
                    self.at += 1;
                    byte
                }
            };
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next 16 bits, zeros where there are no more.
    fn peek16(&mut self) -> u32 {
        if self.count < 16 {
            self.fill();
        }
        (self.held >> 48) as u32
    }

    fn skip(&mut self, count: u32) -> Result<(), DecodeError> {
        if count > self.count {
            return Err(damaged("the JPEG data break off".into()));
        }
        self.held <<= count;
        self.count -= count;
        Ok(())
    }

    /// The next bits as a number, at most 16.
    pub(super) fn take(&mut self, count: u32) -> Result<u32, DecodeError> {
        if count == 0 {
            return Ok(0);
        }
        let value = self.peek16() >> (16 - count);
        self.skip(count)?;
        Ok(value)
    }

    /// A difference of so many bits (T.81, F.2.2.1).
    pub(super) fn difference(&mut self, bits: u8) -> Result<i32, DecodeError> {
        let bits = u32::from(bits);
        let value = self.take(bits)? as i32;
        Ok(if bits > 0 && value < 1 << (bits - 1) { value - (1 << bits) + 1 } else { value })
    }

    /// Passes over the restart marker that stands here; it must be the one that is due, so that no part is missing.
    pub(super) fn restart(&mut self) -> Result<(), DecodeError> {
        // Fill bytes may stand before the marker.
        while self.bytes.get(self.at..self.at + 2) == Some(&[0xFF, 0xFF]) {
            self.at += 1;
        }
        match self.bytes.get(self.at..self.at + 2) {
            Some(&[0xFF, marker]) if marker == 0xD0 | self.restart && self.count < 8 => {
                self.at += 2;
                self.restart = (self.restart + 1) % 8;
                (self.held, self.count) = (0, 0);
                Ok(())
            }
            _ => Err(damaged("a restart marker is missing in the JPEG data".into())),
        }
    }
}
