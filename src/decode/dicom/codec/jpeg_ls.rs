//! JPEG-LS (ITU-T T.87), lossless and near-lossless, in all three interleavings.
//!
//! Names are those of the standard where it has them: A, B, C, N of a context, k, RUNindex, NEAR.

use super::super::damaged;
use super::super::pixels::{Description, Stored};
use super::jpeg::{self, Bytes, Image, Scan};
use super::packed;
use crate::decode::DecodeError;

/// Code lengths of runs by RUNindex (A.2.1).
const J: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const REGULAR_CONTEXTS: usize = 365;

pub(super) fn decode(bytes: &[u8], description: &Description, image: &Image) -> Result<Stored<'static>, DecodeError> {
    let (width, count) = (description.width as usize, image.frame.components.len());
    let presets = Presets::find(bytes, image)?;
    let mut samples = vec![0u16; description.count()];
    let mut seen = vec![false; count];
    for scan in &image.scans {
        let places: Vec<usize> = scan.components.iter().map(|component| component.place).collect();
        let is_plain = scan.low == 0 && scan.components.iter().all(|component| (component.dc, component.ac) == (0, 0));
        if !is_plain || scan.restart > 0 {
            return Err(DecodeError::Unsupported(
                "JPEG-LS with mapping tables, restarts or a point transform is not read".into(),
            ));
        }
        let mut coder = Coder::new(Parameters::new(&presets, image.frame.precision, scan)?, bytes, scan.data);
        coder.scan(&mut samples, Layout { width, count, places: &places, by_sample: scan.end == 2 })?;
        for place in places {
            if let Some(seen) = seen.get_mut(place) {
                *seen = true;
            }
        }
    }
    if seen.contains(&false) {
        return Err(damaged("a component of the JPEG-LS codestream has no scan".into()));
    }
    Ok(Stored { samples: packed(samples, image.frame.precision), planar: false, photometric: None })
}

/// What a marker LSE presets (C.2.4.1.1); 0 stands for the default.
#[derive(Default)]
struct Presets {
    most: i32,
    thresholds: [i32; 3],
    reset: i32,
}

impl Presets {
    fn find(bytes: &[u8], image: &Image) -> Result<Self, DecodeError> {
        const LSE: u8 = 0xF8;
        let mut presets = Self::default();
        let end = image.scans.first().map_or(0, |scan| scan.data);
        let mut at = 2;
        while let Some((marker, after)) = jpeg::next_marker(bytes, at).filter(|(_, after)| *after < end) {
            let mut body = Bytes::new(bytes.get(after..).unwrap_or_default());
            let length = usize::from(body.word()?);
            if marker == LSE {
                if body.byte()? != 1 {
                    return Err(DecodeError::Unsupported("JPEG-LS with mapping tables is not read".into()));
                }
                let mut word = || body.word().map(i32::from);
                presets = Self { most: word()?, thresholds: [word()?, word()?, word()?], reset: word()? };
            }
            at = after + length;
        }
        Ok(presets)
    }
}

/// What the coding of a scan goes by (A.2.1, C.2.4.1.1.1).
#[derive(Clone, Copy)]
struct Parameters {
    near: i32,
    /// MAXVAL.
    most: i32,
    thresholds: [i32; 3],
    reset: i32,
    range: i32,
    /// qbpp.
    bits: u32,
    limit: u32,
}

impl Parameters {
    fn new(presets: &Presets, precision: u8, scan: &Scan) -> Result<Self, DecodeError> {
        let or_default = |value: i32, default: i32| if value == 0 { default } else { value };
        let near = i32::from(scan.start);
        let most = or_default(presets.most, (1 << precision) - 1);
        if most >= 1 << precision || near > 255.min(most / 2) || scan.end > 2 {
            return Err(damaged(format!(
                "JPEG-LS with values to {most}, an error of {near}, interleaving {}",
                scan.end
            )));
        }
        let clamp = |value: i32, least: i32| if value > most || value < least { least } else { value };
        let [first, second, third] = if most >= 128 {
            let factor = (most.min(4_095) + 128) / 256;
            [factor + 2 + 3 * near, factor * 4 + 3 + 5 * near, factor * 17 + 4 + 7 * near]
        } else {
            let factor = 256 / (most + 1);
            [(3 / factor + 3 * near).max(2), (7 / factor + 5 * near).max(3), (21 / factor + 7 * near).max(4)]
        };
        let first = clamp(first, near + 1);
        let second = clamp(second, first);
        let defaults = [first, second, clamp(third, second)];
        let range = (most + 2 * near) / (2 * near + 1) + 1;
        let bits_for = |values: i32| 32 - ((values - 1).max(0) as u32).leading_zeros();
        let depth = bits_for(most + 1).max(2);
        let [preset1, preset2, preset3] = presets.thresholds;
        let [default1, default2, default3] = defaults;
        let thresholds = [or_default(preset1, default1), or_default(preset2, default2), or_default(preset3, default3)];
        let bits = bits_for(range);
        let limit = 2 * (depth + depth.max(8));
        Ok(Self { near, most, thresholds, reset: or_default(presets.reset, 64), range, bits, limit })
    }

