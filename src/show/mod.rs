//! What the technician is shown, and where.

mod attended;
pub mod display;
pub mod lamps;
mod led_gpiocdev;
mod led_rppal;
mod leds;
pub mod oled;
mod panel;
mod persistent;
#[cfg(test)]
mod recorded;
pub mod scene;
pub mod screen;
mod system_log;
mod terminal;
pub mod text;
pub mod told;

pub use leds::{LedError, Leds, open as open_leds};
pub use panel::Panel;
use persistent::Persistent;
pub use system_log::SystemLog;
pub use terminal::{Terminal, style};

use std::io;
use std::sync::Arc;

use crate::explain::Picture;
use crate::journal::Row;
pub use crate::verdict::NOTICE;

/// Everything that can be shown.
///
/// A verdict comes as a [`Row`], which only the journal makes: what is not recorded cannot be shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// The unit waits for films.
    Ready,
    /// The unit waits for films, but somebody should look at why the last ones were other than they should be.
    Warning {
        /// What is unusual; names no film.
        wrong: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// A film is being read.
    Reading {
        /// Its path below the inbox, made harmless.
        name: String,
        /// The first digits of its digest.
        digest: String,
    },
    /// A film was read and recorded.
    Recorded(Row),
    /// A film was put in again; this is its recorded reading.
    AlreadyRecorded(Row),
    /// The unit cannot go on as it should.
    Fault {
        /// What is wrong; names no film.
        wrong: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// The unit was told to stop.
    Stopped,
}

/// Something that shows the unit's status: a terminal, a lamp, a screen.
///
/// It is called on the daemon's loop and must return soon: while it waits, no film is read.
pub trait Indicator {
    /// Shows the status.
    ///
    /// # Errors
    /// It could not be shown. The daemon goes on reading and shows verdicts and faults again later.
    fn show(&mut self, status: &Status) -> io::Result<()>;

    /// Whether what was shown last can still be seen; asked every few seconds.
    ///
    /// For indicators with a thread of their own, whose [`Indicator::show`] only leaves word for it.
    ///
    /// # Errors
    /// What is wrong. It is told in the vitals until it is over; to mend it is the indicator's own work.
    fn check(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Whether it shows pictures: where none does, none is drawn.
    fn shows_pictures(&self) -> bool {
        false
    }

    /// The film of a recorded reading under what speaks for its verdict, for indicators that show pictures. It follows
    /// the verdict, and need not come.
    fn picture(&mut self, seq: i64, picture: &Arc<Picture>) {
        let _ = (seq, picture);
    }
}
