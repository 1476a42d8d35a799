//! A brush: words, icons, boxes and pictures in colours that are laid over a known ground.

use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Point, Size};
use embedded_graphics::pixelcolor::{BinaryColor, PixelColor, Rgb888, RgbColor as _};
use embedded_graphics::primitives::Rectangle;

use super::burn_in::{Care, REACH};
use super::icon::Icon;
use crate::explain::Picture;
use crate::show::text::Words;

/// A colour that ink can be mixed into.
pub trait Ground: PixelColor {
    /// The ground under ink that covers so much of it.
    fn under(self, ink: Self, coverage: u8) -> Self;
    /// The colour on a screen that is dimmed.
    fn dimmed(self) -> Self;
}

impl Ground for Rgb888 {
    fn under(self, ink: Self, coverage: u8) -> Self {
        let mix = |ground: u8, ink: u8| {
            let (share, rest) = (u16::from(coverage), 255 - u16::from(coverage));
            ((u16::from(ground) * rest + u16::from(ink) * share + 127) / 255) as u8
        };
        Self::new(mix(self.r(), ink.r()), mix(self.g(), ink.g()), mix(self.b(), ink.b()))
    }

    fn dimmed(self) -> Self {
        let less = |channel: u8| (u16::from(channel) * 2 / 5) as u8;
        Self::new(less(self.r()), less(self.g()), less(self.b()))
    }
}

impl Ground for BinaryColor {
    fn under(self, ink: Self, coverage: u8) -> Self {
        if coverage > 110 { ink } else { self }
    }

    /// The screen itself is dimmed, as it has only one brightness for all pixels.
    fn dimmed(self) -> Self {
        self
    }
}

/// Where in its room something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// At the left.
    Left,
    /// In the middle.
    Middle,
    /// At the right.
    Right,
}

impl Stand {
    fn left(self, words: &Words, room: Rectangle) -> i32 {
        let free = room.size.width as i32 - words.size.width as i32;
        match self {
            Self::Left => 0,
            Self::Middle => free / 2,
            Self::Right => free,
        }
    }
}

/// Draws on a target, moved and dimmed for the sake of the screen.
pub struct Brush<'t, D> {
    target: &'t mut D,
    care: Care,
}

impl<'t, D: DrawTarget<Color: Ground>> Brush<'t, D> {
    /// A brush, and the room that it may draw in.
    pub fn new(target: &'t mut D, care: Care) -> (Self, Rectangle) {
        let room = target.bounding_box();
        let inner = room.offset(-(REACH as i32));
        (Self { target, care }, inner)
    }

    fn colour(&self, colour: D::Color) -> D::Color {
        if self.care.dim { colour.dimmed() } else { colour }
    }

    /// Covers everything.
    pub fn clear(&mut self, colour: D::Color) -> Result<(), D::Error> {
        self.target.clear(self.colour(colour))
    }

    pub fn fill(&mut self, area: Rectangle, colour: D::Color) -> Result<(), D::Error> {
        let moved = Rectangle::new(area.top_left + self.care.shift, area.size);
        self.target.fill_solid(&moved, self.colour(colour))
    }

    /// A box with round corners.
    pub fn plate(&mut self, area: Rectangle, corner: u32, colour: D::Color, ground: D::Color) -> Result<(), D::Error> {
        self.fill(area, colour)?;
        let Size { width, height } = area.size;
        let corner = corner.min(width / 2).min(height / 2);
        let sides = [(0, 0), (width - corner, 0), (0, height - corner), (width - corner, height - corner)];
        for (left, top) in sides {
            let at = area.top_left + Point::new(left as i32, top as i32);
            // The middle of the corner's circle, seen from the corner's box.
            let [x, y] = [left, top].map(|side| if side == 0 { corner as f32 } else { 0.0 });
            self.stamp(at, Size::new_equal(corner), colour, ground, |column, row| {
                let (across, down) = (column as f32 + 0.5 - x, row as f32 + 0.5 - y);
                ((across.hypot(down) - corner as f32 + 0.5).clamp(0.0, 1.0) * 255.0) as u8
            })?;
        }
        Ok(())
    }

    /// Words in a room, the lines in the middle of its height: those beside each other stand on one line.
    pub fn words(
        &mut self,
        words: &Words,
        room: Rectangle,
        stand: Stand,
        ink: D::Color,
        ground: D::Color,
    ) -> Result<(), D::Error> {
        let down = (room.size.height as i32 - words.size.height as i32) / 2;
        self.words_at(words, room.top_left + Point::new(stand.left(words, room), down), ink, ground)
    }

    /// Words in a room, their ink in the middle of its height: for those that stand alone.
    pub fn title(
        &mut self,
        words: &Words,
        room: Rectangle,
        stand: Stand,
        ink: D::Color,
        ground: D::Color,
    ) -> Result<(), D::Error> {
        let down = (room.size.height as i32 - words.ink_size.height as i32) / 2 - words.ink.y;
        self.words_at(words, room.top_left + Point::new(stand.left(words, room), down), ink, ground)
    }

    fn words_at(&mut self, words: &Words, at: Point, ink: D::Color, ground: D::Color) -> Result<(), D::Error> {
        let width = words.ink_size.width;
        self.stamp(at + words.ink, words.ink_size, ground, ink, |x, y| {
            words.coverage.get((y * width + x) as usize).copied().unwrap_or_default()
        })
    }

