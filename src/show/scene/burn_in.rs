//! What keeps a screen from wearing out where it always shows the same: everything moves a little, and is dimmed.

use std::time::Duration;

use embedded_graphics::geometry::Point;

/// Farthest that a scene is moved in each direction, pixels.
pub const REACH: u32 = 1;
/// How long it stays where it is.
const STAY: Duration = Duration::from_secs(60);

/// What is done for the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Care {
    /// How far the scene is moved.
    pub shift: Point,
    /// Whether it is dimmed.
    pub dim: bool,
}

impl Care {
    /// For a screen that has been on for so long. It goes through all places within reach, line by line there and back
    /// again, never farther than one step: nobody sees it move.
    pub fn at(on: Duration, dim: bool) -> Self {
        let side = u64::from(2 * REACH + 1);
        let places = side * side;
        let step = on.as_secs() / STAY.as_secs() % (2 * places - 2);
        let place = step.min(2 * places - 2 - step);
        let (row, along) = (place / side, place % side);
        let column = if row.is_multiple_of(2) { along } else { side - 1 - along };
        let from_middle = |place: u64| place as i32 - REACH as i32;
        Self { shift: Point::new(from_middle(column), from_middle(row)), dim }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_scene_moves_by_one_step_at_most_and_stays_about_equally_long_everywhere() {
        let shifts: Vec<Point> = (0..1_600).map(|minute| Care::at(STAY * minute, false).shift).collect();
        let mut stays = BTreeMap::new();
        for pair in shifts.windows(2) {
            let moved = pair[1] - pair[0];
            assert_eq!(moved.x.abs() + moved.y.abs(), 1, "{pair:?}");
            assert!(pair[0].x.unsigned_abs() <= REACH && pair[0].y.unsigned_abs() <= REACH);
            *stays.entry((pair[0].x, pair[0].y)).or_insert(0) += 1;
        }
        assert_eq!(stays.len() as u32, (2 * REACH + 1).pow(2));
        assert!(stays.values().max() <= stays.values().min().map(|least| least * 2 + 1).as_ref(), "{stays:?}");
        assert_eq!(Care::at(STAY - Duration::from_secs(1), true), Care::at(Duration::ZERO, true));
    }
}
