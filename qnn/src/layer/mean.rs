//! The mean of every channel.

use super::{Misfit, Reason, split};
use crate::kernel::Kernel;
use crate::map::{Map, Steps};
use crate::rounding::Bounds;

#[derive(Debug)]
pub(crate) struct Mean {
    input: Map,
    /// Taken from every sum.
    zero: i32,
    scale: f32,
    bounds: Bounds,
}

impl Mean {
    pub fn new(input: Map, from: Steps, to: Steps, clip: (f64, f64)) -> Result<Self, Reason> {
        let pixels = i32::try_from(input.pixels()).ok().filter(|pixels| (1..i32::MAX / 255).contains(pixels));
        let pixels = pixels.ok_or("it has too many pixels for sums of 32 bits")?;
        let scale = (from.scale / to.scale / f64::from(pixels)) as f32;
        let zero = pixels * i32::from(from.zero_point);
        Ok(Self { input, zero, scale, bounds: Bounds::of(to, clip.0, clip.1) })
    }

    pub fn output(&self) -> Map {
        Map { height: 1, width: 1, channels: self.input.channels }
    }

    pub fn run(&self, kernel: Kernel, x: &[u8], out: &mut [u8]) -> Result<(), Misfit> {
        let stride = self.input.stride();
        let out = split(self.output(), self.bounds.zero_point, out)?;
        let pixels = x.get(..self.input.pixels() * stride);
        let pixels = pixels.ok_or(Misfit)?;
        let mut sums = vec![0; stride];
        for pixel in pixels.chunks_exact(stride) {
            kernel.accumulate(&mut sums, pixel);
        }
        for (sum, out) in sums.iter().zip(out) {
            *out = self.bounds.byte((sum - self.zero) as f32 * self.scale);
        }
        Ok(())
    }
}
