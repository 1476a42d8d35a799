//! A unit as its clinic has it: the real program on real folders, watched through what it prints.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Cursor};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use chestlight::digest::hex;
use chestlight::journal::{Journal, JournalError, Row};
use chestlight::phantom::{Opacity, Phantom};
use chestlight::radiograph::Grey;
use image::{GrayImage, ImageFormat};
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

/// Far longer than anything takes; only a test that fails waits for it.
const DEADLINE: Duration = Duration::from_secs(120);

/// A phantom that costs little time, as a file.
pub fn film(seed: u64, format: ImageFormat) -> Vec<u8> {
    let phantom = Phantom::new(seed, Opacity::Diffuse).sized(260, 240).render().unwrap();
    let Grey::U8(samples) = phantom.pixels() else { panic!("a phantom has 8 bits") };
    let image = GrayImage::from_raw(phantom.width(), phantom.height(), samples.clone()).unwrap();
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The folders and the configuration of a unit.
pub struct Site {
    root: tempfile::TempDir,
}

impl Site {
    /// With `more` lines of configuration.
    pub fn new(more: &str) -> Self {
        let site = Self { root: tempfile::tempdir().unwrap() };
        fs::create_dir(site.inbox()).unwrap();
        site.configure(&format!("inbox = 'inbox'\nstate = 'state'\nrescan_seconds = 1\nmin_free_mib = 1\n{more}"));
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn inbox(&self) -> PathBuf {
        self.path("inbox")
    }

    pub fn configure(&self, text: &str) {
        fs::write(self.path("chestlight.toml"), text).unwrap();
    }

    /// Moves a complete file into the inbox.
    pub fn put_in(&self, name: &str, bytes: &[u8]) {
        let outside = self.path("outside");
        fs::write(&outside, bytes).unwrap();
        fs::rename(outside, self.inbox().join(name)).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chestlight"));
        command.args(arguments).arg("--config").arg(self.path("chestlight.toml"));
        command
    }

    pub fn start(&self) -> Unit {
        self.start_with(&[])
    }

    /// Starts the unit; with `environment` to make it abort somewhere.
    pub fn start_with(&self, environment: &[(&str, &str)]) -> Unit {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = self.command(&["run"]);
        command.envs(environment.iter().copied()).env("RUST_LOG", "debug").stdout(Stdio::piped()).stderr(log);
        Unit::start(&mut command)
    }

    /// Polls until a condition holds: for what no line tells.
    pub fn wait_until(&self, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !holds() {
            assert!(Instant::now() < deadline, "this takes too long: {}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until no film is on its way.
    pub fn wait_until_settled(&self) {
        let files = |folder| WalkDir::new(self.path(folder)).into_iter().flatten().filter(|it| !it.path().is_dir());
        self.wait_until(|| ["inbox", "state/spool"].into_iter().all(|folder| files(folder).count() == 0));
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Every recorded reading; none where nothing was ever recorded.
    pub fn rows(&self) -> Vec<Row> {
        let journal = self.path("state/journal.db");
        let mut rows = Vec::new();
        if journal.exists() {
            let journal = Journal::open_read_only(&journal).unwrap();
            let keep = |row: &Row| -> Result<(), JournalError> {
                rows.push(row.clone());
                Ok(())
            };
            journal.for_each(None, keep).unwrap();
        }
        rows
    }

    /// Every film below a folder by its digest, without reasons, heat maps and the unit's own notes.
    pub fn films_in(&self, folder: &str) -> BTreeMap<String, PathBuf> {
        let mut films = BTreeMap::new();
        for entry in WalkDir::new(self.path(folder)).into_iter().map(Result::unwrap) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_beside = name.ends_with(".reason.txt") || name.ends_with(".heatmap.png");
            if entry.file_type().is_file() && !name.starts_with('.') && !is_beside {
                let twice = films.insert(digest(&fs::read(entry.path()).unwrap()), entry.into_path());
                assert_eq!(twice, None, "{folder} has a film twice");
            }
        }
        films
    }

    /// The invariants of a unit at rest: every film was recorded once and lies in the one place where its reading
    /// says, with a reason where it was refused; the chain is whole; no log names a film.
    pub fn assert_at_rest(&self, films: &[(&str, &[u8])]) -> Vec<Row> {
        let rows = self.rows();
        let (archive, refused) = (self.films_in("state/archive"), self.films_in("state/refused"));
        assert!(self.films_in("inbox").is_empty(), "{:?}", self.films_in("inbox"));
        assert!(self.films_in("state/spool").is_empty(), "{:?}", self.films_in("state/spool"));
        assert_eq!(rows.len(), films.len());
        let log = self.log();
        for (name, bytes) in films {
            let digest = digest(bytes);
            let row = rows.iter().find(|row| row.input_digest == digest).unwrap_or_else(|| panic!("{name} is lost"));
            let (here, there) = if row.is_unread() { (&refused, &archive) } else { (&archive, &refused) };
            assert!(!there.contains_key(&digest), "{name} is in both places");
            let path = here.get(&digest).unwrap_or_else(|| panic!("{name} is not where it belongs"));
            if row.is_unread() {
                let reason = fs::read_to_string(format!("{}.reason.txt", path.display())).unwrap();
                assert!(reason.contains(&row.message) && reason.contains("not a diagnosis"), "{reason}");
            }
            assert!(!log.contains(name), "the log names {name}");
        }
        assert_eq!(archive.len() + refused.len(), films.len());
        let verify = self.command(&["log", "verify"]).output().unwrap();
        assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
        rows
    }
}

/// A running unit.
pub struct Unit {
    child: Child,
    lines: Receiver<String>,
    /// Every line that was read so far.
    pub shown: Vec<String>,
}

impl Unit {
    /// Starts a unit; its lines are those of its standard output, where that is piped.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        if let Some(output) = child.stdout.take() {
            let mut output = BufReader::new(output).lines().map_while(Result::ok);
            thread::spawn(move || output.try_for_each(|line| sender.send(line)));
        }
        Self { child, lines, shown: Vec::new() }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that has the words.
    pub fn wait_for(&mut self, words: &str) -> String {
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) => self.shown.push(line.clone()),
                Err(error) => panic!("`{words}` was not shown ({error:?}): {:#?}", self.shown),
            }
            if self.shown.last().unwrap().contains(words) {
                return self.shown.last().unwrap().clone();
            }
        }
    }

    pub fn wait_until_ready(&mut self) {
        self.wait_for("put films into the inbox");
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// How the unit ended, after it was told to or by itself.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        while let Ok(line) = self.lines.recv_timeout(DEADLINE) {
            self.shown.push(line);
        }
        self.child.wait().unwrap()
    }

    pub fn stop(mut self) -> Vec<String> {
        self.signal(Signal::TERM);
        assert_eq!(self.wait_for_end().code(), Some(0), "{:#?}", self.shown);
        std::mem::take(&mut self.shown)
    }

    /// Numbers and digests of the readings that were shown.
    pub fn readings_shown(&self) -> Vec<(i64, String)> {
        readings(&self.shown)
    }
}

/// The readings in lines such as `normal               reading 7 of 1a2b3c4d: ...`.
pub fn readings(lines: &[String]) -> Vec<(i64, String)> {
    let reading = |line: &String| {
        let (seq, film) = line.split_once(" reading ")?.1.split_once(" of ")?;
        Some((seq.parse().ok()?, film.get(..8)?.to_owned()))
    };
    lines.iter().filter_map(reading).collect()
}

impl Drop for Unit {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
