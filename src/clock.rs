//! What time it is, since when the board runs, and whether anybody has told it the time since.
//!
//! A board without a battery wakes up in the past, and nobody need notice. So a row of the journal keeps the wall clock
//! as it was, the time since the board started, and whether the wall clock was trusted; what depends on order goes by
//! the row's number, and what depends on a delay by a clock that nobody can set.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use libc::c_long;
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use thiserror::Error;

/// Where it is noted that the clock was set since the board started: each file in it whose content is the identity of
/// this boot, with hyphens or without, says so. Root alone writes there.
pub const MARKS: &str = "/run/chestlight-clock";
/// systemd-timesyncd makes this file when it has set the clock from the network. `/run` is empty after a start.
const TIMESYNCD: &str = "/run/systemd/timesync/synchronized";
/// The kernel's name for this boot: another one after each start.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Largest error at which the kernel's clock counts as kept by a time service, microseconds. The kernel begins with this
/// one, and gets back to it some nine hours after a service has gone silent. systemd draws the line there as well.
const KEPT: c_long = 16_000_000;
/// The mark that [`set`] makes.
const BY_HAND: &str = "by-hand";

/// The clock cannot be right before this instant: chestlight did not exist (2026-11-01T00:00:00Z).
const FIRST_RELEASE: Duration = Duration::from_secs(1_793_491_200);

/// Whether a clock could be right: boards without a battery wake up in 1970, or when their image was made.
pub fn is_plausible(wall: SystemTime) -> bool {
    wall.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since >= FIRST_RELEASE)
}

/// One moment, as the clocks of a board tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The clock on the wall, right or wrong.
    pub wall: SystemTime,
    /// The kernel's name for this run of the board, 36 characters; absent where it has none.
    pub boot_id: Option<String>,
    /// Time since the board started, sleep included; nobody can set it.
    pub since_boot: Duration,
    /// Somebody who knows the time has set the wall clock since the board started.
    pub trusted: bool,
}

/// Tells the time. A value that is handed in, so that tests have their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Moment + Send + Sync>);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl Clock {
    /// A clock that says what `tell` says.
    pub fn new(tell: impl Fn() -> Moment + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// The system's clocks.
    pub fn system() -> Self {
        // It stays what it is as long as this program runs, and the loop asks for the time whenever it comes round.
        let boot_id = boot_id();
        // Once kept, it was set, whether or not the network stays.
        let was_kept = AtomicBool::new(false);
        Self::new(move || {
            let wall = SystemTime::now();
            if is_kept(largest_error()) {
                was_kept.store(true, Ordering::Relaxed);
            }
            let was_kept = was_kept.load(Ordering::Relaxed);
            let is_set = || was_kept || is_set(Path::new(MARKS), Path::new(TIMESYNCD), boot_id.as_deref());
            Moment { wall, boot_id: boot_id.clone(), since_boot: since_boot(), trusted: is_plausible(wall) && is_set() }
        })
    }

    /// The time now.
    pub fn now(&self) -> Moment {
        (self.0)()
    }
}

fn boot_id() -> Option<String> {
    let text = fs::read_to_string(BOOT_ID).ok()?;
    let id = text.trim();
    (id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')).then(|| id.to_owned())
}

fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}

/// The kernel's own word on how far its clock may be from the time, microseconds; `None` where it gives none. Whatever
/// keeps the clock tells the kernel so: systemd-timesyncd, chrony and ntpd, by the network or by GPS.
fn largest_error() -> Option<c_long> {
    // SAFETY: `timex` is integers and padding alone, for which zeros are values. With `modes` zero the call changes nothing
    // but the structure behind the pointer, which is valid, writable and ours.
    #[allow(unsafe_code, reason = "the C interface of the kernel's clock; rustix has none")]
    let (state, told) = unsafe {
        let mut told: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut told), told)
    };
    (state >= 0).then_some(told.maxerror)
}

fn is_kept(largest_error: Option<c_long>) -> bool {
    largest_error.is_some_and(|error| (0..KEPT).contains(&error))
}

/// Whether somebody has set the clock since the board started, which the kernel calls `boot_id`.
fn is_set(marks: &Path, timesyncd: &Path, boot_id: Option<&str>) -> bool {
    let Some(boot_id) = boot_id else { return false };
    // The kernel writes it with hyphens, systemd without.
    let bare = |id: &str| id.replace('-', "");
    let is_of_this_boot = |mark: &Path| {
        // Nobody but root writes there, but a mark is no reason to read a gigabyte.
        fs::metadata(mark).is_ok_and(|found| found.is_file() && found.len() < 1_024)
            && fs::read_to_string(mark).is_ok_and(|text| bare(text.trim()) == bare(boot_id))
    };
    timesyncd.is_file() || fs::read_dir(marks).is_ok_and(|marks| marks.flatten().any(|it| is_of_this_boot(&it.path())))
}

/// Why a clock that nobody has set must be behind: a film was made on a later day than it says. `made` is a film's study
/// date, with or without its time, by the clock of the clinic.
///
/// That clock may be as wrong as this one, so it is believed only so far that a person is asked to look: it never sets
/// this one, and against one that was set it counts for nothing. A day is allowed for time zones. No time of a film is
/// told, only its day.
pub fn is_behind(now: &Moment, made: &str) -> Option<String> {
    let made: jiff::civil::Date = made.get(..10)?.parse().ok()?;
    let today = jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::try_from(now.wall).ok()?).date();
    let is_later = !now.trusted && made > today.tomorrow().ok()?;
    is_later.then(|| format!("the clock says {today}, and a film was made on {made}"))
}

