//! What the machine is, so that two reports can be compared.

use std::fs;
use std::thread;

use serde::Serialize;

/// What decides how fast a reading is, as far as the system tells.
#[derive(Serialize)]
pub struct Machine {
    /// As the system names it; a board's name where the processor has none.
    pub processor: String,
    pub architecture: &'static str,
    /// Cores that this process may use.
    pub cores: usize,
    /// Those that the network's kernels and the pixel loops can use.
    pub vector_units: Vec<&'static str>,
    pub memory_mib: u64,
    /// Kernel and its release.
    pub kernel: String,
}

/// Asks the system.
pub fn describe() -> Machine {
    let uname = rustix::system::uname();
    Machine {
        processor: processor().unwrap_or_else(|| "unknown".to_owned()),
        architecture: std::env::consts::ARCH,
        cores: thread::available_parallelism().map_or(1, usize::from),
        vector_units: vector_units(),
        memory_mib: memory_mib().unwrap_or_default(),
        kernel: format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy()),
    }
}

fn processor() -> Option<String> {
    let board = || fs::read_to_string("/proc/device-tree/model").ok();
    let named = |file: String| field(&file, "model name").map(str::to_owned);
    let name = fs::read_to_string("/proc/cpuinfo").ok().and_then(named).or_else(board)?;
    Some(name.trim_end_matches('\0').to_owned())
}

fn memory_mib() -> Option<u64> {
    Some(kib(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal")? / 1_024)
}

/// Most memory that this process had resident, MiB.
pub fn peak_memory_mib() -> Option<f64> {
    let kib = kib(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM")?;
    Some((kib as f64 / 102.4).round() / 10.0)
}

fn kib(file: &str, name: &str) -> Option<u64> {
    field(file, name)?.trim_end_matches("kB").trim_end().parse().ok()
}

/// The value of the first line `NAME: VALUE`.
fn field<'f>(file: &'f str, name: &str) -> Option<&'f str> {
    file.lines()
        .find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name))
        .map(|(_, value)| value.trim())
}

#[cfg(target_arch = "x86_64")]
fn vector_units() -> Vec<&'static str> {
    let units = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avxvnni", is_x86_feature_detected!("avxvnni")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
    ];
    units.into_iter().filter_map(|(unit, there)| there.then_some(unit)).collect()
}

#[cfg(target_arch = "aarch64")]
fn vector_units() -> Vec<&'static str> {
    use std::arch::is_aarch64_feature_detected;
    let units = [
        ("neon", is_aarch64_feature_detected!("neon")),
        ("dotprod", is_aarch64_feature_detected!("dotprod")),
        ("i8mm", is_aarch64_feature_detected!("i8mm")),
    ];
    units.into_iter().filter_map(|(unit, there)| there.then_some(unit)).collect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn vector_units() -> Vec<&'static str> {
    Vec::new()
}
