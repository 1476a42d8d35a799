//! A screen by the kernel's framebuffer, `/dev/fb0`.
//!
//! The frame is drawn in memory and written in one go, with plain file writes: no mapping, so no `unsafe`, and an
//! ordinary file can stand for the device in tests. Every DRM driver with framebuffer emulation has this device, and so
//! have the firmware framebuffers of boards whose own driver is not loaded.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::display::{Display, Drawn};
use super::scene::Scene;
use super::text::Typesetter;
use crate::config;
use crate::explain::Picture;
use crate::health::SharedVitals;

/// Where the kernel tells of its framebuffers.
const SYSFS: &str = "/sys/class/graphics";
/// Shortest side of a screen that scenes are made for, pixels.
const LEAST: u32 = 160;
/// Longest side, pixels; a frame of so many is some 190 MB.
const MOST: u32 = 8_192;

/// The indicator on the screen of a configuration.
///
/// # Errors
/// It has no thread. A screen that is not there is an error of the indicator, which tries again.
pub fn start(config: &config::Screen, vitals: &SharedVitals) -> io::Result<Drawn> {
    let config = config.clone();
    Drawn::start("screen", config.scene, vitals.clone(), move || open(&config))
}

/// The screen of a configuration.
///
/// # Errors
/// As [`Framebuffer::open`].
pub fn open(config: &config::Screen) -> io::Result<Framebuffer> {
    Framebuffer::open(&config.device, Path::new(SYSFS))
}

/// How the memory of a framebuffer is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Width, pixels.
    pub width: u32,
    /// Height, pixels.
    pub height: u32,
    /// Bytes from one line to the next.
    pub stride: u32,
    /// How a pixel is stored.
    pub format: Format,
}

/// How a pixel is stored, little-endian, as the kernel's framebuffer emulation has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 5 bits of red, 6 of green, 5 of blue.
    Rgb565,
    /// Blue, green, red.
    Rgb888,
    /// Blue, green, red and a byte that nobody looks at.
    Xrgb8888,
}

impl Format {
    fn bytes(self) -> u32 {
        match self {
            Self::Rgb565 => 2,
            Self::Rgb888 => 3,
            Self::Xrgb8888 => 4,
        }
    }

    fn encode(self, [red, green, blue]: [u8; 3]) -> [u8; 4] {
        match self {
            Self::Rgb565 => {
                let [red, green, blue] = [red >> 3, green >> 2, blue >> 3].map(u16::from);
                let [low, high] = (red << 11 | green << 5 | blue).to_le_bytes();
                [low, high, 0, 0]
            }
            Self::Rgb888 | Self::Xrgb8888 => [blue, green, red, 0],
        }
    }
}

impl Geometry {
    /// Reads it from the device's folder in sysfs, as in `/sys/class/graphics/fb0`.
    ///
    /// # Errors
    /// There is no such device, or it is one that no scene can be drawn on.
    pub fn read(sysfs: &Path) -> io::Result<Self> {
        let text = |name: &str| fs::read_to_string(sysfs.join(name)).map(|text| text.trim().to_owned());
        let number = |name: &str| {
            let text = text(name)?;
            text.parse::<u32>().map_err(|_| unusable(&format!("{name} is {text:?}")))
        };
        // Drivers that draw behind the screen's back have a virtual screen of several heights; the mode has one.
        let visible = text("modes").ok().and_then(|modes| size_in(modes.lines().next()?));
        let (width, height) = match visible {
            Some(size) => size,
            None => {
                let size = text("virtual_size")?;
                let sides = size.split_once(',').and_then(|(x, y)| Some((x.parse().ok()?, y.parse().ok()?)));
                sides.ok_or_else(|| unusable(&format!("virtual_size is {size:?}")))?
            }
        };
        let format = match number("bits_per_pixel")? {
            16 => Format::Rgb565,
            24 => Format::Rgb888,
            32 => Format::Xrgb8888,
            other => return Err(unusable(&format!("{other} bits a pixel; 16, 24 or 32 can be drawn"))),
        };
        if ![width, height].iter().all(|side| (LEAST..=MOST).contains(side)) {
            return Err(unusable(&format!("{width} x {height} pixels; {LEAST} to {MOST} on a side can be drawn")));
        }
        let stride = number("stride")?;
        if stride < width * format.bytes() || stride > MOST * 8 {
            return Err(unusable(&format!("a stride of {stride} bytes for {width} pixels")));
        }
        Ok(Self { width, height, stride, format })
    }

