//! The small kernels beside the scalar ones; those with weights are tested with their layers.

use proptest::prelude::*;

use super::*;
use crate::map::Steps;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(255)], 0..200)
}

/// `QNN_KERNELS` is what a script that runs these tests on a processor of its choice counts on.
#[test]
fn the_kernels_that_a_processor_is_known_for_are_had_and_the_scalar_one_is_everywhere() {
    let names: Vec<_> = Kernel::available().into_iter().map(Kernel::name).collect();
    assert_eq!(names.last(), Some(&"scalar"));
    if let Ok(wanted) = std::env::var("QNN_KERNELS") {
        assert_eq!(names.join(" "), wanted);
    }
}

proptest! {
    #[test]
    fn sums_of_maps_are_those_of_the_scalar_kernel(
        one in bytes(), other in bytes(), zeros: [u8; 2], scales in prop::array::uniform2(0.0f32..4.0), zero_point: u8,
    ) {
        let bounds = Bounds::of(Steps { scale: 0.1, zero_point }, f64::NEG_INFINITY, f64::INFINITY);
        let sum = Sum { zeros, scales, bounds };
        let length = one.len().min(other.len());
        let run = |kernel: Kernel| {
            let mut out = vec![0; length];
            kernel.add(&sum, &one[..length], &other[..length], &mut out);
            out
        };
        for kernel in Kernel::available() {
            prop_assert_eq!(run(kernel), run(Kernel::SCALAR), "{}", kernel);
        }
    }

    #[test]
    fn bytes_of_numbers_are_those_of_the_scalar_kernel(
        numbers in prop::collection::vec(prop_oneof![-40.0f32..40.0, any::<f32>()], 0..200),
        per_step in 0.01f32..100.0, zero_point: u8,
    ) {
        let bounds = Bounds::of(Steps { scale: 0.1, zero_point }, f64::NEG_INFINITY, f64::INFINITY);
        let run = |kernel: Kernel| {
            let mut out = vec![0; numbers.len()];
            kernel.quantize(per_step, bounds, &numbers, &mut out);
            out
        };
        for kernel in Kernel::available() {
            prop_assert_eq!(run(kernel), run(Kernel::SCALAR), "{}", kernel);
        }
    }

    #[test]
    fn maxima_and_sums_of_bytes_are_those_of_the_scalar_kernel(one in bytes(), other in bytes()) {
        let run = |kernel: Kernel| {
            let (mut largest, mut sums) = (one.clone(), vec![7; other.len()]);
            kernel.max(&mut largest, &other);
            kernel.accumulate(&mut sums, &one);
            (largest, sums)
        };
        for kernel in Kernel::available() {
            prop_assert_eq!(run(kernel), run(Kernel::SCALAR), "{}", kernel);
        }
    }
}
