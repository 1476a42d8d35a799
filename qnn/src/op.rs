//! The layers as tract's operators.

use std::sync::Arc;

use tract_onnx::tract_hir::internal::*;

use crate::front::values;
use crate::kernel::Kernel;
use crate::layer::{Enter, Layer, Leave};
use crate::map::Map;
use crate::shelf::Shelf;
use crate::team::Team;

/// A layer between bytes and bytes, which are `[batch, pixels + 1, stride]`.
#[derive(Clone, Debug)]
pub(crate) struct Int8Layer {
    pub layer: Arc<Layer>,
    pub kernel: Kernel,
    pub team: Team,
    pub shelf: Shelf,
}

impl PartialEq for Int8Layer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.layer, &other.layer)
    }
}

impl Eq for Int8Layer {}

impl Op for Int8Layer {
    fn name(&self) -> StaticName {
        self.layer.name().into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let Map { height, width, channels } = self.layer.output();
        Ok(vec![format!("to {height} x {width} x {channels}, {}", self.kernel)])
    }

    op_as_typed_op!();
}

impl EvalOp for Int8Layer {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let batch = inputs.first().and_then(|input| input.shape().first().copied()).context("no input")?;
        let map = self.layer.output();
        let maps = inputs.iter().map(|input| values::<u8>(input)).collect::<TractResult<Vec<_>>>()?;
        let out = self.shelf.filled(&shape(batch, map), |out| {
            for (image, out) in out.chunks_exact_mut(map.bytes()).enumerate() {
                let maps = maps.iter().map(|bytes| {
                    let each = bytes.len() / batch.max(1);
                    bytes.get(image * each..(image + 1) * each).unwrap_or_default()
                });
                self.layer.run(self.kernel, &self.team, &maps.collect::<Vec<_>>(), out)?;
            }
            Ok(())
        })?;
        Ok(tvec!(out))
    }
}

impl TypedOp for Int8Layer {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let batch = inputs.first().and_then(|input| input.shape.first()).context("no input")?;
        Ok(tvec!(u8::fact(shape(batch.to_usize()?, self.layer.output()))))
    }

    as_op!();
}

/// Planes of f32, `[batch, channels]` and what else, to a map.
#[derive(Clone, Debug)]
pub(crate) struct EnterInt8 {
    pub enter: Enter,
    pub kernel: Kernel,
    pub shelf: Shelf,
}

impl PartialEq for EnterInt8 {
    fn eq(&self, other: &Self) -> bool {
        self.enter == other.enter
    }
}

impl Eq for EnterInt8 {}

impl Op for EnterInt8 {
    fn name(&self) -> StaticName {
        "EnterInt8".into()
    }

    op_as_typed_op!();
}

impl EvalOp for EnterInt8 {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let batch = input.shape().first().copied().context("no batch")?;
        let map = self.enter.map;
        let planes = values::<f32>(&input)?.chunks_exact((map.pixels() * map.channels).max(1));
        let out = self.shelf.filled(&shape(batch, map), |out| {
            for (planes, out) in planes.zip(out.chunks_exact_mut(map.bytes())) {
                self.enter.run(self.kernel, planes, out)?;
            }
            Ok(())
        })?;
        Ok(tvec!(out))
    }
}

impl TypedOp for EnterInt8 {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let batch = inputs.first().and_then(|input| input.shape.first()).context("no input")?;
        Ok(tvec!(u8::fact(shape(batch.to_usize()?, self.enter.map))))
    }

    as_op!();
}

/// A map to planes of f32 in the shape that the network says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LeaveInt8 {
    pub leave: Leave,
    pub shape: TVec<usize>,
}

impl Eq for LeaveInt8 {}

impl Op for LeaveInt8 {
    fn name(&self) -> StaticName {
        "LeaveInt8".into()
    }

    op_as_typed_op!();
}

impl EvalOp for LeaveInt8 {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let map = self.leave.map;
        let mut out = Tensor::zero::<f32>(&self.shape)?;
        let maps = values::<u8>(&input)?.chunks_exact(map.bytes());
        let numbers = (map.pixels() * map.channels).max(1);
        for (map, out) in maps.zip(out.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?.chunks_exact_mut(numbers)) {
            self.leave.run(map, out)?;
        }
        Ok(tvec!(out.into_tvalue()))
    }
}

impl TypedOp for LeaveInt8 {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&self.shape)))
    }

    as_op!();
}

fn shape(batch: usize, map: Map) -> [usize; 3] {
    [batch, map.pixels() + 1, map.stride()]
}
