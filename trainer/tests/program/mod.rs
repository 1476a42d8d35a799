//! The real program, as a user runs it.

use std::path::Path;
use std::process::{Command, Output};

/// Runs it with arguments.
pub fn trainer(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chestlight-trainer")).args(arguments).output().unwrap()
}

/// What it printed, having succeeded.
pub fn done(arguments: &[&str]) -> String {
    let output = trainer(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
