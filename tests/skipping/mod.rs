//! A test that cannot be run here says so where it is counted.

use std::io::Write as _;

/// The line `skipped: TEST (WHY)` on standard error, past the test harness's capture.
pub fn skip(test: &str, why: &str) {
    std::io::stderr().write_all(format!("skipped: {test} ({why})\n").as_bytes()).unwrap();
}
