//! The channels of several maps behind each other.

use super::{Misfit, split};
use crate::map::{Map, Steps};
use crate::rounding::Bounds;

#[derive(Debug)]
pub(crate) struct Concat {
    output: Map,
    zero_point: u8,
    inputs: Vec<Input>,
}

#[derive(Debug)]
struct Input {
    map: Map,
    /// What each byte becomes; nothing where it stays.
    table: Option<Box<[u8; 256]>>,
}

impl Concat {
    /// The maps, of the same height and width, in steps of `to`.
    pub fn new(inputs: &[(Map, Steps)], to: Steps, clip: (f64, f64)) -> Self {
        let (height, width) = inputs.first().map_or((0, 0), |(map, _)| (map.height, map.width));
        let channels = inputs.iter().map(|(map, _)| map.channels).sum();
        let bounds = Bounds::of(to, clip.0, clip.1);
        let inputs = inputs.iter().map(|(map, from)| {
            let table = std::array::from_fn(|byte| {
                let number = (byte as f64 - f64::from(from.zero_point)) * from.scale;
                bounds.byte((number / to.scale) as f32)
            });
            let stays = table.iter().enumerate().all(|(byte, to)| byte == usize::from(*to));
            Input { map: *map, table: (!stays).then(|| Box::new(table)) }
        });
        let inputs = inputs.collect();
        Self { output: Map { height, width, channels }, zero_point: to.zero_point, inputs }
    }

    pub fn output(&self) -> Map {
        self.output
    }

    pub fn run(&self, inputs: &[&[u8]], out: &mut [u8]) -> Result<(), Misfit> {
        let out = split(self.output, self.zero_point, out)?;
        let fit = inputs.len() == self.inputs.len()
            && self.inputs.iter().zip(inputs).all(|(input, bytes)| bytes.len() == input.map.bytes());
        if !(fit) {
            return Err(Misfit);
        }
        let mut from = 0;
        for (input, bytes) in self.inputs.iter().zip(inputs) {
            let channels = input.map.channels;
            let pixels = bytes.chunks_exact(input.map.stride()).zip(out.chunks_exact_mut(self.output.stride()));
            for (bytes, out) in pixels {
                for (byte, out) in bytes.iter().zip(out.iter_mut().skip(from).take(channels)) {
                    *out = match &input.table {
                        // A table of 256 has a place for every byte.
                        Some(table) => table.get(usize::from(*byte)).copied().unwrap_or_default(),
                        None => *byte,
                    };
                }
            }
            from += channels;
        }
        for out in out.chunks_exact_mut(self.output.stride()) {
            out.iter_mut().skip(from).for_each(|byte| *byte = self.zero_point);
        }
        Ok(())
    }
}