    /// A frame as the bytes of the framebuffer.
    fn encode(&self, frame: &Picture) -> Vec<u8> {
        let stride = self.stride as usize;
        let mut bytes = vec![0; stride * self.height as usize];
        let rows = frame.rgb.chunks_exact(frame.width.max(1) as usize * 3);
        for (line, row) in bytes.chunks_exact_mut(stride).zip(rows) {
            let width = self.format.bytes() as usize;
            for (place, pixel) in line.chunks_exact_mut(width).zip(row.chunks_exact(3)) {
                if let &[red, green, blue] = pixel {
                    place.iter_mut().zip(self.format.encode([red, green, blue])).for_each(|(to, from)| *to = from);
                }
            }
        }
        bytes
    }
}

/// The size in a line such as `U:1280x720p-60`.
fn size_in(mode: &str) -> Option<(u32, u32)> {
    let (_, size) = mode.split_once(':')?;
    let (width, rest) = size.split_once('x')?;
    let height = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

fn unusable(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("the framebuffer has {why}"))
}

/// A framebuffer that is open.
#[derive(Debug)]
pub struct Framebuffer {
    device: PathBuf,
    file: File,
    sysfs: PathBuf,
    geometry: Geometry,
}

impl Framebuffer {
    /// Its device.
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// How its memory is laid out.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Opens the device `device`, whose folder in sysfs has the device's name below `sysfs_root`, as in
    /// `/sys/class/graphics`.
    ///
    /// # Errors
    /// It is not there, this user may not write to it, no screen is connected, or no scene can be drawn on it.
    pub fn open(device: &Path, sysfs_root: &Path) -> io::Result<Self> {
        let at = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", device.display()));
        // A link made by udev leads to the device that sysfs knows.
        let real = fs::canonicalize(device).map_err(at)?;
        let sysfs = sysfs_root.join(real.file_name().unwrap_or_default());
        let geometry = Geometry::read(&sysfs).map_err(at)?;
        let file = OpenOptions::new().write(true).open(&real).map_err(at)?;
        let mut framebuffer = Self { device: real, file, sysfs, geometry };
        framebuffer.check().map_err(at)?;
        Ok(framebuffer)
    }
}

impl Display for Framebuffer {
    const HAS_PAGES: bool = false;

    fn draw(&mut self, scene: &Scene<'_>, words: &mut Typesetter) -> io::Result<()> {
        let mut frame = Picture::new(self.geometry.width, self.geometry.height);
        let Ok(()) = scene.draw(words, &mut frame);
        self.file.write_all_at(&self.geometry.encode(&frame), 0)
    }

    fn check(&mut self) -> io::Result<()> {
        if Geometry::read(&self.sysfs)? != self.geometry {
            return Err(io::Error::other("the screen has another mode now"));
        }
        if is_unplugged(&self.sysfs) { Err(io::Error::other("no screen is connected")) } else { Ok(()) }
    }
}

