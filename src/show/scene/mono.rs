//! The scene on a small screen of one colour, 128 x 64 pixels.
//!
//! The verdict and the notice always stand; between them what else there is takes turns.

use std::time::Duration;

use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::Size;
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::primitives::Rectangle;

use super::burn_in::Care;
use super::paint::{Brush, Cut as _, Stand};
use super::view::View;
use crate::show::text::{Face, Typesetter, is_tall};

/// How long each page stays.
pub const PAGE: Duration = Duration::from_secs(5);

const ON: BinaryColor = BinaryColor::On;
const OFF: BinaryColor = BinaryColor::Off;
const NOTICE: u32 = 12;
const MIDDLE: u32 = 20;

/// Most letters of a page: two lines, or one of Devanagari.
const LETTERS: usize = 38;
const TALL_LETTERS: usize = 20;

/// What takes turns in the middle.
enum Page {
    Bars,
    Words(String),
}

/// Draws the page whose turn it is.
pub fn draw<D: DrawTarget<Color = BinaryColor>>(
    view: &View,
    care: Care,
    page: u64,
    words: &mut Typesetter,
    target: &mut D,
) -> Result<(), D::Error> {
    let (mut brush, mut room) = Brush::new(target, care);
    brush.clear(OFF)?;
    let notice = room.bottom(NOTICE);
    let set = words.fit(view.notice, Face::Regular, 8..=11, Size::new(notice.size.width, 20), 1);
    brush.title(&set, notice, Stand::Middle, ON, OFF)?;
    let middle = room.bottom(MIDDLE);
    let pages = pages(view);
    let turn = usize::try_from(page % pages.len().max(1) as u64).unwrap_or_default();
    match pages.get(turn) {
        Some(Page::Bars) => bars(view, &mut brush, words, middle)?,
        Some(Page::Words(text)) => {
            let set = words.fit(text, Face::Regular, 9..=13, middle.size, 2);
            brush.title(&set, middle, Stand::Middle, ON, OFF)?;
        }
        None => {}
    }
    let icon = room.left(room.size.height);
    brush.icon(view.tone.icon(), icon, ON, OFF)?;
    room.left(3);
    let title = words.fit(&view.title, Face::Bold, 11..=26, room.size, 2);
    brush.title(&title, room, Stand::Left, ON, OFF)
}

fn pages(view: &View) -> Vec<Page> {
    let mut pages = Vec::new();
    if !view.bars.is_empty() {
        pages.push(Page::Bars);
    }
    let clock = if view.clock_trusted { view.clock.clone() } else { format!("{} ?", view.clock) };
    let gauges = view.gauges.iter().map(|gauge| gauge.words.clone());
    let figures = std::iter::once(clock).chain(gauges).collect::<Vec<_>>().join("  ");
    let texts = [&view.line, &view.detail, &view.tag].into_iter().chain(&view.warnings).chain([&figures]);
    pages.extend(texts.flat_map(|text| parts(text)).map(Page::Words));
    pages
}

/// A text in parts that a page has room for, cut between words.
fn parts(text: &str) -> Vec<String> {
    let most = if is_tall(text) { TALL_LETTERS } else { LETTERS };
    let mut parts: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match parts.last_mut() {
            Some(part) if part.chars().count() + word.chars().count() < most => {
                part.push(' ');
                part.push_str(word);
            }
            _ => parts.push(word.to_owned()),
        }
    }
    parts
}

/// The classes beside each other, by the icons of their verdicts: for words there is no room.
fn bars<D: DrawTarget<Color = BinaryColor>>(
    view: &View,
    brush: &mut Brush<'_, D>,
    words: &mut Typesetter,
    mut room: Rectangle,
) -> Result<(), D::Error> {
    let width = room.size.width / view.bars.len().max(1) as u32;
    for bar in &view.bars {
        let mut column = room.left(width);
        column.right(4);
        let mut track = column.bottom(7).inside(1);
        let icon = column.left(12);
        brush.icon(bar.tone.icon(), icon, ON, OFF)?;
        let set = words.fit(&bar.percent, Face::Bold, 11..=11, Size::new(column.size.width, 20), 1);
        brush.title(&set, column, Stand::Right, ON, OFF)?;
        let filled = (f64::from(track.size.width) * f64::from(bar.share.clamp(0.0, 1.0))).round() as u32;
        let below =
            Rectangle::new(track.top_left + Size::new(0, track.size.height - 1), Size::new(track.size.width, 1));
        brush.fill(below, ON)?;
        brush.fill(track.left(filled.max(1)), ON)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_of_the_unit_are_told_in_parts_and_none_is_lost() {
        let text =
            "the inbox /var/lib/chestlight/inbox cannot be looked at: No such file or directory; connect or make it";
        let parts = parts(text);
        assert!(parts.iter().all(|part| part.chars().count() < LETTERS), "{parts:?}");
        assert_eq!(parts.join(" "), text);
    }
}
