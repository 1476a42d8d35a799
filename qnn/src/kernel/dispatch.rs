//! Which kernel a processor can run.
#![allow(unsafe_code, reason = "calling a function for instructions that were looked for")]

use std::fmt;

use super::{Block, Bounds, Strip, Sum};

/// The instructions that the integer layers use; only those that this processor has can be had.
#[derive(Clone, Copy)]
pub struct Kernel(&'static Functions);

/// One kernel.
struct Functions {
    name: &'static str,
    /// Whether this processor can run it.
    runs: fn() -> bool,
    dense: unsafe fn(&mut Block<'_>),
    depthwise: unsafe fn(&mut Strip<'_>),
    add: unsafe fn(&Sum, &[u8], &[u8], &mut [u8]),
    max: unsafe fn(&mut [u8], &[u8]),
    accumulate: unsafe fn(&mut [i32], &[u8]),
    quantize: unsafe fn(f32, Bounds, &[f32], &mut [u8]),
}

macro_rules! functions {
    ($name:literal, $runs:expr, $dense:ident, $depthwise:ident, $rest:ident) => {
        Functions {
            name: $name,
            runs: || $runs,
            dense: super::$dense::dense,
            depthwise: super::$depthwise::depthwise,
            add: super::$rest::add,
            max: super::$rest::max,
            accumulate: super::$rest::accumulate,
            quantize: super::$rest::quantize,
        }
    };
}

static SCALAR: Functions = functions!("scalar", true, scalar, scalar, scalar);

/// Those of this architecture, the fastest first.
#[cfg(target_arch = "x86_64")]
static ALL: &[Functions] = &[
    functions!(
        "avx512-vnni",
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni"),
        avx512,
        avx512,
        avx512
    ),
    functions!(
        "avx-vnni",
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni"),
        avx_vnni,
        avx_vnni,
        avx2
    ),
    functions!("avx2", is_x86_feature_detected!("avx2"), avx2, avx2, avx2),
];

#[cfg(target_arch = "aarch64")]
use std::arch::is_aarch64_feature_detected;

/// Those of this architecture, the fastest first. What is no product, a compiler makes good vector code of.
#[cfg(target_arch = "aarch64")]
static ALL: &[Functions] = &[
    functions!("i8mm", is_aarch64_feature_detected!("i8mm"), i8mm, neon, scalar),
    functions!("dotprod", is_aarch64_feature_detected!("dotprod"), dotprod, neon, scalar),
    functions!("neon", is_aarch64_feature_detected!("neon"), neon, neon, scalar),
];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static ALL: &[Functions] = &[];

impl Kernel {
    /// Runs everywhere, and is what the others are held to.
    pub const SCALAR: Self = Self(&SCALAR);

    /// All that this processor can run, the fastest first.
    pub fn available() -> Vec<Self> {
        ALL.iter().filter(|functions| (functions.runs)()).map(Self).chain([Self::SCALAR]).collect()
    }

    /// The fastest that this processor can run.
    pub fn best() -> Self {
        Self::available().into_iter().next().unwrap_or(Self::SCALAR)
    }

    /// One that this processor can run, by its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::available().into_iter().find(|kernel| kernel.name() == name)
    }

    /// Its name, as in `avx512-vnni`.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Every output channel of every pixel from all input channels under the window.
    pub(crate) fn dense(self, block: &mut Block<'_>) {
        // SAFETY: `available` gives only kernels whose instructions the processor has.
        unsafe { (self.0.dense)(block) }
    }

    /// Every channel of every pixel from the same channel under the window.
    pub(crate) fn depthwise(self, strip: &mut Strip<'_>) {
        // SAFETY: as in `dense`.
        unsafe { (self.0.depthwise)(strip) }
    }

    /// Sums of two maps.
    pub(crate) fn add(self, sum: &Sum, one: &[u8], other: &[u8], out: &mut [u8]) {
        // SAFETY: as in `dense`.
        unsafe { (self.0.add)(sum, one, other, out) }
    }

    /// The larger of two bytes, into the first.
    pub(crate) fn max(self, largest: &mut [u8], bytes: &[u8]) {
        // SAFETY: as in `dense`.
        unsafe { (self.0.max)(largest, bytes) }
    }

    /// Adds the bytes of a pixel to sums.
    pub(crate) fn accumulate(self, sums: &mut [i32], bytes: &[u8]) {
        // SAFETY: as in `dense`.
        unsafe { (self.0.accumulate)(sums, bytes) }
    }

    /// Numbers to bytes.
    pub(crate) fn quantize(self, per_step: f32, bounds: Bounds, numbers: &[f32], bytes: &mut [u8]) {
        // SAFETY: as in `dense`.
        unsafe { (self.0.quantize)(per_step, bounds, numbers, bytes) }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernel({})", self.name())
    }
}

impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Kernel {}
