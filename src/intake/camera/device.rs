//! V4L2 devices through the crate `v4l`: finding, negotiating, streaming by mmap.
//!
//! What the crate does not do well is kept away from here. Its frames wait forever unless a time-out is set. A stream
//! cannot go on after a time-out, because it queues its last buffer twice. It panics where a driver answers against the
//! rules, and when the driver does not end a stream; a panic becomes an error, and a stream that does not end is left to
//! the program's end. Sizes in steps are listed one by one, which may be millions: they are not asked for.
//! Memory of the program as buffers (`userptr`) is not used: many drivers do not have it, and some write beyond it.

use std::fs;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use v4l::buffer::{Flags as BufferFlags, Type};
use v4l::capability::Flags;
use v4l::format::FieldOrder;
use v4l::framesize::FrameSizeEnum;
use v4l::io::mmap::Stream;
use v4l::io::traits::{CaptureStream, Stream as _};
use v4l::video::Capture;
use v4l::{Device, Format, FourCC};

use super::error::CameraError;
use super::format::{Mode, PixelFormat, Sizes, choose};
use super::frame::Layout;
use super::stream::{Frame, Frames, PATIENCE, Source};

/// Where the kernel lists its video devices.
const CLASS: &str = "/sys/class/video4linux";
/// Where udev links to them by what they are.
const BY_ID: &str = "/dev/v4l/by-id";
/// Buffers of a stream: one that is read, and enough that a busy moment loses no frame.
const BUFFERS: u32 = 4;

/// A camera that is plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The device, which may have another number after the next start.
    pub device: PathBuf,
    /// The name that it gives itself.
    pub name: String,
    /// The link to it that stays the same, if udev has made one.
    pub stable: Option<PathBuf>,
    /// What it offers that a film can be taken in.
    pub offered: Vec<(PixelFormat, Sizes)>,
}

/// The cameras that are plugged in and can be used, by number.
///
/// # Errors
/// [`CameraError::Denied`] where this user may use none.
pub fn list() -> Result<Vec<Found>, CameraError> {
    let links: Vec<PathBuf> =
        fs::read_dir(BY_ID).map(|links| links.flatten().map(|link| link.path()).collect()).unwrap_or_default();
    let mut found = Vec::new();
    let mut denied = None;
    for Node { device, name } in nodes(Path::new(CLASS)) {
        match guarded(|| open(&device).and_then(|camera| offered(&camera))) {
            Ok(offered) => {
                let to = |link: &&PathBuf| fs::canonicalize(link).is_ok_and(|to| to == device);
                let stable = links.iter().find(to).cloned();
                found.push(Found { offered, device, name, stable });
            }
            Err(error @ CameraError::Denied(_)) => denied = Some(error),
            // The same camera has devices for other things.
            Err(_) => {}
        }
    }
    match denied {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// A camera as a configuration names it: by the path of a device or of a link to one, or by the name that it gives
/// itself.
#[derive(Clone, Debug)]
pub struct Camera {
    /// Path or name.
    pub device: String,
    /// The only format to use; the best one where absent.
    pub format: Option<PixelFormat>,
    /// Most pixels of a frame.
    pub max_pixels: u64,
}

impl Camera {
    fn devices(&self) -> Vec<PathBuf> {
        if self.device.starts_with('/') {
            return vec![PathBuf::from(&self.device)];
        }
        nodes(Path::new(CLASS)).into_iter().filter(|node| node.name == self.device).map(|node| node.device).collect()
    }

    fn negotiate(&self) -> Result<(Device, Layout), CameraError> {
        let mut wrong = CameraError::NotThere(self.device.clone());
        for device in self.devices() {
            match guarded(|| open(&device)) {
                Ok(camera) => {
                    let layout = guarded(|| self.set(&camera))?;
                    return Ok((camera, layout));
                }
                Err(error) => wrong = error,
            }
        }
        Err(wrong)
    }

    fn set(&self, camera: &Device) -> Result<Layout, CameraError> {
        let offered = offered(camera)?;
        let Some(mode) = choose(&offered, self.format, self.max_pixels) else {
            let offered = offered.iter().map(|(format, sizes)| format!("{format} {sizes}")).collect::<Vec<_>>();
            return Err(CameraError::NoMode {
                wanted: self.format,
                most_megapixels: self.max_pixels / 1_000_000,
                offered: if offered.is_empty() { "nothing that is read".into() } else { offered.join(", ") },
            });
        };
        let asked = Format::new(mode.width, mode.height, FourCC::new(&mode.format.fourcc()));
        let got = camera.set_format(&asked).map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::BUSY) => CameraError::Busy(self.device.clone()),
            _ => step("setting the camera's format")(error),
        })?;
        let whole = !matches!(
            got.field_order,
            FieldOrder::Top
                | FieldOrder::Bottom
                | FieldOrder::Alternate
                | FieldOrder::SequentialTB
                | FieldOrder::SequentialBT
        );
        match PixelFormat::of_fourcc(got.fourcc.repr) {
            Some(format) if format == mode.format && whole => {
                Ok(Layout { format, width: got.width, height: got.height, stride: got.stride })
            }
            _ => Err(CameraError::OtherMode {
                asked: mode.to_string(),
                got: format!("{} {}x{}, fields {}", got.fourcc, got.width, got.height, got.field_order),
            }),
        }
    }
}

