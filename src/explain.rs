//! Where does the network see what speaks for its verdict? The class map of the same pass, drawn beside the film. Pure.
//!
//! What is drawn is the class's activation less the mean of the other classes' (a softmax does not change when all
//! logits grow by the same), in units of logits. It shows what the network used, not where the disease is:
//! docs/gate.md has how far it agrees with hiding parts of the film.

use std::convert::Infallible;

use embedded_graphics::Drawable;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::{FONT_9X15, FONT_10X20};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor as _};
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Alignment, Text};
use fast_image_resize as fr;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _};
use thiserror::Error;

use crate::model::ClassMap;
use crate::preprocess::{Fit, InputGeometry, PreprocessError, preprocess};
use crate::radiograph::Radiograph;
use crate::verdict::Class;

/// Longest side of a drawn film, pixels.
const SIDE: u32 = 560;
/// Least width of a drawn film: beside a narrower one there is no room for the words.
const LEAST_WIDTH: u32 = 220;
const EDGE: u32 = 24;
const HEAD: u32 = 64;
const FOOT: u32 = 52;
const BAR: u32 = 22;
const BAR_TEXT: u32 = 96;
/// Evidence, in logits, that always gets the strongest colour; weaker maps stay pale instead of being blown up.
const STRONG: f32 = 4.0;
/// Evidence below this share of the strongest is not drawn.
const FAINT: f32 = 0.15;
/// Where the line is drawn, as a share of the strongest.
const LINE: f32 = 0.5;
/// Most of the film's grey that colour replaces.
const MOST_OPAQUE: f32 = 0.62;

const GROUND: [u8; 3] = [16, 19, 24];
const TEXT: Rgb888 = Rgb888::new(236, 239, 244);
const QUIET: Rgb888 = Rgb888::new(160, 168, 180);
/// From weak to strong, of rising lightness, so that colour-blind people and grey printers see the order.
const COLOURS: [[u8; 3]; 6] =
    [[66, 10, 104], [147, 38, 103], [205, 66, 72], [243, 120, 25], [252, 180, 25], [252, 255, 164]];

/// Pixels that can be shown, sent or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Width, pixels.
    pub width: u32,
    /// Height, pixels.
    pub height: u32,
    /// Red, green and blue of each pixel, row by row from the top left.
    pub rgb: Vec<u8>,
}

