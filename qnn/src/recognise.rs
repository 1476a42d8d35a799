//! Finding in a typed graph what lies between `DequantizeLinear` and `QuantizeLinear`.

use std::sync::Arc;

use tract_onnx::tract_core::ops::array::TypedConcat;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat, MaxPool, PoolSpec};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math::{Add, Div, Max, Min, Mul};
use tract_onnx::tract_core::ops::nn::{DataFormat, Reduce, Reducer};
use tract_onnx::tract_core::ops::quant::{DequantizeLinearF32, QuantizeLinearU8};
use tract_onnx::tract_hir::internal::*;

use crate::front::{DequantizeWeights, values};
use crate::layer::{Reason, Window};
use crate::map::{Map, Steps};

/// A `QuantizeLinear` with what it quantizes, down to the bytes that this reads.
#[derive(Debug)]
pub(crate) struct Match {
    pub kind: Kind,
    /// The bytes that are read, as outlets of the graph, with their steps.
    pub inputs: Vec<(OutletId, Steps)>,
    pub output: Steps,
    /// The numbers to which activations clip.
    pub clip: (f64, f64),
    /// The node that computes, without its activation.
    pub core: usize,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Conv {
        weights: Weights,
        window: Window,
        depthwise: bool,
    },
    Linear {
        weights: Weights,
    },
    Add,
    MaxPool {
        window: Window,
    },
    Mean,
    /// One map or more behind each other.
    Concat,
}

/// Weights as the file has them.
#[derive(Debug)]
pub(crate) struct Weights {
    /// Output channels first.
    pub bytes: Arc<Tensor>,
    pub scales: Arc<Tensor>,
    pub bias: Arc<Tensor>,
}

/// Constants are looked for behind so many operators.
const CONSTANT_DEPTH: usize = 8;

/// The steps and the function of a `QuantizeLinear` to u8.
pub(crate) fn quantize(node: &TypedNode) -> Option<&QuantizeLinearU8> {
    node.op_as::<ElementWiseOp>()?.0.downcast_ref::<QuantizeLinearU8>()
}

/// The steps that it quantizes to.
pub(crate) fn steps(quantize: &QuantizeLinearU8) -> Steps {
    Steps { scale: 1.0 / f64::from(quantize.scale), zero_point: quantize.zero_point }
}

/// Batch and map of a tensor `[batch, channels]`, with height and width or without.
pub(crate) fn map(fact: &TypedFact) -> Result<(usize, Map), Reason> {
    let shape = fact.shape.as_concrete().ok_or("its shape is not known beforehand")?;
    match *shape {
        [batch, channels] => Ok((batch, Map { height: 1, width: 1, channels })),
        [batch, channels, width] => Ok((batch, Map { height: 1, width, channels })),
        [batch, channels, height, width] => Ok((batch, Map { height, width, channels })),
        _ => Err(format!("it has {} dimensions, not 2 to 4", shape.len()).into()),
    }
}

/// What looks back from nodes.
pub(crate) struct Looking<'m>(pub &'m TypedModel);

