//! The network itself: on the CPU in integers by `chestlight-qnn` where its file is quantized, else by tract; and on a
//! GPU where that is asked for.

use std::num::NonZeroUsize;
use std::sync::Arc;

use chestlight_qnn::{Int8, Report, Team, in_floats};
use thiserror::Error;
use tract_onnx::prelude::*;

use super::offload::Offload;
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

/// What runs a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// [`Qnn`](Self::Qnn) where it can run every quantized layer of the network, else [`Tract`](Self::Tract).
    #[default]
    Auto,
    /// tract, in floats.
    Tract,
    /// `chestlight-qnn`, in integers of 8 bits.
    Qnn,
    /// tract on an NVIDIA GPU, in floats; [`Auto`](Self::Auto) takes over whenever the GPU fails.
    Cuda,
}

/// How a network shall be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// What runs it.
    pub kind: EngineKind,
    /// Threads that share the work of one radiograph; only `chestlight-qnn` has more than one.
    pub threads: NonZeroUsize,
}

impl Default for EngineOptions {
    /// [`EngineKind::Auto`] on one thread.
    fn default() -> Self {
        Self { kind: EngineKind::Auto, threads: NonZeroUsize::MIN }
    }
}

/// A network prepared for one input size; cheap to clone, usable from several threads at once.
#[derive(Clone)]
pub struct Engine {
    plan: Arc<TypedRunnableModel>,
    places: Places,
    team: Team,
    kind: EngineKind,
    layers: Arc<Report>,
    offload: Option<Arc<Offload>>,
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

