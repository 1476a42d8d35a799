//! What systemd hears of the unit, and what keeps it from hearing: the real program, a real notification socket, and the
//! unit's files under systemd's own judgement.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by unwrapping")]

mod running_unit;
mod skipping;

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use image::ImageFormat;
use running_unit::{Site, Unit, film};
use rustix::process::Signal;
use skipping::skip;

/// How long the watchdog of these tests waits.
const WATCHDOG: Duration = Duration::from_millis(2_000);

/// systemd's end of the socket.
struct Manager(UnixDatagram);

impl Manager {
    fn start(site: &Site, more: &[(&str, &str)]) -> (Self, Unit) {
        let path = site.path("notify.sock");
        let _ = std::fs::remove_file(&path);
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
fn systemd_calls_the_units_exposure_at_most_2() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        skip("systemd_calls_the_units_exposure_at_most_2", "there is no systemd-analyze");
        return;
    }
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/chestlight.service");
    let judge = |arguments: &[&str]| {
        let output = Command::new("systemd-analyze").args(arguments).arg(&unit).output().unwrap();
        (output.status.success(), [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat())
    };
    let (within, told) = judge(&["security", "--no-pager", "--offline=true", "--threshold=20"]);
    assert!(within, "{told}");
}
