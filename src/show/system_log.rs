//! What a terminal would say, as records of the system's log.

use std::io;

use super::{Indicator, Status, terminal};
use crate::journal::Row;
use crate::journald::{Journald, Priority};

/// Hands a record to journald for each status. Films are named by their digests.
#[derive(Debug)]
pub struct SystemLog(Journald);

impl SystemLog {
    /// No record yet.
    pub fn new(journald: Journald) -> Self {
        Self(journald)
    }
}

impl Indicator for SystemLog {
    fn show(&mut self, status: &Status) -> io::Result<()> {
        let priority = match status {
            Status::Fault { .. } => Priority::Error,
            Status::Warning { .. } => Priority::Warning,
            Status::Recorded(_) | Status::AlreadyRecorded(_) => Priority::Notice,
            Status::Ready | Status::Reading { .. } | Status::Stopped => Priority::Info,
        };
        let line = terminal::line(status)?;
        match status {
            Status::Recorded(row) | Status::AlreadyRecorded(row) => {
                let Row { seq, verdict, reason, .. } = row;
                let seq = seq.to_string();
                let mut fields = vec![
                    ("CHESTLIGHT_READING", seq.as_str()),
                    ("CHESTLIGHT_FILM", row.short_digest()),
                    ("CHESTLIGHT_VERDICT", verdict.as_str()),
                ];
                fields.extend(reason.as_deref().map(|reason| ("CHESTLIGHT_REASON", reason)));
                self.0.send(priority, &line, &fields)
            }
            Status::Reading { digest, .. } => self.0.send(priority, &line, &[("CHESTLIGHT_FILM", digest)]),
            _ => self.0.send(priority, &line, &[]),
        }
    }
}
