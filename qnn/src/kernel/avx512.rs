//! AVX-512 with VNNI: 64 products of bytes in one instruction, added without saturation.
#![allow(unsafe_code, reason = "loads and stores of vectors go through pointers")]
#![allow(clippy::needless_range_loop, reason = "sums stay in registers only where indices are plain")]
#![allow(clippy::indexing_slicing, reason = "`Block` has checked every length and offset when it was made")]

use std::arch::x86_64::*;

use super::{Block, Bounds, Line, Strip, Sum, Walk, avx2, scalar, tiles};
use crate::rounding::PANEL;

/// Channels of a register of bytes.
const WIDE: usize = 4 * PANEL;

/// Groups of four taps whose weights a depthwise layer keeps at hand: enough for windows of 7 x 7.
const GROUPS: usize = 14;

macro_rules! features {
    ($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*) $body:block) => {
        $(#[$doc])*
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        pub(super) fn $name($($argument: $type),*) $body
    };
}

/// A loop over fewer than fifteen numbers that is written out before the compiler sees it: what arrays hold stays in
/// registers only if every index is a constant.
macro_rules! unrolled {
    ($at:ident, $count:ident, $body:block) => {
        unrolled!($at, $count, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13)
    };
    ($at:ident, $count:ident, $body:block, $($number:literal)*) => {
        $(if $number < $count {
            const $at: usize = $number;
            $body
        })*
    };
}

macro_rules! tile_of {
    ($block:ident, $panel:ident, $pixel:ident, $count:expr, $panels:literal, [$($pixels:literal)*]) => {
        match $count {
            $($pixels => tile::<$pixels, $panels>($block, $panel, $pixel),)*
            _ => {}
        }
    };
}

features! {
    fn add(sum: &Sum, one: &[u8], other: &[u8], out: &mut [u8]) {
        scalar::add(sum, one, other, out);
    }
}

features! {
    fn max(largest: &mut [u8], bytes: &[u8]) {
        scalar::max(largest, bytes);
    }
}

features! {
    fn accumulate(sums: &mut [i32], bytes: &[u8]) {
        scalar::accumulate(sums, bytes);
    }
}

features! {
    fn quantize(per_step: f32, bounds: Bounds, numbers: &[f32], bytes: &mut [u8]) {
        scalar::quantize(per_step, bounds, numbers, bytes);
    }
}

features! {
    /// Some panels at a time pass over all pixels; sums stay in registers.
    fn dense(block: &mut Block<'_>) {
        let panels = block.stride.div_ceil(PANEL);
        let mut panel = 0;
        while panel < panels {
            let (count, most) = match panels - panel {
                1 => (1, 14),
                3 => (3, 8),
                _ => (2, 12),
            };
            for (pixel, size) in tiles(block.pixels(), most) {
                match count {
                    1 => tile_of!(block, panel, pixel, size, 1, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]),
                    2 => tile_of!(block, panel, pixel, size, 2, [1 2 3 4 5 6 7 8 9 10 11 12]),
                    _ => tile_of!(block, panel, pixel, size, 3, [1 2 3 4 5 6 7 8]),
                }
            }
            panel += count;
        }
    }
}

