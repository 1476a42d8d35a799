//! The system's log, where systemd-journald keeps it: records with fields, which can be asked for one by one.
//!
//! It is not the unit's own journal ([`crate::journal`]). Whoever may read the system's log may read every field, so none
//! names a patient or a file.

use std::env;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use log::{Level, Log, Metadata, Record};
use rustix::fs::fstat;

use crate::fault;

/// Longest message, bytes; of a longer one the end is left out. A datagram must fit into the kernel's buffer.
const LONGEST: usize = 32 << 10;

/// How grave a record is, as in syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// It does not work.
    Error = 3,
    /// Somebody should look at it.
    Warning = 4,
    /// What the unit is there for.
    Notice = 5,
    /// What happens.
    Info = 6,
    /// How it happens.
    Debug = 7,
}

impl From<Level> for Priority {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warn => Self::Warning,
            Level::Info => Self::Info,
            Level::Debug | Level::Trace => Self::Debug,
        }
    }
}

/// journald's end of this program.
#[derive(Debug)]
pub struct Journald {
    socket: UnixDatagram,
    at: PathBuf,
}

impl Journald {
    /// Where a stream of this program goes to journald, as systemd says in `JOURNAL_STREAM`; none where it goes anywhere
    /// else.
    pub fn behind(stream: impl AsFd) -> Option<Self> {
        let told = env::var("JOURNAL_STREAM").ok()?;
        is_stream(&told, stream).then(|| Self::at(fault::journald())).and_then(Result::ok)
    }

    /// journald that listens there.
    ///
    /// # Errors
    /// The system has no socket.
    pub fn at(path: PathBuf) -> io::Result<Self> {
        // Not connected: journald may be started again meanwhile.
        Ok(Self { socket: UnixDatagram::unbound()?, at: path })
    }

    /// Hands over one record. A field's name has capitals, digits and `_`.
    ///
    /// # Errors
    /// journald does not take it.
    pub fn send(&self, priority: Priority, message: &str, fields: &[(&str, &str)]) -> io::Result<()> {
        let mut datagram = Vec::new();
        let priority = (priority as u8).to_string();
        let message = message.get(..message.floor_char_boundary(LONGEST)).unwrap_or_default();
        for (name, value) in [("MESSAGE", message), ("PRIORITY", &priority), ("SYSLOG_IDENTIFIER", "chestlight")] {
            write_field(&mut datagram, name, value);
        }
        for (name, value) in fields {
            write_field(&mut datagram, name, value);
        }
        self.socket.send_to(&datagram, &self.at).map(drop)
    }
}

/// Whether `told`, device and inode of a stream, are those of this one.
fn is_stream(told: &str, stream: impl AsFd) -> bool {
    fstat(stream).is_ok_and(|found| told == format!("{}:{}", found.st_dev, found.st_ino))
}

/// One field as journald's native protocol has it: of a value with more than one line the length stands before it.
fn write_field(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend(name.as_bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend((value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend(value.as_bytes());
    datagram.push(b'\n');
}

/// Hands log lines to journald, with the place in the source that they come from. Another logger says which lines are
/// wanted, and gets those that journald does not take.
#[derive(Debug)]
pub struct JournaldLog<L> {
    journald: Journald,
    otherwise: L,
}

impl<L: Log> JournaldLog<L> {
    /// No line yet.
    pub fn new(journald: Journald, otherwise: L) -> Self {
        Self { journald, otherwise }
    }
}

impl<L: Log> Log for JournaldLog<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.otherwise.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let line = record.line().map(|line| line.to_string());
        let fields = [("TARGET", Some(record.target())), ("CODE_FILE", record.file()), ("CODE_LINE", line.as_deref())];
        let fields: Vec<_> = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        if self.journald.send(record.level().into(), &record.args().to_string(), &fields).is_err() {
            self.otherwise.log(record);
        }
    }

    fn flush(&self) {
        self.otherwise.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_stream_is_journalds_when_device_and_inode_are_those_that_systemd_tells() {
        let root = tempfile::tempdir().unwrap();
        let [ours, other] = ["a", "b"].map(|name| File::create(root.path().join(name)).unwrap());
        let told = |file: &File| {
            let found = file.metadata().unwrap();
            format!("{}:{}", found.dev(), found.ino())
        };
        assert!(is_stream(&told(&ours), &ours));
        for told in [told(&other).as_str(), "", "8:", "nonsense"] {
            assert!(!is_stream(told, &ours), "{told}");
        }
    }

    #[test]
    fn a_record_is_lines_of_fields_and_a_value_of_several_lines_has_its_length_before_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("socket");
        let journald = Journald::at(path.clone()).unwrap();
        assert!(journald.send(Priority::Info, "nobody listens", &[]).is_err());
        let listener = UnixDatagram::bind(&path).unwrap();
        let mut received = vec![0; 1 << 17];
        let mut hear = || {
            let length = listener.recv(&mut received).unwrap();
            String::from_utf8(received[..length].to_vec()).unwrap()
        };
        journald.send(Priority::Error, "it fails", &[("CHESTLIGHT_READING", "7")]).unwrap();
        let common = "PRIORITY=3\nSYSLOG_IDENTIFIER=chestlight\n";
        assert_eq!(hear(), format!("MESSAGE=it fails\n{common}CHESTLIGHT_READING=7\n"));
        journald.send(Priority::Error, "two\nlines", &[]).unwrap();
        assert_eq!(hear(), format!("MESSAGE\n\u{9}\0\0\0\0\0\0\0two\nlines\n{common}"));
        journald.send(Priority::Error, &"é".repeat(LONGEST), &[]).unwrap();
        assert_eq!(hear(), format!("MESSAGE={}\n{common}", "é".repeat(LONGEST / 2)));
    }

    /// Wants no debug lines, and keeps what it gets.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<String>>>);

    impl Log for Kept {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.level() <= Level::Info
        }

        fn log(&self, record: &Record<'_>) {
            self.0.lock().unwrap().push(record.args().to_string());
        }

        fn flush(&self) {}
    }

    #[test]
    fn log_lines_come_with_their_place_and_what_journald_does_not_take_goes_where_it_went_without_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("socket");
        let kept = Kept::default();
        let log = JournaldLog::new(Journald::at(path.clone()).unwrap(), kept.clone());
        let tell = |level, words: &str| {
            let place = (Some("src/spool.rs"), Some(9));
            let mut record = Record::builder();
            record.level(level).target("chestlight::spool").file(place.0).line(place.1);
            log.log(&record.args(format_args!("{words}")).build());
        };
        tell(Level::Warn, "before journald listens");
        assert_eq!(*kept.0.lock().unwrap(), ["before journald listens"]);
        let listener = UnixDatagram::bind(&path).unwrap();
        tell(Level::Debug, "not wanted");
        tell(Level::Warn, "wanted");
        let mut received = [0; 1_024];
        let length = listener.recv(&mut received).unwrap();
        assert_eq!(
            str::from_utf8(&received[..length]).unwrap(),
            "MESSAGE=wanted\nPRIORITY=4\nSYSLOG_IDENTIFIER=chestlight\nTARGET=chestlight::spool\n\
             CODE_FILE=src/spool.rs\nCODE_LINE=9\n"
        );
        assert_eq!(kept.0.lock().unwrap().len(), 1);
    }
}
