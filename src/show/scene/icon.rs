//! Icons as distances to their edges: sharp at any size, and in black and white.

/// A small picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Icon {
    /// Normal.
    Tick,
    /// Bacteria.
    Rods,
    /// A coronavirus.
    Corona,
    /// A person with a cross: a doctor.
    Doctor,
    /// An arrow in a circle.
    Again,
    /// A triangle with an exclamation mark.
    Triangle,
    /// An arrow into a tray.
    Tray,
    /// A circle with an exclamation mark.
    Mark,
    /// An hourglass.
    Hourglass,
    /// A square, as on a recorder.
    Square,
    /// A disc.
    Disc,
    /// A thermometer.
    Heat,
    /// A battery.
    Battery,
    /// Sheets that wait.
    Films,
}

impl Icon {
    /// How much of the pixel at `x`, `y` is covered where the icon is `side` pixels wide and high, 0..=255.
    pub fn coverage(self, x: u32, y: u32, side: u32) -> u8 {
        let at = |pixel: u32| (pixel as f32 + 0.5) / side as f32;
        let outside = self.distance(at(x), at(y)) * side as f32;
        ((0.5 - outside).clamp(0.0, 1.0) * 255.0).round() as u8
    }

    /// Distance to the edge in sides, negative inside.
    fn distance(self, x: f32, y: f32) -> f32 {
        let rod = |from, to, thick| segment((x, y), from, to) - thick;
        match self {
            Self::Tick => rod((0.14, 0.54), (0.4, 0.8), 0.085).min(rod((0.4, 0.8), (0.86, 0.24), 0.085)),
            Self::Rods => {
                let rods = [((0.16, 0.3), (0.42, 0.14)), ((0.26, 0.64), (0.62, 0.46)), ((0.62, 0.86), (0.86, 0.66))];
                rods.into_iter().map(|(from, to)| rod(from, to, 0.115)).fold(f32::MAX, f32::min)
            }
            Self::Corona => {
                let spikes = (0..8).map(|spike| {
                    let (sin, cos) = (spike as f32 * std::f32::consts::FRAC_PI_4).sin_cos();
                    let tip = (0.5 + 0.4 * cos, 0.5 + 0.4 * sin);
                    rod((0.5, 0.5), tip, 0.03).min(circle((x, y), tip, 0.072))
                });
                spikes.fold(circle((x, y), (0.5, 0.5), 0.25), f32::min)
            }
            Self::Doctor => {
                let head = circle((x, y), (0.4, 0.26), 0.18);
                let shoulders = circle((x, y), (0.4, 0.94), 0.38).max(y - 0.94);
                let cross = rod((0.82, 0.3), (0.82, 0.58), 0.055).min(rod((0.68, 0.44), (0.96, 0.44), 0.055));
                // A gap keeps the cross apart from the person.
                head.min(shoulders).max(0.05 - cross).min(cross)
            }
            Self::Again => {
                let ring = (circle((x, y), (0.5, 0.52), 0.32)).abs() - 0.065;
                let gap = polygon((x, y), &[(0.5, 0.52), (0.5, -0.4), (1.5, -0.4), (1.5, 0.2)]);
                let arrow = polygon((x, y), &[(0.5, -0.02), (0.8, 0.2), (0.5, 0.42)]);
                ring.max(-gap).min(arrow)
            }
            Self::Triangle => {
                let body = polygon((x, y), &[(0.5, 0.12), (0.92, 0.86), (0.08, 0.86)]) - 0.04;
                body.max(-exclamation(x, y, 0.38, 0.62, 0.76))
            }
            Self::Tray => {
                let tray = [((0.12, 0.6), (0.12, 0.88)), ((0.12, 0.88), (0.88, 0.88)), ((0.88, 0.88), (0.88, 0.6))];
                let tray = tray.into_iter().map(|(from, to)| rod(from, to, 0.06)).fold(f32::MAX, f32::min);
                let head = polygon((x, y), &[(0.26, 0.4), (0.74, 0.4), (0.5, 0.7)]);
                tray.min(rod((0.5, 0.12), (0.5, 0.45), 0.07)).min(head)
            }
            Self::Mark => circle((x, y), (0.5, 0.5), 0.44).max(-exclamation(x, y, 0.26, 0.56, 0.74)),
            Self::Hourglass => {
                let caps = rod((0.22, 0.1), (0.78, 0.1), 0.06).min(rod((0.22, 0.9), (0.78, 0.9), 0.06));
                let above = polygon((x, y), &[(0.24, 0.14), (0.76, 0.14), (0.53, 0.5), (0.47, 0.5)]);
                let below = polygon((x, y), &[(0.47, 0.5), (0.53, 0.5), (0.76, 0.86), (0.24, 0.86)]);
                caps.min(above).min(below)
            }
            Self::Square => rounded((x, y), (0.5, 0.5), (0.32, 0.32), 0.06),
            Self::Disc => {
                let body = rounded((x, y), (0.5, 0.5), (0.44, 0.28), 0.08);
                body.max(-circle((x, y), (0.74, 0.62), 0.07)).max(-rounded((x, y), (0.5, 0.42), (0.36, 0.035), 0.02))
            }
            Self::Heat => {
                let glass = rod((0.5, 0.16), (0.5, 0.7), 0.15).min(circle((x, y), (0.5, 0.74), 0.24));
                let hollow = rod((0.5, 0.18), (0.5, 0.4), 0.07);
                glass.max(-hollow)
            }
            Self::Battery => {
                let shell = rounded((x, y), (0.46, 0.5), (0.42, 0.24), 0.06);
                let hollow = rounded((x, y), (0.46, 0.5), (0.34, 0.16), 0.02);
                let charge = rounded((x, y), (0.36, 0.5), (0.19, 0.11), 0.01);
                shell.max(-hollow).min(charge).min(rounded((x, y), (0.92, 0.5), (0.05, 0.1), 0.02))
            }
            Self::Films => {
                let behind = rounded((x, y), (0.6, 0.4), (0.3, 0.32), 0.04);
                let before = rounded((x, y), (0.4, 0.6), (0.3, 0.32), 0.04);
                behind.max(0.06 - before).min(before)
            }
        }
    }
}

