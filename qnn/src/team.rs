//! The threads that share the work of one network.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder, Yield};

use crate::layer::Misfit;

/// A fixed number of threads; cheap to clone. Several networks may share one and then take turns.
#[derive(Clone, Debug, Default)]
pub struct Team {
    /// Nothing where the calling thread works alone.
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    pool: ThreadPool,
    /// Held by the run whose turn it is: of two at once, each could have a thread that waits for the other one.
    turn: Mutex<()>,
}

/// Lets the others go when the work has ended, also by a panic.
struct Dismissed<'a>(&'a AtomicBool);

impl Drop for Dismissed<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

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
        Ok(Self { shared: Some(Arc::new(Shared { pool, turn: Mutex::default() })) })
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.shared.as_ref().map_or(1, |shared| shared.pool.current_num_threads())
    }

    /// Does something on a thread of the team while the others stand by: to fall asleep and be woken for every layer
    /// would cost them as much as a layer's work. A whole run belongs in one call, which waits for those before it.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        let Some(Shared { pool, turn }) = self.shared.as_deref() else { return work() };
        if pool.current_thread_index().is_some() {
            return work();
        }
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let done = AtomicBool::new(false);
        pool.scope(|scope| {
            let (worker, done) = (rayon::current_thread_index(), &done);
            // By broadcast, because a thread that waits for the others must never take up another one's standing by.
            scope.spawn_broadcast(move |_, context| {
                while Some(context.index()) != worker && !done.load(Ordering::Acquire) {
                    if rayon::yield_now() != Some(Yield::Executed) {
                        std::thread::yield_now();
                    }
                }
            });
            let _dismissed = Dismissed(done);
            work()
        })
    }

    /// Splits `out` into as many pieces as there are threads, of whole units of `unit` bytes; `work` gets the number of a
    /// piece's first unit.
    pub(crate) fn split(
        &self,
        out: &mut [u8],
        unit: usize,
        work: impl Fn(usize, &mut [u8]) -> Result<(), Misfit> + Sync,
    ) -> Result<(), Misfit> {
        let units = (out.len() / unit.max(1)).div_ceil(self.threads()).max(1);
        let pieces = out.chunks_mut(units * unit).enumerate();
        self.each(pieces, |(piece, out)| work(piece * units, out)).map(|_| ())
    }

    /// Splits `count` things into as many runs as there are threads, and gives what `work` makes of each, in their order.
    pub(crate) fn share<R: Send>(
        &self,
        count: usize,
        work: impl Fn(Range<usize>) -> Result<R, Misfit> + Sync,
    ) -> Result<Vec<R>, Misfit> {
        let threads = self.threads();
        let start = |run: usize| count * run / threads;
        self.each((0..threads).map(|run| start(run)..start(run + 1)).filter(|run| !run.is_empty()), work)
    }

    /// What `work` makes of each item, in their order.
    ///
    /// Each is a job that waits for no other one. A thread that waited within its job, as rayon's `join` does, could take
    /// up the standing by of its run there, and the run would wait for that job for good.
    fn each<T: Send, R: Send>(
        &self,
        items: impl Iterator<Item = T>,
        work: impl Fn(T) -> Result<R, Misfit> + Sync,
    ) -> Result<Vec<R>, Misfit> {
        let Some(Shared { pool, .. }) = self.shared.as_deref() else { return items.map(work).collect() };
        let items: Vec<T> = items.collect();
        let mut made: Vec<_> = items.iter().map(|_| Err(Misfit)).collect();
        let work = &work;
        pool.in_place_scope(|scope| {
            for (item, made) in items.into_iter().zip(&mut made) {
                scope.spawn(move |_| *made = work(item));
            }
        });
        made.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_beside_and_within_each_other_end_and_share_their_work() {
        let team = Team::new(3).unwrap();
        let doubled = |from: u8| {
            let mut bytes = vec![from; 1000];
            let split = team.split(&mut bytes, 10, |_, bytes| {
                bytes.iter_mut().for_each(|byte| *byte *= 2);
                Ok(())
            });
            split.unwrap();
            assert_eq!(bytes, vec![2 * from; 1000]);
        };
        std::thread::scope(|scope| {
            for from in 0..8 {
                let (team, doubled) = (&team, &doubled);
                scope.spawn(move || (0..10).for_each(|_| team.run(|| team.run(|| doubled(from)))));
            }
        });
    }

    #[test]
    fn a_panic_in_a_run_lets_the_others_go() {
        let team = Team::new(2).unwrap();
        let panics = || team.run(|| panic!("as it should"));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).unwrap_err();
        assert_eq!(team.run(|| 1), 1);
    }
}
