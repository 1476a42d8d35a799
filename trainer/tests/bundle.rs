//! From a shipped model to a signed bundle that a unit takes.

#![allow(clippy::unwrap_used, reason = "a test says what it expects by unwrapping")]

mod program;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chestlight::model::TrustedKeys;
use chestlight::model::slots::read_signed;
use program::{done, text, trainer};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/chestlight-lite0.toml");

#[test]
fn a_model_is_packed_and_signed_and_a_unit_that_trusts_the_key_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (bundle, key, password) = (path("lite0.clm"), path("maker.key"), path("password"));
    fs::write(&password, "correct horse\n").unwrap();
    let with_password = ["--password-file", text(&password)];

    done(&[&["keygen", "--out", text(&path("maker"))], &with_password[..]].concat());
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600, "nobody else may sign");
    let told = done(&["bundle", "--model", MODEL, "--version", "7", "--out", text(&bundle)]);
    assert!(told.contains("chestlight-lite0 version 7") && told.contains("not a diagnosis"), "{told}");
    let sign = ["sign", text(&bundle), "--key", text(&key), "--comment", "for a test"];
    done(&[&sign, &with_password[..]].concat());

    let keys = TrustedKeys::read(&path("maker.pub")).unwrap();
    let (signed, _) = read_signed(&bundle, &keys).unwrap();
    assert_eq!((signed.bundle.version, signed.signer.comment.as_str()), (7, "for a test"));
    assert!(signed.bundle.card.starts_with("# Model card"));
    assert_eq!(signed.bundle.files.load().unwrap().manifest.name, "chestlight-lite0");

    // A key without a password, and another's.
    done(&["keygen", "--out", text(&path("other")), "--no-password"]);
    done(&["sign", text(&bundle), "--key", text(&path("other.key")), "--no-password"]);
    assert!(read_signed(&bundle, &keys).is_err(), "another's signature");
}

#[test]
fn what_cannot_be_packed_or_signed_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    done(&["keygen", "--out", text(&path("maker")), "--no-password"]);
    fs::write(path("text.clm"), "no bundle").unwrap();
    fs::write(path("empty"), "\n").unwrap();
    fs::copy(MODEL, path("bare.toml")).unwrap();
    fs::copy(Path::new(MODEL).with_extension("onnx"), path("bare.onnx")).unwrap();
    let (out, key) = (path("out.clm"), path("maker.key"));
    for (arguments, words) in [
        (&["keygen", "--out", text(&path("maker")), "--no-password"][..], "keys are never overwritten"),
        (&["keygen", "--out", text(&path("new")), "--password-file", text(&path("empty"))], "which is no password"),
        (
            &["bundle", "--model", text(&path("bare.toml")), "--version", "1", "--out", text(&out)],
            "a bundle has a card",
        ),
        (&["sign", text(&path("text.clm")), "--key", text(&key), "--no-password"], "not a chestlight model bundle"),
    ] {
        let output = trainer(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
    assert!(!out.exists());
}
