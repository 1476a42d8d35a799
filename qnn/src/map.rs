//! How activations lie in memory between the integer layers.

/// The size of a layer's input or output.
///
/// In memory a map is one pixel after the other, row by row, each with all its channels ("NHWC") in
/// [`stride`](Self::stride) bytes; what follows the last channel of a pixel is never read for its value. After the
/// last pixel one more holds the value zero (the zero point) in every channel: whoever reads outside of the map reads
/// that one, so that padding costs neither a copy of the map nor a branch in a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

impl Map {
    /// Bytes from a pixel to the next: the dot products take four channels at a time, a depthwise layer eight.
    pub fn stride(&self) -> usize {
        if self.channels <= 4 { 4 } else { self.channels.next_multiple_of(8) }
    }

    /// Pixels, without the zero one.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Bytes of the whole map with its zero pixel.
    pub fn bytes(&self) -> usize {
        (self.pixels() + 1) * self.stride()
    }
}

/// How a byte tells a number: `number = (byte - zero_point) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steps {
    /// Width of a step; finite and above 0.
    pub scale: f64,
    /// The byte that means 0.
    pub zero_point: u8,
}
