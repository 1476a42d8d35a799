//! Words as coverage: shaped and drawn with the fonts inside the program, whatever is installed. Pure.

use std::ops::RangeInclusive;
use std::sync::Arc;

use cosmic_text::fontdb::{Database, Source};
use cosmic_text::{
    Attrs, Buffer, Ellipsize, EllipsizeHeightLimit, Family, FontSystem, Hinting, Metrics, Shaping, SwashCache,
    SwashContent, Weight, Wrap,
};
use embedded_graphics::geometry::{Point, Size};

/// Whatever it lacks comes from the other families, by script.
const FAMILY: &str = "Noto Sans";
const FONTS: [&[u8]; 4] = [
    include_bytes!("../../fonts/NotoSans-Regular.ttf"),
    include_bytes!("../../fonts/NotoSans-Bold.ttf"),
    include_bytes!("../../fonts/NotoSansDevanagari-Regular.ttf"),
    include_bytes!("../../fonts/NotoSansDevanagari-Bold.ttf"),
];
/// Distance of two base lines in font sizes.
const LEADING: f32 = 1.15;
/// The same where there is Devanagari, which has signs above and below the line.
const TALL_LEADING: f32 = 1.35;
/// Letters up to this size stand on whole pixels, or they blur.
const SMALL: u32 = 18;

/// Whether a text needs taller lines: it has Devanagari.
pub fn is_tall(text: &str) -> bool {
    text.chars().any(|letter| ('\u{900}'..='\u{97f}').contains(&letter))
}

/// How thick the letters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// As in a book.
    Regular,
    /// For what is read from afar.
    Bold,
}

/// Words that are ready to be drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// The room that the lines take.
    pub size: Size,
    /// Where the ink is within that room; letters may reach a little over it.
    pub ink: Point,
    /// Size of the ink.
    pub ink_size: Size,
    /// How much of each pixel of the ink is covered, 0..=255, row by row.
    pub coverage: Vec<u8>,
}

/// Shapes and draws words.
pub struct Typesetter {
    fonts: FontSystem,
    glyphs: SwashCache,
}

impl Default for Typesetter {
    fn default() -> Self {
        let mut fonts = Database::new();
        for font in FONTS {
            fonts.load_font_source(Source::Binary(Arc::new(font)));
        }
        Self { fonts: FontSystem::new_with_locale_and_db("en".into(), fonts), glyphs: SwashCache::new() }
    }
}

impl Typesetter {
    /// Words at the largest of the sizes (pixels) at which they take no more than the room and the lines; at the least,
    /// what does not fit is left out behind an ellipsis.
    pub fn fit(&mut self, text: &str, face: Face, sizes: RangeInclusive<u32>, room: Size, lines: usize) -> Words {
        let (least, mut size) = sizes.into_inner();
        loop {
            let buffer = self.shaped(text, face, size, room.width, Ellipsize::None);
            let runs = buffer.layout_runs();
            let (count, widest) = runs.fold((0, 0.0_f32), |(count, widest), run| (count + 1, widest.max(run.line_w)));
            let height = count as f32 * buffer.metrics().line_height;
            if count <= lines && widest <= room.width as f32 && height <= room.height as f32 {
                return self.drawn(&buffer);
            }
            if size <= least {
                let most = (room.height as f32 / buffer.metrics().line_height) as usize;
                let lines = EllipsizeHeightLimit::Lines(lines.min(most).max(1));
                let buffer = self.shaped(text, face, least, room.width, Ellipsize::End(lines));
                return self.drawn(&buffer);
            }
            // Some 6% at a time: nobody sees a finer step.
            size = (size - size.div_ceil(16)).max(least);
        }
    }

    fn shaped(&mut self, text: &str, face: Face, size: u32, width: u32, ellipsize: Ellipsize) -> Buffer {
        let pixels = size.max(1) as f32;
        let leading = if is_tall(text) { TALL_LEADING } else { LEADING };
        let mut buffer = Buffer::new_empty(Metrics::new(pixels, (pixels * leading).round()));
        buffer.set_hinting(if size <= SMALL { Hinting::Enabled } else { Hinting::Disabled });
        let weight = match face {
            Face::Regular => Weight::NORMAL,
            Face::Bold => Weight::BOLD,
        };
        buffer.set_wrap(Wrap::Word);
        buffer.set_ellipsize(ellipsize);
        buffer.set_size(Some(width as f32), None);
        let attributes = Attrs::new().family(Family::Name(FAMILY)).weight(weight);
        buffer.set_text(text, &attributes, Shaping::Advanced, None);
        buffer.shape_until_scroll(&mut self.fonts, false);
        buffer
    }