/// Why the clock was not set.
#[derive(Debug, Error)]
pub enum SetError {
    /// Before chestlight existed.
    #[error("{0} is before this software was made")]
    TooEarly(String),
    /// The user may not set the clock.
    #[error("this user may not set the clock; use: sudo chestlight clock set '...'")]
    NotAllowed,
    /// The system refused.
    #[error("the clock cannot be set: {0}")]
    Refused(io::Error),
    /// The clock was set, but this was not noted, so it is not trusted.
    #[error("the clock was set, but {path} cannot be written, so the unit does not know: {source}")]
    NotNoted {
        /// The mark.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Sets the system's clock and notes that somebody did. Needs the capability `CAP_SYS_TIME`, which root has.
///
/// # Errors
/// [`SetError`].
pub fn set(wall: SystemTime) -> Result<(), SetError> {
    if !is_plausible(wall) {
        let told = jiff::Timestamp::try_from(wall).map_or_else(|error| error.to_string(), |time| format!("{time:.0}"));
        return Err(SetError::TooEarly(told));
    }
    let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs().try_into().unwrap_or(i64::MAX);
    match clock_settime(ClockId::Realtime, Timespec { tv_sec: seconds, tv_nsec: since.subsec_nanos().into() }) {
        Ok(()) => mark(Path::new(MARKS)),
        Err(rustix::io::Errno::PERM) => Err(SetError::NotAllowed),
        Err(error) => Err(SetError::Refused(error.into())),
    }
}

fn mark(marks: &Path) -> Result<(), SetError> {
    let path = marks.join(BY_HAND);
    let write = || {
        DirBuilder::new().recursive(true).mode(0o755).create(marks)?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&path)?;
        writeln!(file, "{}", boot_id().unwrap_or_default())
    };
    write().map_err(|source| SetError::NotNoted { path: path.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_the_first_release_is_not_plausible() {
        for (seconds, plausible) in [(0, false), (1_793_491_199, false), (1_793_491_200, true), (4_000_000_000, true)] {
            assert_eq!(is_plausible(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), plausible, "{seconds}");
        }
        assert!(!is_plausible(SystemTime::UNIX_EPOCH - Duration::from_secs(1)));
        assert!(matches!(set(SystemTime::UNIX_EPOCH), Err(SetError::TooEarly(_))), "nor can it be set so");
    }

    #[test]
    fn the_clock_is_trusted_when_a_mark_of_this_boot_says_so() {
        let root = tempfile::tempdir().unwrap();
        let (marks, timesyncd) = (root.path().join("marks"), root.path().join("synchronized"));
        let is_set = || super::is_set(&marks, &timesyncd, boot_id().as_deref());
        assert!(!is_set(), "nobody has set it");
        mark(&marks).unwrap();
        assert!(is_set(), "a person has");
        fs::write(marks.join(BY_HAND), "00000000-0000-0000-0000-000000000000\n").unwrap();
        assert!(!is_set(), "that was before the board was started");
        fs::copy(BOOT_ID, marks.join("network")).unwrap();
        assert!(is_set(), "a time service has");
        fs::remove_dir_all(&marks).unwrap();
        fs::create_dir(&marks).unwrap();
        fs::write(marks.join("battery"), boot_id().unwrap().replace('-', "")).unwrap();
        assert!(is_set(), "systemd-tmpfiles vouches for the battery");
        fs::remove_dir_all(&marks).unwrap();
        fs::write(&timesyncd, "").unwrap();
        assert!(is_set(), "timesyncd has");
    }

    #[test]
    fn the_kernels_word_on_its_error_says_whether_a_service_keeps_the_clock() {
        for (error, kept) in [(None, false), (Some(16_000_000), false), (Some(15_999_999), true), (Some(-1), false)] {
            assert_eq!(is_kept(error), kept, "{error:?}");
        }
        let word = largest_error().expect("every kernel has a word on it");
        assert!((0..=KEPT).contains(&word), "{word}");
    }

    #[test]
    fn a_film_from_after_tomorrow_casts_doubt_on_a_clock_that_nobody_has_set() {
        let now = |trusted| Moment {
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            boot_id: None,
            since_boot: Duration::ZERO,
            trusted,
        };
        for (made, behind) in [
            ("2027-01-15T08:00:00", false),
            ("2027-01-16", false),
            ("2027-01-17", true),
            ("2027-01-17T00:00:00", true),
            ("1999-12-31", false),
            ("9999-12-31", true),
            ("no date at all", false),
            ("2027", false),
        ] {
            let told = is_behind(&now(false), made);
            assert_eq!(told.is_some(), behind, "{made}: {told:?}");
            assert_eq!(is_behind(&now(true), made), None, "a clock that was set is believed");
        }
    }

    #[test]
    fn the_time_since_the_start_goes_on_and_the_boot_has_a_name() {
        let (first, second) = (Clock::system().now(), Clock::system().now());
        assert!(Duration::ZERO < first.since_boot && first.since_boot <= second.since_boot);
        assert_eq!(first.boot_id.as_ref().map(String::len), Some(36));
        assert_eq!(first.boot_id, second.boot_id);
    }
}
