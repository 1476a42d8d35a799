//! What `chestlight run` promises: the real program, films that arrive in every way, signals, and a second unit.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

mod running_unit;

use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use chestlight::drift::{LEAST, WINDOW};
use chestlight::journal::{Entry, Journal, JournalError, Record};
use chestlight::model::{Manifest, shipped};
use chestlight::reading::Reading;
use chestlight::refusal::Refusal;
use chestlight::verdict::Verdict;
use image::ImageFormat;
use running_unit::{Site, film};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn films_that_arrive_in_every_way_are_each_read_once_and_archived() {
    let site = Site::new("");
    let films: Vec<Vec<u8>> = (0..6).map(|seed| film(seed, ImageFormat::Png)).collect();
    fs::write(site.inbox().join("before-start.png"), &films[0]).unwrap();
    let mut unit = site.start();
    unit.wait_for("reading 1 of");
    unit.wait_until_ready();

    site.put_in("renamed-in.png", &films[1]);
    unit.wait_for("reading 2 of");
    fs::write(site.inbox().join("written.png"), &films[2]).unwrap();
    unit.wait_for("reading 3 of");
    fs::create_dir_all(site.inbox().join("ward/bed")).unwrap();
    fs::write(site.inbox().join("ward/bed/below.png"), &films[3]).unwrap();
    unit.wait_for("reading 4 of");
    fs::create_dir(site.path("folder")).unwrap();
    fs::write(site.path("folder/moved.png"), &films[4]).unwrap();
    fs::rename(site.path("folder"), site.inbox().join("folder")).unwrap();
    unit.wait_for("reading 5 of");

    // Half a film, then another film that is read meanwhile, then the other half.
    let mut slow = File::create(site.inbox().join("slow.png")).unwrap();
    slow.write_all(&films[5][..1_000]).unwrap();
    slow.flush().unwrap();
    site.put_in("meanwhile.png", b"no film");
    unit.wait_for("reading 6 of");
    slow.write_all(&films[5][1_000..]).unwrap();
    drop(slow);
    unit.wait_for("reading 7 of");
    unit.wait_until_ready();

    let shown = unit.stop();
    let names = ["before-start.png", "renamed-in.png", "written.png", "below.png", "moved.png", "slow.png"];
    let mut all: Vec<(&str, &[u8])> = names.into_iter().zip(films.iter().map(Vec::as_slice)).collect();
    all.push(("meanwhile.png", b"no film"));
    let rows = site.assert_at_rest(&all);
    assert_eq!(rows.iter().filter(|row| row.is_unread()).count(), 1);
    assert_eq!(rows[3].file_name, "ward__bed__below.png");
    assert!(!shown.concat().contains(".png"), "lines that do not go to a terminal name no film: {shown:#?}");
}

#[test]
fn a_copy_of_a_film_that_was_read_is_told_and_not_read_again() {
    let site = Site::new("");
    let bytes = film(1, ImageFormat::Png);
    let mut unit = site.start();
    site.put_in("first.png", &bytes);
    unit.wait_for("reading 1 of");
    unit.wait_until_ready();
    site.put_in("second.png", &bytes);
    unit.wait_for("reading 1 of");
    unit.wait_until_ready();
    let shown = unit.stop();
    assert_eq!(shown.iter().filter(|line| line.starts_with("reading ...")).count(), 1, "{shown:#?}");
    assert_eq!(shown.iter().filter(|line| line.contains("put in again")).count(), 1, "{shown:#?}");
    site.assert_at_rest(&[("first.png", &bytes)]);
}

#[test]
fn a_board_that_is_hot_asks_for_attention_and_reads_on() {
    let site = Site::new("");
    let zone = site.path("sys/class/thermal/thermal_zone0");
    fs::create_dir_all(&zone).unwrap();
    fs::write(zone.join("temp"), "85000\n").unwrap();
    let mut unit = site.start_with(&[("CHESTLIGHT_SYS", site.path("sys").to_str().unwrap())]);
    let told = unit.wait_for("CHECK");
    assert!(told.contains("the board is at 85 degrees Celsius"), "{told}");
    site.put_in("a.png", b"no film");
    unit.wait_for("reading 1 of");
    unit.wait_for("CHECK");
    unit.stop();
    site.assert_at_rest(&[("a.png", b"no film")]);
}