impl Source for Camera {
    fn is_there(&mut self) -> Result<(), CameraError> {
        let there = self.devices().iter().any(|device| device.exists());
        if there { Ok(()) } else { Err(CameraError::NotThere(self.device.clone())) }
    }

    fn check(&mut self) -> Result<String, CameraError> {
        self.negotiate().map(|(_, layout)| words(&layout))
    }

    fn open(&mut self) -> Result<Box<dyn Frames>, CameraError> {
        let (camera, layout) = self.negotiate()?;
        let mut stream = Stream::with_buffers(&camera, Type::VideoCapture, BUFFERS).map_err(|error| {
            match Errno::from_io_error(&error) {
                Some(Errno::BUSY) => CameraError::Busy(self.device.clone()),
                _ => step("asking the camera for buffers")(error),
            }
        })?;
        stream.set_timeout(PATIENCE);
        Ok(Box::new(Streaming { camera, layout, stream: Some(stream), began: false }))
    }
}

struct Streaming {
    camera: Device,
    layout: Layout,
    /// Always there until it is dropped.
    stream: Option<Stream<'static>>,
    began: bool,
}

impl Frames for Streaming {
    fn mode(&self) -> String {
        words(&self.layout)
    }

    fn wait(&mut self, within: Duration) -> Result<bool, CameraError> {
        // The first frame begins the stream; it is waited for there.
        if !self.began {
            return Ok(true);
        }
        let within = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
        match self.camera.handle().poll(PollFlags::IN.bits() as i16, within) {
            Ok(ready) => Ok(ready > 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(step("waiting for a frame")(error)),
        }
    }

    fn next(&mut self) -> Result<Frame<'_>, CameraError> {
        self.began = true;
        let Some(stream) = &mut self.stream else { return Err(CameraError::Silent(PATIENCE)) };
        let (bytes, meta) = stream.next().map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => CameraError::Silent(PATIENCE),
            _ => step("taking a frame from the camera")(error),
        })?;
        // A frame that the driver knows to be broken is one of no bytes, and so too short.
        let used = if meta.flags.contains(BufferFlags::ERROR) { 0 } else { meta.bytesused as usize };
        let bytes = bytes.get(..used).unwrap_or(bytes);
        Ok(Frame { bytes, layout: self.layout, at: Instant::now() })
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        // Where there is no device any more, there is nothing to end.
        if let Err(error) = stream.stop()
            && Errno::from_io_error(&error) != Some(Errno::NODEV)
        {
            log::error!("the camera's driver does not end its stream ({error}); unplug the camera");
            // The crate would panic, and then over its buffers a second time, which ends the program. The device stays
            // open, so that the next try is told that it is busy and maps nothing.
            mem::forget(stream);
        }
    }
}

/// A video device of the kernel's list.
struct Node {
    device: PathBuf,
    name: String,
}

/// The video devices of a class folder, by number.
fn nodes(class: &Path) -> Vec<Node> {
    let entries = fs::read_dir(class).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let mut nodes: Vec<(u32, Node)> = entries
        .into_iter()
        .filter_map(|entry| {
            let file = entry.file_name();
            let number = file.to_str()?.strip_prefix("video")?.parse().ok()?;
            // What a camera calls itself need not be UTF-8.
            let name = String::from_utf8_lossy(&fs::read(entry.path().join("name")).ok()?).trim().to_owned();
            Some((number, Node { device: Path::new("/dev").join(file), name }))
        })
        .collect();
    nodes.sort_by_key(|(number, _)| *number);
    nodes.into_iter().map(|(_, node)| node).collect()
}

