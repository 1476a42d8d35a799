//! AVX-512 with VNNI: 64 products of bytes in one instruction, added without saturation.
#![allow(unsafe_code, reason = "loads and stores of vectors go through pointers")]
#![allow(clippy::needless_range_loop, reason = "sums stay in registers only where indices are plain")]
#![allow(clippy::indexing_slicing, reason = "`Block` has checked every length and offset when it was made")]

use std::arch::x86_64::*;

use super::{Block, Bounds, Line, Sum, scalar};
use crate::rounding::PANEL;

/// Channels of a register of bytes.
const WIDE: usize = 4 * PANEL;

/// Groups of four taps whose weights a depthwise layer keeps at hand: enough for windows of 7 x 7.
const TAP_GROUPS: usize = 13;

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
            // Tiles of even size, so that none is left with a pixel or two.
            let tiles = block.pixels().div_ceil(most).max(1);
            let mut pixel = 0;
            for tile in 0..tiles {
                let end = block.pixels() * (tile + 1) / tiles;
                match count {
                    1 => tile_of!(block, panel, pixel, end - pixel, 1, [1 2 3 4 5 6 7 8 9 10 11 12 13 14]),
                    2 => tile_of!(block, panel, pixel, end - pixel, 2, [1 2 3 4 5 6 7 8 9 10 11 12]),
                    _ => tile_of!(block, panel, pixel, end - pixel, 3, [1 2 3 4 5 6 7 8]),
                }
                pixel = end;
            }
            panel += count;
        }
    }
}

/// `PIXELS` pixels from `pixel` on, for `PANELS` panels from `panel` on.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn tile<const PIXELS: usize, const PANELS: usize>(block: &mut Block<'_>, panel: usize, pixel: usize) {
    let steps = block.taps * block.depth;
    let lines: [&[Line]; PANELS] = std::array::from_fn(|at| &block.weights[(panel + at) * steps..][..steps]);
    let lines = lines.map(<[Line]>::as_ptr);
    // SAFETY: the bias of a panel is 64 bytes.
    let bias: [__m512i; PANELS] =
        std::array::from_fn(|at| unsafe { _mm512_load_si512((&raw const block.rounding.bias[panel + at]).cast()) });
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
    unrolled!(AT, PANELS, {
        let from = (panel + AT) * PANEL;
        let channels = (block.stride - from).min(PANEL);
        let mask = ((1u32 << channels) - 1) as __mmask16;
        // SAFETY: the scales of a panel are 64 bytes.
        let scale = unsafe { _mm512_load_ps((&raw const block.rounding.scale[panel + AT]).cast()) };
        unrolled!(NUMBER, PIXELS, {
            let bytes = _mm512_cvtepi32_epi8(steps_of(block.rounding.bounds, sums[NUMBER][AT], scale));
            let out = &mut block.out[(pixel + NUMBER) * block.stride + from..][..channels];
            // SAFETY: the mask lets through as many bytes as `out` has.
            unsafe { _mm_mask_storeu_epi8(out.as_mut_ptr().cast(), mask, bytes) };
        });
    });
}

/// Sums to bytes, still as 32 bits each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn steps_of(bounds: Bounds, sums: __m512i, scale: __m512) -> __m512i {
    let steps = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), scale);
    let steps = _mm512_max_ps(steps, _mm512_set1_ps(bounds.low));
    let steps = _mm512_min_ps(steps, _mm512_set1_ps(bounds.high));
    let steps = _mm512_cvt_roundps_epi32::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(steps);
    _mm512_add_epi32(steps, _mm512_set1_epi32(i32::from(bounds.zero_point)))
}

features! {
    /// 64 channels at a time. The bytes of four taps are interleaved, which leaves the channels of a register in
    /// another order; weights, biases and scales are put into that order once a block, and packing undoes it.
    fn depthwise(block: &mut Block<'_>) {
        let groups = block.taps.div_ceil(4);
        if groups > TAP_GROUPS {
            return scalar::depthwise(block);
        }
        let panels = block.stride.div_ceil(PANEL);
        let pixels = block.pixels();
        for first in (0..panels).step_by(4) {
            let channels = (block.stride - first * PANEL).min(WIDE);
            let mask = if channels == WIDE { !0 } else { (1u64 << channels) - 1 };
            // A panel that is not there is never stored: any other may stand for it.
            let panel = |at: usize| (first + at).min(panels - 1);
            // SAFETY: a line, and a panel's biases and scales, are 64 bytes each.
            let load = |line: *const Line| unsafe { _mm512_load_si512(line.cast()) };
            let ordered = |lines: [*const Line; 4]| transposed(lines.map(load));
            let mut weights = [[_mm512_setzero_si512(); 4]; TAP_GROUPS];
            for (group, weights) in weights.iter_mut().enumerate().take(groups) {
                *weights = ordered([0, 1, 2, 3].map(|at| &raw const block.weights[panel(at) * groups + group]));
            }
            let bias = ordered([0, 1, 2, 3].map(|at| (&raw const block.rounding.bias[panel(at)]).cast()));
            let scale = ordered([0, 1, 2, 3].map(|at| (&raw const block.rounding.scale[panel(at)]).cast()));
            for pixel in 0..pixels {
                let mut sums = bias;
                for (group, weights) in weights.iter().enumerate().take(groups) {
                    let mut x = [_mm512_setzero_si512(); 4];
                    for (tap, x) in x.iter_mut().enumerate() {
                        // Beyond the last tap the weights are 0, and any byte will do.
                        let tap = (4 * group + tap).min(block.taps - 1);
                        let from = block.offsets[tap * pixels + pixel] as usize + first * PANEL;
                        let bytes = &block.x[from..from + channels];
                        // SAFETY: the mask lets through as many bytes as there are.
                        *x = unsafe { _mm512_maskz_loadu_epi8(mask, bytes.as_ptr().cast()) };
                    }
                    let low = [_mm512_unpacklo_epi8(x[0], x[1]), _mm512_unpacklo_epi8(x[2], x[3])];
                    let high = [_mm512_unpackhi_epi8(x[0], x[1]), _mm512_unpackhi_epi8(x[2], x[3])];
                    let x = [
                        _mm512_unpacklo_epi16(low[0], low[1]),
                        _mm512_unpackhi_epi16(low[0], low[1]),
                        _mm512_unpacklo_epi16(high[0], high[1]),
                        _mm512_unpackhi_epi16(high[0], high[1]),
                    ];
                    for ((sum, x), weights) in sums.iter_mut().zip(x).zip(weights) {
                        *sum = _mm512_dpbusd_epi32(*sum, x, *weights);
                    }
                }
                let bounds = block.rounding.bounds;
                let mut words = [_mm512_setzero_si512(); 4];
                for ((words, sums), scale) in words.iter_mut().zip(sums).zip(scale) {
                    *words = steps_of(bounds, sums, _mm512_castsi512_ps(scale));
                }
                let [one, two, three, four] = words;
                let bytes = _mm512_packus_epi16(_mm512_packus_epi32(one, two), _mm512_packus_epi32(three, four));
                let out = &mut block.out[pixel * block.stride + first * PANEL..][..channels];
                // SAFETY: the mask lets through as many bytes as `out` has.
                unsafe { _mm512_mask_storeu_epi8(out.as_mut_ptr().cast(), mask, bytes) };
            }
        }
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