#[test]
fn the_heat_map_beside_an_archived_film_is_the_one_that_classify_draws_of_it() {
    let site = Site::new("");
    let mut unit = site.start();
    site.put_in("film.png", &film(1, ImageFormat::Png));
    unit.wait_for("reading 1 of");
    unit.stop();
    let archived = site.films_in("state/archive").into_values().next().unwrap();
    let beside = fs::read(format!("{}.heatmap.png", archived.display())).unwrap();
    let picture = image::load_from_memory(&beside).unwrap();
    assert!(picture.width() > 260 && picture.height() > 240, "the film and the map beside it, with what they mean");
    assert!(picture.to_rgb8().pixels().any(|pixel| pixel[0] != pixel[2]), "in colours");
    let out = site.path("explained");
    let mut classify = Command::new(env!("CARGO_BIN_EXE_chestlight"));
    classify.args(["classify", "--explain"]).args([&out, &archived]);
    assert_eq!(classify.output().unwrap().status.code(), Some(0));
    let drawn: Vec<_> = fs::read_dir(out).unwrap().flatten().map(|entry| fs::read(entry.path()).unwrap()).collect();
    assert!(drawn == [beside], "classify --explain gives the same bytes");
}

#[test]
fn readings_that_are_not_like_the_models_are_a_warning_until_they_are_again_and_films_are_read() {
    let model = Manifest::parse(&shipped().manifest).unwrap();
    let site = Site::new("");
    fs::create_dir(site.path("state")).unwrap();
    let record = |count: usize, verdict: Verdict| {
        let mut journal = Journal::open(&site.path("state/journal.db")).unwrap();
        let last = journal.last_seq().unwrap();
        for seq in last + 1..=last + count as i64 {
            let name = format!("{seq}");
            let reading = Reading { verdict, ..Reading::refused(Refusal::TooDark, "made by a test") };
            let taken_at = SystemTime::UNIX_EPOCH;
            journal
                .append(&Entry {
                    input_digest: &name,
                    file_name: &name,
                    taken_at,
                    reading: &reading,
                    patient_hash: None,
                    model: &model,
                })
                .unwrap();
        }
    };
    let notes = || {
        let mut notes = Vec::new();
        let journal = Journal::open_read_only(&site.path("state/journal.db")).unwrap();
        let each = |record: &Record| {
            if let Record::Note(note) = record {
                notes.push((note.event.clone(), note.message.clone()));
            }
            Ok::<_, JournalError>(())
        };
        journal.for_each_record(None, each).unwrap();
        notes
    };
    let too_dark = Verdict::Refused(Refusal::TooDark);
    // One film too few to alarm, then that film.
    record(LEAST - 1, too_dark);
    let mut unit = site.start();
    let ready = unit.wait_for("ready");
    assert!(ready.contains("put films into the inbox"), "{ready}");
    unit.stop();
    assert_eq!(notes(), []);
    record(1, too_dark);
    let mut unit = site.start();
    let warning = unit.wait_for("ready");
    assert!(warning.contains("CHECK") && warning.contains("see: chestlight log drift"), "{warning}");
    site.put_in("film.png", &film(1, ImageFormat::Png));
    unit.wait_for("reading ");
    unit.wait_for("ready, but CHECK");
    unit.stop();
    let drift = site.command(&["log", "drift"]).output().unwrap();
    assert_eq!(drift.status.code(), Some(1), "{}", String::from_utf8_lossy(&drift.stdout));

    // As many as are looked at are like the model's again.
    record(WINDOW, Verdict::Normal);
    let drift = site.command(&["log", "drift"]).output().unwrap();
    assert_eq!(drift.status.code(), Some(0), "{}", String::from_utf8_lossy(&drift.stdout));
    let mut unit = site.start();
    let ready = unit.wait_for("ready");
    assert!(!ready.contains("CHECK"), "{ready}");
    unit.stop();

    // Each change is in the journal once, whatever was started meanwhile.
    let notes = notes();
    let events: Vec<&str> = notes.iter().map(|(event, _)| event.as_str()).collect();
    assert_eq!(events, ["drift_began", "drift_ended"]);
    assert!(notes[0].1.contains("100% of the films are refused"), "{notes:?}");
    assert!(notes[1].1.contains("of 200 readings 200 normal, 0 bacterial, 0 COVID-19, referred 0.00%"), "{notes:?}");
}

