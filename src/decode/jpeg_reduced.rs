//! A baseline JPEG's luma at a half, a quarter or an eighth of its size.
//!
//! A film of 2,348 x 1,851 pixels ends as 224 x 224, and a decoder spends its time on coefficients that nothing is left
//! of. Of each block of 8 x 8 the first 4 x 4, 2 x 2 or 1 x 1 frequencies are the block at that size; the others are
//! passed over, two at a look. `docs/performance.md` has what it saves and what it changes.
//!
//! Whatever is not plain baseline (progressive, several scans, RGB, CMYK, arithmetic, 12 bits, damaged) is left to the
//! general decoder.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage};

use super::Limits;
use super::entropy::{Bits, Codes};

/// Row and column of each place in the zigzag (figure A.6) that a block of 4 x 4 needs.
const ZIGZAG: [(u8, u8); 25] = [
    (0, 0),
    (0, 1),
    (1, 0),
    (2, 0),
    (1, 1),
    (0, 2),
    (0, 3),
    (1, 2),
    (2, 1),
    (3, 0),
    (4, 0),
    (3, 1),
    (2, 2),
    (1, 3),
    (0, 4),
    (0, 5),
    (1, 4),
    (2, 3),
    (3, 2),
    (4, 1),
    (5, 0),
    (6, 0),
    (5, 1),
    (4, 2),
    (3, 3),
];

/// The upright film reduced as far as its shorter side stays at least `at_least` pixels, or nothing where the general
/// decoder must do it. The limits are asked of the film as it is stored.
pub(super) fn decode(bytes: &[u8], at_least: u32, limits: &Limits) -> Option<DynamicImage> {
    let film = Film::read(bytes)?;
    let (width, height) = (u32::from(film.width), u32::from(film.height));
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.max_pixels || pixels > limits.max_alloc {
        return None;
    }
    let shorter = width.min(height);
    let mut image = if shorter / 8 >= at_least {
        film.luma::<1>()?
    } else if shorter / 4 >= at_least {
        film.luma::<2>()?
    } else if shorter / 2 >= at_least {
        film.luma::<4>()?
    } else {
        return None;
    };
    image.apply_orientation(film.orientation);
    Some(image)
}

/// What the markers before the image data say.
struct Film<'b> {
    width: u16,
    height: u16,
    orientation: Orientation,
    components: Vec<Component>,
    /// Quantization of the first component, in the order of the zigzag.
    quantization: [u16; 64],
    dc: [Option<Codes>; 4],
    ac: [Option<Codes>; 4],
    /// Blocks between two restarts in units of MCUs; 0 for none.
    restart: usize,
    /// From the first entropy-coded byte.
    data: &'b [u8],
}

#[derive(Clone, Copy)]
struct Component {
    id: u8,
    across: usize,
    down: usize,
    quantization: usize,
    dc: usize,
    ac: usize,
}

/// Bytes that are taken from the front.
struct Segment<'b>(&'b [u8]);

impl<'b> Segment<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }
}

impl<'b> Film<'b> {
    fn read(bytes: &'b [u8]) -> Option<Self> {
        let mut rest = Segment(bytes);
        let mut quantizations = [[0; 64]; 4];
        let mut film = Self {
            width: 0,
            height: 0,
            orientation: Orientation::NoTransforms,
            components: Vec::new(),
            quantization: [0; 64],
            dc: [const { None }; 4],
            ac: [const { None }; 4],
            restart: 0,
            data: &[],
        };
        rest.take(2)?;
        loop {
            if rest.u8()? != 0xFF {
                return None;
            }
            let mut marker = rest.u8()?;
            while marker == 0xFF {
                marker = rest.u8()?;
            }
            let length = usize::from(rest.u16()?).checked_sub(2)?;
            let mut segment = Segment(rest.take(length)?);
            match marker {
                // Baseline, and extended with 8 bits.
                0xC0 | 0xC1 if film.components.is_empty() => film.frame(&mut segment)?,
                0xC4 => film.codes(&mut segment)?,
                0xDA => {
                    film.scan(&mut segment)?;
                    film.quantization = *quantizations.get(film.components.first()?.quantization)?;
                    film.data = rest.0;
                    return Some(film);
                }
                0xDB => quantization(&mut segment, &mut quantizations)?,
                0xDD => film.restart = usize::from(segment.u16()?),
                0xE1 => {
                    if let Some(exif) = segment.0.strip_prefix(b"Exif\0\0") {
                        film.orientation = Orientation::from_exif_chunk(exif).unwrap_or(Orientation::NoTransforms);
                    }
                }
                // Adobe's: the colour transform is its last byte, 1 for YCbCr.
                0xEE if segment.0.starts_with(b"Adobe") && segment.0.get(11) != Some(&1) => return None,
                0xE0..=0xEF | 0xFE => {}
                _ => return None,
            }
        }
    }

