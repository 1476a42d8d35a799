//! Installed models: only signed ones, never backwards, always one that works.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

mod running_unit;
mod signed;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Output;

use chestlight::fault::MODEL_POINTS;
use image::ImageFormat;
use running_unit::{Site, film};
use rustix::process::Signal;
use signed::{Signer, forgetful, model};

/// A unit that trusts one signer, and the stick that models arrive on.
struct Clinic {
    site: Site,
    signer: Signer,
    stick: PathBuf,
}

impl Clinic {
    fn new() -> Self {
        let site = Site::new("trusted_keys = 'keys'\n");
        let (signer, stick) = (Signer::new(), site.path("stick"));
        for folder in [&stick, &site.path("state"), &site.path("keys")] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(site.path("keys/maker.pub"), signer.public_key()).unwrap();
        Self { site, signer, stick }
    }

    /// Exit code and everything that was printed.
    fn says(&self, arguments: &[&str]) -> (Option<i32>, String) {
        told(self.site.command(arguments).output().unwrap())
    }

    fn done(&self, arguments: &[&str]) -> String {
        let (code, text) = self.says(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {text}");
        text
    }

    /// Installs and activates a model of this name and version.
    fn reads_with(&self, name: &str, version: u64) {
        let bundle = self.signer.put(&self.stick, model(name), version);
        self.done(&["model", "install", bundle.to_str().unwrap()]);
        self.done(&["model", "activate"]);
    }

    /// Name and origin of the model that a start would read with, as `check` tells it.
    fn model(&self) -> (bool, String) {
        let (_, text) = self.says(&["check"]);
        let line = text.lines().find(|line| line.contains("  model  ")).unwrap_or_else(|| panic!("{text}"));
        (line.starts_with("ok"), line[21..].to_owned())
    }
}

fn told(output: Output) -> (Option<i32>, String) {
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn a_model_comes_from_a_stick_into_a_slot_and_reads_when_it_is_activated() {
    let clinic = Clinic::new();
    clinic.signer.put(&clinic.stick, model("old"), 3);
    clinic.signer.put(&clinic.stick, model("new"), 4);
    Signer::new().put(&clinic.stick, model("strange"), 5);
    fs::write(clinic.stick.join("broken.clm"), "no bundle").unwrap();
    let text = clinic.done(&["model", "install", clinic.stick.to_str().unwrap()]);
    assert!(text.contains("slot a holds new version 4"), "{text}");
    assert!(text.contains("strange-5.clm: it was signed with a key that this unit does not trust"), "{text}");
    assert!(clinic.model().1.starts_with("chestlight-lite0"), "installed is not activated");

    let mut unit = clinic.site.start();
    unit.wait_until_ready();
    let film_1 = film(1, ImageFormat::Png);
    clinic.site.put_in("a.png", &film_1);
    unit.wait_for("reading 1 of");
    let text = clinic.done(&["model", "activate"]);
    assert!(text.contains("slot a reads: new version 4"), "{text}");
    unit.signal(Signal::HUP);
    clinic.site.wait_until(|| clinic.site.log().contains("reading with the model new (slot a, version 4)"));
    let film_2 = film(2, ImageFormat::Png);
    clinic.site.put_in("b.png", &film_2);
    unit.wait_for("reading 2 of");
    let text = clinic.done(&["model", "rollback"]);
    assert!(text.contains("the model inside the program reads again"), "{text}");
    unit.signal(Signal::HUP);
    clinic.site.wait_until(|| clinic.site.log().contains("reading with the model chestlight-lite0 (inside"));
    unit.stop();
    let rows = clinic.site.assert_at_rest(&[("a.png", &film_1), ("b.png", &film_2)]);
    assert_eq!(rows.iter().map(|row| row.model_name.as_str()).collect::<Vec<_>>(), ["chestlight-lite0", "new"]);
}

#[test]
fn list_and_show_tell_of_every_model_and_which_one_reads() {
    let clinic = Clinic::new();
    clinic.reads_with("one", 3);
    clinic.reads_with("two", 4);
    let list = clinic.done(&["model", "list"]);
    let lines: Vec<String> = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for expected in ["a 3 one", "b 4 two"] {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{list}");
    }
    assert!(
        list.contains("maker.pub             reads\n") && list.contains("maker.pub             read before\n"),
        "{list}"
    );
    assert!(list.contains("versions under 4 are refused; 1 keys are trusted"), "{list}");
    let shown = clinic.done(&["model", "show"]);
    for words in [
        "two (slot b, version 4)",
        "SHA-256",
        "layers in integers",
        "key maker.pub: made by a test",
        "[input]",
        "# Model card: two",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(clinic.done(&["model", "show", "a"]).contains("one (slot a, version 3)"));
    assert!(clinic.done(&["model", "show", "shipped"]).contains("# Model card: chestlight-lite0"));
    let text = clinic.done(&["model", "verify", clinic.stick.join("one-3.clm").to_str().unwrap()]);
    assert!(text.contains("one version 3; signed with maker.pub (made by a test); it answers its golden"), "{text}");
    // A model that the configuration names comes before every slot.
    let ModelPath(manifest) = ModelPath::beside(&clinic);
    let config = fs::read_to_string(clinic.site.path("chestlight.toml")).unwrap();
    clinic.site.configure(&format!("model = '{manifest}'\n{config}"));
    let (well, model) = clinic.model();
    assert!(well && model.starts_with("developed") && model.contains("which nobody has signed"), "{model}");
}

/// A manifest with its network beside it, as a developer has them.
struct ModelPath(String);

impl ModelPath {
    fn beside(clinic: &Clinic) -> Self {
        let files = model("developed");
        let path = clinic.site.path("developed.toml");
        fs::write(&path, &files.manifest).unwrap();
        fs::write(path.with_extension("onnx"), &files.onnx).unwrap();
        Self(path.to_str().unwrap().to_owned())
    }
}

#[test]
fn what_cannot_be_trusted_is_refused_with_its_exit_code_and_nothing_changes() {
    let clinic = Clinic::new();
    let put = |name: &str, files, version| {
        let path = clinic.signer.put(&clinic.stick, files, version);
        let renamed = clinic.stick.join(format!("{name}.clm"));
        fs::rename(path.with_extension("clm.minisig"), clinic.stick.join(format!("{name}.clm.minisig"))).unwrap();
        fs::rename(path, &renamed).unwrap();
        renamed.to_str().unwrap().to_owned()
    };
    let good = put("good", model("good"), 7);
    clinic.done(&["model", "install", &good]);
    clinic.done(&["model", "activate"]);
    let before = fs::read(clinic.site.path("state/models/slots.toml")).unwrap();

    let older = put("older", model("older"), 6);
    let forgetful = put("forgetful", forgetful("forgetful"), 8);
    let changed = put("changed", model("changed"), 9);
    let mut bytes = fs::read(&changed).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&changed, bytes).unwrap();
    let unsigned = put("unsigned", model("unsigned"), 9);
    fs::remove_file(format!("{unsigned}.minisig")).unwrap();
    let no_bundle = clinic.stick.join("text.clm");
    fs::write(&no_bundle, "signed, but no bundle").unwrap();
    fs::write(clinic.stick.join("text.clm.minisig"), clinic.signer.sign(b"signed, but no bundle")).unwrap();
    let no_bundle = no_bundle.to_str().unwrap();
    let strange = Signer::new().put(&clinic.stick, model("strange"), 9);
    let strange = strange.to_str().unwrap();
    let empty = clinic.site.path("inbox");
    let large = clinic.stick.join("large.clm");
    fs::File::create(&large).unwrap().set_len(1 << 30).unwrap();
    let large = large.to_str().unwrap();
    for (arguments, code, words) in [
        (&["model", "install", &older][..], 1, "version 6 is older than 7"),
        (&["model", "install", &forgetful], 1, "failed its self-test"),
        (&["model", "verify", &forgetful], 1, "failed its self-test"),
        (&["model", "install", &changed], 1, "its signature does not belong to it"),
        (&["model", "install", &unsigned], 2, "unsigned.clm.minisig cannot be read: No such file"),
        (&["model", "install", no_bundle], 1, "it is not a chestlight model bundle"),
        (&["model", "install", strange], 1, "a key that this unit does not trust"),
        (&["model", "install", large], 2, "it has more than"),
        (&["model", "install", empty.to_str().unwrap()], 1, "has no bundle that this unit trusts"),
        (&["model", "install", "/none.clm"], 2, "/none.clm cannot be read"),
        (&["model", "activate", "b"], 2, "slot b holds no model"),
        (&["model", "activate"], 2, "no installed model to activate"),
        (&["model", "show", "b"], 2, "slot b holds no model"),
    ] {
        let (found, text) = clinic.says(arguments);
        assert_eq!(found, Some(code), "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
    assert_eq!(fs::read(clinic.site.path("state/models/slots.toml")).unwrap(), before);
    assert!(clinic.model().1.starts_with("good"));
    assert!(!clinic.site.path("state/models/b.clm").exists());

    // A unit without keys trusts nobody, not even for what it has.
    fs::remove_file(clinic.site.path("keys/maker.pub")).unwrap();
    let (code, text) = clinic.says(&["model", "install", &good]);
    assert_eq!(code, Some(1));
    assert!(text.contains("trusts no keys"), "{text}");
    let (well, model) = clinic.model();
    assert!(!well && model.contains("chestlight-lite0"), "{model}");
    fs::write(clinic.site.path("keys/maker.pub"), "no key").unwrap();
    let (code, text) = clinic.says(&["model", "list"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("maker.pub is not a minisign public key"), "{text}");
}

#[test]
fn only_root_goes_back_to_an_older_version_from_outside() {
    let clinic = Clinic::new();
    clinic.reads_with("new", 7);
    let older = clinic.signer.put(&clinic.stick, model("older"), 6);
    let install = ["model", "install", older.to_str().unwrap(), "--allow-downgrade"];
    let is_root = rustix::process::geteuid().is_root();
    let (code, text) = clinic.says(&install);
    if !is_root {
        assert_eq!(code, Some(2));
        assert!(text.contains("only root may use --allow-downgrade"), "{text}");
        return;
    }
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = clinic.says(&["model", "activate", "b"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("version 6 is older than 7"), "{text}");
    clinic.done(&["model", "activate", "b", "--allow-downgrade"]);
    assert!(clinic.model().1.starts_with("older"));
    // The way back is not forgotten, and what was gone back from is no longer refused.
    clinic.done(&["model", "rollback"]);
    assert!(clinic.model().1.starts_with("new"));
}

#[test]
fn a_model_that_fails_at_the_start_gives_way_to_the_one_before_and_that_to_the_one_inside() {
    let clinic = Clinic::new();
    clinic.reads_with("one", 3);
    clinic.reads_with("two", 4);
    let start = |expected: &str| {
        let mut unit = clinic.site.start();
        let fault = unit.wait_for("FAULT");
        assert!(fault.contains(expected), "{fault}");
        clinic.site.put_in(&format!("{expected}.png"), expected.as_bytes());
        unit.wait_for("repeat the film");
        unit.stop();
        let (well, told) = clinic.model();
        assert!(!well && told.contains("it is not the one that should read"), "{told}");
    };
    let damage = |slot: &str| {
        let path = clinic.site.path(&format!("state/models/{slot}.clm"));
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
    };
    damage("b");
    start("reading with the model one (slot a, version 3), because the model in slot b cannot be used");
    damage("a");
    start("reading with the model chestlight-lite0 (inside the program), because");
    assert!(clinic.says(&["model", "list"]).1.contains("CANNOT BE USED"));
    fs::write(clinic.site.path("state/models/slots.toml"), "active = 'c'").unwrap();
    start("slots.toml is damaged");

    // What is installed anew is well again.
    fs::remove_file(clinic.site.path("state/models/slots.toml")).unwrap();
    clinic.reads_with("three", 5);
    assert!(clinic.model().0);
    clinic.site.start().wait_until_ready();
}

#[test]
fn a_model_with_which_the_program_dies_twice_is_not_started_with_a_third_time() {
    let clinic = Clinic::new();
    clinic.reads_with("deadly", 3);
    for _ in 0..2 {
        let mut unit = clinic.site.start_with(&[("CHESTLIGHT_ABORT_AT", "choose.starting")]);
        assert_eq!(unit.wait_for_end().signal(), Some(6));
    }
    let mut unit = clinic.site.start_with(&[("CHESTLIGHT_ABORT_AT", "choose.starting")]);
    let fault = unit.wait_for("FAULT");
    assert!(fault.contains("chestlight-lite0") && fault.contains("the program died while it started"), "{fault}");
    unit.stop();
    // Whoever activates it again wants it to be tried again.
    clinic.done(&["model", "activate", "a"]);
    let mut unit = clinic.site.start();
    unit.wait_until_ready();
    unit.stop();
    assert!(clinic.site.log().contains("reading with the model deadly"));
}

#[test]
fn a_power_cut_at_any_step_of_a_change_leaves_a_model_that_works() {
    let mut passed = BTreeSet::new();
    for point in MODEL_POINTS {
        // From a fresh unit, and from one with both slots in use, of which the last model goes.
        for (change, models, expected) in [
            (&["model", "install", "stick"][..], 0, ["chestlight-lite0", "chestlight-lite0"]),
            (&["model", "activate", "a"], 1, ["chestlight-lite0", "new"]),
            (&["model", "install", "stick"], 2, ["two", "two"]),
            (&["model", "rollback"], 2, ["two", "one"]),
        ] {
            for nth in 1.. {
                let clinic = Clinic::new();
                let stick = clinic.stick.to_str().unwrap().to_owned();
                (1..=models).filter(|_| models == 2).for_each(|n| clinic.reads_with(["one", "two"][n - 1], n as u64));
                fs::remove_dir_all(&stick).unwrap();
                fs::create_dir(&stick).unwrap();
                clinic.signer.put(&clinic.stick, model("new"), 9);
                if models == 1 {
                    clinic.done(&["model", "install", &stick]);
                }
                let arguments: Vec<&str> = change.iter().map(|it| if *it == "stick" { &stick } else { *it }).collect();
                let mut command = clinic.site.command(&arguments);
                let end = command.env("CHESTLIGHT_ABORT_AT", format!("{point}:{nth}")).output().unwrap();
                if end.status.success() {
                    break;
                }
                assert_eq!(end.status.signal(), Some(6), "{point} {change:?}: {}", told(end).1);
                passed.insert(point);
                let (well, reads) = clinic.model();
                let named = |name: &&str| reads.split_whitespace().next() == Some(*name);
                assert!(well && expected.iter().any(named), "{point}:{nth} {change:?}: {reads}");

                // The same change can be made again, and ends as if nothing had happened.
                if change != ["model", "rollback"] || reads.starts_with("two") {
                    clinic.done(&arguments);
                }
                let (well, reads) = clinic.model();
                assert!(well && reads.starts_with(expected[1]), "{point}:{nth} {change:?}: {reads}");
            }
        }
    }
    assert_eq!(passed, BTreeSet::from(MODEL_POINTS), "every point lies on the way of some change");
}
