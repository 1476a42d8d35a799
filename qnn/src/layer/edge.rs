//! Where numbers become bytes, and bytes numbers.

use super::{Misfit, split};
use crate::kernel::Kernel;
use crate::map::Map;
use crate::rounding::Bounds;

/// Planes of numbers to a map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Enter {
    pub map: Map,
    /// Steps in a unit: tract multiplies by the inverse of the scale, and so do we.
    pub per_step: f32,
    pub bounds: Bounds,
}

impl Enter {
    pub fn run(&self, kernel: Kernel, numbers: &[f32], out: &mut [u8]) -> Result<(), Misfit> {
        let (pixels, stride) = (self.map.pixels(), self.map.stride());
        let out = split(self.map, self.bounds.zero_point, out)?;
        if numbers.len() != pixels * self.map.channels {
            return Err(Misfit);
        }
        // A row of a plane at a time, so that what is written again for the next channel is still near.
        let width = self.map.width;
        let mut bytes = vec![0; width];
        for (row, out) in out.chunks_exact_mut((width * stride).max(1)).enumerate() {
            for channel in 0..self.map.channels {
                let from = channel * pixels + row * width;
                kernel.quantize(
                    self.per_step,
                    self.bounds,
                    numbers.get(from..from + width).unwrap_or_default(),
                    &mut bytes,
                );
                for (byte, pixel) in bytes.iter().zip(out.chunks_exact_mut(stride)) {
                    if let Some(to) = pixel.get_mut(channel) {
                        *to = *byte;
                    }
                }
            }
            for pixel in out.chunks_exact_mut(stride) {
                pixel.iter_mut().skip(self.map.channels).for_each(|byte| *byte = self.bounds.zero_point);
            }
        }
        Ok(())
    }
}

/// A map to planes of numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Leave {
    pub map: Map,
    /// As tract's own operator: `(byte - zero_point) * scale`.
    pub scale: f32,
    pub zero_point: u8,
}

impl Leave {
    pub fn run(&self, map: &[u8], out: &mut [f32]) -> Result<(), Misfit> {
        let (pixels, stride) = (self.map.pixels(), self.map.stride());
        if !(map.len() == self.map.bytes() && out.len() == pixels * self.map.channels) {
            return Err(Misfit);
        }
        for (channel, plane) in out.chunks_exact_mut(pixels.max(1)).enumerate() {
            for (pixel, number) in map.chunks_exact(stride).zip(plane) {
                let byte = pixel.get(channel).copied().unwrap_or(self.zero_point);
                *number = (i32::from(byte) - i32::from(self.zero_point)) as f32 * self.scale;
            }
        }
        Ok(())
    }
}
