//! What the documents and the screens promise: every test that they name exists, and every output says what it is not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by unwrapping")]

mod running_unit;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use image::ImageFormat;
use running_unit::{Site, film};

const NOTICE: &str = "not a diagnosis";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every function in the workspace that has `#[test]` above it.
fn tests() -> BTreeSet<String> {
    let sources = ["src", "tests", "trainer/src", "trainer/tests", "qnn/src", "qnn/tests"];
    let files = sources.iter().flat_map(|folder| walkdir::WalkDir::new(root().join(folder)).into_iter().flatten());
    let mut names = BTreeSet::new();
    for file in files.filter(|file| file.path().extension().is_some_and(|extension| extension == "rs")) {
        let text = fs::read_to_string(file.path()).unwrap();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            match line.strip_prefix("fn ").and_then(|rest| rest.split_once('(')) {
                Some((name, _)) if is_test => {
                    names.insert(name.to_owned());
                    is_test = false;
                }
                _ => is_test = line == "#[test]" || is_test && line.starts_with("#["),
            }
        }
    }
    names
}

#[test]
fn every_test_that_a_document_names_exists() {
    let tests = tests();
    for document in ["docs/hazards.md", "docs/threat-model.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let rows = text.lines().filter(|line| line.starts_with("| "));
        let named: BTreeSet<&str> = rows
            .flat_map(|row| row.split('`').skip(1).step_by(2))
            .filter(|word| word.matches('_').count() >= 3 && !word.contains([' ', '.', '/']))
            .collect();
        assert!(named.len() > 10, "{document} names its tests: {named:?}");
        for name in named {
            assert!(tests.contains(name), "{document} names {name}, and there is no such test");
        }
    }
}

#[test]
fn every_hazard_has_a_control_and_a_test() {
    let text = fs::read_to_string(root().join("docs/hazards.md")).unwrap();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>())
        .filter(|cells| cells.first().is_some_and(|number| number.parse::<u32>().is_ok()))
        .collect();
    for (expected, row) in (1..).zip(&rows) {
        let [number, hazard, cause, severity, control, shown] = row[..] else { panic!("{row:?}") };
        assert_eq!(number, expected.to_string());
        assert!([hazard, cause, control].iter().all(|cell| !cell.is_empty()), "{row:?}");
        assert!(["1", "2", "3"].contains(&severity) && shown.starts_with('`'), "{row:?}");
    }
    assert!(rows.len() > 20);
}

/// The names of the commands that `--help` lists.
fn commands(arguments: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_chestlight")).args(arguments).arg("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A description that goes on is indented further.
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_says_that_this_is_no_diagnosis() {
    let site = Site::new("");
    let bytes = film(1, ImageFormat::Png);
    let mut unit = site.start();
    unit.wait_until_ready();
    site.put_in("a.png", &bytes);
    unit.wait_for("reading 1 of");
    let shown = unit.stop();
    assert!(shown.iter().any(|line| line.contains(NOTICE)), "run: {shown:#?}");
    let archived = site.films_in("state/archive").into_values().next().unwrap();
    let archived = archived.to_str().unwrap();

    let exported = site.path("exported");
    let exported = exported.to_str().unwrap();
    let snapshot = site.path("snapshot.png");
    let snapshot = snapshot.to_str().unwrap();

    let drawn = site.path("screens");
    let drawn = drawn.to_str().unwrap();

    let bundle = site.path("bundle.tar");
    let bundle = bundle.to_str().unwrap();

    let words = |line: &'static str| line.split(' ').collect::<Vec<_>>();
    let mut lines = vec![
        vec!["classify", archived],
        vec!["bench", "--films", "1", archived],
        words("check"),
        words("fault"),
        words("status"),
        words("status --json"),
        vec!["support-bundle", bundle],
        words("demo --films 1"),
        vec!["screens", "--size", "128x64", drawn],
        words("log list"),
        words("log show 1"),
        words("log export --csv"),
        words("log export --jsonl"),
        words("log verify"),
        words("log drift"),
        words("override 1 --verdict refer --reason doubt"),
        vec!["camera", "list"],
        vec!["camera", "snapshot", snapshot],
        vec!["export", "--deidentify", "--out", exported],
        words("acknowledge --by MK"),
        words("clock show"),
        vec!["clock", "set", "1970-01-01 00:00"],
        words("lamps test"),
        words("lamps fault"),
        words("lamps card"),
        words("model list"),
        words("model show"),
    ];
    lines.extend(FAILING.iter().map(|line| words(line)));
    let mut covered = BTreeSet::from(["run".to_owned()]);
    for line in &lines {
        let without_config = ["classify", "bench", "demo", "screens", "clock"].contains(&line[0])
            || line.starts_with(&["camera", "list"]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_chestlight"));
        command.args(line);
        if !without_config {
            command.arg("--config").arg(site.path("chestlight.toml"));
        }
        let output = command.output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(text.contains(NOTICE), "{line:?}: {text}");
        covered.extend([line[0].to_owned(), line[..2.min(line.len())].join(" ")]);
    }
    for name in commands(&[]) {
        assert!(covered.contains(&name), "what `{name}` prints is not looked at here");
        for sub in commands(&[&name]) {
            assert!(covered.contains(&format!("{name} {sub}")), "what `{name} {sub}` prints is not looked at here");
        }
    }
}

/// Commands that have nothing to do on a fresh unit say it as well.
const FAILING: [&str; 5] =
    ["capture", "model install none.clm", "model activate", "model rollback", "model verify none.clm"];

#[test]
fn exports_and_reports_that_leave_the_unit_say_it_too() {
    for file in ["src/daemon/road.rs", "trainer/src/report/html.rs", "trainer/src/card.rs"] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        assert!(text.contains("NOTICE") || text.contains(NOTICE), "{file}");
    }
}