impl Looking<'_> {
    fn node(&self, outlet: OutletId) -> Result<&TypedNode, Reason> {
        self.0.nodes().get(outlet.node).ok_or_else(|| "the graph is broken".into())
    }

    fn map(&self, outlet: OutletId) -> Result<(usize, Map), Reason> {
        map(self.0.outlet_fact(outlet).map_err(|error| error.to_string())?)
    }

    /// What stands before a `QuantizeLinear`.
    pub fn back(&self, quantized: &TypedNode) -> Result<Match, Reason> {
        let output = steps(quantize(quantized).ok_or("it quantizes to something other than u8")?);
        if !(output.scale.is_finite() && output.scale > 0.0) {
            return Err("its scale is not a number above 0".into());
        }
        self.map(quantized.id.into())?;
        let mut clip = (f64::NEG_INFINITY, f64::INFINITY);
        let mut outlet = self.input(quantized, 0)?;
        loop {
            let node = self.node(outlet)?;
            outlet = if let Some((before, bound)) = self.bound::<Max>(node) {
                clip.0 = clip.0.max(bound);
                before
            } else if let Some((before, bound)) = self.bound::<Min>(node) {
                clip.1 = clip.1.min(bound);
                before
            } else if self.keeps_bytes(node) {
                self.input(node, 0)?
            } else {
                break;
            };
        }
        if clip.0.is_nan() || clip.1.is_nan() || clip.0 > clip.1 {
            return Err("its activation lets nothing pass".into());
        }
        let node = self.node(outlet)?;
        let (kind, inputs) = self.core(node, outlet)?;
        if let (Kind::MaxPool { .. }, [(_, from)]) = (&kind, inputs.as_slice()) {
            let same = (from.scale / output.scale - 1.0).abs() < 1e-6 && from.zero_point == output.zero_point;
            if !same || clip != (f64::NEG_INFINITY, f64::INFINITY) {
                return Err("a maximum in other steps than what it reads".into());
            }
        }
        Ok(Match { kind, inputs, output, clip, core: node.id })
    }

    fn core(&self, node: &TypedNode, outlet: OutletId) -> Result<(Kind, Vec<(OutletId, Steps)>), Reason> {
        if let Some(conv) = node.op_as::<Conv>() {
            return self.conv(node, conv);
        }
        if let Some(einsum) = node.op_as::<EinSum>() {
            return self.linear(node, einsum, None);
        }
        if let Some(pool) = node.op_as::<MaxPool>() {
            if pool.with_index_outputs.is_some() {
                return Err("a maximum with its place".into());
            }
            let window = window(&pool.pool_spec, self.map(self.input(node, 0)?)?.1)?;
            return Ok((Kind::MaxPool { window }, vec![self.source(node, 0)?]));
        }
        if let Some(concat) = node.op_as::<TypedConcat>() {
            if concat.axis != 1 {
                return Err(format!("it joins along axis {}, not channels", concat.axis).into());
            }
            let sources = (0..node.inputs.len()).map(|input| self.source(node, input)).collect::<Result<_, _>>()?;
            return Ok((Kind::Concat, sources));
        }
        if let Some(binary) = node.op_as::<TypedBinOp>() {
            return self.binary(node, binary);
        }
        if node.op_is::<DequantizeLinearF32>() {
            return Ok((Kind::Concat, vec![self.bytes(outlet)?]));
        }
        Err(format!("{} has no integer form", node.op.name()).into())
    }

    fn binary(&self, node: &TypedNode, binary: &TypedBinOp) -> Result<(Kind, Vec<(OutletId, Steps)>), Reason> {
        let inputs = [self.input(node, 0)?, self.input(node, 1)?];
        let constants = inputs.map(|outlet| self.constant(outlet, CONSTANT_DEPTH));
        if binary.0.is::<Add>() {
            let (term, bias) = match (inputs, constants) {
                (_, [None, None]) => {
                    let sources = vec![self.source(node, 0)?, self.source(node, 1)?];
                    if self.map(inputs[0])? != self.map(inputs[1])? {
                        return Err("it adds maps of different sizes".into());
                    }
                    return Ok((Kind::Add, sources));
                }
                ([term, _], [None, Some(bias)]) | ([_, term], [Some(bias), None]) => (term, bias),
                _ => return Err("it adds constants".into()),
            };
            let product = self.node(term)?;
            let Some(einsum) = product.op_as::<EinSum>() else {
                return Err("it adds a constant to something other than a matrix product".into());
            };
            return self.linear(product, einsum, Some(bias));
        }
        // A mean: a sum over rows and columns, divided by their number.
        let divided = binary.0.is::<Div>();
        let ([sum, _], [None, Some(factor)]) = (inputs, constants) else {
            return Err(format!("{} has no integer form", node.op.name()).into());
        };
        let sum = self.node(sum)?;
        let (Some(reduce), true) = (sum.op_as::<Reduce>(), divided || binary.0.is::<Mul>()) else {
            return Err(format!("{} with a constant has no integer form", node.op.name()).into());
        };
        let (_, map) = self.map(self.input(sum, 0)?)?;
        let factor = scalar(&factor).map(|factor| if divided { factor.recip() } else { factor });
        let mean = factor.is_some_and(|factor| (factor * map.pixels() as f64 - 1.0).abs() < 1e-6);
        if reduce.reducer != Reducer::Sum || reduce.axes.as_slice() != [2, 3] || !mean {
            return Err("it reduces other than to the mean of every channel".into());
        }
        Ok((Kind::Mean, vec![self.source(sum, 0)?]))
    }

    fn conv(&self, node: &TypedNode, conv: &Conv) -> Result<(Kind, Vec<(OutletId, Steps)>), Reason> {
        if conv.q_params.is_some() || conv.kernel_fmt != KernelFormat::OIHW {
            return Err("a convolution of another kind than ONNX has".into());
        }
        let [inputs, outputs] = [conv.input_channels(), conv.output_channels()];
        let depthwise = conv.group != 1;
        if depthwise && (conv.group != inputs || inputs != outputs) {
            return Err(format!("a convolution in {} groups of {inputs} channels", conv.group).into());
        }
        let (_, map) = self.map(self.input(node, 0)?)?;
        let window = window(&conv.pool_spec, map)?;
        let (bytes, scales) = self.weights(self.input(node, 1)?, 0)?;
        let bias = self.constant(self.input(node, 2)?, CONSTANT_DEPTH).ok_or("its bias is not a constant")?;
        let weights = Weights { bytes, scales, bias };
        Ok((Kind::Conv { weights, window, depthwise }, vec![self.source(node, 0)?]))
    }

    fn linear(
        &self,
        node: &TypedNode,
        einsum: &EinSum,
        bias: Option<Arc<Tensor>>,
    ) -> Result<(Kind, Vec<(OutletId, Steps)>), Reason> {
        let two = [2, 2] == [0, 1].map(|input| einsum.axes.rank(InOut::In(input)));
        if einsum.q_params.is_some() || node.inputs.len() != 2 || !two || einsum.axes.rank(InOut::Out(0)) != 2 {
            return Err("a product of other than two matrices".into());
        }
        let place = |(slot, position), of| {
            let axis = einsum.axes.axis((slot, position)).ok()?;
            let places = match of {
                InOut::In(input) => axis.inputs.get(input),
                InOut::Out(output) => axis.outputs.get(output),
            };
            places?.first().copied()
        };
        let summed = place((InOut::In(0), 1), InOut::In(1));
        let rows = place((InOut::In(0), 0), InOut::Out(0));
        let outputs = place((InOut::Out(0), 1), InOut::In(1));
        let (Some(summed), Some(0), Some(outputs)) = (summed, rows, outputs) else {
            return Err("a product of matrices that are turned another way".into());
        };
        let (mut bytes, scales) = self.weights(self.input(node, 1)?, outputs)?;
        if summed == 0 {
            bytes = Arc::new(bytes.as_ref().clone().permute_axes(&[1, 0]).map_err(|error| error.to_string())?);
        }
        let bias = bias.unwrap_or_else(|| rctensor0(0f32));
        Ok((Kind::Linear { weights: Weights { bytes, scales, bias } }, vec![self.source(node, 0)?]))
    }

    /// Symmetric i8 weights with one scale, or one for each place along `axis`.
    fn weights(&self, outlet: OutletId, axis: usize) -> Result<(Arc<Tensor>, Arc<Tensor>), Reason> {
        let node = self.node(outlet)?;
        let dequantize = node.op_as::<DequantizeWeights>().ok_or("its weights are not quantized constants")?;
        let konst = self.0.outlet_fact(self.input(node, 0)?).map_err(|error| error.to_string())?.konst.clone();
        let bytes = konst.filter(|bytes| bytes.datum_type() == i8::datum_type()).ok_or("its weights are not i8")?;
        let zeros = values::<i32>(&dequantize.zero_point).map_err(|error| error.to_string())?;
        if zeros.iter().any(|zero| *zero != 0) {
            return Err("its weights are not symmetric: they have a zero point".into());
        }
        let scales = &dequantize.scale;
        let along = bytes.shape().get(axis).copied();
        if scales.len() != 1 && (dequantize.axis != axis || Some(scales.len()) != along) {
            return Err("the scales of its weights are not by output channel".into());
        }
        Ok((bytes, scales.clone()))
    }

    /// The bytes that a node's input tells as numbers.
    fn source(&self, node: &TypedNode, input: usize) -> Result<(OutletId, Steps), Reason> {
        let mut outlet = self.input(node, input)?;
        while self.keeps_bytes(self.node(outlet)?) {
            outlet = self.input(self.node(outlet)?, 0)?;
        }
        self.bytes(outlet)
    }

    fn bytes(&self, outlet: OutletId) -> Result<(OutletId, Steps), Reason> {
        let node = self.node(outlet)?;
        let Some(dequantize) = node.op_as::<DequantizeLinearF32>() else {
            return Err(format!("it reads {} in floats", node.name).into());
        };
        let bytes = self.input(node, 0)?;
        let fact = self.0.outlet_fact(bytes).map_err(|error| error.to_string())?;
        if fact.datum_type != u8::datum_type() {
            return Err(format!("it reads {:?} instead of u8", fact.datum_type).into());
        }
        // Only what a `QuantizeLinear` has written can be kept in our layout.
        if quantize(self.node(bytes)?).is_none() {
            return Err(format!("it reads bytes of {}", self.node(bytes)?.op.name()).into());
        }
        self.map(bytes)?;
        let zero_point = u8::try_from(dequantize.zero_point).map_err(|_| "a zero point that is no byte")?;
        Ok((bytes, Steps { scale: f64::from(dequantize.scale), zero_point }))
    }

    fn input(&self, node: &TypedNode, input: usize) -> Result<OutletId, Reason> {
        node.inputs.get(input).copied().ok_or_else(|| format!("{} lacks an input", node.name).into())
    }

    /// Whether a node only says otherwise how the same bytes are to be read: a flattened map of one pixel, or a cast
    /// to the same type.
    fn keeps_bytes(&self, node: &TypedNode) -> bool {
        let Some(input) = node.inputs.first() else { return false };
        let (Ok(from), Ok(to)) = (self.0.outlet_fact(*input), self.0.outlet_fact(node.id.into())) else { return false };
        if node.op_is::<Cast>() {
            return from.datum_type == to.datum_type;
        }
        let (Ok((_, before)), Ok((_, after))) = (map(from), map(to)) else { return false };
        node.op_is::<AxisOp>() && before.pixels() == 1 && before == after
    }

    /// What a node clips to a constant.
    fn bound<O: BinMiniOp>(&self, node: &TypedNode) -> Option<(OutletId, f64)> {
        node.op_as::<TypedBinOp>()?.0.downcast_ref::<O>()?;
        let [one, other] = *node.inputs.as_slice() else { return None };
        let bound = |outlet| self.constant(outlet, CONSTANT_DEPTH).and_then(|bound| scalar(&bound));
        bound(other).map(|bound| (one, bound)).or_else(|| bound(one).map(|bound| (other, bound)))
    }

    /// The value of what is computed of constants alone, as f32.
    fn constant(&self, outlet: OutletId, depth: usize) -> Option<Arc<Tensor>> {
        let float = |tensor: Arc<Tensor>| match tensor.datum_type() == f32::datum_type() {
            true => Some(tensor),
            false => tensor.cast_to::<f32>().ok().map(|tensor| tensor.into_owned().into_arc_tensor()),
        };
        if let Some(konst) = &self.0.outlet_fact(outlet).ok()?.konst {
            return float(konst.clone());
        }
        let node = self.node(outlet).ok()?;
        let depth = depth.checked_sub(1)?;
        if let Some(dequantize) = node.op_as::<DequantizeWeights>() {
            let weights = self.0.outlet_fact(*node.inputs.first()?).ok()?.konst.clone()?;
            return dequantize.fold(&weights).ok().map(Tensor::into_arc_tensor);
        }
        if !(node.op_is::<Cast>() || node.op_is::<AxisOp>() || node.op_is::<TypedBinOp>()) {
            return None;
        }
        let inputs = node.inputs.iter().map(|input| Some(self.constant(*input, depth)?.into_tvalue()));
        let values = node.op.eval_out_of_plan(inputs.collect::<Option<_>>()?).ok()??;
        float(values.into_iter().next()?.into_arc_tensor())
    }
}

/// The one value of a tensor.
fn scalar(tensor: &Tensor) -> Option<f64> {
    match values::<f32>(tensor).ok()? {
        [value] => Some(f64::from(*value)),
        _ => None,
    }
}

fn window(spec: &PoolSpec, input: Map) -> Result<Window, Reason> {
    let two = spec.rank() == 2 && spec.data_format == DataFormat::NCHW;
    let sides = two.then(|| spec.computed_padding(&[input.height, input.width]));
    let pair = |values: &[usize]| <[usize; 2]>::try_from(values).map_err(|_| Reason::from("a window that is not flat"));
    let Some([rows, columns]) = sides.as_deref() else { return Err("a window that is not flat".into()) };
    Ok(Window {
        kernel: pair(&spec.kernel_shape)?,
        stride: pair(&spec.strides())?,
        dilation: pair(&spec.dilations())?,
        before: [rows.pad_before, columns.pad_before],
    })
}
