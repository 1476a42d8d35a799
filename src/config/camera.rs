//! The section `[camera]`: a camera over a light box.

use toml::de::DeValue;

use super::{GpioLine, Reader, Section, described};
use crate::intake::camera::format::{MAX_PIXELS, PixelFormat};
use crate::intake::camera::view::View;

/// Longest path or name of a camera, bytes.
const MOST_NAME: usize = 255;
/// Looks for a still film in a second.
const LOOKS_A_SECOND: u64 = 5;

/// A camera that films are taken with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Camera {
    /// The path of a link to it that udev makes, or the name that it gives itself.
    pub device: String,
    /// A new film that lies still for so many looks is taken by itself; where absent, by order alone.
    pub still: Option<u32>,
    /// The button that orders a film.
    pub button: Option<GpioLine>,
    /// The only format to use; the best one where absent.
    pub format: Option<PixelFormat>,
    /// Most pixels of a frame.
    pub max_pixels: u64,
    /// Frames of a new stream that are thrown away while the exposure settles.
    pub settle: u32,
    /// Where the film lies in the frame.
    pub view: View,
}

impl<'t> Reader<'t> {
    /// The section with what is wrong in it told; `None` where there is none.
    pub(super) fn camera(&mut self, root: &mut Section<'t>) -> Option<Camera> {
        if !root.table.contains_key("camera") {
            return None;
        }
        let mut section = self.section(root, "camera");
        if !section.table.contains_key("device") {
            self.missing(&section, "device", "is missing; it must name the camera, see: chestlight camera list");
        }
        let device = self.text(
            &mut section,
            "device",
            "the path below /dev/v4l/by-id or the name of a camera, see: chestlight camera list",
            |text| ((1..=MOST_NAME).contains(&text.len()) && !text.contains(char::is_control)).then(|| text.to_owned()),
        );
        let is_still = self.text(&mut section, "trigger", "\"order\" or \"still\"", |text| match text {
            "order" => Some(false),
            "still" => Some(true),
            _ => None,
        });
        let still_seconds = self.whole_number(&mut section, "still_seconds", 1..=30, 2);
        let button = self.gpio_line(&mut section, "button", "camera.button");
        let formats = PixelFormat::ALL.map(PixelFormat::name).join(", ");
        let format = self.text(&mut section, "format", &format!("one of {formats} in quotes"), PixelFormat::named);
        let megapixels = self.whole_number(&mut section, "max_megapixels", 1..=40, MAX_PIXELS / 1_000_000);
        let settle = self.whole_number(&mut section, "settle_frames", 0..=300, 15);
        let view = self.view(&mut section);
        self.unknown(&section);
        // The ranges make them fit.
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Some(Camera {
            device: device?,
            still: is_still.unwrap_or(false).then(|| small(still_seconds * LOOKS_A_SECOND)),
            button,
            format,
            max_pixels: megapixels * 1_000_000,
            settle: small(settle),
            view,
        })
    }

    fn view(&mut self, section: &mut Section<'t>) -> View {
        let at = section.table.get("corners").map(|corners| corners.span().start);
        let corners = self.points::<4>(section, "corners");
        let [of] = self.points::<1>(section, "corners_of").unwrap_or_default();
        let view = match (at, corners) {
            (Some(at), Some(corners)) => View::new(corners, of).unwrap_or_else(|wrong| {
                let wrong = match of {
                    [0, 0] => "needs `corners_of`, the width and height of the picture that they were read off".into(),
                    _ => wrong.to_string(),
                };
                self.problem(at, section.key("corners"), wrong);
                View::WHOLE
            }),
            _ => View::WHOLE,
        };
        let at = section.table.get("rotate").map_or(0, |turn| turn.span().start);
        let quarters = match self.whole_number(section, "rotate", 0..=270, 0) {
            turn @ (0 | 90 | 180 | 270) => turn / 90,
            turn => {
                let wrong = format!("must be 0, 90, 180 or 270, clockwise, not {turn}");
                self.problem(at, section.key("rotate"), wrong);
                0
            }
        };
        let view = if self.truth(section, "mirrored", false) { view.mirrored() } else { view };
        view.turned(quarters as usize)
    }

    /// A list of `N` points `[x, y]`, or one point for `N` of 1.
    fn points<const N: usize>(&mut self, section: &mut Section<'t>, key: &str) -> Option<[[u32; 2]; N]> {
        let value = section.table.remove(key)?;
        let points = match (value.get_ref(), N) {
            (point, 1) => point_of(point).map(|point| [point; N]),
            (DeValue::Array(points), _) => {
                let points: Vec<[u32; 2]> = points.iter().map_while(|point| point_of(point.get_ref())).collect();
                points.try_into().ok()
            }
            _ => None,
        };
        if points.is_none() {
            let wanted = match N {
                1 => "a width and a height, as in [1920, 1080]".to_owned(),
                _ => format!("{N} points, as in [[10, 20], [900, 25], ...]"),
            };
            let wrong = format!("must be {wanted}, in pixels, not {}", described(value.get_ref()));
            self.problem(value.span().start, section.key(key), wrong);
        }
        points
    }
}

/// The largest frame that any camera has, pixels along a side.
const MOST_SIDE: u32 = 65_535;