/// `PIXELS` pixels from `pixel` on, for `PANELS` panels from `panel` on.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn tile<const PIXELS: usize, const PANELS: usize>(block: &mut Block<'_>, panel: usize, pixel: usize) {
    let steps = block.taps * block.depth;
    let lines: [&[Line]; PANELS] = std::array::from_fn(|at| &block.panels.lines[(panel + at) * steps..][..steps]);
    let lines = lines.map(<[Line]>::as_ptr);
    // SAFETY: the bias of a panel is 64 bytes.
    let bias: [__m512i; PANELS] =
        std::array::from_fn(|at| unsafe { _mm512_load_si512((&raw const block.panels.bias[panel + at]).cast()) });
    let mut sums = [bias; PIXELS];
    for tap in 0..block.taps {
        let offsets = &block.offsets[tap * block.pixels() + pixel..][..PIXELS];
        // SAFETY: `Block` has checked that `4 * depth` bytes lie behind every offset in `x`.
        let x: [*const u8; PIXELS] = std::array::from_fn(|at| unsafe { block.x.as_ptr().add(offsets[at] as usize) });
        // Two groups at a time: with twelve pixels their addresses do not stay in registers, and so are looked up
        // half as often.
        let mut group = 0;
        while group + 2 <= block.depth {
            let mut weights = [[_mm512_setzero_si512(); PANELS]; 2];
            for at in 0..PANELS {
                // SAFETY: each panel has `taps * depth` lines.
                unsafe {
                    let lines = lines[at].add(tap * block.depth + group);
                    weights[0][at] = _mm512_load_si512(lines.cast());
                    weights[1][at] = _mm512_load_si512(lines.add(1).cast());
                }
            }
            unrolled!(NUMBER, PIXELS, {
                // SAFETY: as above, the eight bytes of two groups lie in `x`.
                let fours = unsafe {
                    let four = x[NUMBER].add(4 * group).cast::<i32>();
                    [four.read_unaligned(), four.add(1).read_unaligned()]
                };
                let [one, two] = [_mm512_set1_epi32(fours[0]), _mm512_set1_epi32(fours[1])];
                unrolled!(AT, PANELS, {
                    sums[NUMBER][AT] = _mm512_dpbusd_epi32(sums[NUMBER][AT], one, weights[0][AT]);
                    sums[NUMBER][AT] = _mm512_dpbusd_epi32(sums[NUMBER][AT], two, weights[1][AT]);
                });
            });
            group += 2;
        }
        if group < block.depth {
            let mut weights = [_mm512_setzero_si512(); PANELS];
            for at in 0..PANELS {
                // SAFETY: each panel has `taps * depth` lines.
                weights[at] = unsafe { _mm512_load_si512(lines[at].add(tap * block.depth + group).cast()) };
            }
            unrolled!(NUMBER, PIXELS, {
                // SAFETY: as above, the group's four bytes lie in `x`.
                let four = unsafe { x[NUMBER].add(4 * group).cast::<i32>().read_unaligned() };
                let four = _mm512_set1_epi32(four);
                unrolled!(AT, PANELS, {
                    sums[NUMBER][AT] = _mm512_dpbusd_epi32(sums[NUMBER][AT], four, weights[AT]);
                });
            });
        }
    }
    // SAFETY: the scales of a panel are 64 bytes.
    let scale: [__m512; PANELS] =
        std::array::from_fn(|at| unsafe { _mm512_load_ps((&raw const block.panels.scale[panel + at]).cast()) });
    let channels = block.stride - panel * PANEL;
    let masks: [__mmask16; PANELS] = std::array::from_fn(|at| match channels - at * PANEL {
        channels @ 0..PANEL => (1 << channels) - 1,
        _ => !0,
    });
    let whole = channels >= PANELS * PANEL;
    // SAFETY: `Block` has checked that `out` has `stride` bytes for every pixel.
    let out = unsafe { block.out.as_mut_ptr().add(pixel * block.stride + panel * PANEL) };
    // Four registers at a time become 64 bytes, a quarter of them for each.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let registers = PIXELS * PANELS;
    unrolled!(FOUR, registers, {
        if 4 * FOUR < registers {
            // Beyond the last register nothing is stored: any other may stand for it.
            let at = [0, 1, 2, 3].map(|quarter| (4 * FOUR + quarter).min(registers - 1));
            let sums = at.map(|at| sums[at / PANELS][at % PANELS]);
            let bytes = bytes_of(block.panels.bounds, sums, at.map(|at| scale[at % PANELS]));
            let bytes = _mm512_permutexvar_epi32(order, bytes);
            let to = |at: usize| out.wrapping_add(at / PANELS * block.stride + at % PANELS * PANEL);
            // SAFETY: a pixel has all channels of the panels where they are whole; elsewhere masks let through no more
            // than there are.
            unsafe {
                if PANELS == 2 && whole {
                    _mm256_storeu_si256(to(at[0]).cast(), _mm512_castsi512_si256(bytes));
                    if 4 * FOUR + 2 < registers {
                        _mm256_storeu_si256(to(at[2]).cast(), _mm512_extracti64x4_epi64::<1>(bytes));
                    }
                } else {
                    let store = |quarter: usize, bytes| {
                        if 4 * FOUR + quarter < registers {
                            _mm_mask_storeu_epi8(to(at[quarter]).cast(), masks[at[quarter] % PANELS], bytes);
                        }
                    };
                    store(0, _mm512_castsi512_si128(bytes));
                    store(1, _mm512_extracti32x4_epi32::<1>(bytes));
                    store(2, _mm512_extracti32x4_epi32::<2>(bytes));
                    store(3, _mm512_extracti32x4_epi32::<3>(bytes));
                }
            }
        }
    });
}

