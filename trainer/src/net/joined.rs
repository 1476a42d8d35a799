//! The end of a residual block as one step on the processor: one pass adds the shortcut and activates, and one makes the
//! gradient, which is the same for both.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata as _, backend_extension};
use burn::tensor::TensorData;
use pulp::Arch;
use rayon::prelude::*;

use super::convolution::bounded;

/// Values of which one thread takes a part.
const PART: usize = 1 << 14;

/// The step on the processor; burn's own operations are for the other devices.
#[backend_extension(Flex, Autodiff)]
pub(super) trait Joined: Backend {
    /// `x + shortcut`, both of one shape, or 0 where that is less.
    fn joined(x: FloatTensor<Self>, shortcut: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl Joined for Flex {
    fn joined(x: FlexTensor, shortcut: FlexTensor) -> FlexTensor {
        let shape = x.shape();
        let [x, shortcut] = [x, shortcut].map(|it| it.to_contiguous());
        let mut out = vec![0.0; shape.num_elements()];
        let read = x.storage::<f32>().par_chunks(PART).zip(shortcut.storage::<f32>().par_chunks(PART));
        out.par_chunks_mut(PART).zip(read).for_each(|(out, (x, shortcut))| {
            Arch::new().dispatch(
                #[inline(always)]
                || {
                    let sums = x.iter().zip(shortcut).map(|(x, shortcut)| x + shortcut);
                    out.iter_mut().zip(sums).for_each(|(out, sum)| *out = bounded(sum, (0.0, f32::INFINITY)));
                },
            );
        });
        FlexTensor::from_data(TensorData::new(out, shape))
    }
}

impl<C: CheckpointStrategy> Joined for Autodiff<Flex, C> {
    fn joined(x: FloatTensor<Self>, shortcut: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [x.node(), shortcut.node()];
        let out = Flex::joined(x.into_primitive(), shortcut.into_primitive());
        match Step.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(out.clone(), out),
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        }
    }
}

/// The step in the graph of what is to be differentiated; what it keeps is what came out.
#[derive(Debug)]
struct Step;

impl Backward<Flex, 2> for Step {
    type State = FlexTensor;

    fn backward(self, ops: Ops<FlexTensor, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        let parts = gradient.storage_mut::<f32>().par_chunks_mut(PART).zip(ops.state.storage::<f32>().par_chunks(PART));
        parts.for_each(|(gradient, out)| {
            Arch::new().dispatch(
                #[inline(always)]
                || {
                    for (gradient, out) in gradient.iter_mut().zip(out) {
                        *gradient = if *out <= 0.0 { 0.0 } else { *gradient };
                    }
                },
            );
        });
        for node in ops.parents.into_iter().flatten() {
            grads.register::<Flex>(node.id, gradient.clone());
        }
    }
}
