//! The scene on a screen with colours, wide or tall, from 240 pixels on.

use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::primitives::Rectangle;

use super::burn_in::Care;
use super::icon::Icon;
use super::paint::{Brush, Cut as _, Stand};
use super::view::{Tone, View};
use crate::show::text::{Face, Typesetter};

const GROUND: Rgb888 = Rgb888::new(10, 14, 19);
const RAISED: Rgb888 = Rgb888::new(27, 34, 43);
const TEXT: Rgb888 = Rgb888::new(238, 242, 246);
const QUIET: Rgb888 = Rgb888::new(164, 175, 188);
const ALARM: Rgb888 = Rgb888::new(245, 238, 120);
/// On a plate of a tone's colour.
const INK: Rgb888 = Rgb888::new(8, 11, 15);

/// The colour of a tone. Those of verdicts were chosen so that people who see no red, no green or no blue tell them
/// apart; the test measures it.
pub fn colour(tone: Tone) -> Rgb888 {
    match tone {
        Tone::Normal => Rgb888::new(86, 150, 250),
        Tone::Bacterial => Rgb888::new(240, 160, 0),
        Tone::Covid19 => Rgb888::new(200, 128, 170),
        Tone::Refer | Tone::Check => Rgb888::new(245, 238, 120),
        Tone::Repeat => Rgb888::new(222, 240, 240),
        Tone::Fault => Rgb888::new(222, 82, 40),
        Tone::Ready => Rgb888::new(38, 170, 135),
        Tone::Busy => Rgb888::new(143, 163, 184),
        Tone::Stopped => Rgb888::new(104, 116, 128),
    }
}

/// Draws everything that the view has and the screen has room for; verdict, tag, clock and notice always.
pub fn draw<D: DrawTarget<Color = Rgb888>>(
    view: &View,
    care: Care,
    words: &mut Typesetter,
    target: &mut D,
) -> Result<(), D::Error> {
    let (brush, room) = Brush::new(target, care);
    let Size { width, height } = room.size;
    let unit = (f64::from(width) * f64::from(height)).sqrt() / 100.0;
    let mut page = Page { brush, words, unit, small: (unit * 3.4).round().max(11.0) as u32 };
    page.brush.clear(GROUND)?;
    let gap = page.units(1.6);
    let mut room = room.inside(gap);
    let line = page.line();
    page.header(view, room.top(line))?;
    page.notice(view, room.bottom(line))?;
    let (told, more) = view.warnings.split_at(page.most_warnings(view).min(view.warnings.len()));
    for (place, warning) in told.iter().enumerate().rev() {
        let last = place + 1 == told.len() && !more.is_empty();
        let words = if last { format!("{warning} (+{})", more.len()) } else { warning.clone() };
        page.warning(&words, room.bottom(line))?;
    }
    room.top(gap);
    room.bottom(gap);
    if height > width { page.tall(view, room, gap) } else { page.wide(view, room, gap) }
}

/// A page that is being drawn.
struct Page<'p, D> {
    brush: Brush<'p, D>,
    words: &'p mut Typesetter,
    /// A hundredth of the screen's side, as if it was square, pixels.
    unit: f64,
    /// Smallest letters, pixels.
    small: u32,
}

