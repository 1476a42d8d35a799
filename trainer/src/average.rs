//! The moving average of a network's weights over its training steps (Polyak and Juditsky, SIAM J. Control Optim. 30,
//! 1992): what the last steps have in common generalises better than the last one.

use burn::module::{ModuleMapper, ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::TensorData;

use crate::net::{Net, floats};

/// `keep` of the average and the rest of the network, both on a plain device; running statistics of norms too.
#[must_use]
pub fn averaged(average: &Net, net: &Net, keep: f64) -> Net {
    let mut values = Values::default();
    net.visit(&mut values);
    // Clones of a network share their running statistics, and mapping would change them in all; `valid` does not.
    average.valid().map(&mut Toward { values: values.0.into_iter(), keep: keep as f32 })
}

/// The numbers of each parameter in the order of the network. (Running statistics get new identities when they are
/// loaded, so that only their place tells them.)
#[derive(Default)]
struct Values(Vec<Vec<f32>>);

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(floats(param.val()));
    }
}

struct Toward {
    values: std::vec::IntoIter<Vec<f32>>,
    keep: f32,
}

impl ModuleMapper for Toward {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(mut values) = self.values.next() else { return param };
        // `map` keeps what a new parameter would lose: that the next stage trains it.
        param.map(|old| {
            let (shape, device) = (old.shape(), old.device());
            values.iter_mut().zip(floats(old)).for_each(|(new, old)| *new = self.keep * old + (1.0 - self.keep) * *new);
            Tensor::from_data(TensorData::new(values, shape), &device)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Architecture, Norm};

    #[test]
    fn the_average_lies_where_it_says_between_the_two() {
        let net = |seed| Net::random(Architecture::SmallCnn, Norm::Batch, 3, seed, &Device::flex());
        let first = |net: &Net| {
            let mut values = Values::default();
            net.visit(&mut values);
            values.0
        };
        let old = net(1);
        // The same parameters with other values, as training leaves them.
        let higher: Vec<Vec<f32>> =
            first(&old).into_iter().map(|values| values.iter().map(|x| x + 1.0).collect()).collect();
        let new = old.valid().map(&mut Toward { values: higher.into_iter(), keep: 0.0 });
        let between = averaged(&old, &new, 0.75);
        let (old, between) = (first(&old), first(&between));
        assert!(old.len() > 20);
        for (old, between) in old.iter().flatten().zip(between.iter().flatten()) {
            assert!((between - old - 0.25).abs() < 1e-5);
        }
    }
}
