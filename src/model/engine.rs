//! The network itself, run by tract on the CPU.

use std::sync::Arc;

use thiserror::Error;
use tract_onnx::prelude::*;

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
}

impl Engine {
    /// Reads ONNX bytes and prepares them for `[1, 3, height, width]` inputs and `[1, 3]` outputs.
    ///
    /// # Errors
    /// [`EngineError`] when the bytes are not ONNX, an operator is unknown, or the shapes are others.
    pub fn load(onnx: &[u8], input: &InputGeometry) -> Result<Self, EngineError> {
        let shape = [1, 3, input.height as usize, input.width as usize];
        let load = || -> TractResult<_> {
            let model = tract_onnx::onnx()
                .model_for_read(&mut &*onnx)?
                .with_input_fact(0, f32::fact(shape).into())?
                .into_optimized()?;
            let output = model.output_fact(0)?;
            if output.shape.as_concrete() != Some(&[1, 3]) {
                return Err(TractError::msg(format!("its output is {output:?}, not three logits")));
            }
            model.into_runnable()
        };
        Ok(Self { plan: load().map_err(EngineError::new("cannot be loaded"))? })
    }

    /// Runs the network on one radiograph.
    ///
    /// # Errors
    /// [`EngineError`] when the tensor has another size than the manifest says, or the network fails.
    pub fn infer(&self, tensor: &InputTensor) -> Result<Logits, EngineError> {
        let infer = || -> TractResult<Logits> {
            let planes = tensor.plane.repeat(3);
            let input = Tensor::from_shape(&[1, 3, tensor.height, tensor.width], &planes)?;
            let outputs = self.plan.run(tvec!(input.into()))?;
            let output = outputs.first().ok_or_else(|| TractError::msg("it has no output"))?;
            let logits: Vec<f32> = output.to_plain_array_view::<f32>()?.iter().copied().collect();
            let logits =
                <[f32; 3]>::try_from(logits).map_err(|all| TractError::msg(format!("{} outputs", all.len())))?;
            Ok(Logits(logits))
        };
        infer().map_err(EngineError::new("cannot be run"))
    }
}
