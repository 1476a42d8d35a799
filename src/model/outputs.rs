//! What one pass of the network gives. Pure.

use crate::verdict::{Class, Logits};

/// Everything that the network computed of one radiograph, in one pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    /// The raw outputs, from which the verdict comes.
    pub logits: Logits,
    /// How much each place of the film speaks for each class; `None` where the network's file has no such output.
    pub map: Option<ClassMap>,
    /// How far the film lies from those that the network was trained on; compared with the manifest's limit. `None`
    /// where the network's file has no such output.
    pub distance: Option<f32>,
}

/// Class activations (Zhou et al. 2016, arXiv:1512.04150): the last feature map before global pooling, weighted as
/// the last layer weights the pooled features. The mean of a plane, plus the class's bias, is its logit.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassMap {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl ClassMap {
    /// Three planes of `width` x `height`, in the order of [`Class::ALL`], row by row; `None` when the values do not
    /// fill them, or there are none.
    pub fn new(width: usize, height: usize, values: Vec<f32>) -> Option<Self> {
        let area = width.checked_mul(height).filter(|area| *area > 0)?;
        (Some(values.len()) == area.checked_mul(Class::ALL.len())).then_some(Self { width, height, values })
    }

    /// Places across.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Places down.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The plane of a class, row by row from the top left; in units of logits.
    pub fn plane(&self, class: Class) -> &[f32] {
        let area = self.width * self.height;
        self.values.chunks_exact(area).nth(class as usize).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_three_full_planes_or_is_none() {
        let map = ClassMap::new(2, 1, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert_eq!(Class::ALL.map(|class| map.plane(class).to_vec()), [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]);
        for (width, height, values) in [(2, 1, 5), (0, 0, 0), (usize::MAX, 2, 6)] {
            assert_eq!(ClassMap::new(width, height, vec![0.0; values]), None, "{width} x {height}, {values} values");
        }
    }
}
