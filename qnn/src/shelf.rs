//! Memory for maps, used again and again.
//!
//! A network writes some megabytes of maps in a few milliseconds. Fresh memory would have to be cleared first, and the
//! system would hand it out page by page; both cost as much as the arithmetic of a layer.

use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::tract_hir::internal::*;

/// Tensors of bytes that were read by everyone who wanted them; the layers of a network share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf(Arc<Mutex<Vec<Arc<Tensor>>>>);

impl Shelf {
    /// A tensor of this shape that `fill` has written. What it held before may be anything, so `fill` writes all of it.
    pub fn filled(&self, shape: &[usize], fill: impl FnOnce(&mut [u8]) -> TractResult<()>) -> TractResult<TValue> {
        let found = {
            let mut tensors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // The last written one first: it is the likeliest to be in a cache.
            let free = |tensor: &Arc<Tensor>| tensor.shape() == shape && Arc::strong_count(tensor) == 1;
            tensors.iter().rposition(free).map(|at| tensors.remove(at))
        };
        let mut tensor = found.map_or_else(|| Tensor::zero::<u8>(shape).map(Arc::new), Ok)?;
        // Nobody else has it: it was taken off the shelf, or is new.
        let bytes = Arc::get_mut(&mut tensor).context("a tensor on the shelf was shared")?;
        fill(bytes.try_as_plain_ram_mut()?.as_slice_mut::<u8>()?)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(tensor.clone());
        Ok(tensor.into_tvalue())
    }
}
