//! Adam (Kingma and Ba, arXiv:1412.6980), on the processor in one pass over each tensor: burn makes one for each of a
//! dozen operations, and a network of ten million weights does not fit into a cache.

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::optim::{Adam, AdamConfig, AdamState, AdaptiveMomentumState, LearningRate, ModuleOptimizer, Optimizer};
use burn::prelude::*;
use pulp::Arch;
use rayon::prelude::*;

const KEEP_MEAN: f32 = 0.9;
const KEEP_SQUARE: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Weights of which one thread takes a part.
const PART: usize = 1 << 14;

/// Adam with its usual moments.
pub fn adam() -> ModuleOptimizer {
    let config = AdamConfig::new().with_beta_1(KEEP_MEAN).with_beta_2(KEEP_SQUARE).with_epsilon(EPSILON);
    ModuleOptimizer::from(OnePass(config.build()))
}

/// burn's Adam, which other devices use, and its state.
#[derive(Clone)]
struct OnePass(Adam);

impl Optimizer for OnePass {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        weights: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        if weights.device() != Device::flex() {
            return self.0.step(rate, weights, gradient, state);
        }
        let (time, mean, square) = match state {
            Some(AdamState { momentum: AdaptiveMomentumState { time, moment_1, moment_2, .. } }) => {
                (time + 1, moment_1, moment_2)
            }
            None => (1, weights.zeros_like(), weights.zeros_like()),
        };
        let tensors = [weights, gradient, mean, square].map(Tensor::into_dispatch);
        let [weights, gradient, mean, square] = tensors;
        let step = Step::new(rate as f32, time);
        let (weights, mean, square) = Dispatch::adam_step(weights, gradient, mean, square, step);
        let state = AdaptiveMomentumState::new(time, Tensor::from_dispatch(mean), Tensor::from_dispatch(square));
        (Tensor::from_dispatch(weights), Some(AdamState::new(state)))
    }

    fn to_device<const D: usize>(state: AdamState<D>, device: &Device) -> AdamState<D> {
        <Adam as Optimizer>::to_device(state, device)
    }
}

/// The numbers that are the same for every weight in one step.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// The rate, and what corrects the means for having begun at 0.
    factor: f32,
    epsilon: f32,
}

impl Step {
    fn new(rate: f32, time: usize) -> Self {
        let time = i32::try_from(time).unwrap_or(i32::MAX);
        let of_square = (1.0 - KEEP_SQUARE.powi(time)).sqrt();
        Self { factor: rate * of_square / (1.0 - KEEP_MEAN.powi(time)), epsilon: EPSILON * of_square }
    }
}

/// One step of one tensor.
#[backend_extension(Flex)]
trait AdamStep: Backend {
    /// The new weights, means and means of squares, all of one shape.
    fn adam_step(
        weights: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        square: FloatTensor<Self>,
        step: Step,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl AdamStep for Flex {
    fn adam_step(
        weights: FlexTensor,
        gradient: FlexTensor,
        mean: FlexTensor,
        square: FlexTensor,
        Step { factor, epsilon }: Step,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        // Whoever alone holds a tensor writes where it lies.
        let [mut weights, mut mean, mut square] = [weights, mean, square].map(|it| it.to_contiguous());
        let gradient = gradient.to_contiguous();
        let [of_weights, means, squares] =
            [&mut weights, &mut mean, &mut square].map(|it| it.storage_mut::<f32>().par_chunks_mut(PART));
        let parts = of_weights.zip(gradient.storage::<f32>().par_chunks(PART)).zip(means.zip(squares));
        parts.for_each(|((weights, gradient), (means, squares))| {
            Arch::new().dispatch(
                #[inline(always)]
                || {
                    let moments = means.iter_mut().zip(squares.iter_mut());
                    for ((weight, gradient), (mean, square)) in weights.iter_mut().zip(gradient).zip(moments) {
                        *mean = KEEP_MEAN * *mean + (1.0 - KEEP_MEAN) * gradient;
                        *square = KEEP_SQUARE * *square + (1.0 - KEEP_SQUARE) * gradient * gradient;
                        *weight -= factor * *mean / (square.sqrt() + epsilon);
                    }
                },
            );
        });
        (weights, mean, square)
    }
}

#[cfg(test)]
mod tests {
    use burn::optim::GradientsParams;
    use burn::tensor::TensorData;

    use super::*;
    use crate::net::{Architecture, Net, Norm, floats};

    #[test]
    fn weights_move_as_with_burns_adam() {
        let device = Device::flex().autodiff();
        let net = Net::random(Architecture::SmallCnn, Norm::Frozen, 3, 1, &Device::flex()).to_device(&device).train();
        let values: Vec<f32> = (0..2 * 3 * 64 * 64).map(|i| (i as f32 * 0.37).sin()).collect();
        let x = Tensor::<4>::from_data(TensorData::new(values, [2, 3, 64, 64]), &device);
        let moved = |mut optimiser: ModuleOptimizer| {
            let mut net = net.clone();
            for _ in 0..4 {
                let loss = (net.logits(x.clone(), 0) - 1.0).powf_scalar(2.0).sum();
                let gradients = GradientsParams::from_grads(loss.backward(), &net);
                net = optimiser.step(1e-3, net, gradients);
            }
            floats(net.classifier.weight.val())
        };
        let burns = AdamConfig::new().with_epsilon(EPSILON).init();
        let (ours, burns) = (moved(adam()), moved(burns));
        assert!(burns.iter().any(|weight| weight.abs() > 3e-3));
        for (ours, burns) in ours.iter().zip(&burns) {
            assert!((ours - burns).abs() < 1e-5, "{ours} and {burns}");
        }
    }
}