/// Sums of 64 channels to their bytes: a quarter of a register of bytes has four of every register of sums.
///
/// A sum too large for its byte is cut by `high` before it is converted; one too small, at the latest where it is packed,
/// becomes the smallest number of 16 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn bytes_of(bounds: Bounds, sums: [__m512i; 4], scale: [__m512; 4]) -> __m512i {
    let high = _mm512_set1_ps(bounds.high);
    let mut steps = [_mm512_setzero_si512(); 4];
    for at in 0..4 {
        let number = _mm512_min_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums[at]), scale[at]), high);
        steps[at] = _mm512_cvt_roundps_epi32::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(number);
    }
    let zero_point = _mm512_set1_epi16(i16::from(bounds.zero_point));
    let low = _mm512_adds_epi16(_mm512_packs_epi32(steps[0], steps[1]), zero_point);
    let high = _mm512_adds_epi16(_mm512_packs_epi32(steps[2], steps[3]), zero_point);
    let lowest = bounds.low as i32 + i32::from(bounds.zero_point);
    _mm512_max_epu8(_mm512_packus_epi16(low, high), _mm512_set1_epi8(lowest as i8))
}

macro_rules! run_of {
    ($size:expr, $window:literal, $stride:literal, $arguments:tt) => {
        match $size {
            1 => run::<1, $window, $stride> $arguments,
            2 => run::<2, $window, $stride> $arguments,
            3 => run::<3, $window, $stride> $arguments,
            _ => run::<4, $window, $stride> $arguments,
        }
    };
}

features! {
    /// 64 channels at a time. The bytes of four rows of the window are interleaved, which leaves the channels of a
    /// register in another order; weights, biases and scales are put into that order once a strip, and packing undoes it.
    fn depthwise(strip: &mut Strip<'_>) {
        let Walk { window: [height, window], stride, dilation, width } = strip.walk;
        // The sums of some pixels stay in registers only where the window is known when this is compiled. For others
        // AVX2 serves, which every processor with AVX-512 has.
        if height != window || dilation != 1 || !matches!((window, stride), (3 | 5 | 7, 1 | 2)) {
            return avx2::depthwise(strip);
        }
        let panels = strip.stride.div_ceil(PANEL);
        let groups = window * strip.walk.quads();
        for first in (0..panels).step_by(4) {
            // A panel that is not there is never stored: any other may stand for it.
            let panel = |at: usize| (first + at).min(panels - 1);
            // SAFETY: a line, and a panel's biases and scales, are 64 bytes each.
            let load = |line: *const Line| unsafe { _mm512_load_si512(line.cast()) };
            let ordered = |lines: [*const Line; 4]| transposed(lines.map(load));
            let mut weights = [[_mm512_setzero_si512(); 4]; GROUPS];
            for (group, weights) in weights.iter_mut().enumerate().take(groups) {
                *weights = ordered([0, 1, 2, 3].map(|at| &raw const strip.panels.lines[panel(at) * groups + group]));
            }
            let bias = ordered([0, 1, 2, 3].map(|at| (&raw const strip.panels.bias[panel(at)]).cast()));
            let scale = ordered([0, 1, 2, 3].map(|at| (&raw const strip.panels.scale[panel(at)]).cast()));
            let numbers = (&weights, bias, scale.map(|scale| _mm512_castsi512_ps(scale)));
            for row in 0..strip.rows() {
                for (pixel, size) in tiles(width, 4) {
                    match (window, stride) {
                        (3, 1) => run_of!(size, 3, 1, (strip, first, [row, pixel], &numbers)),
                        (3, _) => run_of!(size, 3, 2, (strip, first, [row, pixel], &numbers)),
                        (5, 1) => run_of!(size, 5, 1, (strip, first, [row, pixel], &numbers)),
                        (5, _) => run_of!(size, 5, 2, (strip, first, [row, pixel], &numbers)),
                        (_, 1) => run_of!(size, 7, 1, (strip, first, [row, pixel], &numbers)),
                        _ => run_of!(size, 7, 2, (strip, first, [row, pixel], &numbers)),
                    }
                }
            }
        }
    }
}

