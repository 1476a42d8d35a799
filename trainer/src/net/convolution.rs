//! Convolution whose gradients are computed for training on a processor.
//!
//! burn's own gradient by weight is a convolution with the output's gradient as kernel: of a 1 x 1 layer that makes a
//! product of matrix and vector for each input channel, and of a depthwise layer a convolution for each channel.
//! Here every gradient is one matrix product over many films, or for depthwise layers a few passes over each plane.
//! GPUs keep burn's kernels.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::{ConvOptions, FloatTensorOps, ModuleOps};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, DType, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Slice, Tensor, TensorData};

use super::window::Window;

/// Floats of unfolded input that are in memory at a time.
const UNFOLDED: usize = 4 << 20;

/// Convolution of `x`, `[films, channels, height, width]`, with `weight`, `[outputs, channels / groups, side, side]`,
/// plus `bias` by output.
pub(super) fn convolve(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, options: ConvOptions<2>) -> Tensor<4> {
    let [x, weight, bias] = [x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    Tensor::from_dispatch(Dispatch::convolution(x, weight, bias, options))
}

/// What each backend makes of [`convolve`].
#[backend_extension(Flex, Cube: cfg(feature = "cuda"), Autodiff)]
pub(super) trait Convolution: Backend {
    fn convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self>;
}

/// Convolution and its gradients on one backend; burn's, unless there is something better.
pub(super) trait Kernels: Backend {
    fn forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        Self::conv2d(x, weight, Some(bias), options)
    }

    fn by_input(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        Self::conv2d_x_backward(x, weight, grad, options)
    }

    fn by_weight(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        Self::conv2d_weight_backward(x, weight, grad, options)
    }
}

#[cfg(feature = "cuda")]
impl Kernels for burn::backend::Cube {}

#[cfg(feature = "cuda")]
impl Convolution for burn::backend::Cube {
    fn convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        Self::forward(x, weight, bias, options)
    }
}

impl Convolution for Flex {
    fn convolution(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, options: ConvOptions<2>) -> FlexTensor {
        Self::forward(x, weight, bias, options)
    }
}

impl<B: Kernels, C: CheckpointStrategy> Convolution for Autodiff<B, C> {
    fn convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        options: ConvOptions<2>,
    ) -> FloatTensor<Self> {
        let prepared = Step.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful();
        match prepared {
            OpsKind::Tracked(mut prepared) => {
                let state = (
                    prepared.checkpoint(&x),
                    prepared.checkpoint(&weight),
                    prepared.checkpoint(&bias),
                    options.clone(),
                );
                let [(x, _x), (weight, _weight), (bias, _bias)] = [x, weight, bias].map(|it| it.into_parts());
                prepared.finish(state, B::forward(x, weight, bias, options))
            }
            OpsKind::UnTracked(prepared) => {
                let [(x, _x), (weight, _weight), (bias, _bias)] = [x, weight, bias].map(|it| it.into_parts());
                prepared.finish(B::forward(x, weight, bias, options))
            }
        }
    }
}

/// The convolution in the graph of what is to be differentiated.
#[derive(Debug)]
struct Step;

impl<B: Kernels> Backward<B, 3> for Step {
    type State = (NodeId, NodeId, NodeId, ConvOptions<2>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [of_x, of_weight, of_bias] = ops.parents;
        let (x, weight, bias, options) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let mut kept = |node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node);
        let (x, weight, bias) = (kept(x), kept(weight), kept(bias));
        if let Some(node) = of_x {
            let value = B::by_input(x.clone(), weight.clone(), grad.clone(), options.clone());
            grads.register::<B>(node.id, value);
        }
        if let Some(node) = of_weight {
            grads.register::<B>(node.id, B::by_weight(x.clone(), weight, grad.clone(), options));
        }
        if let Some(node) = of_bias {
            grads.register::<B>(node.id, B::conv2d_bias_backward(x, bias, grad));
        }
    }
}

impl Kernels for Flex {
    fn forward(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, options: ConvOptions<2>) -> FlexTensor {
        match Case::of(&x, &weight, &options) {
            Some(Case { depthwise: true, films, channels, window, .. }) => {
                let [x, weight, bias] = [x, weight, bias].map(|it| it.to_contiguous());
                let out = window.depthwise(x.storage(), weight.storage(), bias.storage());
                tensor(out, [films, channels, window.out_height(), window.out_width()])
            }
            _ => Self::conv2d(x, weight, Some(bias), options),
        }
    }

