//! A unit with a camera. What needs one drives the kernel's own, vivid, where it is loaded: `modprobe vivid` on a machine
//! whose kernel has it, as tests/vm does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by unwrapping")]

mod running_unit;
#[cfg(feature = "camera")]
mod skipping;

use running_unit::Site;
#[cfg(feature = "camera")]
use running_unit::film;

/// The words of the terminal's line for a fault.
#[cfg(feature = "camera")]
const FAULT: &str = "FAULT";

#[cfg(feature = "camera")]
#[test]
fn a_camera_that_is_not_there_is_a_fault_and_films_in_the_inbox_are_read_all_the_same() {
    let site = Site::new("[camera]\ndevice = 'No such camera'\n");
    let mut unit = site.start();
    let told = unit.wait_for(FAULT);
    assert!(told.contains("there is no camera"), "{told}");
    site.put_in("a.png", &film(1, image::ImageFormat::Png));
    unit.wait_for("reading 1 of");
    unit.stop();
}

#[cfg(not(feature = "camera"))]
#[test]
fn a_program_without_cameras_says_so_and_does_not_start() {
    let site = Site::new("[camera]\ndevice = 'HD Camera'\n");
    for command in [&["run"][..], &["camera", "snapshot", "none.png"]] {
        let output = site.command(command).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("--features camera"), "{told}");
    }
}

#[test]
fn aiming_a_camera_that_is_not_there_tells_what_to_do() {
    let site = Site::new("[camera]\ndevice = '/dev/v4l/by-id/none'\n");
    let output = site.command(&["camera", "snapshot", "none.png"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("camera"));
}

#[cfg(feature = "camera")]
mod vivid {
    use std::sync::atomic::AtomicBool;

    use chestlight::daemon::camera::decode_jpeg;
    use chestlight::intake::camera::device::{Found, list};
    use chestlight::intake::camera::format::PixelFormat;
    use chestlight::intake::camera::frame::GreyFrame;
    use chestlight::intake::camera::source;
    use chestlight::intake::camera::stream::{Taking, one_frame};
    use chestlight::intake::camera::view::View;
    use chestlight::radiograph::Grey;

    use super::*;

    const MAX_PIXELS: u64 = 1_000_000;

    /// The kernel's test camera, where it is loaded.
    fn camera(test: &str) -> Option<Found> {
        let found = list().unwrap_or_default().into_iter().find(|camera| camera.name.contains("vivid"));
        if found.is_none() {
            crate::skipping::skip(test, "no vivid; modprobe vivid");
        }
        found
    }

    /// The means of 16 columns of a frame's lower half, where no text stands, and how far they are from their own mean.
    fn bars(frame: &GreyFrame) -> (Vec<f64>, f64) {
        let (width, height) = (frame.width as usize, frame.height as usize);
        let bar = |bar: usize| {
            let columns = bar * width / 16..(bar + 1) * width / 16;
            let count = columns.len() * (height - height / 2);
            let places = columns.flat_map(|x| (height / 2..height).map(move |y| (x, y)));
            places.map(|(x, y)| f64::from(frame.sample(x, y))).sum::<f64>() / count as f64
        };
        let bars: Vec<f64> = (0..16).map(bar).collect();
        let mean = bars.iter().sum::<f64>() / 16.0;
        let apart = bars.iter().map(|bar| (bar - mean).abs()).sum();
        (bars, apart)
    }

    #[test]
    fn every_format_of_the_kernels_test_camera_gives_the_same_picture() {
        let Some(camera) = camera("every_format_of_the_kernels_test_camera_gives_the_same_picture") else { return };
        let device = camera.device.to_str().unwrap();
        let taking = Taking { view: View::WHOLE, settle: 2, still: None, max_pixels: MAX_PIXELS, decode_jpeg };
        let mut reference: Option<Vec<f64>> = None;
        let mut seen = Vec::new();
        for format in PixelFormat::ALL {
            if !camera.offered.iter().any(|(offered, _)| *offered == format) {
                continue;
            }
            let mut source = source(device, Some(format), MAX_PIXELS).unwrap();
            let (frame, mode) = one_frame(&mut *source, &taking, &AtomicBool::new(false)).unwrap().unwrap();
            assert!(mode.starts_with(format.name()), "{mode}");
            let deep = matches!(format, PixelFormat::Y16 | PixelFormat::Y12 | PixelFormat::Y10);
            assert_eq!(matches!(frame.pixels, Grey::U16(_)), deep, "{mode}");
            let (bars, apart) = bars(&frame);
            assert!(apart > 20_000.0, "{mode}: the test picture has bars of different brightness: {bars:?}");
            // Colour becomes grey by other weights, and video levels end before white: the order of the bars stays.
            let falls = |bars: &[f64]| bars.windows(2).map(|pair| pair[0] > pair[1] + 600.0).collect::<Vec<_>>();
            let reference = reference.get_or_insert_with(|| bars.clone());
            assert_eq!(falls(&bars), falls(reference), "{mode}: {bars:?} and {reference:?}");
            seen.push(mode);
        }
        println!("{seen:?}");
        assert!(seen.len() >= 7, "vivid has all but MJPG: {seen:?}");
    }

    #[test]
    fn a_unit_takes_a_film_of_the_kernels_test_camera_by_order() {
        let Some(camera) = camera("a_unit_takes_a_film_of_the_kernels_test_camera_by_order") else { return };
        let site = Site::new(&format!("[camera]\ndevice = '{}'\nmax_megapixels = 1\n", camera.name));
        let mut unit = site.start();
        unit.wait_until_ready();
        let output = site.command(&["capture"]).output().unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{told}");
        site.wait_until(|| site.rows().len() == 1);
        unit.stop();
        assert_eq!(site.rows()[0].file_name, "camera.png");
        assert!(told.contains(&site.rows()[0].input_digest[..8]), "{told}");
    }
}
