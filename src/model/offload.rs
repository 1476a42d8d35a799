//! The network on a GPU, beside the one on the CPU that answers whenever this one does not.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::runtime::{Runnable, runtime_for_name};

/// After so many failures in a row the GPU is left alone until the next start: each may have cost seconds.
const MOST_FAILURES: u32 = 3;

/// A network prepared for the GPU that tract finds.
pub(super) struct Offload {
    /// Absent where the GPU could not be begun with.
    plan: Option<Box<dyn Runnable>>,
    health: Mutex<Health>,
}

#[derive(Default)]
struct Health {
    /// Failures since the last success.
    failures: u32,
    /// The last of them.
    wrong: Option<String>,
}

impl Offload {
    /// Prepares a network in floats. Where that fails the CPU answers from the beginning; without the cargo feature
    /// `cuda` it always fails.
    pub fn load(model: TypedModel) -> Self {
        let prepare = AssertUnwindSafe(|| -> TractResult<_> {
            // Referred to, so that the linker keeps the crate whose runtime registers itself.
            #[cfg(feature = "gpu")]
            tract_cuda::utils::ensure_cuda_runtime_dependencies("CUDA cannot be used")?;
            let runtime = runtime_for_name("gpu")?.ok_or_else(|| TractError::msg("no GPU can be used"))?;
            runtime.prepare(model.into_decluttered()?)
        });
        let prepared = catch_unwind(prepare).unwrap_or_else(|_| Err(TractError::msg("its library panicked")));
        match prepared {
            Ok(plan) => Self::with(Some(plan)),
            Err(error) => {
                let offload = Self::with(None);
                offload.give_up(format!("{error:#}"));
                offload
            }
        }
    }

    fn with(plan: Option<Box<dyn Runnable>>) -> Self {
        Self { plan, health: Mutex::default() }
    }

    /// What the network says of the input; `None` when the CPU has to be asked.
    ///
    /// A panic of the GPU's library counts as a failure: it has many, where a driver or a kernel misbehaves.
    pub fn run(&self, input: &Tensor) -> Option<TVec<TValue>> {
        let plan = self.plan.as_ref().filter(|_| !self.has_given_up())?;
        let run = AssertUnwindSafe(|| plan.run(tvec!(input.clone().into())));
        let wrong = match catch_unwind(run) {
            Ok(Ok(outputs)) => {
                *self.health() = Health::default();
                return Some(outputs);
            }
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "its library panicked".into(),
        };
        let mut health = self.health();
        health.failures += 1;
        let then =
            if health.failures < MOST_FAILURES { "the CPU reads this film" } else { "the CPU reads from now on" };
        log::warn!("the GPU failed ({wrong}); {then}");
        health.wrong = Some(wrong);
        None
    }

    /// Leaves the GPU alone until the next start.
    pub fn give_up(&self, wrong: String) {
        log::warn!("the GPU is not used: {wrong}");
        *self.health() = Health { failures: MOST_FAILURES, wrong: Some(wrong) };
    }

    /// The last failure since the last success.
    pub fn wrong(&self) -> Option<String> {
        self.health().wrong.clone()
    }

    fn has_given_up(&self) -> bool {
        self.health().failures >= MOST_FAILURES
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offload").field("wrong", &self.wrong()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tract_onnx::tract_core::runtime::State;

    use super::*;

    /// Fails or panics as often as it is told, then doubles.
    #[derive(Clone, Debug)]
    struct Shaky {
        double: Arc<TypedRunnableModel>,
        fails: Arc<AtomicU32>,
        panics: bool,
    }

    impl Runnable for Shaky {
        fn spawn(&self) -> TractResult<Box<dyn State>> {
            if self.fails.load(Ordering::Relaxed) > 0 {
                self.fails.fetch_sub(1, Ordering::Relaxed);
                assert!(!self.panics, "as a library that lost its device");
                return Err(TractError::msg("the device is lost"));
            }
            Runnable::spawn(&self.double)
        }

        fn typed_plan(&self) -> Option<&Arc<TypedSimplePlan>> {
            None
        }

        fn typed_model(&self) -> Option<&Arc<TypedModel>> {
            None
        }
    }

    fn shaky(fails: u32, panics: bool) -> Offload {
        let mut model = TypedModel::default();
        let number = model.add_source("number", f32::fact([1])).unwrap();
        let twice = model.wire_node("twice", tract_onnx::tract_core::ops::math::add(), &[number, number]).unwrap();
        model.select_output_outlets(&twice).unwrap();
        let double = model.into_runnable().unwrap();
        Offload::with(Some(Box::new(Shaky { double, fails: Arc::new(fails.into()), panics })))
    }

    /// What the GPU says of 1; nothing where it does not answer.
    fn answers(offload: &Offload, times: usize) -> Vec<Option<f32>> {
        let one = tensor1(&[1.0f32]);
        let first = |outputs: TVec<TValue>| outputs[0].to_plain_array_view::<f32>().unwrap()[0];
        std::iter::repeat_with(|| offload.run(&one).map(first)).take(times).collect()
    }

    #[test]
    fn a_gpu_that_fails_or_panics_costs_no_reading_and_is_tried_again_three_times() {
        for panics in [false, true] {
            let offload = shaky(2, panics);
            assert_eq!(answers(&offload, 2), [None, None]);
            assert!(offload.wrong().is_some());
            assert_eq!(answers(&offload, 1), [Some(2.0)]);
            assert_eq!(offload.wrong(), None, "it works again");

            let offload = shaky(3, panics);
            assert_eq!(answers(&offload, 5), [None; 5], "it would work, but is left alone");
            assert!(offload.wrong().is_some());
        }
    }

    #[test]
    fn a_gpu_that_was_given_up_is_not_asked() {
        let offload = shaky(0, false);
        offload.give_up("it says something else than the CPU".into());
        assert_eq!(answers(&offload, 1), [None]);
        assert_eq!(offload.wrong().unwrap(), "it says something else than the CPU");
    }
}
