//! Reading ONNX so that quantized weights stay bytes.
//!
//! tract's own reader turns the `DequantizeLinear` of a constant into an f32 constant while it finds out the shapes,
//! before anyone sees a typed model: the bytes and their scales are gone, and the weights four times as large. Here
//! that operator becomes a [`DequantizeWeights`] which nothing folds; [`Int8`](crate::Int8) takes the bytes out of it,
//! or folds it after all where the layer stays in floats.

use std::sync::Arc;

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::quant::DequantizeLinearF32;
use tract_onnx::tract_hir::infer::{Solver, TensorProxy, check_input_arity, check_output_arity};
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};

/// tract's ONNX reader, with quantized weights kept as bytes for [`Int8`](crate::Int8).
pub fn onnx() -> Onnx {
    let mut onnx = tract_onnx::onnx();
    onnx.op_register.insert("DequantizeLinear", dequantize_linear);
    onnx
}

fn dequantize_linear(_: &ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let blocks: i64 = node.get_attr_opt("block_size")?.unwrap_or(0);
    ensure!(blocks == 0, "{}: DequantizeLinear in blocks is not supported", node.name);
    let axis = node.get_attr_opt("axis")?.unwrap_or(1);
    let zero_point = node.input.len() == 3;
    Ok((expand(DequantizeLinear { axis, zero_point }), vec![]))
}

#[derive(Clone, Debug)]
struct DequantizeLinear {
    axis: i64,
    zero_point: bool,
}

impl Expansion for DequantizeLinear {
    fn name(&self) -> StaticName {
        "DequantizeLinear".into()
    }

    /// What keeps the analysis from folding it.
    fn runs_out_of_plan(&self) -> bool {
        false
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2 + usize::from(self.zero_point))?;
        check_output_arity(outputs, 1)?;
        let ([input, scale, ..], [output]) = (inputs, outputs) else { bail!("DequantizeLinear needs a scale") };
        solver.equals(&scale.datum_type, f32::datum_type())?;
        solver.equals(&output.datum_type, f32::datum_type())?;
        if let [_, _, zero_point] = inputs {
            solver.equals(&input.datum_type, &zero_point.datum_type)?;
        }
        solver.equals(&input.shape, &output.shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let [input, scale, ..] = *inputs else { bail!("DequantizeLinear needs a scale") };
        let fact = model.outlet_fact(input)?.clone();
        let constant = |outlet: OutletId, what| model.outlet_fact(outlet)?.konst.clone().context(what);
        let scale = constant(scale, "the scale of DequantizeLinear must be a constant")?;
        let zero_point = match inputs {
            [_, _, zero_point] => {
                let zero_point = constant(*zero_point, "the zero point of DequantizeLinear must be a constant")?;
                zero_point.cast_to::<i32>()?.into_owned().into_arc_tensor()
            }
            _ => rctensor0(0i32),
        };
        let axis = if self.axis < 0 { self.axis + fact.rank() as i64 } else { self.axis };
        ensure!(scale.len() == 1 || (0..fact.rank() as i64).contains(&axis), "DequantizeLinear along axis {axis}");
        let weights = DequantizeWeights { scale, zero_point, axis: axis as usize };
        if let Some(konst) = &fact.konst {
            // tract's convolution calls a node `NAME.bias`, and so may the file: these take names of their own.
            let name = model.unique_name(format!("{prefix}.dequantized")).into_owned();
            return match konst.datum_type() {
                DatumType::I8 | DatumType::U8 => model.wire_node(name, weights, &[input]),
                _ => Ok(tvec!(model.add_const(name, weights.fold(konst)?)?)),
            };
        }
        if weights.scale.len() == 1 && weights.zero_point.len() == 1 {
            let scale = *values::<f32>(&weights.scale)?.first().context("no scale")?;
            let zero_point = *values::<i32>(&weights.zero_point)?.first().context("no zero point")?;
            return model.wire_node(prefix, DequantizeLinearF32::new(scale, zero_point), &[input]);
        }
        // Activations with a scale for each channel: nothing that we take over, and tract has no operator for it.
        use tract_onnx::tract_core::ops::{cast::cast, math};
        let [scale, zero_point] = weights.along_axis(fact.rank())?;
        let scale = model.add_const(format!("{prefix}.scale"), scale)?;
        let zero_point = model.add_const(format!("{prefix}.zero_point"), zero_point)?;
        let number = model.wire_node(format!("{prefix}.cast"), cast(f32::datum_type()), &[input])?;
        let number = [number.as_slice(), &[zero_point]].concat();
        let number = model.wire_node(format!("{prefix}.sub"), math::sub(), &number)?;
        model.wire_node(prefix, math::mul(), &[number.as_slice(), &[scale]].concat())
    }
}

/// The values of a tensor in plain memory.
pub(crate) fn values<T: Datum>(tensor: &Tensor) -> TractResult<&[T]> {
    tensor.try_as_plain_ram()?.as_slice::<T>()
}

/// The `DequantizeLinear` of a constant: `(byte - zero_point) * scale`, for all alike or along an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DequantizeWeights {
    pub(crate) scale: Arc<Tensor>,
    pub(crate) zero_point: Arc<Tensor>,
    pub(crate) axis: usize,
}

impl DequantizeWeights {
    /// Scale and zero point as f32, in the shape that broadcasts to the weights.
    fn along_axis(&self, rank: usize) -> TractResult<[Tensor; 2]> {
        let shaped = |tensor: &Tensor| -> TractResult<Tensor> {
            let mut shape = vec![1; rank];
            if let Some(side) = shape.get_mut(self.axis) {
                *side = tensor.len();
            }
            tensor.cast_to::<f32>()?.into_owned().into_shape(&shape)
        };
        Ok([shaped(&self.scale)?, shaped(&self.zero_point)?])
    }

    /// The weights as numbers.
    pub(crate) fn fold(&self, weights: &Tensor) -> TractResult<Tensor> {
        let [scale, zero_point] = self.along_axis(weights.rank())?;
        let mut numbers = weights.cast_to::<f32>()?.into_owned();
        let mut view = numbers.try_as_plain_ram_mut()?;
        let mut view = view.to_array_view_mut::<f32>()?;
        view -= &zero_point.to_plain_array_view::<f32>()?;
        view *= &scale.to_plain_array_view::<f32>()?;
        Ok(numbers)
    }
}

impl Op for DequantizeWeights {
    fn name(&self) -> StaticName {
        "DequantizeWeights".into()
    }

    op_as_typed_op!();
}

impl EvalOp for DequantizeWeights {
    not_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let weights = args_1!(inputs);
        Ok(tvec!(self.fold(&weights)?.into_tvalue()))
    }
}

impl TypedOp for DequantizeWeights {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let weights = inputs.first().context("no weights")?;
        Ok(tvec!(f32::datum_type().fact(weights.shape.clone())))
    }

    as_op!();
}
