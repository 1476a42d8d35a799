//! What `chestlight log` prints of a journal, and how it ends.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it expects by unwrapping")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use chestlight::journal::{Entry, Journal};
use chestlight::model::{Manifest, shipped};
use chestlight::reading::{Milliseconds, Reading};
use chestlight::refusal::Refusal;
use chestlight::verdict::{Probabilities, Verdict};

/// A unit's configuration and its journal of three readings.
fn unit() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let journal = root.path().join("state/journal.db");
    fs::create_dir(root.path().join("state")).unwrap();
    fs::write(root.path().join("chestlight.toml"), "inbox = 'inbox'\nstate = 'state'").unwrap();
    let model = Manifest::parse(&shipped().manifest).unwrap();
    let read = |verdict| Reading {
        verdict,
        message: "in words".into(),
        probabilities: Some(Probabilities { normal: 0.25, bacterial: 0.125, covid19: 0.625 }),
        distance: None,
        map: None,
        ms: Milliseconds::default(),
        origin: None,
    };
    let readings = [
        ("a.png", read(Verdict::Covid19Pneumonia)),
        ("b.png", Reading::refused(Refusal::Empty, "the file is empty")),
        ("c.png", read(Verdict::Refer)),
    ];
    let mut open = Journal::open(&journal).unwrap();
    for (name, reading) in &readings {
        let taken_at = SystemTime::UNIX_EPOCH;
        open.append(&Entry {
            input_digest: name,
            file_name: name,
            taken_at,
            reading,
            patient_hash: None,
            model: &model,
        })
        .unwrap();
    }
    (root, journal)
}

fn log(root: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    chestlight(root, &[&["log"], arguments].concat())
}

fn chestlight(root: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_chestlight")).args(arguments).current_dir(root).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn drift_is_of_the_last_readings_of_the_model_that_the_unit_reads_with() {
    let (root, journal) = unit();
    let journal = journal.to_str().unwrap();
    for place in [["--config", "chestlight.toml"], ["--journal", journal]] {
        let (code, table, notice) = log(root.path(), &[&["drift"], &place[..]].concat());
        assert_eq!(code, Some(0), "few readings alarm nobody: {table}");
        assert!(notice.contains("research use, not a diagnosis"), "{notice}");
        // The empty file says nothing of films.
        assert!(table.starts_with("the last 2 readings of chestlight-lite0, at most 200"), "{table}");
        let (_, json, _) = log(root.path(), &[&["drift", "--json"], &place[..]].concat());
        let told: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&told["summary"]["readings"], &told["summary"]["covid19"]), (&2.into(), &1.into()), "{told}");
        assert_eq!(told["drift"], serde_json::Value::Null);
    }
}

#[test]
fn a_list_has_a_line_for_each_reading_and_no_colour_in_a_file() {
    let (root, _) = unit();
    let (code, table, notice) = log(root.path(), &["list", "--config", "chestlight.toml"]);
    assert_eq!(code, Some(0));
    assert!(notice.contains("research use, not a diagnosis"), "{notice}");
    let without_times: Vec<String> =
        table.lines().map(|line| format!("{}{}", &line[..7], line[31..].trim_end())).collect();
    insta::assert_snapshot!(without_times.join("\n"), @"
       SEQ  VERDICT              NORMAL BACTERIAL COVID-19  FILE
         1  COVID-19 pneumonia    25.0%     12.5%    62.5%  a.png
         2  repeat the film           -         -        -  b.png: the file is empty; copy the file again; it arrived without content
         3  refer to a doctor     25.0%     12.5%    62.5%  c.png
    ");
    let (_, last, _) = log(root.path(), &["list", "--last", "1", "--journal", "state/journal.db"]);
    assert_eq!(last.lines().collect::<Vec<_>>()[1..], table.lines().collect::<Vec<_>>()[3..]);
}

#[test]
fn json_is_one_object_a_reading_and_the_same_in_list_show_and_export() {
    let (root, _) = unit();
    let place = ["--journal", "state/journal.db"];
    let (_, list, _) = log(root.path(), &[&["list", "--json"], &place[..]].concat());
    let (_, export, _) = log(root.path(), &[&["export", "--jsonl"], &place[..]].concat());
    let (_, show, _) = log(root.path(), &[&["show", "2"], &place[..]].concat());
    assert_eq!(list, export);
    let lines: Vec<serde_json::Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&show).unwrap(), lines[1]);
    assert_eq!((&lines[1]["reason"], &lines[2]["reason"]), (&"empty".into(), &"not_sure".into()));
    let (_, csv, _) = log(root.path(), &[&["export", "--csv"], &place[..]].concat());
    assert_eq!(csv.lines().count(), 4);
}

