//! The network itself, run by tract on the CPU.

use std::sync::Arc;

use thiserror::Error;
use tract_onnx::prelude::*;

use super::{ClassMap, Outputs};
use crate::preprocess::{InputGeometry, InputTensor};
use crate::verdict::Logits;

/// The network did not load or did not run.
#[derive(Debug, Error)]
#[error("the model {doing}: {detail}")]
pub struct EngineError {
    doing: &'static str,
    detail: String,
}

impl EngineError {
    fn new(doing: &'static str) -> impl Fn(TractError) -> Self {
        // The alternate form has the whole chain of causes on one line.
        move |error| Self { doing, detail: format!("{error:#}") }
    }
}

/// A network prepared for one input size; cheap to clone, usable from several threads at once.
#[derive(Clone)]
pub struct Engine {
    plan: Arc<TypedRunnableModel>,
    places: Places,
}

/// Where each output that a unit reads stands among those of the file; others are passed over.
#[derive(Clone, Copy)]
struct Places {
    logits: usize,
    map: Option<usize>,
    distance: Option<usize>,
}

impl Places {
    fn of(model: &InferenceModel) -> TractResult<Self> {
        let names: Vec<Option<&str>> = model.outputs.iter().map(|outlet| model.outlet_label(*outlet)).collect();
        let place = |name| names.iter().position(|found| *found == Some(name));
        let logits = place("logits").ok_or_else(|| TractError::msg(format!("its outputs {names:?} lack logits")))?;
        Ok(Self { logits, map: place("map"), distance: place("distance") })
    }

    /// Refuses outputs of another shape or type before anything relies on them.
    fn check(&self, model: &TypedModel) -> TractResult<()> {
        let fits = |place: usize, wanted: &dyn Fn(&[usize]) -> bool, what| {
            let fact = model.output_fact(place)?;
            let fits = fact.datum_type == f32::datum_type() && fact.shape.as_concrete().is_some_and(wanted);
            if fits { Ok(()) } else { Err(TractError::msg(format!("its output {fact:?} is not {what}"))) }
        };
        fits(self.logits, &|shape| shape == [1, 3], "three logits")?;
        if let Some(map) = self.map {
            fits(map, &|shape| matches!(shape, [1, 3, _, _]), "a map of three classes")?;
        }
        self.distance.map_or(Ok(()), |place| fits(place, &|shape| shape == [1, 1], "one distance"))
    }
}

/// One step of the network as it was prepared.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'n> {
    /// Its name in the network's file, or what it was made into.
    pub name: &'n str,
    /// What it does.
    pub operator: &'n str,
}

impl Engine {
    /// Reads ONNX bytes and prepares them for `[1, 3, height, width]` inputs. The file's outputs are `logits` `[1, 3]`
    /// and, where it has them, `map` `[1, 3, h, w]` and `distance` `[1, 1]`; all f32.
    ///
    /// # Errors
    /// [`EngineError`] when the bytes are not ONNX, an operator is unknown, or the shapes are others.
    pub fn load(onnx: &[u8], input: &InputGeometry) -> Result<Self, EngineError> {
        let shape = [1, 3, input.height as usize, input.width as usize];
        let load = || -> TractResult<_> {
            let model = tract_onnx::onnx().model_for_read(&mut &*onnx)?.with_input_fact(0, f32::fact(shape).into())?;
            let places = Places::of(&model)?;
            let model = model.into_optimized()?;
            places.check(&model)?;
            Ok(Self { plan: model.into_runnable()?, places })
        };
        load().map_err(EngineError::new("cannot be loaded"))
    }

    /// Whether [`Outputs::distance`] is told.
    pub fn tells_distance(&self) -> bool {
        self.places.distance.is_some()
    }

    /// Runs the network on one radiograph.
    ///
    /// # Errors
    /// [`EngineError`] when the tensor has another size than the manifest says, or the network fails.
    pub fn infer(&self, tensor: &InputTensor) -> Result<Outputs, EngineError> {
        self.walk(tensor, &mut |_| {})
    }

    /// As [`Self::infer`], layer by layer: `done` hears of each layer when it was computed.
    ///
    /// # Errors
    /// As [`Self::infer`].
    pub fn walk(&self, tensor: &InputTensor, done: &mut dyn FnMut(Layer<'_>)) -> Result<Outputs, EngineError> {
        let mut infer = || -> TractResult<Outputs> {
            let planes = tensor.plane.repeat(3);
            let input = Tensor::from_shape(&[1, 3, tensor.height, tensor.width], &planes)?;
            let outputs =
                self.plan.spawn()?.run_plan_with_eval(tvec!(input.into()), |context, state, node, inputs| {
                    let outputs = match state {
                        Some(state) => state.eval(context, node.op.as_op(), inputs),
                        None => node.op.eval(context, inputs),
                    };
                    done(Layer { name: &node.name, operator: &node.op.name() });
                    outputs
                })?;
            let values = |place: usize| -> TractResult<(Vec<usize>, Vec<f32>)> {
                let output = outputs.get(place).ok_or_else(|| TractError::msg(format!("it has no output {place}")))?;
                let view = output.to_plain_array_view::<f32>()?;
                Ok((view.shape().to_vec(), view.iter().copied().collect()))
            };
            let (_, logits) = values(self.places.logits)?;
            let logits =
                <[f32; 3]>::try_from(logits).map_err(|all| TractError::msg(format!("{} logits", all.len())))?;
            let map = self.places.map.map(values).transpose()?.and_then(|(shape, values)| match *shape {
                [_, _, height, width] => ClassMap::new(width, height, values),
                _ => None,
            });
            let distance =
                self.places.distance.map(values).transpose()?.and_then(|(_, values)| values.first().copied());
            Ok(Outputs { logits: Logits(logits), map, distance })
        };
        infer().map_err(EngineError::new("cannot be run"))
    }
}
