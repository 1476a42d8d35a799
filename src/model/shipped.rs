//! The model that is part of the program, so that a fresh unit can read before anyone has installed anything.

use super::ModelFiles;

/// The shipped model's files, from `models/` at build time.
pub fn shipped() -> ModelFiles {
    ModelFiles {
        manifest: include_str!("../../models/chestlight-lite0.toml").to_owned(),
        onnx: include_bytes!("../../models/chestlight-lite0.onnx").as_slice().into(),
    }
}