/// Weights, biases and scales of 64 channels.
type Numbers<'a> = (&'a [[__m512i; 4]; GROUPS], [__m512i; 4], [__m512; 4]);

/// `PIXELS` pixels of a row from `pixel` on, for the channels of four panels from `first` on. Every column under them is
/// interleaved once, and multiplied for each pixel that sees it.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn run<const PIXELS: usize, const WINDOW: usize, const STRIDE: usize>(
    strip: &mut Strip<'_>,
    first: usize,
    [row, pixel]: [usize; 2],
    &(weights, bias, scale): &Numbers<'_>,
) {
    // Written out for more than one, it would no longer fit where a processor keeps instructions that it has decoded.
    let quads = if WINDOW <= 4 { 1 } else { strip.walk.quads() };
    let columns = strip.walk.columns();
    let offsets = &strip.offsets[row * WINDOW * columns..][..WINDOW * columns];
    let from = first * PANEL;
    let channels = (strip.stride - from).min(WIDE);
    let mask = if channels == WIDE { !0 } else { (1u64 << channels) - 1 };
    let mut sums = [bias; PIXELS];
    let under = (PIXELS - 1) * STRIDE + WINDOW;
    unrolled!(COLUMN, under, {
        for quad in 0..quads {
            let mut x = [_mm512_setzero_si512(); 4];
            for (at, x) in x.iter_mut().enumerate() {
                // Beyond the last row the weights are 0, and any byte will do.
                let row = (4 * quad + at).min(WINDOW - 1);
                let offset = offsets[row * columns + pixel * STRIDE + COLUMN] as usize;
                // SAFETY: `Strip` has checked that a pixel lies behind every offset in `x`, and the mask lets through
                // no more of it than there is.
                *x = unsafe { _mm512_maskz_loadu_epi8(mask, strip.x.as_ptr().add(offset + from).cast()) };
            }
            let low = [_mm512_unpacklo_epi8(x[0], x[1]), _mm512_unpacklo_epi8(x[2], x[3])];
            let high = [_mm512_unpackhi_epi8(x[0], x[1]), _mm512_unpackhi_epi8(x[2], x[3])];
            let x = [
                _mm512_unpacklo_epi16(low[0], low[1]),
                _mm512_unpackhi_epi16(low[0], low[1]),
                _mm512_unpacklo_epi16(high[0], high[1]),
                _mm512_unpackhi_epi16(high[0], high[1]),
            ];
            unrolled!(NUMBER, PIXELS, {
                let tap = COLUMN.wrapping_sub(NUMBER * STRIDE);
                if tap < WINDOW {
                    let weights = &weights[tap * quads + quad];
                    for at in 0..4 {
                        sums[NUMBER][at] = _mm512_dpbusd_epi32(sums[NUMBER][at], x[at], weights[at]);
                    }
                }
            });
        }
    });
    for (number, sums) in sums.iter().enumerate() {
        let bytes = bytes_of(strip.panels.bounds, *sums, scale);
        let pixel = row * strip.walk.width + pixel + number;
        let out = &mut strip.out[pixel * strip.stride + from..][..channels];
        // SAFETY: the mask lets through as many bytes as `out` has.
        unsafe { _mm512_mask_storeu_epi8(out.as_mut_ptr().cast(), mask, bytes) };
    }
}

/// Four registers of four quarters each: the first of all, the second of all, and so on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn transposed(x: [__m512i; 4]) -> [__m512i; 4] {
    let even = [_mm512_shuffle_i32x4::<0x88>(x[0], x[1]), _mm512_shuffle_i32x4::<0x88>(x[2], x[3])];
    let odd = [_mm512_shuffle_i32x4::<0xdd>(x[0], x[1]), _mm512_shuffle_i32x4::<0xdd>(x[2], x[3])];
    [
        _mm512_shuffle_i32x4::<0x88>(even[0], even[1]),
        _mm512_shuffle_i32x4::<0x88>(odd[0], odd[1]),
        _mm512_shuffle_i32x4::<0xdd>(even[0], even[1]),
        _mm512_shuffle_i32x4::<0xdd>(odd[0], odd[1]),
    ]
}