/// The picture could not be drawn; no film that was read and no map of an engine lead here.
#[derive(Debug, Error)]
pub enum ExplainError {
    /// The film cannot be resized.
    #[error(transparent)]
    Film(#[from] PreprocessError),
    /// The map cannot be enlarged.
    #[error("the class map cannot be enlarged: {0}")]
    Buffer(#[from] fr::ImageBufferError),
    /// The map cannot be enlarged.
    #[error("the class map cannot be enlarged: {0}")]
    Resize(#[from] fr::ResizeError),
    /// The PNG cannot be written.
    #[error("the picture cannot be encoded: {0}")]
    Encode(#[from] image::ImageError),
}

impl Picture {
    /// The picture as a PNG file.
    ///
    /// # Errors
    /// [`ExplainError::Encode`].
    pub fn png(&self) -> Result<Vec<u8>, ExplainError> {
        let mut png = Vec::new();
        PngEncoder::new(&mut png).write_image(&self.rgb, self.width, self.height, ExtendedColorType::Rgb8)?;
        Ok(png)
    }

    /// A dark sheet.
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height, rgb: GROUND.repeat(width as usize * height as usize) }
    }

    fn pixel(&mut self, x: u32, y: u32) -> Option<&mut [u8]> {
        if x >= self.width {
            return None;
        }
        let place = (y as usize * self.width as usize + x as usize) * 3;
        self.rgb.get_mut(place..place + 3)
    }

    /// Lays a colour over a pixel.
    fn blend(&mut self, x: u32, y: u32, colour: [u8; 3], opacity: f32) {
        for (under, over) in self.pixel(x, y).into_iter().flatten().zip(colour) {
            *under = (f32::from(*under) * (1.0 - opacity) + f32::from(over) * opacity).round() as u8;
        }
    }

    fn words(&mut self, text: &str, style: MonoTextStyle<'_, Rgb888>, x: u32, y: u32) {
        let place = Point::new(x as i32, y as i32);
        let Ok(_) = Text::with_alignment(text, place, style, Alignment::Left).draw(self);
    }
}

impl OriginDimensions for Picture {
    fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }
}

impl DrawTarget for Picture {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = embedded_graphics::Pixel<Rgb888>>,
    {
        for embedded_graphics::Pixel(Point { x, y }, colour) in pixels {
            if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) {
                self.blend(x, y, [colour.r(), colour.g(), colour.b()], 1.0);
            }
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, colour: Rgb888) -> Result<(), Infallible> {
        let area = area.intersection(&Rectangle::new(Point::zero(), self.size()));
        let (left, width) = (area.top_left.x as usize, area.size.width as usize);
        // An empty area has no rows, and its corner may lie outside.
        if width > 0 {
            let rows = self.rgb.chunks_exact_mut(self.width as usize * 3);
            for row in rows.skip(area.top_left.y as usize).take(area.size.height as usize) {
                let pixels = row.chunks_exact_mut(3).skip(left).take(width);
                pixels.for_each(|pixel| pixel.copy_from_slice(&[colour.r(), colour.g(), colour.b()]));
            }
        }
        Ok(())
    }
}

/// What speaks for a class at each place of the map, in logits, row by row: its plane less the mean of the others.
pub fn evidence(map: &ClassMap, class: Class) -> Vec<f32> {
    let [one, two] = match class {
        Class::Normal => [Class::Bacterial, Class::Covid19],
        Class::Bacterial => [Class::Normal, Class::Covid19],
        Class::Covid19 => [Class::Normal, Class::Bacterial],
    };
    let others = map.plane(one).iter().zip(map.plane(two));
    map.plane(class).iter().zip(others).map(|(own, (a, b))| own - (a + b) / 2.0).collect()
}

/// A film and what speaks for a class, at the size at which they are drawn: at most 560 x 560 pixels.
pub struct HeatMap {
    class: Class,
    width: u32,
    height: u32,
    /// Exposed as for the network, 0..=255.
    grey: Vec<f32>,
    /// Share of `strongest`, 0..=1.
    strength: Vec<f32>,
    /// Logits.
    strongest: f32,
}

impl HeatMap {
    /// Resizes the film and spreads the map over it.
    ///
    /// # Errors
    /// [`ExplainError`].
    pub fn new(
        film: &Radiograph,
        geometry: &InputGeometry,
        map: &ClassMap,
        class: Class,
    ) -> Result<Self, ExplainError> {
        let scale = f64::from(SIDE) / f64::from(film.width().max(film.height()));
        let side = |side: u32| ((f64::from(side) * scale).round() as u32).clamp(1, SIDE);
        let (width, height) = (side(film.width()).max(LEAST_WIDTH), side(film.height()));
        let drawn =
            InputGeometry { width, height, fit: Fit::Stretch, mean: 0.0, std: 1.0, margin: 0.0, ..geometry.clone() };
        let grey = preprocess(film, &drawn)?.plane;
        let (strength, strongest) = strength(map, class, geometry.margin, width, height)?;
        Ok(Self { class, width, height, grey, strength, strongest })
    }

    /// The film, the film under what speaks for the class, a colour bar and words. `title` is the first line, such as
    /// the verdict; `notice` the last one. At most 1,286 x 676 pixels.
    pub fn sheet(&self, title: &str, notice: &str) -> Picture {
        let Self { width, height, strongest, .. } = *self;
        let mut picture = Picture::new(EDGE * 4 + width * 2 + BAR + BAR_TEXT, HEAD + height + FOOT);
        let second = EDGE * 2 + width;
        self.film(&mut picture, EDGE, HEAD);
        self.film(&mut picture, second, HEAD);
        self.evidence(&mut picture, second, HEAD);
        let bar = second + width + EDGE;
        for y in 0..height {
            let strength = 1.0 - y as f32 / height.saturating_sub(1).max(1) as f32;
            for x in 0..BAR {
                picture.blend(bar + x, HEAD + y, [96; 3], 1.0);
                picture.blend(bar + x, HEAD + y, colour(strength), opacity(strength) / MOST_OPAQUE);
            }
        }
        let big = |colour| MonoTextStyle::new(&FONT_10X20, colour);
        let small = |colour| MonoTextStyle::new(&FONT_9X15, colour);
        picture.words(title, big(TEXT), EDGE, 28);
        picture.words("the film", small(QUIET), EDGE, 53);
        picture.words(&format!("what speaks for {}", words(self.class)), small(QUIET), second, 53);
        let label = bar + BAR + 8;
        for (share, text) in
            [(1.0, format!("{strongest:.1}")), (LINE, format!("{:.1}", strongest * LINE)), (0.0, "0 or".to_owned())]
        {
            let y = HEAD + ((1.0 - share) * height as f32) as u32;
            // The first and last label stay beside the bar.
            picture.words(&text, small(TEXT), label, y.clamp(HEAD + 11, HEAD + height.saturating_sub(16)));
        }
        picture.words("against", small(TEXT), label, HEAD + height - 2);
        picture.words("logits", small(QUIET), label, HEAD + 29);
        picture.words(notice, big(TEXT), EDGE, HEAD + height + 32);
        picture
    }

