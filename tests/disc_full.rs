//! A disc that fills up at any moment on the road: the unit says *fault*, loses nothing, and goes on when there is room.
//!
//! On a file system of its own, which only root can mount; elsewhere it says so and is skipped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by unwrapping")]

mod running_unit;
mod skipping;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use chestlight::choose;
use chestlight::config::Config;
use chestlight::daemon::Daemon;
use chestlight::health::SharedVitals;
use chestlight::journal::Journal;
use chestlight::show::{Indicator, Panel, Status};
use image::ImageFormat;
use running_unit::{digest, film};
use skipping::skip;

/// Far longer than anything takes.
const DEADLINE: Duration = Duration::from_secs(120);

/// A mounted tmpfs of a few MiB; unmounted when it is dropped.
struct Disc(tempfile::TempDir);

impl Disc {
    fn mount() -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(root.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(root)),
            _ => {
                skip("a disc that fills up", "no file system can be mounted here");
                None
            }
        }
    }

    /// Fills the disc but for so many bytes.
    fn fill(&self, but: u64) -> PathBuf {
        let path = self.0.path().join("filler");
        let mut filler = File::create(&path).unwrap();
        let page = [1; 4_096];
        while filler.write_all(&page).is_ok() {}
        let length = filler.metadata().unwrap().len();
        filler.set_len(length.saturating_sub(but)).unwrap();
        path
    }
}

impl Drop for Disc {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

struct Told(Sender<Status>);

impl Indicator for Told {
    fn show(&mut self, status: &Status) -> io::Result<()> {
        self.0.send(status.clone()).map_err(io::Error::other)
    }
}

fn wait_for(told: &Receiver<Status>, wanted: impl Fn(&Status) -> bool) -> Status {
    let until = Instant::now() + DEADLINE;
    loop {
        let status = told.recv_timeout(until.saturating_duration_since(Instant::now())).unwrap();
        if wanted(&status) {
            return status;
        }
    }
}

fn films_in(folder: &Path, ending: &str) -> usize {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.') && name.ends_with(ending)).count()
}

#[test]
fn a_disc_that_is_full_at_any_write_is_a_fault_loses_nothing_and_reading_goes_on_when_there_is_room() {
    let Some(disc) = Disc::mount() else { return };
    let (inbox, state) = (tempfile::tempdir().unwrap(), disc.0.path().join("state"));
    let text = format!("inbox = '{}'\nstate = '{}'\nrescan_seconds = 1", inbox.path().display(), state.display());
    let mut config = Config::parse(&text, Path::new("/")).unwrap();
    // No reserve: every write on the road is to meet a full disc, not only the first.
    config.min_free = 0;
    config.rescan = Duration::from_millis(100);
    let (sender, told) = channel();
    let panel = Panel::new(SharedVitals::default()).with("test", Told(sender));
    let (daemon, handle) = Daemon::open(config.clone(), choose::the_shipped(&config).unwrap(), panel).unwrap();
    let unit = thread::spawn(move || daemon.run());
    wait_for(&told, |status| *status == Status::Ready);

    let (mut faults, mut seq) = (0, 0);
    for pages in (0..16).chain((16..96).step_by(16)) {
        // One that is read and one that is refused: both ways to the end of the road.
        for (round, bytes) in
            [film(pages + 1, ImageFormat::Png), format!("no film {pages}").into_bytes()].into_iter().enumerate()
        {
            seq += 1;
            let filler = disc.fill(pages * 4_096);
            let outside = inbox.path().join(".film");
            fs::write(&outside, &bytes).unwrap();
            fs::rename(&outside, inbox.path().join(format!("{seq}.png"))).unwrap();
            let shown = wait_for(&told, |status| matches!(status, Status::Fault { .. } | Status::Recorded(_)));
            faults += usize::from(matches!(shown, Status::Fault { .. }));
            fs::remove_file(filler).unwrap();
            // Once it is shown, and only when it is recorded.
            let Status::Recorded(row) = (match shown {
                Status::Recorded(_) => shown,
                _ => wait_for(&told, |status| matches!(status, Status::Recorded(_))),
            }) else {
                panic!("nothing else is waited for")
            };
            assert_eq!((row.seq, row.input_digest), (seq, digest(&bytes)), "{pages} pages");
            let again = wait_for(&told, |status| matches!(status, Status::Ready | Status::Recorded(_)));
            assert_eq!(again, Status::Ready, "{pages} pages: a film is read once");
            let settled = films_in(&state.join("archive"), ".png") + films_in(&state.join("refused"), ".png");
            let maps = films_in(&state.join("archive"), ".heatmap.png");
            assert_eq!(settled - maps, round + 1, "{pages} pages");
            assert_eq!(films_in(&state.join("spool"), ""), 0, "{pages} pages");
        }
        // Room for what follows: the films are not what is looked at here.
        for folder in ["archive", "refused"] {
            for entry in fs::read_dir(state.join(folder)).unwrap() {
                fs::remove_file(entry.unwrap().path()).unwrap();
            }
        }
    }
    assert!(faults > 10, "the disc was full at some writes: {faults}");
    handle.stop();
    wait_for(&told, |status| *status == Status::Stopped);
    unit.join().unwrap().unwrap();
    let whole = Journal::open_read_only(&config.journal()).unwrap().verify().unwrap().unwrap();
    assert_eq!(whole.readings, seq);
    println!("{faults} of {seq} films met a full disc");
}