    fn gradient(&self, difference: i32) -> i32 {
        let [first, second, third] = self.thresholds;
        let size = match difference.abs() {
            size if size <= self.near => 0,
            size if size < first => 1,
            size if size < second => 2,
            size if size < third => 3,
            _ => 4,
        };
        size * difference.signum()
    }

    /// The sample for a prediction and its (dequantised, signed) error.
    fn reconstruct(&self, prediction: i32, error: i32) -> i32 {
        let step = 2 * self.near + 1;
        let value = prediction + error * step;
        let value = if value < -self.near {
            value + self.range * step
        } else if value > self.most + self.near {
            value - self.range * step
        } else {
            value
        };
        value.clamp(0, self.most)
    }
}

#[derive(Clone, Copy)]
struct Context {
    a: i32,
    b: i32,
    c: i32,
    n: i32,
}

/// Where the samples of a scan go.
#[derive(Clone, Copy)]
struct Layout<'a> {
    width: usize,
    /// Components of the frame, of which each pixel has a sample.
    count: usize,
    /// Those of the scan.
    places: &'a [usize],
    by_sample: bool,
}

/// Lines of one component, each with a sample before its first and one behind its last.
struct Lines {
    above: Vec<i32>,
    current: Vec<i32>,
    run_index: usize,
}

fn at(line: &[i32], place: usize) -> i32 {
    line.get(place).copied().unwrap_or(0)
}

impl Lines {
    /// The neighbours Ra, Rb, Rc, Rd of the sample at a place, which counts from 1.
    fn neighbours(&self, place: usize) -> [i32; 4] {
        let above = |place| at(&self.above, place);
        [at(&self.current, place - 1), above(place), above(place - 1), above(place + 1)]
    }

    fn put(&mut self, place: usize, value: i32) {
        if let Some(sample) = self.current.get_mut(place) {
            *sample = value;
        }
    }

    /// The samples beyond both ends (A.2.1).
    fn begin(&mut self, width: usize) {
        let (first, last) = (at(&self.above, 1), at(&self.above, width));
        self.put(0, first);
        if let Some(sample) = self.above.get_mut(width + 1) {
            *sample = last;
        }
    }
}

struct Coder<'a> {
    parameters: Parameters,
    bits: Bits<'a>,
    contexts: Vec<Context>,
    /// A, N, Nn of the two contexts of run interruptions.
    interruptions: [(i32, i32, i32); 2],
}

impl<'a> Coder<'a> {
    fn new(parameters: Parameters, bytes: &'a [u8], data: usize) -> Self {
        let a = ((parameters.range + 32) / 64).max(2);
        Self {
            parameters,
            bits: Bits { bytes, at: data, held: 0, count: 0, after_ff: false },
            contexts: vec![Context { a, b: 0, c: 0, n: 1 }; REGULAR_CONTEXTS],
            interruptions: [(a, 1, 0); 2],
        }
    }

    fn scan(&mut self, samples: &mut [u16], layout: Layout<'_>) -> Result<(), DecodeError> {
        let Layout { width, count, places, by_sample } = layout;
        let empty = vec![0; width + 2];
        let mut components: Vec<Lines> =
            places.iter().map(|_| Lines { above: empty.clone(), current: empty.clone(), run_index: 0 }).collect();
        for row in samples.chunks_exact_mut(width * count) {
            for lines in &mut components {
                lines.begin(width);
            }
            if by_sample {
                self.line(&mut components, width)?;
            } else {
                for lines in components.chunks_exact_mut(1) {
                    self.line(lines, width)?;
                }
            }
            for (lines, place) in components.iter_mut().zip(places) {
                for (pixel, value) in row.chunks_exact_mut(count).zip(lines.current.iter().skip(1)) {
                    if let Some(sample) = pixel.get_mut(*place) {
                        *sample = *value as u16;
                    }
                }
                std::mem::swap(&mut lines.above, &mut lines.current);
            }
        }
        Ok(())
    }

