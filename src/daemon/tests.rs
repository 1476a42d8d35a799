//! The loop on a thread of the test: what it shows when something fails and when it works again.

use std::fs;
use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use super::*;
use crate::choose;
use crate::config::Gpu;
use crate::decode::Limits;
use crate::retention::Policy;
use crate::show::Indicator;

/// Hands every status to the test.
struct Told(Sender<Status>);

impl Indicator for Told {
    fn show(&mut self, status: &Status) -> io::Result<()> {
        self.0.send(status.clone()).map_err(io::Error::other)
    }
}

/// A unit that runs on a thread of the test.
struct Unit {
    root: tempfile::TempDir,
    config: Config,
    handle: Handle,
    told: Receiver<Status>,
    thread: JoinHandle<Result<(), DaemonError>>,
}

fn start(adapt: impl FnOnce(&mut Config)) -> Unit {
    let root = tempfile::tempdir().unwrap();
    let [inbox, state] = ["inbox", "state"].map(|name| root.path().join(name));
    fs::create_dir(&inbox).unwrap();
    let rescan = Duration::from_millis(50);
    let mut config = Config {
        inbox,
        state,
        model: None,
        threads: None,
        gpu: Gpu::No,
        trusted_keys: None,
        rescan,
        limits: Limits::default(),
        min_free: 0,
        stick: None,
        storage: Policy::default(),
        dicom: None,
        camera: None,
        lamps: None,
        screen: None,
        oled: None,
    };
    adapt(&mut config);
    let (sender, told) = channel();
    let (daemon, handle) = Daemon::open(
        config.clone(),
        choose::the_shipped(&config).unwrap(),
        Panel::default().with("test", Told(sender)),
    )
    .unwrap();
    let thread = thread::spawn(move || daemon.run());
    Unit { root, config, handle, told, thread }
}

impl Unit {
    fn wait_for(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        loop {
            let status = self.told.recv_timeout(Duration::from_secs(60)).unwrap();
            if wanted(&status) {
                return status;
            }
        }
    }

    fn wait_for_fault(&self, word: &str) {
        self.wait_for(|status| matches!(status, Status::Fault { wrong, .. } if wrong.contains(word)));
    }

    /// Moves a file into the inbox that is no film, and so costs little time.
    fn put_in(&self, name: &str) {
        let outside = self.root.path().join(name);
        fs::write(&outside, name).unwrap();
        fs::rename(outside, self.config.inbox.join(name)).unwrap();
    }

    fn files(&self, folder: &str) -> usize {
        fs::read_dir(self.config.state.join(folder)).unwrap().count()
    }

    fn stop(self) {
        self.handle.stop();
        self.wait_for(|status| *status == Status::Stopped);
        self.thread.join().unwrap().unwrap();
    }
}

fn is_recorded(status: &Status) -> bool {
    matches!(status, Status::Recorded(_))
}

#[test]
fn a_journal_that_fails_is_a_fault_and_the_film_is_read_once_when_it_works_again() {
    let unit = start(|_| {});
    unit.wait_for(|status| *status == Status::Ready);
    let (journal, away) = (unit.config.journal(), unit.root.path().join("away"));
    fs::rename(&journal, &away).unwrap();
    unit.put_in("a.png");
    unit.wait_for_fault("removed or replaced");
    assert_eq!((unit.files("spool"), unit.files("refused")), (2, 0), "the film, and the note that it is in hand");
    fs::rename(&away, &journal).unwrap();
    let Status::Recorded(row) = unit.wait_for(|status| !matches!(status, Status::Fault { .. })) else {
        panic!("the film was read a second time");
    };
    assert_eq!(row.file_name, "a.png");
    unit.wait_for(|status| *status == Status::Ready);
    assert_eq!((unit.files("spool"), unit.files("refused")), (0, 2));
    unit.stop();
}

