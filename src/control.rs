//! The unit's own socket: programs of the same machine ask how it is, and for a film. Not a network listener: a file in
//! the state folder that its owner alone may open.
//!
//! A request is one line of JSON, and so is the answer; then the connection ends. Nothing that is said names a film's
//! file or a patient.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::health::Vitals;

/// Longest request, bytes.
const MOST_REQUEST: u64 = 4 << 10;
/// Longest answer, bytes: faults and displays are few.
const MOST_ANSWER: u64 = 1 << 20;
/// Connections at a time: a film that is being taken must not keep anybody from asking how the unit is.
const MOST_CONNECTIONS: usize = 8;
/// A request must come, and an answer must be taken, within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the answer to [`Request::Capture`] may take; a little longer than the camera's own limit.
const CAPTURE: Duration = Duration::from_secs(65);

/// What the unit can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// How it is.
    Status,
    /// Take a film with the camera.
    Capture,
}

impl Request {
    /// How long the answer may take.
    fn patience(self) -> Duration {
        match self {
            Self::Status => PATIENCE,
            Self::Capture => CAPTURE,
        }
    }
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// How it is.
    Status {
        /// What is known of it.
        vitals: Box<Vitals>,
    },
    /// A film is durably in the spool.
    Captured {
        /// The first digits of its digest.
        digest: String,
    },
    /// It could not be done.
    Failed {
        /// Why, and what to do.
        wrong: String,
    },
}

/// The unit did not answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("no unit runs on the state folder {state}; start it: chestlight run")]
    NotRunning {
        /// The state folder.
        state: PathBuf,
    },
    /// This user may not.
    #[error("this user may not ask the unit at {socket}; ask as the unit's own user")]
    Denied {
        /// The socket.
        socket: PathBuf,
    },
    /// The connection broke.
    #[error("the unit did not answer: {0}")]
    Broken(#[from] io::Error),
    /// It answered something else.
    #[error("the unit answered what this program does not understand ({0}); are both of one version?")]
    Answer(#[from] serde_json::Error),
}

/// Where the socket of a unit is.
pub fn socket(state: &Path) -> PathBuf {
    state.join("control.sock")
}

/// Asks the unit that runs on a state folder.
///
/// # Errors
/// [`AskError`].
pub fn ask(state: &Path, request: Request) -> Result<Answer, AskError> {
    let path = socket(state);
    let stream = UnixStream::connect(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NotRunning { state: state.to_owned() },
        io::ErrorKind::PermissionDenied => AskError::Denied { socket: path },
        _ => AskError::Broken(error),
    })?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(request.patience() + PATIENCE))?;
    write_line(&stream, &request)?;
    Ok(serde_json::from_str(&read_line(&stream, MOST_ANSWER)?)?)
}

/// Answers a request; called by several threads at once.
pub type Respond = Arc<dyn Fn(Request) -> Answer + Send + Sync>;

/// The socket of a unit, open as long as this lives.
#[derive(Debug)]
pub struct Server {
    socket: PathBuf,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Opens the socket of a state folder that this process has to itself, and answers on threads of its own.
    ///
    /// # Errors
    /// The socket cannot be made there, or the system has no thread.
    pub fn start(state: &Path, respond: Respond) -> io::Result<Self> {
        let socket = socket(state);
        // What a process before this one has left behind.
        if let Err(error) = fs::remove_file(&socket)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let listener = UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600))?;
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        thread::Builder::new().name("control".into()).spawn(move || listen(&listener, &is_over, &respond))?;
        Ok(Self { socket, stop })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread, which then finds that it is over.
        let _ = UnixStream::connect(&self.socket);
        let _ = fs::remove_file(&self.socket);
    }
}

fn listen(listener: &UnixListener, is_over: &AtomicBool, respond: &Respond) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        // Out of descriptors, for example: whoever asks, asks again.
        let Ok(stream) = stream else {
            thread::park_timeout(Duration::from_millis(100));
            continue;
        };
        let place = Place(Arc::clone(&open));
        if open.fetch_add(1, Ordering::Relaxed) >= MOST_CONNECTIONS {
            continue;
        }
        let respond = Arc::clone(respond);
        let answering = thread::Builder::new().name("control-answer".into()).spawn(move || {
            let _place = place;
            if let Err(error) = serve(&stream, &respond) {
                log::debug!("a request was not answered: {error}");
            }
        });
        if let Err(error) = answering {
            log::warn!("a request was not answered: {error}");
        }
    }
}

