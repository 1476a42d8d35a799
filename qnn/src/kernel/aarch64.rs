//! The loops over aarch64's vectors of 16 bytes, once for each way to multiply bytes that a processor may have.

/// Writes the kernels of a module that has `Sums` (of one pixel, 16 channels), `SHIFT` (what is taken from a byte
/// before it is multiplied), `add_products` and `gather`.
///
/// `$most` pixels keep their sums in registers at a time.
macro_rules! kernels {
    ($features:literal, [$($pixels:literal)*], $most:literal) => {
        use std::arch::aarch64::*;

        use $crate::kernel::{Block, Line, tiles};
        use $crate::rounding::{Bounds, Lanes, PANEL};

        #[target_feature(enable = $features)]
        pub(in crate::kernel) fn dense(block: &mut Block<'_>) {
            let steps = block.taps * block.depth;
            for panel in 0..block.stride.div_ceil(PANEL) {
                let lines = &block.panels.lines[panel * steps..][..steps];
                let mut bias = block.panels.bias[panel];
                if SHIFT != 0 {
                    // What was taken from every byte comes back here.
                    for (four, bias) in (0..PANEL).zip(&mut bias.0) {
                        let weights = lines.iter().flat_map(|line| &line.0[4 * four..][..4]);
                        *bias += SHIFT * weights.map(|weight| i32::from(*weight)).sum::<i32>();
                    }
                }
                for (pixel, size) in tiles(block.pixels(), $most) {
                    match size {
                        $($pixels => self::tile::<$pixels>(block, panel, pixel, &bias),)*
                        _ => {}
                    }
                }
            }
        }

        #[target_feature(enable = $features)]
        fn tile<const PIXELS: usize>(block: &mut Block<'_>, panel: usize, pixel: usize, bias: &Lanes<i32>) {
            let steps = block.taps * block.depth;
            let lines = block.panels.lines[panel * steps..][..steps].as_ptr();
            // SAFETY: all bits zero are vectors of zeros.
            let mut sums = [unsafe { std::mem::zeroed::<Sums>() }; PIXELS];
            for tap in 0..block.taps {
                let offsets = &block.offsets[tap * block.pixels() + pixel..][..PIXELS];
                let x: [*const u8; PIXELS] =
                    // SAFETY: `Block` has checked that `4 * depth` bytes lie behind every offset in `x`.
                    std::array::from_fn(|at| unsafe { block.x.as_ptr().add(offsets[at] as usize) });
                for group in 0..block.depth {
                    // SAFETY: a panel has `taps * depth` lines.
                    let line = unsafe { &*lines.add(tap * block.depth + group) };
                    // SAFETY: a line is four vectors of 16 bytes.
                    let weights = [0, 1, 2, 3].map(|at| unsafe { vld1q_s8(line.0.as_ptr().add(16 * at)) });
                    for (sums, x) in sums.iter_mut().zip(x) {
                        // SAFETY: as above, the group's four bytes lie in `x`.
                        let x = unsafe { x.add(4 * group).cast::<u32>().read_unaligned() };
                        // 128 less than a byte is the byte with its highest bit the other way, read with a sign.
                        let x = if SHIFT == 0 { x } else { x ^ 0x8080_8080 };
                        add_products(sums, vreinterpretq_s8_u32(vdupq_n_u32(x)), &weights);
                    }
                }
            }
            let from = panel * PANEL;
            let channels = (block.stride - from).min(PANEL);
            for (number, sums) in sums.iter().enumerate() {
                let sums = gather(sums);
                // SAFETY: a panel's biases are four vectors of four numbers.
                let sums = [0, 1, 2, 3].map(|at| unsafe { vaddq_s32(sums[at], vld1q_s32(bias.0.as_ptr().add(4 * at))) });
                let bytes = packed(block.panels.bounds, &sums, &block.panels.scale[panel]);
                store(bytes, &mut block.out[(pixel + number) * block.stride + from..][..channels]);
            }
        }

        /// Sums of 16 channels to their bytes.
        #[inline]
        #[target_feature(enable = $features)]
        fn packed(bounds: Bounds, sums: &[int32x4_t; 4], scale: &Lanes<f32>) -> uint8x16_t {
            let [one, two, three, four] = [0, 1, 2, 3].map(|at| {
                // SAFETY: a panel's scales are four vectors of four numbers.
                let scale = unsafe { vld1q_f32(scale.0.as_ptr().add(4 * at)) };
                let steps = vmulq_f32(vcvtq_f32_s32(sums[at]), scale);
                let steps = vminq_f32(vmaxq_f32(steps, vdupq_n_f32(bounds.low)), vdupq_n_f32(bounds.high));
                vmovn_s32(vaddq_s32(vcvtnq_s32_f32(steps), vdupq_n_s32(i32::from(bounds.zero_point))))
            });
            let [low, high] = [vcombine_s16(one, two), vcombine_s16(three, four)].map(|words| vmovn_s16(words));
            vreinterpretq_u8_s8(vcombine_s8(low, high))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn store(bytes: uint8x16_t, out: &mut [u8]) {
            if out.len() == PANEL {
                // SAFETY: the pointer has 16 bytes behind it.
                unsafe { vst1q_u8(out.as_mut_ptr(), bytes) }
            } else {
                let mut all = [0; PANEL];
                // SAFETY: as above.
                unsafe { vst1q_u8(all.as_mut_ptr(), bytes) };
                out.copy_from_slice(&all[..out.len()]);
            }
        }
    };
}
pub(super) use kernels;