impl<D: DrawTarget<Color = Rgb888>> Page<'_, D> {
    fn units(&self, units: f64) -> u32 {
        (self.unit * units).round() as u32
    }

    /// Height of a line of small letters.
    fn line(&self) -> u32 {
        self.small * 3 / 2
    }

    fn most_warnings(&self, view: &View) -> usize {
        if view.tone == Tone::Ready || view.tone == Tone::Check { 2 } else { 1 }
    }

    fn text(
        &mut self,
        text: &str,
        face: Face,
        size: u32,
        room: Rectangle,
        stand: Stand,
        [ink, ground]: [Rgb888; 2],
    ) -> Result<u32, D::Error> {
        let lines = (room.size.height / size.max(1)).max(1) as usize;
        let words = self.words.fit(text, face, (size * 3 / 4)..=size, room.size, lines);
        self.brush.words(&words, room, stand, ink, ground)?;
        Ok(words.size.width)
    }

    fn header(&mut self, view: &View, mut room: Rectangle) -> Result<(), D::Error> {
        let (size, gap) = (self.small, self.small / 2);
        let clock = self.words.fit(&view.clock, Face::Bold, size..=size, room.size, 1);
        let place = room.right(clock.size.width);
        self.brush.words(&clock, place, Stand::Right, if view.clock_trusted { TEXT } else { ALARM }, GROUND)?;
        if !view.clock_trusted {
            room.right(gap / 2);
            let place = room.right(size);
            self.brush.icon(Icon::Mark, place, ALARM, GROUND)?;
        }
        room.right(gap);
        for gauge in &view.gauges {
            let ink = if gauge.alarm { ALARM } else { QUIET };
            let wanted =
                self.words.fit(&gauge.words, Face::Regular, size..=size, Size::new(10_000, room.size.height), 1);
            if wanted.size.width + size + gap > room.size.width {
                break;
            }
            let place = room.left(size);
            self.brush.icon(gauge.icon, place, ink, GROUND)?;
            room.left(gap / 2);
            let place = room.left(wanted.size.width);
            self.brush.words(&wanted, place, Stand::Left, ink, GROUND)?;
            room.left(gap * 2);
        }
        Ok(())
    }

    fn notice(&mut self, view: &View, room: Rectangle) -> Result<(), D::Error> {
        self.text(view.notice, Face::Bold, self.small, room, Stand::Middle, [QUIET, GROUND]).map(drop)
    }

    fn warning(&mut self, words: &str, mut room: Rectangle) -> Result<(), D::Error> {
        let size = self.small;
        let icon = room.left(size);
        self.brush.icon(Icon::Triangle, icon, ALARM, GROUND)?;
        room.left(size / 2);
        let words = self.words.fit(words, Face::Regular, size..=size, room.size, 1);
        self.brush.words(&words, room, Stand::Left, ALARM, GROUND)
    }

    /// The plate with the icon, the large words and what to do. That of a verdict has its colour; a unit that only
    /// waits or works has a dark one, which dazzles nobody at night.
    fn plate(&mut self, view: &View, area: Rectangle) -> Result<(), D::Error> {
        let tone = colour(view.tone);
        let (ground, ink, mark) = match view.tone {
            Tone::Ready | Tone::Busy | Tone::Stopped => (RAISED, TEXT, tone),
            _ => (tone, INK, INK),
        };
        self.brush.plate(area, self.units(1.8), ground, GROUND)?;
        let margin = self.units(2.0).min(area.size.height / 10);
        let mut room = area.inside(margin);
        // Beside a film the words need the whole width, and the icon stands beside what to do.
        let narrow = area.size.width < area.size.height * 16 / 5;
        let share = match (view.line.is_empty(), narrow) {
            (true, false) => 0,
            (_, true) => 33,
            (false, false) => 30,
        };
        let mut below = room.bottom(room.size.height * share / 100);
        let icon = if narrow {
            let icon = below.left(below.size.height.min(below.size.width / 4));
            below.left(margin);
            icon
        } else {
            let icon = room.left(room.size.height.min(room.size.width / 4)).inside(margin / 2);
            room.left(margin);
            icon
        };
        self.brush.icon(view.tone.icon(), icon, mark, ground)?;
        let most = room.size.height.min(self.units(18.0));
        let title = self.words.fit(&view.title, Face::Bold, self.small..=most, room.size, 2);
        self.brush.title(&title, room, Stand::Left, ink, ground)?;
        let most = self.units(6.2).max(self.small);
        let line = self.words.fit(&view.line, Face::Bold, (self.small * 7 / 8)..=most, below.size, 2);
        self.brush.title(&line, below, Stand::Left, ink, ground)
    }

    fn bars(&mut self, view: &View, mut room: Rectangle) -> Result<(), D::Error> {
        let count = view.bars.len().max(1) as u32;
        let height = (room.size.height / count).min(self.units(11.0));
        room.top((room.size.height - height * count) / 2);
        let size = (height * 11 / 20).clamp(self.small, self.units(6.0).max(self.small));
        let widest = |page: &mut Self, text: &str, face| {
            page.words.fit(text, face, size..=size, Size::new(10_000, height.max(size * 2)), 1).size.width
        };
        let percent = widest(self, ">99%", Face::Bold);
        let label = view.bars.iter().map(|bar| widest(self, bar.label, Face::Regular)).max().unwrap_or_default();
        let label = label.min(room.size.width * 2 / 5);
        for bar in &view.bars {
            let mut row = room.top(height);
            let place = row.left(label);
            self.text(bar.label, Face::Regular, size, place, Stand::Left, [TEXT, GROUND])?;
            row.left(size / 2);
            let place = row.right(percent);
            self.text(&bar.percent, Face::Bold, size, place, Stand::Right, [TEXT, GROUND])?;
            row.right(size / 2);
            let thick = height / 2;
            row.top((height - thick) / 2);
            let mut track = row.top(thick);
            self.brush.plate(track, thick / 2, RAISED, GROUND)?;
            let filled = (f64::from(track.size.width) * f64::from(bar.share.clamp(0.0, 1.0))).round() as u32;
            // A small share is a dot, not nothing.
            self.brush.plate(track.left(filled.max(thick)), thick / 2, colour(bar.tone), RAISED)?;
        }
        Ok(())
    }

    /// The film with its caption, in proportion.
    fn film(&mut self, view: &View, mut room: Rectangle) -> Result<(), D::Error> {
        let Some(picture) = &view.picture else { return Ok(()) };
        let caption = room.bottom(self.line());
        let drawn = self.brush.picture(picture, room)?;
        let beneath = Point::new(caption.top_left.x, drawn.top_left.y + drawn.size.height as i32);
        let caption = Rectangle::new(beneath, caption.size);
        self.text(view.caption, Face::Regular, self.small, caption, Stand::Middle, [QUIET, GROUND]).map(drop)
    }

    fn tag(&mut self, view: &View, room: Rectangle) -> Result<(), D::Error> {
        let size = self.units(4.4).max(self.small);
        let words = self.words.fit(&view.tag, Face::Regular, (size / 2)..=size, room.size, 1);
        self.brush.words(&words, room, Stand::Left, TEXT, GROUND)
    }

    fn tag_height(&self, view: &View) -> u32 {
        if view.tag.is_empty() { 0 } else { self.units(4.4).max(self.small) * 3 / 2 }
    }

    /// The unit's own words.
    fn detail(&mut self, view: &View, room: Rectangle) -> Result<(), D::Error> {
        let most = self.units(5.6).max(self.small);
        let words = self.words.fit(&view.detail, Face::Regular, self.small..=most, room.size, 8);
        self.brush.words(&words, room, Stand::Left, TEXT, GROUND)
    }

    fn earlier(&mut self, view: &View, mut room: Rectangle) -> Result<(), D::Error> {
        let size = self.units(4.0).max(self.small);
        let line = size * 17 / 10;
        let most = (room.size.height / line) as usize;
        if view.earlier.is_empty() || most < 2 {
            return Ok(());
        }
        let title = room.top(line);
        self.text(view.earlier_title, Face::Regular, size, title, Stand::Left, [QUIET, GROUND])?;
        for reading in view.earlier.iter().take(most - 1) {
            let mut row = room.top(line);
            let colour = colour(reading.tone);
            let icon = row.left(line);
            self.brush.plate(icon.inside(1), size / 4, colour, GROUND)?;
            self.brush.icon(reading.tone.icon(), icon.inside(1 + size / 5), INK, colour)?;
            row.left(size / 2);
            let time = self.words.fit(&reading.time, Face::Regular, size..=size, row.size, 1);
            let place = row.right(time.size.width);
            self.brush.words(&time, place, Stand::Right, QUIET, GROUND)?;
            row.right(size / 2);
            // Where both have no room, the verdict alone has.
            let both = row.size.width > size * 22;
            let verdict = row.left(if both { row.size.width / 2 } else { row.size.width });
            self.text(&reading.words, Face::Bold, size, verdict, Stand::Left, [TEXT, GROUND])?;
            if both {
                row.left(size / 2);
                self.text(&reading.tag, Face::Regular, size, row, Stand::Left, [QUIET, GROUND])?;
            }
        }
        Ok(())
    }

    fn wide(&mut self, view: &View, mut room: Rectangle, gap: u32) -> Result<(), D::Error> {
        if let Some(picture) = &view.picture {
            let film_height = room.size.height.saturating_sub(self.line());
            let in_proportion = film_height * picture.width / picture.height.max(1);
            let film = room.left(in_proportion.min(room.size.width * 42 / 100));
            self.film(view, film)?;
            room.left(gap);
        }
        let share = match (view.bars.is_empty(), view.detail.is_empty(), view.earlier.is_empty()) {
            (false, _, _) => 54,
            (true, false, _) => 44,
            (true, true, false) => 56,
            (true, true, true) => 100,
        };
        let tag = room.bottom(self.tag_height(view));
        let plate = room.top(room.size.height * share / 100);
        self.plate(view, plate)?;
        room.top(gap);
        self.tag(view, tag)?;
        self.below(view, room, gap)
    }

    fn tall(&mut self, view: &View, mut room: Rectangle, gap: u32) -> Result<(), D::Error> {
        let share = match (view.bars.is_empty(), view.picture.is_some()) {
            (false, true) => 28,
            (false, false) => 42,
            (true, _) if view.detail.is_empty() && view.earlier.is_empty() => 70,
            (true, _) => 46,
        };
        let plate = room.top(room.size.height * share / 100);
        self.plate(view, plate)?;
        room.top(gap);
        let tag = room.top(self.tag_height(view));
        self.tag(view, tag)?;
        if view.picture.is_some() {
            let bars = room.bottom(room.size.height * 32 / 100);
            self.film(view, room)?;
            return self.bars(view, bars);
        }
        self.below(view, room, gap)
    }

    /// What stands under the plate where no film does.
    fn below(&mut self, view: &View, mut room: Rectangle, gap: u32) -> Result<(), D::Error> {
        if !view.bars.is_empty() {
            return self.bars(view, room);
        }
        if !view.detail.is_empty() {
            let earlier = if view.earlier.is_empty() { 0 } else { room.size.height * 2 / 5 };
            let earlier = room.bottom(earlier);
            self.detail(view, room)?;
            return self.earlier(view, earlier);
        }
        room.top(gap / 2);
        self.earlier(view, room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dichromats' sight on linear light, after Machado, Oliveira and Fernandes 2009 (DOI 10.1109/TVCG.2009.113), and
    /// the sight of most people.
    const SIGHTS: [(&str, [[f32; 3]; 3]); 4] = [
        ("trichromat", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        ("protanope", [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
        ("deuteranope", [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
        ("tritanope", [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
    ];

    /// CIE L*a*b* of a colour in somebody's sight, D65.
    fn lab(colour: Rgb888, sight: &[[f32; 3]; 3]) -> [f32; 3] {
        use embedded_graphics::pixelcolor::RgbColor as _;
        let linear = [colour.r(), colour.g(), colour.b()].map(|channel| (f32::from(channel) / 255.0).powf(2.2));
        let dot = |row: &[f32; 3], with: [f32; 3]| row.iter().zip(with).map(|(a, b)| a * b).sum::<f32>();
        let seen = std::array::from_fn(|row| dot(&sight[row], linear).clamp(0.0, 1.0));
        let to_xyz = [[0.434, 0.376, 0.190], [0.213, 0.715, 0.072], [0.018, 0.109, 0.873]];
        let [x, y, z] = to_xyz.map(|row| dot(&row, seen).max(1e-4).cbrt());
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    #[test]
    fn colours_of_verdicts_stay_apart_for_colour_blind_eyes_and_ink_stays_readable() {
        let verdicts = [Tone::Normal, Tone::Bacterial, Tone::Covid19, Tone::Refer, Tone::Repeat, Tone::Fault];
        for (sight, matrix) in &SIGHTS {
            for (place, one) in verdicts.iter().enumerate() {
                let [lightness, ..] = lab(colour(*one), matrix);
                assert!(lightness > 45.0, "dark ink on {one:?} for a {sight}: {lightness}");
                for other in &verdicts[place + 1..] {
                    let pair = lab(colour(*one), matrix).into_iter().zip(lab(colour(*other), matrix));
                    let apart = pair.map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
                    assert!(apart > 18.0, "{one:?} and {other:?} for a {sight}: {apart}");
                }
            }
        }
    }
}
