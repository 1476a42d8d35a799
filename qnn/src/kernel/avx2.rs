//! AVX2, in two ways to multiply bytes: the quick one adds pairs of products in 16 bits, which hold them only where
//! the weights are small enough (`Packed` looks); the other one widens everything to 16 bits first.
#![allow(unsafe_code, reason = "loads and stores of vectors go through pointers")]
#![allow(clippy::needless_range_loop, reason = "sums stay in registers only where loops count")]
#![allow(clippy::indexing_slicing, reason = "`Block` has checked every length and offset when it was made")]

use super::{Block, Bounds, Strip, Sum, scalar};

#[target_feature(enable = "avx2")]
pub(super) fn dense(block: &mut Block<'_>) {
    if block.panels.pairs_fit { pairs::dense(block) } else { words::dense(block) }
}

#[target_feature(enable = "avx2")]
pub(super) fn depthwise(strip: &mut Strip<'_>) {
    if strip.panels.pairs_fit { pairs::depthwise(strip) } else { words::depthwise(strip) }
}

#[target_feature(enable = "avx2")]
pub(super) fn add(sum: &Sum, one: &[u8], other: &[u8], out: &mut [u8]) {
    scalar::add(sum, one, other, out);
}

#[target_feature(enable = "avx2")]
pub(super) fn max(largest: &mut [u8], bytes: &[u8]) {
    scalar::max(largest, bytes);
}

#[target_feature(enable = "avx2")]
pub(super) fn accumulate(sums: &mut [i32], bytes: &[u8]) {
    scalar::accumulate(sums, bytes);
}

#[target_feature(enable = "avx2")]
pub(super) fn quantize(per_step: f32, bounds: Bounds, numbers: &[f32], bytes: &mut [u8]) {
    scalar::quantize(per_step, bounds, numbers, bytes);
}

/// Pairs of products fit into 16 bits.
mod pairs {
    super::super::ymm::kernels!("avx2", [1 2 3 4 5], 5);

    type Weights = __m256i;
    type Bytes = __m256i;

    #[inline]
    #[target_feature(enable = "avx2")]
    fn weights(weights: __m256i) -> Weights {
        weights
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn bytes(bytes: __m256i) -> Bytes {
        bytes
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn add_products(sum: __m256i, bytes: &Bytes, weights: &Weights) -> __m256i {
        let pairs = _mm256_maddubs_epi16(*bytes, *weights);
        _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    }
}

/// Every product in 16 bits of its own.
mod words {
    super::super::ymm::kernels!("avx2", [1 2 3], 3);

    /// Those with even and with odd numbers.
    type Weights = [__m256i; 2];
    type Bytes = [__m256i; 2];

    #[inline]
    #[target_feature(enable = "avx2")]
    fn weights(weights: __m256i) -> Weights {
        [_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(weights)), _mm256_srai_epi16::<8>(weights)]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn bytes(bytes: __m256i) -> Bytes {
        [_mm256_and_si256(bytes, _mm256_set1_epi16(0xff)), _mm256_srli_epi16::<8>(bytes)]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn add_products(sum: __m256i, bytes: &Bytes, weights: &Weights) -> __m256i {
        let sum = _mm256_add_epi32(sum, _mm256_madd_epi16(bytes[0], weights[0]));
        _mm256_add_epi32(sum, _mm256_madd_epi16(bytes[1], weights[1]))
    }
}
