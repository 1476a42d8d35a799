//! Which of a camera's pixel formats and sizes a film is taken in. Pure.

use std::fmt;

/// A pixel format that a film can be taken in. The order of the variants is the order of preference: grey before
/// colour, more bits before fewer, whole pixels before compressed ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PixelFormat {
    /// Grey, 16 bits in two bytes, the low one first.
    Y16,
    /// Grey, 12 bits in two bytes, the low one first.
    Y12,
    /// Grey, 10 bits in two bytes, the low one first.
    Y10,
    /// Grey, 8 bits.
    Grey,
    /// A plane of luma, then one of colour; 8 bits.
    Nv12,
    /// Luma and colour in turns; 8 bits.
    Yuyv,
    /// Red, green and blue; 8 bits each.
    Rgb3,
    /// A JPEG a frame.
    Mjpg,
}

impl PixelFormat {
    /// All of them, the best first.
    pub const ALL: [Self; 8] =
        [Self::Y16, Self::Y12, Self::Y10, Self::Grey, Self::Nv12, Self::Yuyv, Self::Rgb3, Self::Mjpg];

    /// The four characters that V4L2 calls it by (linux/videodev2.h).
    pub fn fourcc(self) -> [u8; 4] {
        *match self {
            Self::Y16 => b"Y16 ",
            Self::Y12 => b"Y12 ",
            Self::Y10 => b"Y10 ",
            Self::Grey => b"GREY",
            Self::Nv12 => b"NV12",
            Self::Yuyv => b"YUYV",
            Self::Rgb3 => b"RGB3",
            Self::Mjpg => b"MJPG",
        }
    }

    /// The format of four characters, if a film can be taken in it.
    pub fn of_fourcc(fourcc: [u8; 4]) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.fourcc() == fourcc)
    }

    /// The name, as the configuration and `v4l2-ctl --list-formats` have it, without the space at its end.
    pub fn name(self) -> &'static str {
        match self {
            Self::Y16 => "Y16",
            Self::Y12 => "Y12",
            Self::Y10 => "Y10",
            Self::Grey => "GREY",
            Self::Nv12 => "NV12",
            Self::Yuyv => "YUYV",
            Self::Rgb3 => "RGB3",
            Self::Mjpg => "MJPG",
        }
    }

    /// The format of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Largest frame that is asked for where a site says nothing, pixels: "4K" is 8.3 million, and a film needs no more.
pub const MAX_PIXELS: u64 = 9_000_000;

/// Sizes that a camera offers in one format, pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// One size.
    One {
        /// Width.
        width: u32,
        /// Height.
        height: u32,
    },
    /// Every size from the smallest to the largest in steps.
    Steps {
        /// Least, largest and step of the width.
        width: [u32; 3],
        /// Least, largest and step of the height.
        height: [u32; 3],
    },
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One { width, height } => write!(f, "{width}x{height}"),
            Self::Steps { width: [least_width, most_width, _], height: [least_height, most_height, _] } => {
                write!(f, "{least_width}x{least_height} to {most_width}x{most_height}")
            }
        }
    }
}

/// A format with a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// The format.
    pub format: PixelFormat,
    /// Width, pixels.
    pub width: u32,
    /// Height, pixels.
    pub height: u32,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}x{}", self.format, self.width, self.height)
    }
}

/// The mode that a film is taken in: of the formats that offer a size within bounds the best, and of its sizes the one
/// with the most pixels. `wanted` leaves one format alone. A format without any listed size stands with none.
pub fn choose(offered: &[(PixelFormat, Sizes)], wanted: Option<PixelFormat>, max_pixels: u64) -> Option<Mode> {
    let fitting = offered.iter().filter(|(format, _)| wanted.is_none_or(|wanted| *format == wanted));
    let modes = fitting.filter_map(|&(format, sizes)| {
        let (width, height) = largest(sizes, max_pixels)?;
        Some(Mode { format, width, height })
    });
    // Of equal modes the first one stays: a driver lists what it likes best first.
    modes.reduce(|best, mode| if is_better(mode, best) { mode } else { best })
}

fn is_better(mode: Mode, than: Mode) -> bool {
    let pixels = |mode: Mode| u64::from(mode.width) * u64::from(mode.height);
    mode.format < than.format || mode.format == than.format && pixels(mode) > pixels(than)
}

