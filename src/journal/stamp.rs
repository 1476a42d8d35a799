//! Which clocks stood how when a row was recorded.

use rusqlite::Row as SqlRow;

use super::row::Cell;
use crate::clock::Moment;

/// The columns of every table that say it; journals before version 3 do not have them.
pub(super) const COLUMNS: [&str; 3] = ["boot_id", "boot_ms", "clock_trusted"];

/// What the wall clock of a row is worth, and the clock that nobody can set. All absent in rows that an older
/// chestlight recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The kernel's name for that run of the board.
    pub boot_id: Option<String>,
    /// Milliseconds since the board had started, sleep included.
    pub boot_ms: Option<i64>,
    /// Somebody who knows the time had set the wall clock since the board started.
    pub clock_trusted: Option<bool>,
}

impl Stamp {
    pub(super) fn of(moment: &Moment) -> Self {
        Self {
            boot_id: moment.boot_id.clone(),
            boot_ms: i64::try_from(moment.since_boot.as_millis()).ok(),
            clock_trusted: Some(moment.trusted),
        }
    }

    pub(super) fn from_sql(row: &SqlRow<'_>) -> rusqlite::Result<Self> {
        let [boot_id, boot_ms, clock_trusted] = COLUMNS;
        Ok(Self { boot_id: row.get(boot_id)?, boot_ms: row.get(boot_ms)?, clock_trusted: row.get(clock_trusted)? })
    }

    /// The values of [`COLUMNS`].
    pub(super) fn cells(&self) -> [Cell<'_>; COLUMNS.len()] {
        [
            self.boot_id.as_deref().map_or(Cell::Null, Cell::Text),
            self.boot_ms.map_or(Cell::Null, Cell::Integer),
            self.clock_trusted.map_or(Cell::Null, |trusted| Cell::Integer(trusted.into())),
        ]
    }
}
