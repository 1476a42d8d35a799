//! aarch64's `sdot`: sums of four products of signed bytes. The bytes of activations are shifted to have a sign.
#![allow(unsafe_code, reason = "loads and stores of vectors go through pointers; one instruction has no stable name")]
#![allow(clippy::indexing_slicing, reason = "`Block` has checked every length and offset when it was made")]

super::aarch64::kernels!("neon,dotprod", [1 2 3 4 5 6], 6);

/// Of four channels each.
type Sums = [int32x4_t; 4];

const SHIFT: i32 = 128;

#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add_products(sums: &mut Sums, x: int8x16_t, weights: &[int8x16_t; 4]) {
    for (sum, weights) in sums.iter_mut().zip(weights) {
        // SAFETY: the instruction reads and writes registers alone, and the function may only be called where the
        // processor has it.
        unsafe {
            std::arch::asm!(
                "sdot {sum:v}.4s, {weights:v}.16b, {x:v}.16b",
                sum = inout(vreg) *sum,
                weights = in(vreg) *weights,
                x = in(vreg) x,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
    }
}

#[inline]
#[target_feature(enable = "neon,dotprod")]
fn gather(sums: &Sums) -> [int32x4_t; 4] {
    *sums
}
