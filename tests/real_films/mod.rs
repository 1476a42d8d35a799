//! Where the real radiographs lie, for the tests that need them. They are never part of the repository.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A folder below `$CHESTLIGHT_DATA`, or below `shared/data` beside the checkout.
///
/// Where it is absent, the line `skipped: TEST` goes to standard error past the test harness's capture, so that
/// whoever runs the tests can count what was not tested.
pub fn folder(name: &str, test: &str) -> Option<PathBuf> {
    // The package is the checkout, or a member one folder below it.
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = if package.join("Cargo.lock").exists() { "../shared/data" } else { "../../shared/data" };
    let folder = std::env::var_os("CHESTLIGHT_DATA").map_or(package.join(beside), PathBuf::from).join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    let skipped = format!("skipped: {test} (no radiographs at {})\n", folder.display());
    std::io::stderr().write_all(skipped.as_bytes()).unwrap();
    None
}