    fn frame(&mut self, segment: &mut Segment<'_>) -> Option<()> {
        let (bits, height, width, count) = (segment.u8()?, segment.u16()?, segment.u16()?, segment.u8()?);
        (self.width, self.height) = (width, height);
        for _ in 0..count {
            let (id, sampling, quantization) = (segment.u8()?, segment.u8()?, usize::from(segment.u8()?));
            let (across, down) = (usize::from(sampling >> 4), usize::from(sampling & 15));
            self.components.push(Component { id, across, down, quantization, dc: 0, ac: 0 });
        }
        let sound = bits == 8 && width > 0 && height > 0;
        let sampled = self.components.iter().all(|each| (1..=4).contains(&each.across) && (1..=4).contains(&each.down));
        let luma = match self.components.as_mut_slice() {
            [grey] => {
                // Alone, a component's MCU is one block, whatever its sampling (A.2.2).
                (grey.across, grey.down) = (1, 1);
                true
            }
            [y, cb, cr] => {
                let finest = [&*cb, &*cr].iter().all(|each| each.across <= y.across && each.down <= y.down);
                finest && [y.id, cb.id, cr.id] != *b"RGB"
            }
            _ => false,
        };
        (sound && sampled && luma).then_some(())
    }

    fn codes(&mut self, segment: &mut Segment<'_>) -> Option<()> {
        while !segment.0.is_empty() {
            let place = segment.u8()?;
            let counts: &[u8; 16] = segment.take(16)?.try_into().ok()?;
            let values = segment.take(counts.iter().map(|&count| usize::from(count)).sum())?;
            let tables = if place >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            *tables.get_mut(usize::from(place & 15))? = Some(Codes::new(counts, values)?);
        }
        Some(())
    }

    /// All components in one scan, in the frame's order.
    fn scan(&mut self, segment: &mut Segment<'_>) -> Option<()> {
        if usize::from(segment.u8()?) != self.components.len() {
            return None;
        }
        for component in &mut self.components {
            let (id, tables) = (segment.u8()?, segment.u8()?);
            if id != component.id {
                return None;
            }
            (component.dc, component.ac) = (usize::from(tables >> 4), usize::from(tables & 15));
        }
        Some(())
    }

    /// The first component with `N` x `N` pixels a block.
    fn luma<const N: usize>(&self) -> Option<DynamicImage> {
        let first = self.components.first()?;
        let [across, down] = [(self.width, first.across), (self.height, first.down)]
            .map(|(side, blocks)| usize::from(side).div_ceil(8 * blocks));
        let stride = across * first.across * N;
        let mut pixels = vec![0; stride * down * first.down * N];
        let tables: Vec<_> = self
            .components
            .iter()
            .map(|each| Some((each, self.dc.get(each.dc)?.as_ref()?, self.ac.get(each.ac)?.as_ref()?)))
            .collect::<Option<_>>()?;

        let segment_of = if self.restart == 0 { across * down } else { self.restart };
        let mut segments = Segments { data: self.data, plain: Vec::new() };
        let mut mcu = 0;
        while mcu < across * down {
            let last = (mcu + segment_of).min(across * down);
            let mut bits = Bits::new(segments.next(last == across * down)?);
            let mut before = 0i32;
            for mcu in mcu..last {
                let (top, left) = (mcu / across * first.down * N, mcu % across * first.across * N);
                for (place, (component, dc, ac)) in tables.iter().enumerate() {
                    for block in 0..component.across * component.down {
                        let difference = dc.difference(&mut bits)?;
                        if place > 0 {
                            ac.coefficients(&mut bits, 0, |_, _| {})?;
                            continue;
                        }
                        before = before.wrapping_add(difference);
                        let frequencies = self.frequencies::<N>(before, ac, &mut bits)?;
                        let (row, column) = (block / component.across * N, block % component.across * N);
                        let at = (top + row) * stride + left + column;
                        for (pixels, values) in pixels.get_mut(at..)?.chunks_mut(stride).zip(values(&frequencies)) {
                            pixels.first_chunk_mut::<N>()?.copy_from_slice(&values);
                        }
                    }
                }
            }
            if bits.is_overrun() {
                return None;
            }
            mcu = last;
        }
        let [width, height] = [self.width, self.height].map(|side| (usize::from(side) * N).div_ceil(8));
        for row in 1..height {
            pixels.copy_within(row * stride..row * stride + width, row * width);
        }
        pixels.truncate(width * height);
        GrayImage::from_raw(width as u32, height as u32, pixels).map(DynamicImage::from)
    }