/// The largest size within bounds. Where steps reach beyond them, both sides shrink alike.
fn largest(sizes: Sizes, max_pixels: u64) -> Option<(u32, u32)> {
    let fits = |width: u32, height: u32| {
        let pixels = u64::from(width) * u64::from(height);
        (1..=max_pixels).contains(&pixels).then_some((width, height))
    };
    match sizes {
        Sizes::One { width, height } => fits(width, height),
        Sizes::Steps { width, height } => {
            let ([least_width, most_width, step_width], [least_height, most_height, step_height]) = (width, height);
            let pixels = f64::from(most_width) * f64::from(most_height);
            let scale = (max_pixels as f64 / pixels.max(1.0)).sqrt().min(1.0);
            let stepped = |least: u32, most: u32, step: u32| {
                let aim = (f64::from(most) * scale) as u32;
                let above = aim.min(most).saturating_sub(least);
                least.checked_add(above - above % step.max(1))
            };
            fits(stepped(least_width, most_width, step_width)?, stepped(least_height, most_height, step_height)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MEGAPIXELS: u64 = 1_000_000;

    fn one(width: u32, height: u32) -> Sizes {
        Sizes::One { width, height }
    }

    fn steps(width: [u32; 3], height: [u32; 3]) -> Sizes {
        Sizes::Steps { width, height }
    }

    #[test]
    fn the_deepest_grey_is_chosen_and_then_the_largest_size_within_bounds() {
        use PixelFormat::*;
        let webcam = [
            (Mjpg, one(1_920, 1_080)),
            (Yuyv, one(640, 480)),
            (Yuyv, one(1_280, 720)),
            (Yuyv, one(2_592, 1_944)),
            (Mjpg, one(2_592, 1_944)),
        ];
        let industrial = [(Grey, one(2_592, 1_944)), (Y12, one(1_296, 972)), (Y12, one(2_592, 1_944))];
        for (name, offered, wanted, max, chosen) in [
            ("a webcam", &webcam[..], None, 8 * MEGAPIXELS, Some((Yuyv, 2_592, 1_944))),
            ("within bounds", &webcam, None, MEGAPIXELS, Some((Yuyv, 1_280, 720))),
            ("as the site wants", &webcam, Some(Mjpg), 8 * MEGAPIXELS, Some((Mjpg, 2_592, 1_944))),
            ("not offered", &webcam, Some(Y16), 8 * MEGAPIXELS, None),
            ("an industrial camera", &industrial, None, 8 * MEGAPIXELS, Some((Y12, 2_592, 1_944))),
            ("nothing is small enough", &webcam, None, 1_000, None),
            ("nothing at all", &[], None, MEGAPIXELS, None),
            (
                "steps",
                &[(Grey, steps([16, 8_000, 2], [16, 6_000, 2]))],
                None,
                3 * MEGAPIXELS,
                Some((Grey, 2_000, 1_500)),
            ),
            ("a step of 0", &[(Grey, steps([16, 320, 0], [16, 200, 0]))], None, MEGAPIXELS, Some((Grey, 320, 200))),
            (
                "the largest below the least",
                &[(Grey, steps([16, 8, 2], [16, 8, 2]))],
                None,
                MEGAPIXELS,
                Some((Grey, 16, 16)),
            ),
            ("no pixels", &[(Grey, one(0, 480))], None, MEGAPIXELS, None),
        ] {
            let chosen = chosen.map(|(format, width, height)| Mode { format, width, height });
            assert_eq!(choose(offered, wanted, max), chosen, "{name}");
        }
    }

    #[test]
    fn names_and_fourccs_are_each_others() {
        for format in PixelFormat::ALL {
            assert_eq!(PixelFormat::named(format.name()), Some(format));
            assert_eq!(PixelFormat::of_fourcc(format.fourcc()), Some(format));
            assert_eq!(format.fourcc(), *format!("{:4}", format.name()).as_bytes());
        }
        assert_eq!(PixelFormat::of_fourcc(*b"BGR3"), None);
        assert!(PixelFormat::ALL.is_sorted());
    }

    proptest! {
        #[test]
        fn what_is_chosen_is_offered_and_within_bounds(
            width in any::<[u32; 3]>(), height in any::<[u32; 3]>(), max in 1u64..1 << 33
        ) {
            let offered = [(PixelFormat::Grey, steps(width, height)), (PixelFormat::Y10, one(width[0], height[0]))];
            if let Some(mode) = choose(&offered, None, max) {
                prop_assert!(u64::from(mode.width) * u64::from(mode.height) <= max);
                prop_assert!(mode.width >= width[0] && mode.height >= height[0]);
            }
        }
    }
}
