//! The threads that share the work of one network.

use std::sync::Arc;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::layer::Misfit;

/// A fixed number of threads; cheap to clone. Several networks may share one.
#[derive(Clone, Debug, Default)]
pub struct Team {
    /// Nothing where the calling thread works alone.
    pool: Option<Arc<ThreadPool>>,
}

/// Pieces of work for each thread, so that a slower core leaves some to the others.
const PIECES: usize = 2;

impl Team {
    /// A team of `threads`; 0 and 1 both mean the calling thread alone.
    ///
    /// # Errors
    /// [`ThreadPoolBuildError`] when the system gives no more threads.
    pub fn new(threads: usize) -> Result<Self, ThreadPoolBuildError> {
        if threads <= 1 {
            return Ok(Self::default());
        }
        let pool =
            ThreadPoolBuilder::new().num_threads(threads).thread_name(|number| format!("qnn-{number}")).build()?;
        Ok(Self { pool: Some(Arc::new(pool)) })
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pool.as_ref().map_or(1, |pool| pool.current_num_threads())
    }

    /// Does something on a thread of the team: what a network splits further then needs no hand-over from outside,
    /// so a whole run belongs in one call.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Splits `out` into pieces of whole units of `unit` bytes; `work` gets the number of a piece's first unit.
    pub(crate) fn split(
        &self,
        out: &mut [u8],
        unit: usize,
        work: impl Fn(usize, &mut [u8]) -> Result<(), Misfit> + Sync,
    ) -> Result<(), Misfit> {
        let Some(pool) = &self.pool else { return work(0, out) };
        let units = (out.len() / unit.max(1)).div_ceil(pool.current_num_threads() * PIECES).max(1);
        pool.install(|| {
            let pieces = out.par_chunks_mut(units * unit).enumerate();
            pieces.try_for_each(|(piece, out)| work(piece * units, out))
        })
    }
}