    /// The `N` x `N` lowest frequencies of the next block, row by row.
    #[inline(always)]
    fn frequencies<const N: usize>(&self, dc: i32, ac: &Codes, bits: &mut Bits<'_>) -> Option<[[i32; N]; N]> {
        // Sound films stay within 12 bits (A.3.1); more would only overflow below.
        let dequantized = |place: usize, value: i32| {
            let step = self.quantization.get(place).copied().unwrap_or_default();
            value.saturating_mul(i32::from(step)).clamp(-0x7FFF, 0x7FFF)
        };
        let mut frequencies = [[0; N]; N];
        if let Some(first) = frequencies.as_flattened_mut().first_mut() {
            *first = dequantized(0, dc);
        }
        let last = match N {
            1 => 0,
            2 => 4,
            _ => 24,
        };
        ac.coefficients(bits, last, |place, value| {
            let Some(&(row, column)) = ZIGZAG.get(place) else { return };
            if let Some(frequency) =
                frequencies.get_mut(usize::from(row)).and_then(|row| row.get_mut(usize::from(column)))
            {
                *frequency = dequantized(place, value);
            }
        })?;
        Some(frequencies)
    }
}

fn quantization(segment: &mut Segment<'_>, tables: &mut [[u16; 64]; 4]) -> Option<()> {
    while !segment.0.is_empty() {
        let place = segment.u8()?;
        for value in tables.get_mut(usize::from(place & 15))? {
            *value = if place >> 4 == 0 { u16::from(segment.u8()?) } else { segment.u16()? };
        }
    }
    Some(())
}

/// The inverse discrete cosine transform of `N` points in both directions, in whole numbers so that every machine has
/// the same pixels.
#[inline(always)]
fn values<const N: usize>(frequencies: &[[i32; N]; N]) -> [[u8; N]; N] {
    let columns = transposed(&frequencies.map(inverse));
    let rows = transposed(&columns.map(inverse));
    // Each `inverse` is the square root of N times too large, and a block's mean is its first frequency over 8.
    rows.map(|row| row.map(|value| (((value + 4) >> 3) + 128).clamp(0, 255) as u8))
}

fn transposed<const N: usize>(rows: &[[i32; N]; N]) -> [[i32; N]; N] {
    std::array::from_fn(|column| {
        std::array::from_fn(|row| rows.get(row).and_then(|row| row.get(column)).copied().unwrap_or_default())
    })
}

/// One direction; N is 1, 2 or 4.
#[inline(always)]
fn inverse<const N: usize>(frequencies: [i32; N]) -> [i32; N] {
    let mut values = frequencies;
    match values.as_mut_slice() {
        [a, b] => (*a, *b) = (*a + *b, *a - *b),
        [a, b, c, d] => {
            // sqrt(2) cos(pi / 8) and sqrt(2) sin(pi / 8) in 1/2,048.
            const COS: i32 = 2_676;
            const SIN: i32 = 1_108;
            let (sum, difference) = (*a + *c, *a - *c);
            let outer = (*b * COS + *d * SIN + 1_024) >> 11;
            let inner = (*b * SIN - *d * COS + 1_024) >> 11;
            (*a, *b, *c, *d) = (sum + outer, difference + inner, difference - inner, sum - outer);
        }
        _ => {}
    }
    values
}

/// The entropy-coded data between markers, without stuffing.
struct Segments<'b> {
    data: &'b [u8],
    plain: Vec<u8>,
}

impl Segments<'_> {
    /// The next segment, padded for [`Bits`]. Behind the last one must stand EOI, behind the others a restart.
    fn next(&mut self, is_last: bool) -> Option<&[u8]> {
        self.plain.clear();
        loop {
            let (before, from) = self.data.split_at_checked(memchr::memchr(0xFF, self.data)?)?;
            self.plain.extend_from_slice(before);
            match from.get(1)? {
                0 => {
                    self.plain.push(0xFF);
                    self.data = from.get(2..)?;
                }
                0xFF => self.data = from.get(1..)?,
                marker => {
                    let expected = if is_last { *marker == 0xD9 } else { (0xD0..=0xD7).contains(marker) };
                    self.data = from.get(2..)?;
                    self.plain.extend([0; Bits::PADDING]);
                    return expected.then_some(&self.plain);
                }
            }
        }
    }
}
