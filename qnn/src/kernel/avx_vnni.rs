//! AVX-VNNI: the products of AVX-512's VNNI on vectors of 32 bytes, on processors without AVX-512.
#![allow(unsafe_code, reason = "loads and stores of vectors go through pointers")]
#![allow(clippy::needless_range_loop, reason = "sums stay in registers only where loops count")]
#![allow(clippy::indexing_slicing, reason = "`Block` has checked every length and offset when it was made")]

super::ymm::kernels!("avx2,avxvnni", [1 2 3 4 5 6], 6);

type Weights = __m256i;
type Bytes = __m256i;

#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn weights(weights: __m256i) -> Weights {
    weights
}

#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn bytes(bytes: __m256i) -> Bytes {
    bytes
}

#[inline]
#[target_feature(enable = "avx2,avxvnni")]
fn add_products(sum: __m256i, bytes: &Bytes, weights: &Weights) -> __m256i {
    _mm256_dpbusd_avx_epi32(sum, *bytes, *weights)
}