    /// The film under what speaks for the class, without words.
    pub fn over_film(&self) -> Picture {
        let mut picture = Picture::new(self.width, self.height);
        self.film(&mut picture, 0, 0);
        self.evidence(&mut picture, 0, 0);
        picture
    }

    fn places(&self) -> impl Iterator<Item = (u32, u32)> + use<> {
        let (width, height) = (self.width, self.height);
        (0..height).flat_map(move |y| (0..width).map(move |x| (x, y)))
    }

    fn at(&self, x: u32, y: u32) -> usize {
        y as usize * self.width as usize + x as usize
    }

    fn film(&self, picture: &mut Picture, left: u32, top: u32) {
        for (x, y) in self.places() {
            let value = self.grey.get(self.at(x, y)).copied().unwrap_or_default() as u8;
            picture.blend(left + x, top + y, [value; 3], 1.0);
        }
    }

    fn evidence(&self, picture: &mut Picture, left: u32, top: u32) {
        let (width, height) = (self.width, self.height);
        let over_line = |x: u32, y: u32| self.strength.get(self.at(x, y)).is_some_and(|strength| *strength >= LINE);
        for (x, y) in self.places() {
            let strength = self.strength.get(self.at(x, y)).copied().unwrap_or_default();
            picture.blend(left + x, top + y, colour(strength), opacity(strength));
            let next = [(x + 1, y), (x, y + 1)].into_iter().any(|(x, y)| x < width && y < height && !over_line(x, y));
            let before =
                over_line(x, y) && (next || (x > 0 && !over_line(x - 1, y)) || (y > 0 && !over_line(x, y - 1)));
            if before {
                picture.blend(left + x, top + y, [255; 3], 0.85);
            }
        }
    }
}

fn words(class: Class) -> &'static str {
    match class {
        Class::Normal => "normal",
        Class::Bacterial => "bacterial pneumonia",
        Class::Covid19 => "COVID-19 pneumonia",
    }
}

/// What speaks for the class at each pixel as a share of the strongest, 0..=1, and the strongest in logits.
fn strength(
    map: &ClassMap,
    class: Class,
    margin: f32,
    width: u32,
    height: u32,
) -> Result<(Vec<f32>, f32), ExplainError> {
    let places: Vec<f32> =
        evidence(map, class).into_iter().map(|value| if value.is_finite() { value } else { 0.0 }).collect();
    let strongest = places.iter().copied().fold(STRONG, f32::max);
    // The network sees the film without its margin.
    let [left, top] = [width, height].map(|side| (side as f32 * margin.clamp(0.0, 0.4)).round() as u32);
    let (inner_width, inner_height) = (width - 2 * left, height - 2 * top);
    let source = fr::images::ImageRef::new(
        map.width() as u32,
        map.height() as u32,
        bytemuck::cast_slice(&places),
        fr::PixelType::F32,
    )?;
    let mut enlarged = fr::images::Image::new(inner_width, inner_height, fr::PixelType::F32);
    let smooth = fr::ResizeOptions::new().resize_alg(fr::ResizeAlg::Convolution(fr::FilterType::Mitchell));
    fr::Resizer::new().resize(&source, &mut enlarged, &smooth)?;
    let mut strength = vec![0.0; width as usize * height as usize];
    let rows = enlarged.buffer().chunks_exact(4 * inner_width as usize);
    for (row, values) in strength.chunks_exact_mut(width as usize).skip(top as usize).zip(rows) {
        let values = values.chunks_exact(4).map(bytemuck::pod_read_unaligned::<f32>);
        let places = row.iter_mut().skip(left as usize).zip(values);
        places.for_each(|(place, value)| *place = (value / strongest).clamp(0.0, 1.0));
    }
    Ok((strength, strongest))
}

fn colour(strength: f32) -> [u8; 3] {
    let place = strength.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f32;
    let (low, share) = ((place as usize).min(COLOURS.len() - 2), place.fract());
    let share = if place >= (COLOURS.len() - 1) as f32 { 1.0 } else { share };
    let of = |place: usize| COLOURS.get(place).copied().unwrap_or_default();
    let (from, to) = (of(low), of(low + 1));
    std::array::from_fn(|channel| {
        let channel = |colour: [u8; 3]| colour.get(channel).copied().map_or(0.0, f32::from);
        (channel(from) * (1.0 - share) + channel(to) * share).round() as u8
    })
}