    /// What a unit reads of the network's outputs.
    fn outputs(&self, outputs: &[TValue]) -> TractResult<Outputs> {
        let values = |place: usize| -> TractResult<(Vec<usize>, Vec<f32>)> {
            let output = outputs.get(place).ok_or_else(|| TractError::msg(format!("it has no output {place}")))?;
            let view = output.to_plain_array_view::<f32>()?;
            Ok((view.shape().to_vec(), view.iter().copied().collect()))
        };
        let (_, logits) = values(self.logits)?;
        let logits = <[f32; 3]>::try_from(logits).map_err(|all| TractError::msg(format!("{} logits", all.len())))?;
        let map = self.map.map(values).transpose()?.and_then(|(shape, values)| match *shape {
            [_, _, height, width] => ClassMap::new(width, height, values),
            _ => None,
        });
        let distance = self.distance.map(values).transpose()?.and_then(|(_, values)| values.first().copied());
        Ok(Outputs { logits: Logits(logits), map, distance })
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
    /// As [`load_with`](Self::load_with), by default.
    ///
    /// # Errors
    /// As [`load_with`](Self::load_with).
    pub fn load(onnx: &[u8], input: &InputGeometry) -> Result<Self, EngineError> {
        Self::load_with(onnx, input, &EngineOptions::default())
    }

    /// Reads ONNX bytes and prepares them for `[1, 3, height, width]` inputs. The file's outputs are `logits` `[1, 3]`
    /// and, where it has them, `map` `[1, 3, h, w]` and `distance` `[1, 1]`; all f32.
    ///
    /// # Errors
    /// [`EngineError`] when the bytes are not ONNX, an operator is unknown, or the shapes are others; and where
    /// [`EngineKind::Qnn`] is asked for, when not every layer can be run in integers. A GPU that cannot be used is no
    /// error: the CPU runs the network, and [`Self::offload_wrong`] says why.
    pub fn load_with(onnx: &[u8], input: &InputGeometry, options: &EngineOptions) -> Result<Self, EngineError> {
        let shape = [1, 3, input.height as usize, input.width as usize];
        let read = |reader: tract_onnx::Onnx| -> TractResult<(Places, TypedModel)> {
            let model = reader.model_for_read(&mut &*onnx)?.with_input_fact(0, f32::fact(shape).into())?;
            Ok((Places::of(&model)?, model.into_typed()?))
        };
        let load = || -> TractResult<_> {
            let team = Team::new(options.threads.get())?;
            let mut layers = Report::default();
            let mut integers = None;
            if options.kind != EngineKind::Tract {
                let (places, typed) = read(chestlight_qnn::onnx())?;
                let model;
                (model, layers) = Int8::default().with_team(team.clone()).apply(&typed)?;
                integers = layers.is_complete().then_some((places, model));
            }
            let kind = match (options.kind, &integers) {
                (EngineKind::Cuda, _) => EngineKind::Cuda,
                (_, Some(_)) => EngineKind::Qnn,
                (_, None) => EngineKind::Tract,
            };
            if kind != options.kind && options.kind == EngineKind::Qnn {
                return Err(TractError::msg(format!("it cannot be run in integers: {layers}")));
            }
            let (places, model) = integers.map_or_else(|| read(tract_onnx::onnx()), Ok)?;
            let model = model.into_optimized()?;
            places.check(&model)?;
            let offload = match kind {
                // The file's outputs stand in the same places whoever runs it.
                EngineKind::Cuda => Some(Arc::new(Offload::load(in_floats(read(tract_onnx::onnx())?.1)?))),
                _ => None,
            };
            Ok(Self { plan: model.into_runnable()?, places, team, kind, layers: Arc::new(layers), offload })
        };
        load().map_err(EngineError::new("cannot be loaded"))
    }

    /// What runs it; never [`EngineKind::Auto`].
    pub fn kind(&self) -> EngineKind {
        self.kind
    }

    /// Which layers can be run in integers, and which quantized ones cannot and why; empty when
    /// [`EngineKind::Tract`] was asked for.
    pub fn layers(&self) -> &Report {
        &self.layers
    }

    /// What is wrong with the GPU; `None` while it answers, and where none is used.
    pub fn offload_wrong(&self) -> Option<String> {
        self.offload.as_ref().and_then(|offload| offload.wrong())
    }

    /// Leaves the GPU alone until the next start.
    pub fn give_up_offload(&self, wrong: String) {
        if let Some(offload) = &self.offload {
            offload.give_up(wrong);
        }
    }

    /// The same network on the CPU alone; `None` where it runs on no other.
    pub fn on_cpu(&self) -> Option<Self> {
        self.offload.as_ref().map(|_| Self { offload: None, ..self.clone() })
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
        let offloaded = || -> TractResult<Option<Outputs>> {
            let Some(offload) = &self.offload else { return Ok(None) };
            let outputs = offload.run(&input_of(tensor)?);
            outputs.map(|outputs| self.places.outputs(&outputs)).transpose()
        };
        match offloaded() {
            Ok(Some(outputs)) => Ok(outputs),
            Ok(None) => self.walk(tensor, &mut |_| {}),
            Err(error) => {
                self.give_up_offload(format!("{error:#}"));
                self.walk(tensor, &mut |_| {})
            }
        }
    }

    /// As [`Self::infer`], but on the CPU and layer by layer: `done` hears of each layer when it was computed.
    ///
    /// # Errors
    /// As [`Self::infer`].
    pub fn walk(&self, tensor: &InputTensor, done: &mut (dyn FnMut(Layer<'_>) + Send)) -> Result<Outputs, EngineError> {
        let mut infer = || -> TractResult<Outputs> {
            let input = tvec!(input_of(tensor)?.into());
            let outputs = self.team.run(|| {
                self.plan.spawn()?.run_plan_with_eval(input, |context, state, node, inputs| {
                    let outputs = match state {
                        Some(state) => state.eval(context, node.op.as_op(), inputs),
                        None => node.op.eval(context, inputs),
                    };
                    done(Layer { name: &node.name, operator: &node.op.name() });
                    outputs
                })
            })?;
            self.places.outputs(&outputs)
        };
        infer().map_err(EngineError::new("cannot be run"))
    }
}

/// The network's input: the grey plane three times.
fn input_of(tensor: &InputTensor) -> TractResult<Tensor> {
    Tensor::from_shape(&[1, 3, tensor.height, tensor.width], &tensor.plane.repeat(3))
}
