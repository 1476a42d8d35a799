//! The largest byte under a window: bytes of the same steps keep their order.

use super::conv::Window;
use super::{Misfit, split};
use crate::kernel::Kernel;
use crate::map::Map;
use crate::team::Team;

#[derive(Debug)]
pub(crate) struct MaxPool {
    input: Map,
    output: Map,
    window: Window,
    zero_point: u8,
}

impl MaxPool {
    pub fn new(input: Map, output: Map, window: Window, zero_point: u8) -> Self {
        Self { input, output, window, zero_point }
    }

    pub fn output(&self) -> Map {
        self.output
    }

    pub fn run(&self, kernel: Kernel, team: &Team, x: &[u8], out: &mut [u8]) -> Result<(), Misfit> {
        let out = split(self.output, self.zero_point, out)?;
        team.split(out, self.output.stride(), |first, out| self.piece(kernel, x, first, out))
    }

    fn piece(&self, kernel: Kernel, x: &[u8], first: usize, out: &mut [u8]) -> Result<(), Misfit> {
        let stride = self.output.stride();
        let count = out.len() / stride;
        let mut offsets = Vec::with_capacity(self.window.taps() * count);
        self.window.offsets((self.input, self.output), first, count, &mut offsets);
        // Padding is no value here: a byte of 0 is never the largest beside another, and no window is all padding.
        out.fill(0);
        let padding = self.input.pixels() * self.input.stride();
        for offsets in offsets.chunks(count.max(1)) {
            for (offset, out) in offsets.iter().zip(out.chunks_exact_mut(stride)) {
                let from = *offset as usize;
                if from != padding {
                    let bytes = x.get(from..from + stride);
                    kernel.max(out, bytes.ok_or(Misfit)?);
                }
            }
        }
        Ok(())
    }
}
