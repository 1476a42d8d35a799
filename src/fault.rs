//! Points at which the crash tests kill the program. Nothing of it is left in a program that is built for use.
//!
//! With the cargo feature `fault-injection` (turned on by the tests alone) the environment variable
//! `CHESTLIGHT_ABORT_AT=NAME[:NTH]` aborts the process at the NTH passing of the point NAME; NTH is 1 when absent.
//! `CHESTLIGHT_HANG_AT` makes the thread that passes it wait for ever instead. And the board's sensors and journald's
//! socket are then those that the test has made.

/// Points at a start.
pub const START_POINTS: [&str; 4] =
    ["journal.migrated", "journal.reason_written", "journal.set_aside", "choose.starting"];

/// Points at which a film is removed that the site does not keep.
pub const TIDYING_POINTS: [&str; 2] = ["tidying.noted", "tidying.removed"];

/// Points in the changes of installed models: behind each operation on a file. Bundle, signature and record are written
/// the same way, one after the other.
pub const MODEL_POINTS: [&str; 7] = [
    "slots.folder_made",
    "slots.file_made",
    "slots.file_written",
    "slots.file_synced",
    "slots.file_renamed",
    "slots.folder_synced",
    "slots.unmarked",
];

/// Every point on the road, in the order in which a film passes them.
pub const POINTS: [&str; 13] = [
    "spool.copied",
    "spool.renamed",
    "spool.synced",
    "spool.unlinked",
    "reading.marked",
    "reading.read",
    "journal.inserted",
    "journal.committed",
    "reading.unmarked",
    "reading.shown",
    "spool.reason_copied",
    "spool.reason_written",
    "spool.settled",
];

/// Passes the point `name` of one of the lists above.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub fn point(_name: &'static str) {}

/// Passes the point `name` of one of the lists above; aborts if it is the one that the environment asks for.
#[cfg(feature = "fault-injection")]
pub fn point(name: &'static str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static WANTED: LazyLock<Option<(String, u32, bool)>> = LazyLock::new(|| {
        let (wanted, hang) = match std::env::var("CHESTLIGHT_ABORT_AT") {
            Ok(wanted) => (wanted, false),
            Err(_) => (std::env::var("CHESTLIGHT_HANG_AT").ok()?, true),
        };
        let (name, nth) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        Some((name.to_owned(), nth.parse().unwrap_or(1), hang))
    });
    static PASSED: AtomicU32 = AtomicU32::new(0);

    let known =
        || POINTS.iter().chain(&START_POINTS).chain(&TIDYING_POINTS).chain(&MODEL_POINTS).any(|point| *point == name);
    debug_assert!(known(), "{name} is in no list of fault points");
    if let Some((wanted, nth, hang)) = &*WANTED
        && wanted == name
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *nth
    {
        if *hang {
            loop {
                std::thread::park();
            }
        }
        std::process::abort();
    }
}

/// Where journald listens.
const JOURNALD: &str = "/run/systemd/journal/socket";

/// Where journald listens.
#[cfg(not(feature = "fault-injection"))]
pub fn journald() -> std::path::PathBuf {
    JOURNALD.into()
}

/// The socket that `CHESTLIGHT_JOURNALD` names, else journald's own: the virtual board runs test builds too.
#[cfg(feature = "fault-injection")]
pub fn journald() -> std::path::PathBuf {
    std::env::var_os("CHESTLIGHT_JOURNALD").map_or_else(|| JOURNALD.into(), Into::into)
}

/// Where the kernel shows the board's sensors.
#[cfg(not(feature = "fault-injection"))]
pub fn sys() -> std::path::PathBuf {
    "/sys".into()
}

/// The tree of sensors that `CHESTLIGHT_SYS` names, else none: no test may depend on how warm its machine is.
#[cfg(feature = "fault-injection")]
pub fn sys() -> std::path::PathBuf {
    std::env::var_os("CHESTLIGHT_SYS").map_or_else(|| "/dev/null".into(), Into::into)
}