/// One of the connections at a time; free again when it is dropped.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn serve(stream: &UnixStream, respond: &Respond) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let answer = match serde_json::from_str(&read_line(stream, MOST_REQUEST)?) {
        Ok(request) => respond(request),
        Err(error) => Answer::Failed { wrong: format!("the unit does not understand the request: {error}") },
    };
    write_line(stream, &answer)
}

fn read_line(stream: &UnixStream, most: u64) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(stream.take(most)).read_line(&mut line)?;
    if line.ends_with('\n') { Ok(line) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "no whole line came")) }
}

fn write_line(mut stream: &UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    fn server(state: &Path, respond: impl Fn(Request) -> Answer + Send + Sync + 'static) -> Server {
        Server::start(state, Arc::new(respond)).unwrap()
    }

    fn captured() -> Answer {
        Answer::Captured { digest: "0123abcd".into() }
    }

    #[test]
    fn a_request_is_answered_by_the_unit_that_runs_and_by_its_owner_alone() {
        let state = tempfile::tempdir().unwrap();
        assert!(matches!(ask(state.path(), Request::Status), Err(AskError::NotRunning { .. })));
        // A process that died has left its socket.
        drop(UnixListener::bind(socket(state.path())).unwrap());
        assert!(matches!(ask(state.path(), Request::Status), Err(AskError::NotRunning { .. })));
        let vitals = Vitals { waiting: 3, ..Vitals::default() };
        let status = Answer::Status { vitals: Box::new(vitals) };
        let told = status.clone();
        let server = server(state.path(), move |request| match request {
            Request::Status => told.clone(),
            Request::Capture => captured(),
        });
        assert_eq!(ask(state.path(), Request::Status).unwrap(), status);
        assert_eq!(ask(state.path(), Request::Capture).unwrap(), captured());
        assert_eq!(fs::metadata(socket(state.path())).unwrap().permissions().mode() & 0o777, 0o600);
        drop(server);
        assert!(matches!(ask(state.path(), Request::Status), Err(AskError::NotRunning { .. })));
    }

    #[test]
    fn a_slow_answer_holds_up_no_other_one() {
        let state = tempfile::tempdir().unwrap();
        let (go_on, wait) = channel();
        let wait = Mutex::new(wait);
        let _server = server(state.path(), move |request| match request {
            Request::Status => Answer::Failed { wrong: "at once".into() },
            Request::Capture => {
                wait.lock().unwrap().recv().unwrap();
                captured()
            }
        });
        let path = state.path().to_owned();
        let slow = thread::spawn(move || ask(&path, Request::Capture).unwrap());
        assert!(matches!(ask(state.path(), Request::Status), Ok(Answer::Failed { .. })));
        go_on.send(()).unwrap();
        assert_eq!(slow.join().unwrap(), captured());
    }

    #[test]
    fn what_is_no_request_is_told_and_what_is_too_long_or_breaks_off_is_no_request() {
        let state = tempfile::tempdir().unwrap();
        let _server = server(state.path(), |_| captured());
        let say = |bytes: &[u8]| {
            let mut stream = UnixStream::connect(socket(state.path())).unwrap();
            // It may stop listening in the middle of what is too long.
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            answer
        };
        for request in ["{}\n", "status\n", "{\"request\":\"reboot\"}\n"] {
            assert!(say(request.as_bytes()).contains("does not understand"), "{request}");
        }
        let long = [b"{\"request\":".to_vec(), vec![b' '; 10_000], b"\"capture\"}\n".to_vec()].concat();
        for request in [&long[..], b"{\"request\":\"capture\"}", b"", b"\xFF\xFE\n"] {
            assert_eq!(say(request), "", "{:?}", &request[..request.len().min(20)]);
        }
        assert_eq!(say(b"{\"request\":\"capture\"}\n"), "{\"answer\":\"captured\",\"digest\":\"0123abcd\"}\n");
    }
}