    fn by_input(x: FlexTensor, weight: FlexTensor, grad: FlexTensor, options: ConvOptions<2>) -> FlexTensor {
        let Some(Case { films, channels, outputs, window, depthwise }) = Case::of(&x, &weight, &options) else {
            return Self::conv2d_x_backward(x, weight, grad, options);
        };
        let shape = [films, channels, window.height, window.width];
        let weight = weight.to_contiguous();
        if depthwise {
            return tensor(window.depthwise_by_input(grad.to_contiguous().storage(), weight.storage()), shape);
        }
        let rows = channels * window.side * window.side;
        let weight = Self::float_swap_dims(Self::float_reshape(weight, Shape::new([outputs, rows])), 0, 1);
        if window.is_point() {
            let weight = Self::float_reshape(weight, Shape::new([1, rows, outputs]));
            let grad = Self::float_reshape(grad, Shape::new([films, outputs, window.outputs()]));
            return Self::float_reshape(Self::float_matmul(weight, grad), Shape::new(shape));
        }
        let plane = window.height * window.width;
        let mut out = vec![0.0; films * channels * plane];
        let at_once = (UNFOLDED / (rows * window.outputs())).max(1);
        for (part, out) in out.chunks_mut(at_once * channels * plane).enumerate() {
            let films = part * at_once..films.min((part + 1) * at_once);
            let unfolded = Self::float_matmul(weight.clone(), side_by_side(grad.clone(), films)).to_contiguous();
            window.fold(unfolded.storage(), channels, out);
        }
        tensor(out, shape)
    }

    fn by_weight(x: FlexTensor, weight: FlexTensor, grad: FlexTensor, options: ConvOptions<2>) -> FlexTensor {
        let Some(Case { films, channels, outputs, window, depthwise }) = Case::of(&x, &weight, &options) else {
            return Self::conv2d_weight_backward(x, weight, grad, options);
        };
        let x = x.to_contiguous();
        if depthwise {
            let out = window.depthwise_by_weight(x.storage(), grad.to_contiguous().storage(), channels);
            return tensor(out, [channels, 1, window.side, window.side]);
        }
        let rows = channels * window.side * window.side;
        let film = channels * window.height * window.width;
        let at_once = (UNFOLDED / (rows * window.outputs())).max(1);
        let parts = x.storage::<f32>().chunks(at_once * film).enumerate().map(|(part, x)| {
            let films = part * at_once..films.min((part + 1) * at_once);
            let unfolded = tensor(window.unfold(x, channels), [rows, films.len() * window.outputs()]);
            Self::float_matmul(side_by_side(grad.clone(), films), Self::float_swap_dims(unfolded, 0, 1))
        });
        let sum = parts.reduce(Self::float_add).unwrap_or_else(|| tensor(vec![0.0; outputs * rows], [outputs, rows]));
        Self::float_reshape(sum, Shape::new([outputs, channels, window.side, window.side]))
    }
}

/// A convolution for which there are kernels here.
struct Case {
    films: usize,
    channels: usize,
    outputs: usize,
    window: Window,
    depthwise: bool,
}

impl Case {
    fn of(x: &FlexTensor, weight: &FlexTensor, options: &ConvOptions<2>) -> Option<Self> {
        let [films, channels, height, width] = x.shape().dims();
        let [outputs, _, side, side_across] = weight.shape().dims();
        let [stride, stride_across] = options.stride;
        let [(top, bottom), (left, right)] = options.padding;
        let depthwise = options.groups > 1 && options.groups == channels && outputs == channels;
        let known = side == side_across
            && stride == stride_across
            && options.dilation == [1, 1]
            && (depthwise || options.groups == 1)
            && x.dtype() == DType::F32
            && height + top + bottom >= side
            && width + left + right >= side;
        let window = Window { height, width, side, stride, top, left, bottom, right };
        known.then_some(Self { films, channels, outputs, window, depthwise })
    }
}

