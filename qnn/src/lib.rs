//! Runs quantized networks of 8 bits in integers, inside tract.
//!
//! tract reads a network in the QDQ form (u8 activations with a zero point, i8 weights by output channel, as
//! `onnxruntime.quantization` and chestlight's trainer write it) but computes it in floats: weights are unfolded to
//! f32 and every activation is quantized and dequantized again. [`Int8`] rewrites such a graph so that everything
//! between the first `QuantizeLinear` and the last `DequantizeLinear` stays bytes.
//!
//! ```
//! # fn main() -> tract_onnx::prelude::TractResult<()> {
//! # let onnx = include_bytes!("../../models/chestlight-lite0.onnx");
//! use chestlight_qnn::Int8;
//! use tract_onnx::prelude::*;
//!
//! let typed = chestlight_qnn::onnx() // instead of tract_onnx::onnx()
//!     .model_for_read(&mut onnx.as_slice())?
//!     .with_input_fact(0, f32::fact([1, 3, 224, 224]).into())?
//!     .into_typed()?;
//! let (integers, report) = Int8::default().apply(&typed)?;
//! assert!(report.is_complete(), "{report}");
//! let plan = integers.into_optimized()?.into_runnable()?;
//! # let _ = plan;
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    not(feature = "tract"),
    allow(dead_code, unused_imports, reason = "the rest of the crate is what uses the layers")
)]

#[cfg(feature = "tract")]
mod floats;
#[cfg(feature = "tract")]
mod front;
mod kernel;
mod layer;
mod map;
#[cfg(feature = "tract")]
mod op;
#[cfg(feature = "tract")]
mod recognise;
mod report;
mod rounding;
#[cfg(feature = "tract")]
mod shelf;
mod team;
#[cfg(feature = "tract")]
mod transform;

#[cfg(feature = "tract")]
pub use floats::in_floats;
#[cfg(feature = "tract")]
pub use front::{DequantizeWeights, onnx};
pub use kernel::Kernel;
pub use report::{Left, Report, Taken};
pub use team::Team;
#[cfg(feature = "tract")]
pub use transform::Int8;