/// Asks something of a driver that the bindings may panic over: a name that is not UTF-8, a number that they do not know.
fn guarded<T>(ask: impl FnOnce() -> Result<T, CameraError>) -> Result<T, CameraError> {
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|panic| Err(CameraError::of_panic(&*panic)))
}

/// Opens a device and asks whether it gives frames.
fn open(path: &Path) -> Result<Device, CameraError> {
    let named = || path.display().to_string();
    let camera = Device::with_path(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CameraError::NotThere(named()),
        io::ErrorKind::PermissionDenied => CameraError::Denied(named()),
        _ => step("opening the camera")(error),
    })?;
    let capabilities = camera.query_caps().map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NOTTY) => CameraError::NotACamera(named()),
        _ => step("asking the camera what it can do")(error),
    })?;
    if capabilities.capabilities.contains(Flags::VIDEO_CAPTURE | Flags::STREAMING) {
        Ok(camera)
    } else {
        Err(CameraError::NotACamera(named()))
    }
}

/// The formats that films can be taken in, with their sizes. A driver that lists no sizes offers the one that is set.
fn offered(camera: &Device) -> Result<Vec<(PixelFormat, Sizes)>, CameraError> {
    let formats = camera.enum_formats().map_err(step("asking the camera for its formats"))?;
    let mut offered = Vec::new();
    for format in formats.into_iter().filter_map(|format| PixelFormat::of_fourcc(format.fourcc.repr)) {
        match camera.enum_framesizes(FourCC::new(&format.fourcc())) {
            Ok(sizes) => offered.extend(sizes.into_iter().map(|size| (format, sizes_of(size.size)))),
            Err(_) => {
                let set = camera.format().map_err(step("asking the camera for its size"))?;
                offered.push((format, Sizes::One { width: set.width, height: set.height }));
            }
        }
    }
    Ok(offered)
}

fn sizes_of(size: FrameSizeEnum) -> Sizes {
    match size {
        FrameSizeEnum::Discrete(one) => Sizes::One { width: one.width, height: one.height },
        FrameSizeEnum::Stepwise(steps) => Sizes::Steps {
            width: [steps.min_width, steps.max_width, steps.step_width],
            height: [steps.min_height, steps.max_height, steps.step_height],
        },
    }
}

fn words(layout: &Layout) -> String {
    Mode { format: layout.format, width: layout.width, height: layout.height }.to_string()
}

fn step(doing: &'static str) -> impl Fn(io::Error) -> CameraError {
    move |source| CameraError::Step { doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_found_by_the_name_that_they_give_themselves_and_in_the_order_of_their_numbers() {
        let class = tempfile::tempdir().unwrap();
        for (node, name) in [
            ("video10", &b"HD Camera\n"[..]),
            ("video2", b"HD Camera\n"),
            ("video0", b"caf\xe9"),
            ("v4l-subdev0", b"sensor"),
            ("vbi0", b"HD Camera"),
        ] {
            fs::create_dir(class.path().join(node)).unwrap();
            fs::write(class.path().join(node).join("name"), name).unwrap();
        }
        let found: Vec<(String, String)> =
            nodes(class.path()).into_iter().map(|Node { device, name }| (device.display().to_string(), name)).collect();
        let expected = [("/dev/video0", "caf\u{fffd}"), ("/dev/video2", "HD Camera"), ("/dev/video10", "HD Camera")];
        assert_eq!(found, expected.map(|(device, name)| (device.to_owned(), name.to_owned())));
        assert!(nodes(Path::new("/none")).is_empty());
    }

    #[test]
    fn what_is_no_camera_is_told_from_what_is_not_there() {
        let camera = |device: &str| Camera { device: device.into(), format: None, max_pixels: 1 };
        let wrong = |device: &str| camera(device).check().unwrap_err();
        assert!(matches!(wrong("/dev/null"), CameraError::NotACamera(_)));
        assert!(matches!(wrong("/none"), CameraError::NotThere(_)));
        assert!(matches!(wrong("No such camera"), CameraError::NotThere(_)));
        assert!(camera("/none").is_there().is_err() && camera("/dev/null").is_there().is_ok());
    }
}
