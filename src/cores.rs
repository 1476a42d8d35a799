//! How many cores the network may use: those that are big, of those that this process may run on.

use std::fs;
use std::num::NonZeroUsize;
use std::thread;

/// What the system tells of each core's speed, the first that it tells: capacity on boards with big and little cores,
/// else the highest frequency, kHz.
const SPEEDS: [&str; 2] = ["cpu_capacity", "cpufreq/cpuinfo_max_freq"];

/// The default of `threads` in a configuration.
pub fn big() -> NonZeroUsize {
    let allowed = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let speeds = SPEEDS.iter().map(|file| speeds(file)).find(|speeds| !speeds.is_empty());
    let big = speeds.map_or(allowed.get(), |speeds| count_big(&speeds));
    NonZeroUsize::new(big).map_or(allowed, |big| big.min(allowed))
}

fn speeds(file: &str) -> Vec<u64> {
    let one = |cpu: usize| fs::read_to_string(format!("/sys/devices/system/cpu/cpu{cpu}/{file}")).ok();
    (0..).map_while(one).filter_map(|speed| speed.trim().parse().ok()).collect()
}

/// Cores of at least three quarters of the fastest one's speed: the small difference between the big cores of one board
/// makes none of them little.
fn count_big(speeds: &[u64]) -> usize {
    let fastest = speeds.iter().copied().max().unwrap_or_default();
    speeds.iter().filter(|&&speed| speed.saturating_mul(4) >= fastest.saturating_mul(3)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_cores_are_not_counted() {
        for (board, speeds, big) in [
            ("four alike", vec![1_024; 4], 4),
            ("four little, four big", vec![446, 446, 446, 446, 1_024, 1_024, 1_024, 1_024], 4),
            ("one prime among three big", vec![300, 300, 300, 300, 950, 950, 950, 1_024], 4),
            ("one", vec![600_000], 1),
            ("none known", vec![], 0),
        ] {
            assert_eq!(count_big(&speeds), big, "{board}");
        }
        assert!(big() <= thread::available_parallelism().unwrap());
    }
}
