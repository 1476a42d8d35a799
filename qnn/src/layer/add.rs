//! The sum of two maps.

use super::{Misfit, split};
use crate::kernel::{Kernel, Sum};
use crate::map::{Map, Steps};
use crate::rounding::Bounds;
use crate::team::Team;

#[derive(Debug)]
pub(crate) struct Add {
    map: Map,
    sum: Sum,
}

impl Add {
    /// `one + other`, clipped to the numbers of `clip`.
    pub fn new(map: Map, [one, other]: [Steps; 2], to: Steps, clip: (f64, f64)) -> Self {
        let zeros = [one.zero_point, other.zero_point];
        let scales = [one.scale, other.scale].map(|scale| (scale / to.scale) as f32);
        Self { map, sum: Sum { zeros, scales, bounds: Bounds::of(to, clip.0, clip.1) } }
    }

    pub fn output(&self) -> Map {
        self.map
    }

    pub fn run(&self, kernel: Kernel, team: &Team, one: &[u8], other: &[u8], out: &mut [u8]) -> Result<(), Misfit> {
        let stride = self.map.stride();
        let out = split(self.map, self.sum.bounds.zero_point, out)?;
        team.split(out, stride, |first, out| {
            let range = first * stride..first * stride + out.len();
            match (one.get(range.clone()), other.get(range)) {
                (Some(one), Some(other)) => kernel.add(&self.sum, one, other, out),
                _ => return Err(Misfit),
            }
            Ok(())
        })
    }
}
