//! What systemd hears of the unit, and what keeps it from hearing: the real program, a real notification socket, and the
//! unit's files under systemd's own judgement.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by unwrapping"
)]

mod running_unit;
mod skipping;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use image::ImageFormat;
use running_unit::{Site, Unit, digest, film};
use rustix::process::Signal;
use skipping::skip;

/// How long the watchdog of these tests waits.
const WATCHDOG: Duration = Duration::from_millis(2_000);

/// systemd's end of the socket.
struct Manager(UnixDatagram);

impl Manager {
    fn start(site: &Site, more: &[(&str, &str)]) -> (Self, Unit) {
        let path = site.path("notify.sock");
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        let usec = WATCHDOG.as_micros().to_string();
        let mut environment = vec![("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", &usec)];
        environment.extend(more);
        let unit = site.start_with(&environment);
        (Self(socket), unit)
    }

    /// The next message; `None` when none comes in the time.
    fn hear(&self, within: Duration) -> Option<String> {
        self.0.set_read_timeout(Some(within)).unwrap();
        let mut message = [0; 4_096];
        match self.0.recv(&mut message) {
            Ok(length) => Some(String::from_utf8_lossy(message.get(..length).unwrap()).into_owned()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn wait_for(&self, line: &str) {
        while !self.hear(Duration::from_secs(60)).unwrap_or_else(|| panic!("{line} never came")).contains(line) {}
    }
}

#[test]
fn systemd_hears_that_the_unit_is_ready_alive_rereading_and_stopping() {
    let site = Site::new("");
    let (manager, unit) = Manager::start(&site, &[]);
    manager.wait_for("READY=1");
    manager.wait_for("STATUS=reading films as they come");
    // At rest, too: nothing arrives, and the loop comes round all the same.
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
    unit.signal(Signal::HUP);
    manager.wait_for("RELOADING=1");
    manager.wait_for("READY=1");
    unit.stop();
    manager.wait_for("STOPPING=1");
}

#[test]
fn a_unit_that_hangs_in_a_film_feeds_no_watchdog_and_reads_the_film_after_it_was_killed() {
    let site = Site::new("");
    let (manager, mut unit) = Manager::start(&site, &[("CHESTLIGHT_HANG_AT", "reading.read")]);
    manager.wait_for("WATCHDOG=1");
    let bytes = film(1, ImageFormat::Png);
    site.put_in("a.png", &bytes);
    unit.wait_for("reading ...");
    // What it sent before, and then nothing for longer than systemd waits.
    let mut heard = 0;
    while manager.hear(2 * WATCHDOG).is_some() {
        heard += 1;
        assert!(heard < 20, "it hangs and feeds the watchdog");
    }
    unit.signal(Signal::ABORT);
    unit.wait_for_end();

    let mut unit = site.start();
    unit.wait_for("reading 1 of");
    unit.wait_until_ready();
    unit.stop();
    site.assert_at_rest(&[("a.png", &bytes)]);
}

#[test]
fn journald_gets_readings_and_log_lines_with_fields_that_name_no_file() {
    let site = Site::new("");
    let path = site.path("journald.sock");
    let journald = UnixDatagram::bind(&path).unwrap();
    journald.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let log = File::create(site.path("log")).unwrap();
    let stream = log.metadata().unwrap();
    let mut command = site.command(&["run"]);
    command.env("JOURNAL_STREAM", format!("{}:{}", stream.dev(), stream.ino()));
    command.env("CHESTLIGHT_JOURNALD", path);
    let mut unit = Unit::start(command.stdout(log.try_clone().unwrap()).stderr(log));
    let mut records = Vec::new();
    let mut wait_for = |words: &str| {
        let mut record = vec![0; 1 << 16];
        loop {
            let length = journald.recv(&mut record).unwrap();
            records.push(String::from_utf8_lossy(&record[..length]).into_owned());
            if records.last().unwrap().contains(words) {
                return records.last().unwrap().clone();
            }
        }
    };
    assert!(wait_for("MESSAGE=ready").contains("\nPRIORITY=6\n"));
    let broken = b"this is no film";
    site.put_in("broken.png", broken);
    let reading = wait_for("CHESTLIGHT_READING=");
    let digest = digest(broken);
    let film = format!("CHESTLIGHT_FILM={}\n", &digest[..8]);
    let verdict = "CHESTLIGHT_VERDICT=Refused\nCHESTLIGHT_REASON=unknown_format\n";
    for field in ["MESSAGE=repeat the film", "\nPRIORITY=5\n", "CHESTLIGHT_READING=1\n", &film, verdict] {
        assert!(reading.contains(field), "{field}: {reading}");
    }
    unit.signal(Signal::TERM);
    wait_for("MESSAGE=stopped");
    assert!(wait_for("MESSAGE=told to stop").contains("\nCODE_FILE=src/daemon"));
    assert!(unit.wait_for_end().success());
    assert!(!records.concat().contains("broken.png"), "{records:?}");
    assert_eq!(site.log(), "", "nothing is said twice");
}

fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// What another program says of the unit's files, and whether it is content; `None` where it is not installed.
fn judged(test: &str, judge: &str, arguments: &[&str], files: &[PathBuf]) -> Option<(bool, String)> {
    match Command::new(judge).args(arguments).args(files).output() {
        Ok(Output { status, stdout, stderr }) => {
            let told = [stdout, stderr].map(|text| String::from_utf8(text).unwrap()).concat();
            Some((status.success(), told))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip(test, &format!("there is no {judge}"));
            None
        }
        Err(error) => panic!("{judge}: {error}"),
    }
}

#[test]
fn systemd_calls_the_units_exposure_at_most_2() {
    let units = ["systemd/chestlight.service", "systemd/chestlight-fault.service"].map(shipped);
    for unit in units {
        let arguments = ["security", "--no-pager", "--offline=true", "--threshold=20"];
        let test = "systemd_calls_the_units_exposure_at_most_2";
        let Some((within, told)) = judged(test, "systemd-analyze", &arguments, &[unit]) else { return };
        assert!(within, "{told}");
    }
}

/// Every unit and drop-in as a site may have them together; what they run is the program that is tested.
#[test]
fn systemd_finds_nothing_wrong_with_any_unit() {
    let root = tempfile::tempdir().unwrap();
    let drop_ins = root.path().join("chestlight.service.d");
    fs::create_dir(&drop_ins).unwrap();
    let files = ["systemd", "systemd/optional"].into_iter().flat_map(|folder| fs::read_dir(shipped(folder)).unwrap());
    let mut units = Vec::new();
    for file in files.map(|file| file.unwrap().path()) {
        let name = file.file_name().unwrap();
        let text = || fs::read_to_string(&file).unwrap();
        match file.extension().and_then(OsStr::to_str) {
            Some("service" | "mount") => {
                let unit = root.path().join(name);
                fs::write(&unit, text().replace("/usr/bin/chestlight", env!("CARGO_BIN_EXE_chestlight"))).unwrap();
                units.push(unit);
            }
            Some("conf") if text().contains("\n[Service]\n") => fs::write(drop_ins.join(name), text()).unwrap(),
            _ => {}
        }
    }
    assert_eq!((units.len(), fs::read_dir(drop_ins).unwrap().count()), (4, 2));
    let test = "systemd_finds_nothing_wrong_with_any_unit";
    let Some((loads, told)) = judged(test, "systemd-analyze", &["verify", "--man=no"], &units) else { return };
    // An older systemd restarts without a growing delay. What it says of the machine's own units is not ours.
    let ours = told.lines().filter(|line| line.contains("chestlight"));
    let wrong: Vec<_> =
        ours.filter(|line| !line.contains("'RestartSteps'") && !line.contains("'RestartMaxDelaySec'")).collect();
    assert!(loads && wrong.is_empty(), "{told}");
}

#[test]
fn systemd_tmpfiles_makes_the_folders_and_a_mark_of_this_boot() {
    let root = tempfile::tempdir().unwrap();
    let test = "systemd_tmpfiles_makes_the_folders_and_a_mark_of_this_boot";
    let files = ["systemd/chestlight.tmpfiles", "systemd/optional/trusted-rtc.conf"].map(shipped);
    // Whoever tests is neither root nor the unit's user.
    let own = |file: &PathBuf| {
        let copy = root.path().join(file.file_name().unwrap());
        let text = fs::read_to_string(file).unwrap();
        fs::write(&copy, text.replace("chestlight chestlight -", "- - -").replace("root root -", "- - -")).unwrap();
        copy
    };
    let files = files.each_ref().map(own);
    let place = root.path().join("root");
    fs::create_dir(&place).unwrap();
    let arguments = ["--create", "--root", place.to_str().unwrap()];
    let Some((made, told)) = judged(test, "systemd-tmpfiles", &arguments, &files) else { return };
    assert!(made, "{told}");
    assert!(place.join("var/lib/chestlight/inbox").is_dir());
    let mark = fs::read_to_string(place.join("run/chestlight-clock/battery")).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(mark, boot.trim().replace('-', ""));
}

#[test]
fn sudo_understands_what_technicians_may() {
    let rules = [shipped("packaging/technicians.sudoers")];
    let Some((right, told)) = judged("sudo_understands_what_technicians_may", "visudo", &["-c", "-f"], &rules) else {
        return;
    };
    assert!(right, "{told}");
}
