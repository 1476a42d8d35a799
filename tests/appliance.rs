//! What a clinic's IT person asks of a unit: its status, and a bundle for support that names nobody.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

mod dicom_writer;
mod running_unit;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_writer::{EXPLICIT, Film};
use running_unit::{Site, digest};
use serde_json::{Value, json};

fn status(site: &Site, more: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, .. } = site.command(&[&["status"], more].concat()).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap())
}

#[test]
fn the_status_of_a_unit_tells_the_same_to_people_and_machines() {
    let site = Site::new("");
    let mut unit = site.start();
    site.put_in("a.png", b"no film");
    unit.wait_for("reading 1 of");
    unit.wait_until_ready();
    // The line is printed a moment before the loop tells its vitals.
    site.wait_until(|| status(&site, &[]).1.contains("number 1"));
    let (code, json) = status(&site, &["--json"]);
    let told: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &told["running"], &told["attention"]), (Some(0), &json!(true), &json!([])), "{json}");
    assert_eq!((&told["vitals"]["last_reading"]["seq"], &told["vitals"]["waiting"]), (&json!(1), &json!(0)));
    assert!(told["vitals"]["disc"]["total_bytes"].as_u64().unwrap() > 0, "{json}");
    let (code, text) = status(&site, &[]);
    assert_eq!(code, Some(0));
    let model = told["vitals"]["model"]["name"].as_str().unwrap();
    for words in ["unit           runs", model, "0 films", "number 1, ", "MiB are free", "terminal works"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("a.png") && !json.contains("a.png"), "{text}{json}");
    unit.stop();
}

#[test]
fn a_unit_that_wants_attention_says_so_by_its_exit_code() {
    let site = Site::new("");
    let supply = site.path("sys/class/power_supply/BAT0");
    fs::create_dir_all(&supply).unwrap();
    fs::write(supply.join("type"), "Battery\n").unwrap();
    fs::write(supply.join("capacity"), "9\n").unwrap();
    let mut unit = site.start_with(&[("CHESTLIGHT_SYS", site.path("sys").to_str().unwrap())]);
    unit.wait_for("CHECK");
    let (code, text) = status(&site, &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("CHECK          the battery is at 9%; connect the charger"), "{text}");
    unit.stop();
}

#[test]
fn a_unit_that_does_not_run_is_told_and_its_disc_tells_the_rest() {
    let site = Site::new("");
    let (code, text) = status(&site, &[]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("DOES NOT ANSWER") && text.contains("none is known"), "{text}");
    let mut unit = site.start();
    site.put_in("a.png", b"no film");
    unit.wait_for("reading 1 of");
    unit.wait_until_ready();
    // Killed, it leaves its socket behind.
    drop(unit);
    let (code, json) = status(&site, &["--json"]);
    let told: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &told["running"]), (Some(3), &json!(false)), "{json}");
    assert_eq!(told["vitals"]["last_reading"]["seq"], json!(1), "{json}");
    assert!(told["why"].as_str().unwrap().contains("no unit runs"), "{json}");
    site.configure("inbox = 7");
    assert_eq!(status(&site, &[]).0, Some(2));
}

/// The files of an archive by their names.
fn unpacked(archive: &Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(fs::File::open(archive).unwrap());
    let text = |mut entry: tar::Entry<'_, fs::File>| {
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (entry.path().unwrap().display().to_string(), text)
    };
    archive.entries().unwrap().map(|entry| text(entry.unwrap())).collect()
}

#[test]
fn a_support_bundle_names_no_patient_film_or_place_wherever_their_names_stand() {
    let site = Site::new("");
    let mut film = Film::new(64, 64, 8, 8).pixels8(&[0; 64 * 64]);
    film = film.text(tags::PATIENT_NAME, VR::PN, "Wanjiru^Nyambura").text(tags::PATIENT_ID, VR::LO, "NYAMBURA-77");
    let film = film.write(EXPLICIT);
    let mut unit = site.start();
    site.put_in("nyambura chest.dcm", &film);
    unit.wait_for("reading 1 of");
    unit.wait_until_ready();
    unit.stop();
    let word = ["override", "1", "--verdict", "refer", "--reason", "Nyambura coughs", "--by", "Dr Nyambura"];
    assert!(site.command(&word).output().unwrap().status.success());
    let row = site.rows().remove(0);

    // The site's own names, in its paths, its remarks, its network and in what the system's log would say of them.
    fs::rename(site.path("state"), site.path("state of Nyambura")).unwrap();
    fs::write(site.path("state of Nyambura/refused/note of nyambura.txt"), "Nyambura").unwrap();
    site.configure(
        "# The unit of Dr Nyambura\ninbox = 'inbox of Nyambura'\nstate = 'state of Nyambura'\n\
         min_free_mib = 7 # Nyambura\n[dicom]\ncalling_ae_titles = ['NYAMBURA']\npeers = ['192.0.2.77']\n\
         [dicom.pacs]\nae_title = 'NYAMBURA2'\nhost = 'nyambura.example'\nport = 1\n",
    );
    let log = format!("{}the inbox {} is gone\n", site.log(), site.path("inbox of Nyambura").display());
    fs::write(site.path("lines"), log).unwrap();
    let program = site.path("journalctl");
    fs::write(&program, format!("#!/bin/sh\ncat '{}'\n", site.path("lines").display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", site.path("").display(), std::env::var("PATH").unwrap());

    let out = site.path("bundle.tar");
    let pack = || site.command(&["support-bundle", out.to_str().unwrap()]).env("PATH", &path).output().unwrap();
    let packed = pack();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);

    let files = unpacked(&out);
    let whole = String::from_utf8_lossy(&fs::read(&out).unwrap()).to_lowercase();
    let site_folder = site.path("").display().to_string().trim_end_matches('/').to_owned();
    for secret in ["nyambura", "wanjiru", "chest.dcm", "192.0.2.77", "coughs", &site_folder.to_lowercase()] {
        assert!(!whole.contains(secret), "{secret}: {files:#?}");
    }
    for secret in [row.patient_hash.unwrap(), digest(&film), row.input_digest] {
        assert!(!whole.contains(&secret), "{secret}: {files:#?}");
    }

    // And it still helps.
    for (name, words) in [
        ("about.json", "\"version\""),
        ("configuration.toml", "min_free_mib = 7"),
        ("configuration.toml", "(taken out)"),
        ("status.json", "\"running\": false"),
        ("checks.txt", "FAIL  inbox  (taken out) does not exist"),
        ("journal.json", "\"readings\": 1"),
        ("journal.json", "whole, 1 readings, 1 overrides"),
        ("model.toml", "chestlight-lite0"),
        ("log.txt", "the inbox (taken out) is gone"),
        ("log.txt", "films wait in the spool"),
    ] {
        assert!(files[&format!("chestlight-support/{name}")].contains(words), "{name}, {words}: {files:#?}");
    }
    assert_eq!(pack().status.code(), Some(2), "no file is replaced");
}