fn opacity(strength: f32) -> f32 {
    MOST_OPAQUE * ((strength - FAINT) / (1.0 - FAINT)).clamp(0.0, 1.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phantom::{Opacity, Phantom};

    fn geometry(margin: f32) -> InputGeometry {
        InputGeometry {
            width: 224,
            height: 224,
            fit: Fit::Stretch,
            exposure_low: 0.01,
            exposure_high: 0.99,
            mean: 127.0,
            std: 128.0,
            margin,
        }
    }

    /// A map whose one hot place speaks for one class.
    fn hot(class: Class, column: usize, row: usize, value: f32) -> ClassMap {
        let mut values = vec![0.0; 3 * 49];
        values[class as usize * 49 + row * 7 + column] = value;
        ClassMap::new(7, 7, values).unwrap()
    }

    fn drawn(map: &ClassMap, class: Class, margin: f32, size: (u32, u32)) -> Picture {
        let film = Phantom::new(3, Opacity::Focal).sized(size.0, size.1).render().unwrap();
        let heat_map = HeatMap::new(&film, &geometry(margin), map, class).unwrap();
        heat_map.sheet("bacterial pneumonia, 93% sure", crate::show::NOTICE)
    }

    /// Mean of how much the second film is coloured, and where: the middle of what is coloured as fractions of it.
    fn coloured(picture: &Picture, size: (u32, u32)) -> (f32, f32, f32) {
        let (width, second) = (size.0, EDGE * 2 + size.0);
        let (mut sum, mut x_sum, mut y_sum) = (0.0, 0.0, 0.0);
        for y in 0..size.1 {
            for x in 0..width {
                let place = ((HEAD + y) * picture.width + second + x) as usize * 3;
                let rgb = &picture.rgb[place..place + 3];
                let tint = f32::from(rgb.iter().max().unwrap() - rgb.iter().min().unwrap());
                sum += tint;
                x_sum += tint * x as f32 / width as f32;
                y_sum += tint * y as f32 / size.1 as f32;
            }
        }
        (sum / (width * size.1) as f32, x_sum / sum, y_sum / sum)
    }

    #[test]
    fn the_hot_place_is_coloured_where_it_is_and_only_for_its_class() {
        let size = (560, 490);
        let map = hot(Class::Bacterial, 5, 2, 9.0);
        let picture = drawn(&map, Class::Bacterial, 0.0, (1_120, 980));
        assert_eq!((picture.width, picture.height), (EDGE * 4 + 2 * 560 + BAR + BAR_TEXT, HEAD + 490 + FOOT));
        let (tint, x, y) = coloured(&picture, size);
        assert!(tint > 1.0 && (x - 5.5 / 7.0).abs() < 0.03 && (y - 2.5 / 7.0).abs() < 0.03, "{tint} {x} {y}");
        let (other, _, _) = coloured(&drawn(&map, Class::Normal, 0.0, (1_120, 980)), size);
        assert_eq!(other, 0.0, "what speaks against a class is not drawn");
        let (faint, _, _) =
            coloured(&drawn(&hot(Class::Bacterial, 5, 2, 0.3), Class::Bacterial, 0.0, (1_120, 980)), size);
        assert_eq!(faint, 0.0, "a weak map is not blown up");
    }

    #[test]
    fn what_the_network_does_not_see_is_not_coloured() {
        let (_, x, y) = coloured(&drawn(&hot(Class::Covid19, 0, 0, 9.0), Class::Covid19, 0.2, (560, 560)), (560, 560));
        // The middle of the first of seven places within the inner three fifths.
        let middle = 0.2 + 0.6 * 0.5 / 7.0;
        assert!((x - middle).abs() < 0.03 && (y - middle).abs() < 0.03, "{x} {y}");
    }

    #[test]
    fn every_shape_and_a_map_that_is_no_number_can_be_drawn_and_encoded() {
        for size in [(220, 550), (550, 220), (3_000, 2_500)] {
            for value in [f32::NAN, f32::INFINITY, -5.0, 5.0] {
                let png = drawn(&hot(Class::Normal, 3, 3, value), Class::Normal, 0.1, size).png().unwrap();
                assert!(png.starts_with(b"\x89PNG"), "{size:?} {value}");
            }
        }
    }

    #[test]
    fn colours_rise_in_lightness_from_weak_to_strong() {
        let lightness = |strength| {
            let [r, g, b] = colour(strength).map(f32::from);
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let steps: Vec<f32> = (0..=20).map(|step| lightness(step as f32 / 20.0)).collect();
        assert!(steps.windows(2).all(|pair| pair[1] > pair[0]), "{steps:?}");
        assert_eq!(colour(1.0), COLOURS[5]);
        assert_eq!(opacity(FAINT), 0.0);
    }
}