fn point_of(value: &DeValue<'_>) -> Option<[u32; 2]> {
    let DeValue::Array(numbers) = value else { return None };
    let number = |value: &DeValue<'_>| {
        let integer = value.as_integer()?;
        u32::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|number| *number <= MOST_SIDE)
    };
    let [x, y] = numbers.iter().collect::<Vec<_>>().try_into().ok()?;
    Some([number(x.get_ref())?, number(y.get_ref())?])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn parse(camera: &str) -> Result<Option<Camera>, String> {
        let told = |problems: Vec<_>| problems.iter().map(|it: &crate::config::Problem| format!("{it}\n")).collect();
        let text = format!("inbox = 'a'\nstate = 'b'\n{camera}");
        Config::parse(&text, Path::new("/")).map(|config| config.camera).map_err(told)
    }

    #[test]
    fn without_the_section_there_is_no_camera_and_with_it_films_are_taken_by_order() {
        assert_eq!(parse(""), Ok(None));
        let least = parse("[camera]\ndevice = 'HD Camera'").unwrap().unwrap();
        let expected = Camera {
            device: "HD Camera".into(),
            still: None,
            button: None,
            format: None,
            max_pixels: MAX_PIXELS,
            settle: 15,
            view: View::WHOLE,
        };
        assert_eq!(least, expected);
    }

    #[test]
    fn the_example_shows_real_keys_with_their_defaults() {
        let example = include_str!("../../chestlight.example.toml");
        let (_, section) = example.split_once("\n# [camera]\n").unwrap();
        let section: Vec<&str> = section.lines().map_while(|line| line.strip_prefix("# ")).collect();
        let shown = parse(&format!("[camera]\n{}", section.join("\n"))).unwrap().unwrap();
        assert!(shown.format.is_some() && shown.button.is_some() && shown.view != View::WHOLE);
        let shown = Camera { format: None, button: None, view: View::WHOLE, ..shown };
        let least = parse(&format!("[camera]\ndevice = '{}'", shown.device)).unwrap().unwrap();
        assert_eq!(shown, least);
    }

    #[test]
    fn a_view_is_cut_out_mirrored_and_then_turned() {
        let corners = "corners = [[1, 1], [9, 2], [8, 9], [2, 8]]\ncorners_of = [10, 10]";
        let cut = View::new([[1, 1], [9, 2], [8, 9], [2, 8]], [10, 10]).unwrap();
        for (keys, view) in [
            (corners.to_owned(), cut),
            (format!("{corners}\nrotate = 90"), cut.turned(1)),
            (format!("{corners}\nrotate = 270\nmirrored = true"), cut.mirrored().turned(3)),
            ("rotate = 180".to_owned(), View::WHOLE.turned(2)),
        ] {
            assert_eq!(parse(&format!("[camera]\ndevice = 'x'\n{keys}")).unwrap().unwrap().view, view, "{keys}");
        }
        let still = parse("[camera]\ndevice = 'x'\ntrigger = 'still'\nstill_seconds = 3").unwrap().unwrap();
        assert_eq!(still.still, Some(15));
    }

    #[test]
    fn every_mistake_in_the_section_is_told_at_once() {
        let told = parse(
            "[camera]\n\
             trigger = 'motion'\n\
             still_seconds = 0\n\
             format = 'YUY2'\n\
             settle_frames = -1\n\
             corners = [[0, 0], [5, 0], [5, 5]]\n\
             corners_of = 7\n\
             rotate = 45\n\
             mirrored = 1\n\
             zoom = 2\n",
        );
        insta::assert_snapshot!(told.unwrap_err(), @r#"
        camera.device: is missing; it must name the camera, see: chestlight camera list
        line 4: camera.trigger: must be "order" or "still", not "motion"
        line 5: camera.still_seconds: must be a whole number from 1 to 30, not 0
        line 6: camera.format: must be one of Y16, Y12, Y10, GREY, NV12, YUYV, RGB3, MJPG in quotes, not "YUY2"
        line 7: camera.settle_frames: must be a whole number from 0 to 300, not -1
        line 8: camera.corners: must be 4 points, as in [[10, 20], [900, 25], ...], in pixels, not a value of type array
        line 9: camera.corners_of: must be a width and a height, as in [1920, 1080], in pixels, not 7
        line 10: camera.rotate: must be 0, 90, 180 or 270, clockwise, not 45
        line 11: camera.mirrored: must be true or false, not 1
        line 12: camera.zoom: is not a known key
        "#);
        for (keys, told) in [
            ("corners = [[0, 0], [5, 0], [5, 5], [0, 5]]", "line 5: camera.corners: needs `corners_of`"),
            ("corners = [[0, 0], [0, 5], [5, 5], [5, 0]]\ncorners_of = [5, 5]", "must go round a film clockwise"),
            ("corners = [[0, 0], [6, 0], [5, 5], [0, 5]]\ncorners_of = [5, 5]", "[6, 0] lies outside"),
            ("corners = [[0, 0], [70000, 0], [5, 5], [0, 5]]\ncorners_of = [5, 5]", "must be 4 points"),
        ] {
            let found = parse(&format!("[camera]\ndevice = 'x'\n{keys}")).unwrap_err();
            assert!(found.contains(told), "{keys}: {found}");
        }
    }
}