    /// One line of one component, or of all of them pixel by pixel.
    fn line(&mut self, components: &mut [Lines], width: usize) -> Result<(), DecodeError> {
        let mut place = 1;
        while place <= width {
            let is_run = components.iter().all(|lines| {
                let [ra, rb, rc, rd] = lines.neighbours(place);
                [rd - rb, rb - rc, rc - ra].iter().all(|difference| difference.abs() <= self.parameters.near)
            });
            if is_run {
                place = self.run(components, place, width)?;
                continue;
            }
            for lines in components.iter_mut() {
                let value = self.regular(lines.neighbours(place))?;
                lines.put(place, value);
            }
            place += 1;
        }
        Ok(())
    }

    /// A.4 to A.6.
    fn regular(&mut self, [ra, rb, rc, rd]: [i32; 4]) -> Result<i32, DecodeError> {
        let parameters = self.parameters;
        let context = [rd - rb, rb - rc, rc - ra].map(|difference| parameters.gradient(difference));
        let context = context.into_iter().fold(0, |context, gradient| context * 9 + gradient);
        let sign = if context < 0 { -1 } else { 1 };
        let Some(context) = self.contexts.get_mut(context.unsigned_abs() as usize) else {
            return Err(damaged("a JPEG-LS context that there is not".into()));
        };
        let median = if rc >= ra.max(rb) {
            ra.min(rb)
        } else if rc <= ra.min(rb) {
            ra.max(rb)
        } else {
            ra + rb - rc
        };
        let prediction = (median + sign * context.c).clamp(0, parameters.most);
        let k = golomb(context.n, context.a);
        let mapped = self.bits.golomb(k, parameters.limit, parameters)?;
        let is_flipped = parameters.near == 0 && k == 0 && 2 * context.b <= -context.n;
        let error = match (mapped & 1 == 0, is_flipped) {
            (true, false) => mapped / 2,
            (false, false) => -(mapped + 1) / 2,
            (true, true) => -(mapped / 2) - 1,
            (false, true) => (mapped - 1) / 2,
        };
        context.update(error, &parameters);
        Ok(parameters.reconstruct(prediction, sign * error))
    }

    /// A.7; the place behind the run and the sample that interrupts it.
    fn run(&mut self, components: &mut [Lines], start: usize, width: usize) -> Result<usize, DecodeError> {
        let mut run_index = components.first().map_or(0, |lines| lines.run_index);
        let mut place = start;
        let order = |run_index: usize| J.get(run_index).copied().unwrap_or(0);
        let mut is_interrupted = false;
        while place <= width {
            let left = width + 1 - place;
            let (length, is_whole) = if self.bits.take(1)? == 1 {
                let whole = 1usize << order(run_index);
                (whole.min(left), whole <= left)
            } else {
                is_interrupted = true;
                ((self.bits.take(order(run_index))? as usize).min(left), false)
            };
            for lines in components.iter_mut() {
                let value = at(&lines.current, start - 1);
                lines.current.get_mut(place..place + length).unwrap_or_default().fill(value);
            }
            place += length;
            if is_whole {
                run_index = (run_index + 1).min(J.len() - 1);
            }
            if is_interrupted {
                break;
            }
        }
        if is_interrupted {
            if place > width {
                return Err(damaged("a JPEG-LS run is longer than its line".into()));
            }
            let by_sample = components.len() > 1;
            for lines in components.iter_mut() {
                let [_, rb, ..] = lines.neighbours(place);
                let value = self.interruption(at(&lines.current, start - 1), rb, order(run_index), by_sample)?;
                lines.put(place, value);
            }
            run_index = run_index.saturating_sub(1);
            place += 1;
        }
        components.iter_mut().for_each(|lines| lines.run_index = run_index);
        Ok(place)
    }