#[test]
fn a_reading_can_be_overridden_while_the_unit_runs_and_when_it_does_not() {
    let site = Site::new("");
    let (first, second) = (film(1, ImageFormat::Png), film(2, ImageFormat::Png));
    let say = || {
        let word = ["override", "1", "--verdict", "refer", "--reason", "looks odd"];
        let output = site.command(&word).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let mut unit = site.start();
    site.put_in("a.png", &first);
    unit.wait_for("reading 1 of");
    say();
    site.put_in("b.png", &second);
    unit.wait_for("reading 3 of");
    unit.wait_until_ready();
    unit.stop();
    say();
    let rows = site.assert_at_rest(&[("a.png", &first), ("b.png", &second)]);
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn a_unit_that_is_told_to_stop_finishes_the_film_in_hand_and_takes_the_rest_up_at_the_next_start() {
    for signal in [Signal::TERM, Signal::INT] {
        let site = Site::new("");
        let films: Vec<Vec<u8>> = (0..4).map(|seed| film(seed, ImageFormat::Png)).collect();
        let named: Vec<(&str, &[u8])> =
            ["a.png", "b.png", "c.png", "d.png"].into_iter().zip(films.iter().map(Vec::as_slice)).collect();
        for (name, bytes) in &named {
            fs::write(site.inbox().join(name), bytes).unwrap();
        }
        let mut unit = site.start();
        unit.wait_for("reading ...");
        unit.signal(signal);
        assert_eq!(unit.wait_for_end().code(), Some(0));
        let read = site.rows().len();
        assert!(read >= 1, "the film in hand was recorded");
        assert_eq!(unit.readings_shown().len(), read, "and shown");
        assert_eq!(site.films_in("state/archive").len(), read, "and archived");
        let mut unit = site.start();
        if read < films.len() {
            unit.wait_for(&format!("reading {} of", films.len()));
        }
        unit.wait_until_ready();
        unit.stop();
        site.assert_at_rest(&named);
    }
}

#[test]
fn the_configuration_is_read_again_on_sighup_and_a_wrong_one_changes_nothing() {
    let site = Site::new("[limits]\nmax_megapixels = 1\n");
    let mut unit = site.start();
    unit.wait_until_ready();
    site.configure("inbox = 7");
    unit.signal(Signal::HUP);
    site.put_in("still.png", b"no film 1");
    unit.wait_for("reading 1 of");
    unit.wait_until_ready();

    fs::create_dir(site.path("other")).unwrap();
    fs::write(site.path("other/waiting.png"), b"no film 2").unwrap();
    site.configure("inbox = 'other'\nstate = 'state'\nrescan_seconds = 1\nmin_free_mib = 1");
    unit.signal(Signal::HUP);
    unit.wait_for("reading 2 of");
    unit.wait_until_ready();
    unit.stop();
    let log = site.log();
    assert!(log.contains("the old configuration stays in use") && log.contains("line 1: inbox"), "{log}");
    site.assert_at_rest(&[("still.png", b"no film 1"), ("waiting.png", b"no film 2")]);
}

#[test]
fn a_second_unit_on_the_same_state_is_refused_and_the_first_goes_on() {
    let site = Site::new("");
    let mut first = site.start();
    first.wait_until_ready();
    let second = site.command(&["run"]).output().unwrap();
    assert_eq!(second.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another chestlight"));
    site.put_in("a.png", b"no film");
    first.wait_for("reading 1 of");
    first.stop();
    site.assert_at_rest(&[("a.png", b"no film")]);
}

#[test]
fn a_display_that_fails_is_reported_and_films_are_read_all_the_same() {
    let site = Site::new("");
    let bytes = film(1, ImageFormat::Png);
    fs::write(site.inbox().join("unseen.png"), &bytes).unwrap();
    let mut child = site
        .command(&["run"])
        .stdout(File::options().write(true).open("/dev/full").unwrap())
        .stderr(Stdio::from(File::create(site.path("log")).unwrap()))
        .spawn()
        .unwrap();
    // Nothing is shown that could be waited for.
    site.wait_until(|| fs::read_dir(site.path("state/archive")).is_ok_and(|films| films.count() > 0));
    site.wait_until_settled();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(site.log().contains("the terminal fails"), "{}", site.log());
    site.assert_at_rest(&[("unseen.png", &bytes)]);
}

#[test]
fn exit_codes_of_a_unit_that_cannot_start_are_as_documented() {
    let site = Site::new("");
    let run = || {
        let output = site.command(&["run"]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    site.configure("inbox = 'inbox'\nstate = 'inbox'");
    let (code, errors) = run();
    assert!(code == Some(2) && errors.contains("must not be the same folder"), "{code:?} {errors}");

    site.configure("inbox = 'inbox'\nstate = 'state'\nmodel = 'none.toml'");
    let (code, errors) = run();
    assert!(code == Some(2) && errors.contains("none.toml"), "{code:?} {errors}");

    // A sound model whose manifest promises another answer.
    let shipped = chestlight::model::shipped();
    let mut manifest: toml::Table = shipped.manifest.parse().unwrap();
    for golden in manifest["golden"].as_array_mut().unwrap() {
        golden["tolerance"] = 0.001.into();
        golden["probabilities"] = toml::toml! { normal = 0.01 bacterial = 0.01 covid19 = 0.98 }.into();
    }
    fs::write(site.path("m.toml"), manifest.to_string()).unwrap();
    fs::write(site.path("m.onnx"), &shipped.onnx).unwrap();
    site.configure("inbox = 'inbox'\nstate = 'state'\nmodel = 'm.toml'");
    let (code, errors) = run();
    assert!(code == Some(3) && errors.contains("self-test"), "{code:?} {errors}");
}
