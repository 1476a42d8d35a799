//! aarch64's `usdot`, of the extension i8mm: sums of four products of an unsigned and a signed byte.
#![allow(unsafe_code, reason = "loads and stores of vectors go through pointers; one instruction has no stable name")]
#![allow(clippy::indexing_slicing, reason = "`Block` has checked every length and offset when it was made")]

super::aarch64::kernels!("neon,i8mm", [1 2 3 4 5 6], 6);

/// Of four channels each.
type Sums = [int32x4_t; 4];

const SHIFT: i32 = 0;

#[inline]
#[target_feature(enable = "neon,i8mm")]
fn add_products(sums: &mut Sums, x: int8x16_t, weights: &[int8x16_t; 4]) {
    for (sum, weights) in sums.iter_mut().zip(weights) {
        // SAFETY: the instruction reads and writes registers alone, and the function may only be called where the
        // processor has it.
        unsafe {
            std::arch::asm!(
                "usdot {sum:v}.4s, {x:v}.16b, {weights:v}.16b",
                sum = inout(vreg) *sum,
                x = in(vreg) x,
                weights = in(vreg) *weights,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
    }
}

#[inline]
#[target_feature(enable = "neon,i8mm")]
fn gather(sums: &Sums) -> [int32x4_t; 4] {
    *sums
}
