//! Plain Rust, for every processor: what the other kernels are held to, and what they are made of where a compiler
//! makes good vector code of it.
#![allow(clippy::indexing_slicing, reason = "`Block` has checked every length and offset when it was made")]

use super::{Block, Bounds, Strip, Sum, Walk};
use crate::rounding::PANEL;

pub(super) fn dense(block: &mut Block<'_>) {
    let pixels = block.pixels();
    let steps = block.taps * block.depth;
    for (pixel, out) in block.out.chunks_exact_mut(block.stride).enumerate() {
        for (panel, out) in out.chunks_mut(PANEL).enumerate() {
            let mut sums = block.panels.bias[panel].0;
            for tap in 0..block.taps {
                let from = block.offsets[tap * pixels + pixel] as usize;
                let x = &block.x[from..from + 4 * block.depth];
                let lines = &block.panels.lines[panel * steps + tap * block.depth..][..block.depth];
                for (x, line) in x.as_chunks::<4>().0.iter().zip(lines) {
                    for (sum, weights) in sums.iter_mut().zip(line.0.as_chunks::<4>().0) {
                        *sum = sum.wrapping_add(dot(x, weights));
                    }
                }
            }
            finish(block.panels.bounds, &sums, &block.panels.scale[panel].0, out);
        }
    }
}

pub(super) fn depthwise(strip: &mut Strip<'_>) {
    let Walk { window: [height, width], stride, dilation, width: pixels } = strip.walk;
    let (columns, quads) = (strip.walk.columns(), strip.walk.quads());
    for (number, out) in strip.out.chunks_exact_mut(strip.stride).enumerate() {
        let (row, pixel) = (number / pixels, number % pixels);
        for (panel, out) in out.chunks_mut(PANEL).enumerate() {
            let mut sums = strip.panels.bias[panel].0;
            for (down, across) in (0..height).flat_map(|down| (0..width).map(move |across| (down, across))) {
                let column = pixel * stride + across * dilation;
                let from = strip.offsets[(row * height + down) * columns + column] as usize + panel * PANEL;
                let line = &strip.panels.lines[(panel * width + across) * quads + down / 4].0;
                for (channel, (sum, x)) in sums.iter_mut().zip(&strip.x[from..from + out.len()]).enumerate() {
                    *sum = sum.wrapping_add(i32::from(*x) * i32::from(line[4 * channel + down % 4]));
                }
            }
            finish(strip.panels.bounds, &sums, &strip.panels.scale[panel].0, out);
        }
    }
}

#[inline(always)]
fn dot(x: &[u8; 4], weights: &[i8; 4]) -> i32 {
    x.iter().zip(weights).map(|(x, weight)| i32::from(*x) * i32::from(*weight)).sum()
}

#[inline(always)]
fn finish(bounds: Bounds, sums: &[i32; PANEL], scales: &[f32; PANEL], out: &mut [u8]) {
    for ((sum, scale), out) in sums.iter().zip(scales).zip(out) {
        *out = bounds.byte(*sum as f32 * scale);
    }
}

#[inline(always)]
pub(super) fn add(sum: &Sum, one: &[u8], other: &[u8], out: &mut [u8]) {
    let [zero, other_zero] = sum.zeros.map(i32::from);
    let [scale, other_scale] = sum.scales;
    for ((one, other), out) in one.iter().zip(other).zip(out) {
        let one = (i32::from(*one) - zero) as f32 * scale;
        let other = (i32::from(*other) - other_zero) as f32 * other_scale;
        *out = sum.bounds.byte(one + other);
    }
}

#[inline(always)]
pub(super) fn max(largest: &mut [u8], bytes: &[u8]) {
    for (largest, byte) in largest.iter_mut().zip(bytes) {
        *largest = (*largest).max(*byte);
    }
}

#[inline(always)]
pub(super) fn accumulate(sums: &mut [i32], bytes: &[u8]) {
    for (sum, byte) in sums.iter_mut().zip(bytes) {
        *sum += i32::from(*byte);
    }
}

#[inline(always)]
pub(super) fn quantize(per_step: f32, bounds: Bounds, numbers: &[f32], bytes: &mut [u8]) {
    for (number, byte) in numbers.iter().zip(bytes) {
        *byte = bounds.byte(number * per_step);
    }
}
