//! What `chestlight check` finds, and what it says to do.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by unwrapping")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Exit code and standard output, with the temporary folder's name taken out.
fn check(root: &Path, config: &str) -> (Option<i32>, String) {
    fs::write(root.join("chestlight.toml"), config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_chestlight"))
        .args(["check", "--config"])
        .arg(root.join("chestlight.toml"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), text.replace(&*root.to_string_lossy(), "ROOT"))
}

fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("inbox")).unwrap();
    root
}

#[test]
fn a_sound_unit_is_told_so_in_one_line_a_check() {
    let root = root();
    let (code, text) = check(root.path(), "inbox = 'inbox'\nstate = 'state'\nmin_free_mib = 1");
    assert_eq!(code, Some(0), "{text}");
    let words: Vec<&str> = text.lines().map(|line| line.get(..19).unwrap_or(line).trim_end()).collect();
    let expected = [
        "ok    configuration",
        "ok    model",
        "ok    slots",
        "ok    inbox",
        "ok    state",
        "ok    free space",
        "ok    clock",
    ];
    assert_eq!(words.get(1..), Some(&expected[..]), "{text}");
    assert!(!root.path().join("state").exists(), "a check changes nothing");
}

#[test]
fn whatever_is_wrong_is_told_with_what_to_do() {
    let root = root();
    fs::write(root.path().join("file"), "").unwrap();
    for (config, code, words) in [
        (
            "inbox = 'none'\nstate = 'state'",
            1,
            "FAIL  inbox          ROOT/none does not exist; make it: mkdir -p ROOT/none",
        ),
        ("inbox = 'file'\nstate = 'state'", 1, "ROOT/file is not a folder"),
        ("inbox = 'inbox'\nstate = 'file'", 1, "FAIL  state          ROOT/file is not a folder"),
        ("inbox = 'inbox'\nstate = 'state'\nmin_free_mib = 1048576", 1, "min_free_mib wants 1048576"),
        (
            "inbox = 'inbox'\nstate = 'state'\nmodel = 'none.toml'",
            1,
            "ROOT/none.toml: No such file or directory (os error 2)\n",
        ),
        ("inbox = 'inbox'", 2, "FAIL  configuration"),
        ("inbox = 'inbox'\nstate = 'state'\ncolour = 1", 2, "line 3: colour: is not a known key"),
        // What decides over films stands in the model's manifest alone.
        ("inbox = 'inbox'\nstate = 'state'\nrefer_below = 0.1", 2, "refer_below: is not a known key"),
        ("inbox = 'inbox'\nstate = 'state'\n[calibration.points]\nnormal = 0.1", 2, "calibration: is not a known key"),
        ("inbox = 'inbox'\nstate = 'state'\n[gate]\ndistance_at_most = 99.0", 2, "gate: is not a known key"),
    ] {
        let (found, text) = check(root.path(), config);
        assert_eq!(found, Some(code), "{config}: {text}");
        assert!(text.contains(words), "{config}: {text}");
    }
}
