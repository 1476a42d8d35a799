//! The README's one command works and leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by unwrapping")]

use std::fs;
use std::process::Command;

#[test]
fn the_demo_walks_the_whole_road_says_what_phantoms_show_and_cleans_up() {
    let temporary = tempfile::tempdir().unwrap();
    let demo = Command::new(env!("CARGO_BIN_EXE_chestlight"))
        .args(["demo", "--films", "2"])
        .env("TMPDIR", temporary.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8(demo.stderr).unwrap();
    assert!(demo.status.success(), "{stderr}");
    let stdout = String::from_utf8(demo.stdout).unwrap();
    for told in [
        "reading 1 of phantom-1-clear.png",
        "reading 2 of phantom-2-focal.png",
        "reading 3 of damaged.png",
        "whole: 3 readings",
        "Phantoms show the road, not the accuracy",
        "classify FOLDER",
        "research use, not a diagnosis",
    ] {
        assert!(stdout.contains(told), "{told:?} is missing in\n{stdout}");
    }
    assert!(!stdout.contains('\x1b'), "colours where no terminal is");
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
}