    /// A.7.2. Of pixels with several samples the first of the two contexts is used alone.
    fn interruption(&mut self, ra: i32, rb: i32, order: u32, by_sample: bool) -> Result<i32, DecodeError> {
        let parameters = self.parameters;
        let is_like = !by_sample && (ra - rb).abs() <= parameters.near;
        let kind = i32::from(is_like);
        let (prediction, sign) = if is_like { (ra, 1) } else { (rb, if ra > rb { -1 } else { 1 }) };
        let [first, second] = &mut self.interruptions;
        let (a, n, negative) = if is_like { second } else { first };
        let k = golomb(*n, if is_like { *a + (*n >> 1) } else { *a });
        let mapped = self.bits.golomb(k, parameters.limit - order - 1, parameters)?;
        let odd = (mapped + kind) & 1;
        let size = (mapped + kind + odd) / 2;
        let is_negative = (k != 0 || 2 * *negative >= *n) == (odd == 1);
        let error = if is_negative { -size } else { size };
        if error < 0 {
            *negative += 1;
        }
        *a = a.saturating_add((mapped + 1 - kind) >> 1);
        if *n == parameters.reset {
            *a >>= 1;
            *n >>= 1;
            *negative >>= 1;
        }
        *n += 1;
        Ok(parameters.reconstruct(prediction, sign * error))
    }
}

impl Context {
    /// A.6.
    fn update(&mut self, error: i32, parameters: &Parameters) {
        self.b += error * (2 * parameters.near + 1);
        self.a = self.a.saturating_add(error.abs());
        if self.n == parameters.reset {
            self.a >>= 1;
            self.b >>= 1;
            self.n >>= 1;
        }
        self.n += 1;
        if self.b <= -self.n {
            self.b = (self.b + self.n).max(1 - self.n);
            self.c = (self.c - 1).max(-128);
        } else if self.b > 0 {
            self.b = (self.b - self.n).min(0);
            self.c = (self.c + 1).min(127);
        }
    }
}

/// The parameter k of a Golomb code (A.5.1).
fn golomb(n: i32, a: i32) -> u32 {
    (0..24).find(|k| i64::from(n) << k >= i64::from(a)).unwrap_or(24)
}

/// Entropy-coded bits: after a byte of ones comes one of seven bits (A.1).
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
    after_ff: bool,
}

impl Bits<'_> {
    fn fill(&mut self) {
        while self.count <= 48 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            let is_marker = byte == 0xFF && self.bytes.get(self.at + 1).is_none_or(|next| *next >= 0x80);
            if is_marker || (self.after_ff && byte >= 0x80) {
                return;
            }
            let width = if self.after_ff { 7 } else { 8 };
            self.held |= u64::from(byte) << (64 - width) >> self.count;
            self.count += width;
            self.after_ff = byte == 0xFF;
            self.at += 1;
        }
    }

    fn need(&mut self, count: u32) -> Result<(), DecodeError> {
        if self.count < count {
            self.fill();
        }
        if self.count < count {
            return Err(damaged("the JPEG-LS data break off".into()));
        }
        Ok(())
    }

    /// The next bits as a number, at most 32.
    fn take(&mut self, count: u32) -> Result<u32, DecodeError> {
        if count == 0 {
            return Ok(0);
        }
        self.need(count)?;
        let value = (self.held >> (64 - count)) as u32;
        self.held <<= count;
        self.count -= count;
        Ok(value)
    }

    /// A limited-length Golomb code (A.5.3).
    fn golomb(&mut self, k: u32, limit: u32, parameters: Parameters) -> Result<i32, DecodeError> {
        let longest = limit.saturating_sub(parameters.bits + 1);
        let mut zeros = 0;
        loop {
            if self.count == 0 {
                self.need(1)?;
            }
            let here = self.held.leading_zeros().min(self.count);
            let here = here.min(longest + 1 - zeros);
            zeros += here;
            self.held = self.held.checked_shl(here).unwrap_or(0);
            self.count -= here;
            if zeros > longest {
                return Err(damaged("a JPEG-LS code is too long".into()));
            }
            if self.count > 0 {
                break;
            }
        }
        // The one behind the zeros.
        self.take(1)?;
        let value = if zeros < longest { (zeros << k) | self.take(k)? } else { self.take(parameters.bits)? + 1 };
        i32::try_from(value)
            .ok()
            .filter(|value| *value <= 2 * parameters.range)
            .ok_or_else(|| damaged("a JPEG-LS error is too large".into()))
    }
}