/// `[outputs, films x places]` of some films of `[films, outputs, height, width]`.
fn side_by_side(grad: FlexTensor, films: std::ops::Range<usize>) -> FlexTensor {
    let count = films.len();
    let grad = Flex::float_swap_dims(Flex::float_slice(grad, &[Slice::from(films)]), 0, 1);
    let [outputs, _, height, width] = grad.shape().dims();
    Flex::float_reshape(grad, Shape::new([outputs, count * height * width]))
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

#[cfg(test)]
mod tests {
    use burn::prelude::Device;
    use burn::tensor::module::conv2d;

    use super::*;

    /// Output and the gradients by input, weight and bias of the weighted sum of the output.
    fn computed(
        shapes: ([usize; 4], [usize; 4]),
        options: &ConvOptions<2>,
        way: impl Fn(Tensor<4>, Tensor<4>, Tensor<1>, ConvOptions<2>) -> Tensor<4>,
    ) -> [Vec<f32>; 4] {
        let device = Device::flex().autodiff();
        let waves = |count: usize, pace: f32| (0..count).map(|i| (i as f32 * pace).sin()).collect::<Vec<_>>();
        let wave = |shape: [usize; 4], pace| {
            let values = waves(shape.iter().product(), pace);
            Tensor::<4>::from_data(TensorData::new(values, shape), &device)
        };
        let (x, weight) = (wave(shapes.0, 0.37).require_grad(), wave(shapes.1, 0.73).require_grad());
        let outputs = shapes.1[0];
        let bias = Tensor::<1>::from_data(TensorData::new(waves(outputs, 1.1), [outputs]), &device).require_grad();
        let out = way(x.clone(), weight.clone(), bias.clone(), options.clone());
        let grads = (out.clone() * wave(out.dims(), 0.91)).sum().backward();
        let values = |data: TensorData| data.try_to_vec::<f32>().unwrap();
        [
            values(out.into_data()),
            values(x.grad(&grads).unwrap().into_data()),
            values(weight.grad(&grads).unwrap().into_data()),
            values(bias.grad(&grads).unwrap().into_data()),
        ]
    }

    #[test]
    fn output_and_gradients_equal_those_of_burn() {
        // Films, channels, outputs, groups, height, width, side, stride, padding down and across.
        let cases = [
            (1, 1, 1, 1, 1, 1, 1, 1, (0, 0), (0, 0)),
            (3, 5, 4, 1, 6, 7, 1, 1, (0, 0), (0, 0)),
            (3, 5, 4, 1, 6, 7, 1, 2, (0, 0), (0, 0)),
            (2, 3, 4, 1, 9, 7, 3, 1, (1, 1), (1, 1)),
            (2, 3, 4, 1, 9, 8, 3, 2, (1, 1), (1, 1)),
            (2, 3, 4, 1, 10, 8, 3, 2, (0, 1), (0, 1)),
            (2, 2, 3, 1, 16, 12, 7, 2, (3, 3), (3, 3)),
            (2, 3, 2, 1, 4, 4, 1, 1, (1, 0), (0, 1)),
            (3, 6, 6, 6, 7, 9, 3, 1, (1, 1), (1, 1)),
            (3, 6, 6, 6, 8, 10, 3, 2, (0, 1), (0, 1)),
            (2, 4, 4, 4, 14, 14, 5, 1, (2, 2), (2, 2)),
            (2, 4, 4, 4, 13, 14, 5, 2, (2, 2), (1, 2)),
            (1, 2, 2, 2, 2, 1, 5, 1, (2, 2), (2, 2)),
            (2, 4, 4, 4, 9, 9, 3, 3, (0, 0), (1, 1)),
            (2, 6, 4, 2, 7, 7, 3, 1, (1, 1), (1, 1)),
        ];
        for case @ (films, channels, outputs, groups, height, width, side, stride, down, across) in cases {
            let options = ConvOptions::new_with_padding([stride; 2], [down, across], [1, 1], groups);
            let shapes = ([films, channels, height, width], [outputs, channels / groups, side, side]);
            let ours = computed(shapes, &options, convolve);
            let burns = computed(shapes, &options, |x, weight, bias, options| conv2d(x, weight, Some(bias), options));
            for (part, (ours, burns)) in ["output", "input", "weight", "bias"].iter().zip(ours.iter().zip(&burns)) {
                assert_eq!(ours.len(), burns.len(), "{part} of {case:?}");
                let scale = burns.iter().fold(1.0f32, |most, value| most.max(value.abs()));
                for (ours, burns) in ours.iter().zip(burns) {
                    assert!((ours - burns).abs() <= 1e-5 * scale, "{part} of {case:?}: {ours} and {burns}");
                }
            }
        }
    }

    #[test]
    fn films_in_more_parts_than_one_give_the_same_gradients() {
        let options = ConvOptions::new_with_padding([1, 1], [(1, 1), (1, 1)], [1, 1], 1);
        let shapes = ([3, 64, 64, 64], [4, 64, 3, 3]);
        const { assert!(3 * 64 * 9 * 64 * 64 > UNFOLDED, "the films fit into one part") };
        let ours = computed(shapes, &options, convolve);
        let burns = computed(shapes, &options, |x, weight, bias, options| conv2d(x, weight, Some(bias), options));
        for (ours, burns) in ours.iter().flatten().zip(burns.iter().flatten()) {
            assert!((ours - burns).abs() <= 1e-4 * burns.abs().max(10.0), "{ours} and {burns}");
        }
    }
}