/// Whether the device has sockets for screens and all of them are empty.
fn is_unplugged(sysfs: &Path) -> bool {
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let cards = entries(sysfs.join("device/drm"));
    let sockets = cards.flat_map(entries).filter_map(|socket| fs::read_to_string(socket.join("status")).ok());
    // Virtual and firmware framebuffers have none, and some drivers do not know.
    let mut states = sockets.map(|status| status.trim() == "disconnected").peekable();
    states.peek().is_some() && states.all(|empty| empty)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::config::SceneSettings;
    use crate::health::Vitals;
    use crate::show::told::Told;

    /// A folder that stands for sysfs with one framebuffer, and a file for its memory.
    fn board(size: &str, stride: u32, bits: u32) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let sysfs = root.path().join("fb0-files/fb0");
        fs::create_dir_all(&sysfs).unwrap();
        let files =
            [("virtual_size", size.to_owned()), ("stride", stride.to_string()), ("bits_per_pixel", bits.to_string())];
        files.iter().for_each(|(name, text)| fs::write(sysfs.join(name), format!("{text}\n")).unwrap());
        let device = root.path().join("fb0");
        fs::write(&device, "").unwrap();
        (root, device)
    }

    fn scene<'a>(told: &'a Told, vitals: &'a Vitals) -> Scene<'a> {
        let settings =
            SceneSettings { language: crate::language::Language::English, film: Default::default(), dim_after: None };
        let clock = Timestamp::UNIX_EPOCH.to_zoned_datetime(TimeZone::UTC);
        Scene { told, vitals, settings, clock, now: Instant::now(), on: Duration::ZERO }
    }

    #[test]
    fn a_frame_reaches_the_framebuffer_in_each_format_and_with_any_stride() {
        let (told, vitals) = (Told::new(Instant::now()), Vitals::default());
        let mut words = Typesetter::default();
        let mut frame = Picture::new(320, 240);
        let Ok(()) = scene(&told, &vitals).draw(&mut words, &mut frame);
        for (bits, stride) in [(32, 320 * 4), (32, 1_536), (24, 320 * 3), (16, 704)] {
            let (root, device) = board("320,240", stride, bits);
            let mut screen = Framebuffer::open(&device, &root.path().join("fb0-files")).unwrap();
            screen.draw(&scene(&told, &vitals), &mut words).unwrap();
            let memory = fs::read(&device).unwrap();
            assert_eq!(memory.len() as u32, stride * 240);
            for (line, row) in memory.chunks(stride as usize).zip(frame.rgb.chunks(320 * 3)) {
                for (place, pixel) in line.chunks(bits as usize / 8).zip(row.chunks(3)) {
                    let shown = match *place {
                        [low, high] => {
                            let value = u16::from_le_bytes([low, high]);
                            [(value >> 11) as u8 * 8, (value >> 5) as u8 % 64 * 4, value as u8 % 32 * 8]
                        }
                        [blue, green, red, ..] => [red, green, blue],
                        _ => panic!("{place:?}"),
                    };
                    let off = shown.iter().zip(pixel).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
                    assert!(off < if bits == 16 { 8 } else { 1 }, "{bits} bits: {shown:?} for {pixel:?}");
                }
            }
        }
    }

    #[test]
    fn the_visible_part_of_a_tall_virtual_screen_is_drawn() {
        let (root, device) = board("800,960", 3_200, 32);
        fs::write(root.path().join("fb0-files/fb0/modes"), "U:800x480p-60\n").unwrap();
        let screen = Framebuffer::open(&device, &root.path().join("fb0-files")).unwrap();
        assert_eq!((screen.geometry.width, screen.geometry.height), (800, 480));
    }

    #[test]
    fn a_framebuffer_that_cannot_be_drawn_on_says_why() {
        for (size, stride, bits, why) in [
            ("320,240", 320, 8, "8 bits a pixel"),
            ("100,64", 400, 32, "100 x 64 pixels"),
            ("320,240", 640, 32, "a stride of 640"),
            ("9000,9000", 36_000, 32, "9000 x 9000"),
            ("wide", 640, 32, "virtual_size is \"wide\""),
        ] {
            let (root, device) = board(size, stride, bits);
            let error = Framebuffer::open(&device, &root.path().join("fb0-files")).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("fb0"), "{error}");
        }
        let error = Framebuffer::open(Path::new("/dev/none"), Path::new("/sys/class/graphics")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_screen_that_is_pulled_or_gets_another_mode_is_found() {
        let (root, device) = board("320,240", 1_280, 32);
        let sysfs = root.path().join("fb0-files");
        let socket = sysfs.join("fb0/device/drm/card0/card0-HDMI-A-1");
        fs::create_dir_all(&socket).unwrap();
        let plug = |status: &str| fs::write(socket.join("status"), status).unwrap();
        plug("connected\n");
        let mut screen = Framebuffer::open(&device, &sysfs).unwrap();
        screen.check().unwrap();
        plug("disconnected\n");
        assert!(screen.check().unwrap_err().to_string().contains("no screen is connected"));
        assert!(Framebuffer::open(&device, &sysfs).is_err());
        plug("unknown\n");
        screen.check().unwrap();
        fs::write(sysfs.join("fb0/virtual_size"), "640,240\n").unwrap();
        fs::write(sysfs.join("fb0/stride"), "2560\n").unwrap();
        assert!(screen.check().unwrap_err().to_string().contains("another mode"));
    }
}
