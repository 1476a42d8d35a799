//! The loops over vectors of 32 bytes, once for each way to multiply bytes that a processor may have.

/// Writes the kernels of a module that has `Weights`, `Bytes`, `weights`, `bytes` and `add_products`.
///
/// A line of weights is two vectors of eight channels each; `$most` pixels keep their sums in registers at a time.
macro_rules! kernels {
    ($features:literal, [$($pixels:literal)*], $most:literal) => {
        use std::arch::x86_64::*;

        use $crate::kernel::{Block, Line, Strip, Walk, scalar, tiles};
        use $crate::rounding::{Bounds, Lanes, PANEL};

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn dense(block: &mut Block<'_>) {
            for panel in 0..block.stride.div_ceil(PANEL) {
                for (pixel, size) in tiles(block.pixels(), $most) {
                    match size {
                        $($pixels => self::tile::<$pixels>(block, panel, pixel),)*
                        _ => {}
                    }
                }
            }
        }

        #[target_feature(enable = $features)]
        fn tile<const PIXELS: usize>(block: &mut Block<'_>, panel: usize, pixel: usize) {
            let steps = block.taps * block.depth;
            let lines = block.panels.lines[panel * steps..][..steps].as_ptr();
            let mut sums = [halves(&block.panels.bias[panel]); PIXELS];
            for tap in 0..block.taps {
                let offsets = &block.offsets[tap * block.pixels() + pixel..][..PIXELS];
                let x: [*const u8; PIXELS] =
                    // SAFETY: `Block` has checked that `4 * depth` bytes lie behind every offset in `x`.
                    std::array::from_fn(|at| unsafe { block.x.as_ptr().add(offsets[at] as usize) });
                for group in 0..block.depth {
                    // SAFETY: a panel has `taps * depth` lines of 64 bytes.
                    let line = unsafe { &*lines.add(tap * block.depth + group) };
                    let halves = line_halves(line);
                    let weights = [weights(halves[0]), weights(halves[1])];
                    for at in 0..PIXELS {
                        // SAFETY: as above, the group's four bytes lie in `x`.
                        let four = unsafe { x[at].add(4 * group).cast::<i32>().read_unaligned() };
                        let four = bytes(_mm256_set1_epi32(four));
                        sums[at][0] = add_products(sums[at][0], &four, &weights[0]);
                        sums[at][1] = add_products(sums[at][1], &four, &weights[1]);
                    }
                }
            }
            let scale = scales(&block.panels.scale[panel]);
            let from = panel * PANEL;
            let channels = (block.stride - from).min(PANEL);
            for (number, sums) in sums.iter().enumerate() {
                let bytes = packed(block.panels.bounds, sums, &scale);
                store(bytes, &mut block.out[(pixel + number) * block.stride + from..][..channels]);
            }
        }

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn depthwise(strip: &mut Strip<'_>) {
            if strip.stride < 8 || strip.walk.dilation != 1 {
                return scalar::depthwise(strip);
            }
            for panel in 0..strip.stride.div_ceil(PANEL) {
                for row in 0..strip.rows() {
                    for (pixel, size) in tiles(strip.walk.width, 4) {
                        match size {
                            1 => self::run::<1>(strip, panel, row, pixel),
                            2 => self::run::<2>(strip, panel, row, pixel),
                            3 => self::run::<3>(strip, panel, row, pixel),
                            _ => self::run::<4>(strip, panel, row, pixel),
                        }
                    }
                }
            }
        }

        /// `PIXELS` pixels of a row from `pixel` on: every column under them is interleaved once.
        #[target_feature(enable = $features)]
        fn run<const PIXELS: usize>(strip: &mut Strip<'_>, panel: usize, row: usize, pixel: usize) {
            let Walk { window: [height, width], stride, .. } = strip.walk;
            let (columns, quads) = (strip.walk.columns(), strip.walk.quads());
            let offsets = &strip.offsets[row * height * columns..][..height * columns];
            let lines = &strip.panels.lines[panel * width * quads..][..width * quads];
            let from = panel * PANEL;
            let channels = (strip.stride - from).min(PANEL);
            let mut sums = [halves(&strip.panels.bias[panel]); PIXELS];
            for under in 0..(PIXELS - 1) * stride + width {
                let column = pixel * stride + under;
                for quad in 0..quads {
                    let mut x = [_mm_setzero_si128(); 4];
                    for (at, x) in x.iter_mut().enumerate() {
                        // Beyond the last row the weights are 0, and any byte will do.
                        let offset = offsets[(4 * quad + at).min(height - 1) * columns + column] as usize;
                        *x = load(&strip.x[offset + from..][..channels]);
                    }
                    let low = [_mm_unpacklo_epi8(x[0], x[1]), _mm_unpacklo_epi8(x[2], x[3])];
                    let high = [_mm_unpackhi_epi8(x[0], x[1]), _mm_unpackhi_epi8(x[2], x[3])];
                    let x = [bytes(interleaved(low[0], low[1])), bytes(interleaved(high[0], high[1]))];
                    for number in 0..PIXELS {
                        let tap = under.wrapping_sub(number * stride);
                        if tap < width {
                            let line = line_halves(&lines[tap * quads + quad]);
                            sums[number][0] = add_products(sums[number][0], &x[0], &weights(line[0]));
                            sums[number][1] = add_products(sums[number][1], &x[1], &weights(line[1]));
                        }
                    }
                }
            }
            let scale = scales(&strip.panels.scale[panel]);
            for (number, sums) in sums.iter().enumerate() {
                let bytes = packed(strip.panels.bounds, sums, &scale);
                let pixel = row * strip.walk.width + pixel + number;
                store(bytes, &mut strip.out[pixel * strip.stride + from..][..channels]);
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn interleaved(one: __m128i, other: __m128i) -> __m256i {
            _mm256_set_m128i(_mm_unpackhi_epi16(one, other), _mm_unpacklo_epi16(one, other))
        }

        /// Sums of 16 channels to their bytes.
        #[inline]
        #[target_feature(enable = $features)]
        fn packed(bounds: Bounds, sums: &[__m256i; 2], scale: &[__m256; 2]) -> __m128i {
            let mut steps = [_mm256_setzero_si256(); 2];
            for ((steps, sums), scale) in steps.iter_mut().zip(sums).zip(scale) {
                let number = _mm256_mul_ps(_mm256_cvtepi32_ps(*sums), *scale);
                let number = _mm256_max_ps(number, _mm256_set1_ps(bounds.low));
                let number = _mm256_min_ps(number, _mm256_set1_ps(bounds.high));
                let number = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(number);
                *steps = _mm256_add_epi32(_mm256_cvttps_epi32(number), _mm256_set1_epi32(i32::from(bounds.zero_point)));
            }
            let [low, high] = steps;
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(low, high));
            _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn halves(lanes: &Lanes<i32>) -> [__m256i; 2] {
            let lanes = (&raw const lanes.0).cast::<__m256i>();
            // SAFETY: 16 numbers of 4 bytes are two vectors of 32 bytes, and aligned.
            unsafe { [_mm256_load_si256(lanes), _mm256_load_si256(lanes.add(1))] }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn scales(lanes: &Lanes<f32>) -> [__m256; 2] {
            let lanes = (&raw const lanes.0).cast::<f32>();
            // SAFETY: 16 numbers of 4 bytes are two vectors of 32 bytes, and aligned.
            unsafe { [_mm256_load_ps(lanes), _mm256_load_ps(lanes.add(8))] }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn line_halves(line: &Line) -> [__m256i; 2] {
            let line = (&raw const line.0).cast::<__m256i>();
            // SAFETY: a line is two vectors of 32 bytes, and aligned.
            unsafe { [_mm256_load_si256(line), _mm256_load_si256(line.add(1))] }
        }

        /// 16 bytes, or 8 with zeros behind them.
        #[inline]
        #[target_feature(enable = $features)]
        fn load(bytes: &[u8]) -> __m128i {
            match bytes.len() {
                // SAFETY: the pointer has 16 bytes behind it.
                PANEL => unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) },
                // SAFETY: the slice has eight bytes: a depthwise layer's stride is a multiple of eight.
                _ => unsafe { _mm_loadl_epi64(bytes[..8].as_ptr().cast()) },
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn store(bytes: __m128i, out: &mut [u8]) {
            match out.len() {
                // SAFETY: the pointer has 16 bytes behind it.
                PANEL => unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), bytes) },
                // SAFETY: the slice has eight bytes.
                8 => unsafe { _mm_storel_epi64(out.as_mut_ptr().cast(), bytes) },
                _ => {
                    let all = _mm_cvtsi128_si64(bytes).to_le_bytes();
                    out.copy_from_slice(&all[..out.len()]);
                }
            }
        }
    };
}
pub(super) use kernels;