#[test]
fn a_full_disc_is_a_fault_and_films_stay_in_the_inbox_until_there_is_room() {
    let unit = start(|config| config.min_free = u64::MAX);
    unit.put_in("a.png");
    unit.wait_for_fault("full");
    assert!(unit.config.inbox.join("a.png").exists());
    unit.handle.reconfigure(Ok(Config { min_free: 0, ..unit.config.clone() }));
    unit.wait_for(is_recorded);
    unit.wait_for(|status| *status == Status::Ready);
    assert!(!unit.config.inbox.join("a.png").exists());
    unit.stop();
}

#[test]
fn an_inbox_that_is_gone_is_a_fault_until_it_is_back() {
    let unit = start(|config| fs::remove_dir(&config.inbox).unwrap());
    unit.wait_for_fault("cannot be looked at");
    fs::create_dir(&unit.config.inbox).unwrap();
    unit.wait_for(|status| *status == Status::Ready);
    unit.put_in("a.png");
    unit.wait_for(is_recorded);
    unit.stop();
}

#[test]
fn a_configuration_that_cannot_be_used_changes_nothing() {
    let unit = start(|_| {});
    let other = |adapt: fn(&mut Config)| {
        let mut config = unit.config.clone();
        adapt(&mut config);
        Ok(config)
    };
    unit.handle.reconfigure(Config::read(&unit.root.path().join("none.toml")));
    unit.handle.reconfigure(other(|config| config.state = "/elsewhere".into()));
    unit.handle.reconfigure(other(|config| {
        config.model = Some("/none.toml".into());
        config.inbox = "/elsewhere".into();
    }));
    unit.put_in("a.png");
    unit.wait_for(is_recorded);
    assert!(!unit.told.try_iter().any(|status| matches!(status, Status::Fault { .. })));
    unit.stop();
}

#[test]
fn a_unit_tells_how_it_is_over_its_socket_and_that_it_has_no_camera() {
    let unit = start(|_| {});
    unit.wait_for(|status| *status == Status::Ready);
    let ask = |request| crate::control::ask(&unit.config.state, request).unwrap();
    assert!(matches!(ask(Request::Status), Answer::Status { vitals } if vitals.model.is_some()));
    assert!(matches!(ask(Request::Capture), Answer::Failed { wrong } if wrong.contains("[camera]")));
    unit.stop();
}

#[test]
fn a_film_that_is_put_in_again_is_told_and_not_read_again() {
    let unit = start(|_| {});
    unit.put_in("a.png");
    let Status::Recorded(first) = unit.wait_for(is_recorded) else { unreachable!() };
    unit.wait_for(|status| *status == Status::Ready);
    unit.put_in("a.png");
    let next = unit.told.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(next, Status::AlreadyRecorded(first));
    assert_eq!(unit.files("refused"), 2, "the film and its reason, once");
    unit.stop();
}

#[test]
fn what_is_wrong_with_a_stick_is_a_fault_while_it_is_in_and_to_be_looked_at_until_one_is_served_to_its_end() {
    let unit = start(|_| {});
    unit.wait_for(|status| *status == Status::Ready);
    let stick = |is_in, served: Result<(), &str>| {
        unit.handle.send(Event::Stick { is_in, served: served.map_err(str::to_owned) });
        unit.told.recv_timeout(Duration::from_secs(60)).unwrap()
    };
    let is_check = |status: Status, word: &str| matches!(status, Status::Warning { wrong, .. } if wrong.contains(word));
    assert!(is_check(stick(false, Err("pulled")), "pulled"));
    unit.put_in("a.png");
    unit.wait_for(is_recorded);
    assert!(
        is_check(unit.told.recv_timeout(Duration::from_secs(60)).unwrap(), "pulled"),
        "a film does not wipe it away"
    );
    assert!(matches!(stick(true, Err("a film stays on it")), Status::Fault { wrong, .. } if wrong.contains("stays")));
    assert!(is_check(stick(false, Err("a film stays on it")), "stays"));
    assert_eq!(stick(true, Ok(())), Status::Ready);
    unit.stop();
}