#[test]
fn a_persons_word_is_one_more_row_and_list_show_and_exports_have_both() {
    let (root, _) = unit();
    let place = ["--config", "chestlight.toml"];
    let say = |reading, rest: &[&str]| chestlight(root.path(), &[&["override", reading], rest, &place].concat());
    let (code, told, errors) = say("1", &["--verdict", "normal", "--reason", "old scar, seen by Dr N.", "--by", "MK"]);
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(
        told,
        "row 4: reading 1 is overridden with normal; the unit said COVID-19 pneumonia (research use, not a diagnosis)\n"
    );
    let (_, table, _) = log(root.path(), &[&["list", "--last", "2"], &place[..]].concat());
    let lines: Vec<String> = table.lines().map(|line| format!("{}{}", &line[..7], line[31..].trim_end())).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
       SEQ  VERDICT              NORMAL BACTERIAL COVID-19  FILE
         3  refer to a doctor     25.0%     12.5%    62.5%  c.png
         4  normal                    -         -        -  override of reading 1 by MK: old scar, seen by Dr N.
    ");
    let (_, shown, _) = log(root.path(), &[&["show", "1"], &place[..]].concat());
    let shown: Vec<serde_json::Value> =
        serde_json::Deserializer::from_str(&shown).into_iter().map(Result::unwrap).collect();
    let verdicts: Vec<_> = shown.iter().map(|row| (row["kind"].as_str(), row["verdict"].as_str())).collect();
    assert_eq!(verdicts, [(Some("reading"), Some("Covid19Pneumonia")), (Some("override"), Some("Normal"))]);
    let (_, csv, _) = log(root.path(), &[&["export", "--csv"], &place[..]].concat());
    assert!(csv.lines().last().unwrap().contains("override,1,MK,"), "{csv}");
    let (_, jsonl, _) = log(root.path(), &[&["export", "--jsonl"], &place[..]].concat());
    assert_eq!(jsonl.lines().count(), 4);
    let (_, whole, _) = log(root.path(), &[&["verify"], &place[..]].concat());
    assert!(whole.starts_with("whole: 3 readings, 1 overrides and 0 notes; the hash of row 4"), "{whole}");

    for (reading, rest, expected, words) in [
        ("9", &["--verdict", "normal", "--reason", "a"][..], 1, "there is no reading 9"),
        ("4", &["--verdict", "normal", "--reason", "a"], 1, "row 4 is an override of reading 1; override reading 1"),
        ("1", &["--verdict", "refused", "--reason", "a"], 2, "normal"),
        ("1", &["--verdict", "normal"], 2, "--reason"),
        ("1", &["--verdict", "normal", "--reason", " "], 2, "the reason must be 1 to 500 bytes"),
        ("1", &["--verdict", "normal", "--reason", &"x".repeat(501)], 2, "the reason must be 1 to 500 bytes"),
        ("1", &["--verdict", "normal", "--reason", "a", "--by", "a\nb"], 2, "the operator must be 1 to 40 bytes"),
    ] {
        let (code, _, errors) = say(reading, rest);
        assert_eq!(code, Some(expected), "{reading} {rest:?}: {errors}");
        assert!(errors.contains(words), "{reading} {rest:?}: {errors}");
    }
    let none = ["override", "1", "--verdict", "normal", "--reason", "a", "--journal", "none.db"];
    assert_eq!(chestlight(root.path(), &none).0, Some(2));
    assert!(!root.path().join("none.db").exists());
}

#[test]
fn a_changed_journal_is_told_with_the_reading_and_exit_code_1() {
    let (root, journal) = unit();
    let verify = ["verify", "--config", "chestlight.toml"];
    let (code, text, _) = log(root.path(), &verify);
    assert_eq!(code, Some(0));
    assert!(text.starts_with("whole: 3 readings, 0 overrides and 0 notes; the hash of row 3, the last, is "), "{text}");

    let connection = rusqlite::Connection::open(journal).unwrap();
    connection.execute("UPDATE reading SET verdict = 'Normal' WHERE seq = 2", []).unwrap();
    let (code, text, _) = log(root.path(), &verify);
    assert_eq!(code, Some(1));
    assert_eq!(text, "BROKEN: row 2 does not have the hash of its contents: it was edited, moved or inserted\n");
}

#[test]
fn what_cannot_be_found_is_told_with_its_exit_code() {
    let (root, _) = unit();
    fs::write(root.path().join("other"), "no journal".repeat(100)).unwrap();
    for (arguments, expected, words) in [
        (&["list"][..], 2, "--config"),
        (&["list", "--config", "chestlight.toml", "--journal", "state/journal.db"], 2, "--journal"),
        (&["export", "--journal", "state/journal.db"], 2, "--csv"),
        (&["export", "--csv", "--jsonl", "--journal", "state/journal.db"], 2, "--jsonl"),
        (&["list", "--config", "none.toml"], 2, "none.toml"),
        (&["verify", "--journal", "none.db"], 2, "there is no journal at none.db"),
        (&["verify", "--journal", "other"], 2, "other is not a chestlight journal"),
        (&["show", "4", "--journal", "state/journal.db"], 1, "there is no reading 4; 3 are recorded"),
    ] {
        let (code, _, errors) = log(root.path(), arguments);
        assert_eq!(code, Some(expected), "{arguments:?}: {errors}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (root, journal) = unit();
    // More than a pipe holds.
    let copies =
        "INSERT INTO reading SELECT seq + 3 * ?1, input_digest || ?1, file_name, taken_at, recorded_at, verdict,
        reason, message, p_normal, p_bacterial, p_covid19, model_name, model_digest, software_version, decode_ms,
        gate_ms, preprocess_ms, infer_ms, total_ms, previous_hash, hash, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM reading WHERE seq <= 3";
    let connection = rusqlite::Connection::open(journal).unwrap();
    (1..200).for_each(|copy| assert_eq!(connection.execute(copies, [copy]).unwrap(), 3));
    for arguments in [["list", "--json"], ["export", "--csv"], ["export", "--jsonl"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_chestlight"))
            .arg("log")
            .args(arguments)
            .args(["--journal", "state/journal.db"])
            .current_dir(root.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
    }
}