type Point = (f32, f32);

fn length(x: f32, y: f32) -> f32 {
    x.hypot(y)
}

fn circle((x, y): Point, (middle_x, middle_y): Point, radius: f32) -> f32 {
    length(x - middle_x, y - middle_y) - radius
}

/// Distance to a straight line between two points.
fn segment((x, y): Point, (from_x, from_y): Point, (to_x, to_y): Point) -> f32 {
    let (along_x, along_y) = (to_x - from_x, to_y - from_y);
    let share = ((x - from_x) * along_x + (y - from_y) * along_y) / (along_x * along_x + along_y * along_y);
    let share = share.clamp(0.0, 1.0);
    length(x - from_x - share * along_x, y - from_y - share * along_y)
}

/// A box with round corners, by its middle and half its sides.
fn rounded((x, y): Point, (middle_x, middle_y): Point, (half_width, half_height): Point, corner: f32) -> f32 {
    let (over_x, over_y) = ((x - middle_x).abs() - half_width + corner, (y - middle_y).abs() - half_height + corner);
    length(over_x.max(0.0), over_y.max(0.0)) + over_x.max(over_y).min(0.0) - corner
}

/// A convex polygon, its corners in the order in which the clock's hands go. Outside of corners it is only near enough.
fn polygon((x, y): Point, corners: &[Point]) -> f32 {
    let next = corners.iter().cycle().skip(1);
    let sides = corners.iter().zip(next).map(|(&(from_x, from_y), &(to_x, to_y))| {
        let (along_x, along_y) = (to_x - from_x, to_y - from_y);
        ((x - from_x) * along_y - (y - from_y) * along_x) / length(along_x, along_y)
    });
    sides.fold(f32::MIN, f32::max)
}

/// An exclamation mark from `top` to `bottom` with its dot at `dot`.
fn exclamation(x: f32, y: f32, top: f32, bottom: f32, dot: f32) -> f32 {
    (segment((x, y), (0.5, top), (0.5, bottom)) - 0.05).min(circle((x, y), (0.5, dot), 0.06))
}

#[cfg(test)]
mod tests {
    use super::super::view::Tone;
    use super::*;

    fn pixels(icon: Icon, side: u32) -> Vec<bool> {
        (0..side * side).map(|place| icon.coverage(place % side, place / side, side) > 127).collect()
    }

    #[test]
    fn every_tone_has_an_icon_of_its_own_that_is_told_apart_on_the_smallest_screen() {
        let drawn = Tone::ALL.map(|tone| pixels(tone.icon(), 24));
        for (place, one) in drawn.iter().enumerate() {
            let inked = one.iter().filter(|inked| **inked).count();
            assert!((60..500).contains(&inked), "{:?}: {inked}", Tone::ALL[place]);
            for (other_place, other) in drawn.iter().enumerate().skip(place + 1) {
                let apart = one.iter().zip(other).filter(|(a, b)| a != b).count();
                assert!(apart > 100, "{:?} {:?}: {apart}", Tone::ALL[place], Tone::ALL[other_place]);
            }
        }
    }
}