    /// An icon as large as fits into a room.
    pub fn icon(&mut self, icon: Icon, room: Rectangle, ink: D::Color, ground: D::Color) -> Result<(), D::Error> {
        let side = room.size.width.min(room.size.height);
        let free = room.size - Size::new_equal(side);
        let at = room.top_left + Point::new(free.width as i32 / 2, free.height as i32 / 2);
        self.stamp(at, Size::new_equal(side), ground, ink, |x, y| icon.coverage(x, y, side))
    }

    /// Ink through a mask; where nothing is covered, whatever was there stays.
    fn stamp(
        &mut self,
        at: Point,
        size: Size,
        ground: D::Color,
        ink: D::Color,
        coverage: impl Fn(u32, u32) -> u8,
    ) -> Result<(), D::Error> {
        let at = at + self.care.shift;
        let places = (0..size.height).flat_map(|y| (0..size.width).map(move |x| (x, y)));
        let pixels = places.filter_map(|(x, y)| match coverage(x, y) {
            0 => None,
            covered => {
                let colour = self.colour(ground.under(ink, covered));
                Some(Pixel(at + Point::new(x as i32, y as i32), colour))
            }
        });
        self.target.draw_iter(pixels.collect::<Vec<_>>())
    }
}

impl<D: DrawTarget<Color = Rgb888>> Brush<'_, D> {
    /// A picture as large as fits into a room, its sides in proportion; where it was drawn.
    pub fn picture(&mut self, picture: &Picture, room: Rectangle) -> Result<Rectangle, D::Error> {
        let (width, height) = (picture.width.max(1), picture.height.max(1));
        let scale = (room.size.width as f32 / width as f32).min(room.size.height as f32 / height as f32);
        let side = |side: u32, most: u32| ((side as f32 * scale) as u32).clamp(1, most.max(1));
        let size = Size::new(side(width, room.size.width), side(height, room.size.height));
        let free = room.size.saturating_sub(size);
        let area = Rectangle::new(room.top_left + Point::new(free.width as i32 / 2, free.height as i32 / 2), size);
        let rows: Vec<(u32, u32)> = spans(height, size.height);
        let columns: Vec<(u32, u32)> = spans(width, size.width);
        let mut colours = Vec::with_capacity((size.width * size.height) as usize);
        for &(top, bottom) in &rows {
            for &(left, right) in &columns {
                let mean = mean(picture, left..right, top..bottom);
                colours.push(self.colour(mean));
            }
        }
        let moved = Rectangle::new(area.top_left + self.care.shift, size);
        self.target.fill_contiguous(&moved, colours)?;
        Ok(area)
    }
}

/// Which of `from` pixels each of `to` pixels covers; at least one.
fn spans(from: u32, to: u32) -> Vec<(u32, u32)> {
    let at = |place: u32| (u64::from(place) * u64::from(from) / u64::from(to.max(1))) as u32;
    (0..to).map(|place| (at(place), at(place + 1).max(at(place) + 1))).collect()
}

fn mean(picture: &Picture, columns: std::ops::Range<u32>, rows: std::ops::Range<u32>) -> Rgb888 {
    let (mut sum, mut count) = ([0_u32; 3], 0);
    for y in rows {
        let row = y as usize * picture.width as usize;
        let range = (row + columns.start as usize) * 3..(row + columns.end as usize) * 3;
        for pixel in picture.rgb.get(range).unwrap_or_default().chunks_exact(3) {
            sum.iter_mut().zip(pixel).for_each(|(sum, channel)| *sum += u32::from(*channel));
            count += 1;
        }
    }
    let [red, green, blue] = sum.map(|sum| (sum / count.max(1)) as u8);
    Rgb888::new(red, green, blue)
}

/// Cuts pieces off a room.
pub trait Cut: Sized {
    /// Takes so much off the top.
    fn top(&mut self, height: u32) -> Self;
    /// Takes so much off the bottom.
    fn bottom(&mut self, height: u32) -> Self;
    /// Takes so much off the left.
    fn left(&mut self, width: u32) -> Self;
    /// Takes so much off the right.
    fn right(&mut self, width: u32) -> Self;
    /// What is left when so much is taken off each side.
    fn inside(&self, margin: u32) -> Self;
}

impl Cut for Rectangle {
    fn top(&mut self, height: u32) -> Self {
        let height = height.min(self.size.height);
        let taken = Self::new(self.top_left, Size::new(self.size.width, height));
        self.top_left.y += height as i32;
        self.size.height -= height;
        taken
    }

    fn bottom(&mut self, height: u32) -> Self {
        let height = height.min(self.size.height);
        self.size.height -= height;
        let at = self.top_left + Point::new(0, self.size.height as i32);
        Self::new(at, Size::new(self.size.width, height))
    }

    fn left(&mut self, width: u32) -> Self {
        let width = width.min(self.size.width);
        let taken = Self::new(self.top_left, Size::new(width, self.size.height));
        self.top_left.x += width as i32;
        self.size.width -= width;
        taken
    }

    fn right(&mut self, width: u32) -> Self {
        let width = width.min(self.size.width);
        self.size.width -= width;
        let at = self.top_left + Point::new(self.size.width as i32, 0);
        Self::new(at, Size::new(width, self.size.height))
    }

    fn inside(&self, margin: u32) -> Self {
        self.offset(-(margin as i32))
    }
}