    fn drawn(&mut self, buffer: &Buffer) -> Words {
        let mut size = Size::zero();
        let mut images = Vec::new();
        for run in buffer.layout_runs() {
            size.width = size.width.max(run.line_w.ceil() as u32);
            size.height = size.height.max((run.line_top + run.line_height).ceil() as u32);
            for glyph in run.glyphs {
                let glyph = glyph.physical((0.0, run.line_y), 1.0);
                let Some(image) = self.glyphs.get_image_uncached(&mut self.fonts, glyph.cache_key) else { continue };
                if image.content == SwashContent::Mask && image.placement.width > 0 {
                    let place = image.placement;
                    images.push((Point::new(glyph.x + place.left, glyph.y - place.top), image));
                }
            }
        }
        let corner = |pick: fn(i32, i32) -> i32, far: bool| {
            let ends = images.iter().map(|(at, image)| {
                let Size { width, height } = Size::new(image.placement.width, image.placement.height);
                if far { *at + Size::new(width, height) } else { *at }
            });
            ends.reduce(|a, b| Point::new(pick(a.x, b.x), pick(a.y, b.y))).unwrap_or_default()
        };
        let (ink, end) = (corner(i32::min, false), corner(i32::max, true));
        let ink_size = Size::new((end.x - ink.x).max(0) as u32, (end.y - ink.y).max(0) as u32);
        let width = ink_size.width as usize;
        let mut coverage = vec![0_u8; width * ink_size.height as usize];
        for (at, image) in images {
            let rows = image.data.chunks_exact(image.placement.width as usize);
            for (y, row) in ((at.y - ink.y) as usize..).zip(rows) {
                let start = y * width + (at.x - ink.x) as usize;
                // Parts of one letter may overlap.
                let under = coverage.get_mut(start..start + row.len()).into_iter().flatten();
                under.zip(row).for_each(|(under, over)| *under = (*under).max(*over));
            }
        }
        Words { size, ink, ink_size, coverage }
    }

    /// How many of the text's letters no font inside the program has.
    #[cfg(test)]
    pub fn missing(&mut self, text: &str) -> usize {
        let buffer = self.shaped(text, Face::Bold, 20, 10_000, Ellipsize::None);
        buffer.layout_runs().flat_map(|run| run.glyphs).filter(|glyph| glyph.glyph_id == 0).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::{Language, Message};

    #[test]
    fn every_letter_of_every_message_is_in_the_fonts() {
        let mut typesetter = Typesetter::default();
        for language in Language::ALL {
            for message in Message::ALL {
                let words = message.words(language);
                assert_eq!(typesetter.missing(words), 0, "{language:?} {message:?}: {words}");
            }
        }
        assert!(typesetter.missing("日本") > 0, "the test can fail");
    }

    #[test]
    fn devanagari_is_shaped_and_not_only_spelled() {
        let mut typesetter = Typesetter::default();
        // A conjunct of three letters and a virama is fewer glyphs than characters, in the bold face too.
        for (text, most) in [("क्ष", 1), ("क्या", 3)] {
            let buffer = typesetter.shaped(text, Face::Bold, 40, 1_000, Ellipsize::None);
            let glyphs = buffer.layout_runs().flat_map(|run| run.glyphs).count();
            assert!(glyphs <= most, "{text}: {glyphs}");
        }
    }

    #[test]
    fn words_take_the_largest_size_that_fits_and_end_in_an_ellipsis_where_none_does() {
        let mut typesetter = Typesetter::default();
        let mut fit = |text: &str, room, lines| typesetter.fit(text, Face::Bold, 10..=80, room, lines);
        let room = Size::new(400, 120);
        let short = fit("Fault", room, 1);
        let long = fit("Bacterial pneumonia", room, 1);
        assert!(short.ink_size.height > long.ink_size.height * 3 / 2, "{:?} {:?}", short.ink_size, long.ink_size);
        let endless = fit(&"unusual ".repeat(200), room, 2);
        for words in [short, long, endless] {
            assert!(words.size.width <= room.width && words.size.height <= room.height, "{:?}", words.size);
            assert_eq!(words.coverage.len() as u32, words.ink_size.width * words.ink_size.height);
        }
        let nothing = fit("", room, 1);
        assert_eq!(nothing.coverage.len(), 0);
    }
}
