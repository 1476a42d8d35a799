//! NEON, which every aarch64 processor has: products in 16 bits (`smull`), added in pairs to 32 (`sadalp`).
#![allow(unsafe_code, reason = "loads and stores of vectors go through pointers")]
#![allow(clippy::indexing_slicing, reason = "`Block` has checked every length and offset when it was made")]

use super::{Strip, Walk};

super::aarch64::kernels!("neon", [1 2], 2);

/// Of two channels each, in two parts.
type Sums = [int32x4_t; 8];

const SHIFT: i32 = 128;

#[inline]
#[target_feature(enable = "neon")]
fn add_products(sums: &mut Sums, x: int8x16_t, weights: &[int8x16_t; 4]) {
    for (at, weights) in weights.iter().enumerate() {
        let low = vmull_s8(vget_low_s8(*weights), vget_low_s8(x));
        sums[2 * at] = vpadalq_s16(sums[2 * at], low);
        sums[2 * at + 1] = vpadalq_s16(sums[2 * at + 1], vmull_high_s8(*weights, x));
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn gather(sums: &Sums) -> [int32x4_t; 4] {
    [0, 1, 2, 3].map(|at| vpaddq_s32(sums[2 * at], sums[2 * at + 1]))
}

/// Every channel by itself: bytes and weights widened to 16 bits, multiplied and added in 32 (`smlal`).
#[target_feature(enable = "neon")]
pub(super) fn depthwise(strip: &mut Strip<'_>) {
    let Walk { window: [height, width], stride, dilation, width: pixels } = strip.walk;
    let (columns, quads) = (strip.walk.columns(), strip.walk.quads());
    for panel in 0..strip.stride.div_ceil(PANEL) {
        let from = panel * PANEL;
        let channels = (strip.stride - from).min(PANEL);
        let lines = &strip.panels.lines[panel * width * quads..][..width * quads];
        for (row, pixel) in (0..strip.rows()).flat_map(|row| (0..pixels).map(move |pixel| (row, pixel))) {
            let offsets = &strip.offsets[row * height * columns..][..height * columns];
            // SAFETY: a panel's biases are four vectors of four numbers.
            let mut sums = [0, 1, 2, 3].map(|at| unsafe { vld1q_s32(strip.panels.bias[panel].0.as_ptr().add(4 * at)) });
            for (number, line) in lines.iter().enumerate() {
                let column = pixel * stride + number / quads * dilation;
                // SAFETY: a line is 64 bytes; this splits them by row of the window.
                let int8x16x4_t(one, two, three, four) = unsafe { vld4q_s8(line.0.as_ptr()) };
                for (down, weights) in (4 * (number % quads)..height).zip([one, two, three, four]) {
                    let x = load(&strip.x[offsets[down * columns + column] as usize + from..][..channels]);
                    let [low, high] = [vmovl_u8(vget_low_u8(x)), vmovl_high_u8(x)].map(|x| vreinterpretq_s16_u16(x));
                    let weights = [vmovl_s8(vget_low_s8(weights)), vmovl_high_s8(weights)];
                    sums[0] = vmlal_s16(sums[0], vget_low_s16(low), vget_low_s16(weights[0]));
                    sums[1] = vmlal_high_s16(sums[1], low, weights[0]);
                    sums[2] = vmlal_s16(sums[2], vget_low_s16(high), vget_low_s16(weights[1]));
                    sums[3] = vmlal_high_s16(sums[3], high, weights[1]);
                }
            }
            let bytes = packed(strip.panels.bounds, &sums, &strip.panels.scale[panel]);
            let out = (row * pixels + pixel) * strip.stride + from;
            store(bytes, &mut strip.out[out..][..channels]);
        }
    }
}

/// 16 bytes, or fewer with zeros behind them.
#[inline]
#[target_feature(enable = "neon")]
fn load(bytes: &[u8]) -> uint8x16_t {
    if bytes.len() == PANEL {
        // SAFETY: the pointer has 16 bytes behind it.
        unsafe { vld1q_u8(bytes.as_ptr()) }
    } else {
        let mut all = [0; PANEL];
        all[..bytes.len()].copy_from_slice(bytes);
        // SAFETY: as above.
        unsafe { vld1q_u8(all.as_ptr()) }
    }
}
