//! `chestlight camera`: which cameras there are, and what one sees, for whoever sets up a light box.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, anyhow};
use chestlight::config::{self, Config};
use chestlight::daemon::camera::decode_jpeg;
use chestlight::gate;
use chestlight::intake::camera::frame::GreyFrame;
use chestlight::intake::camera::source;
use chestlight::intake::camera::stream::{Taking, one_frame};
use chestlight::radiograph::{Encoding, Grey, Radiograph};
use chestlight::show::NOTICE;

use super::{Failure, Outcome, usage};

/// Set up a camera over a light box
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the cameras that are plugged in, with what to write as `device`
    List,
    /// Write what the camera sees as a PNG, and say whether a film could be read from it
    Snapshot {
        /// Configuration of the unit
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Only the film, cut out and turned as the configuration says; without this the whole frame
        #[arg(long)]
        film: bool,
        /// The picture
        #[arg(value_name = "OUT.png")]
        out: PathBuf,
    },
}

/// Runs the subcommand.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    anstream::println!("{NOTICE}");
    match &arguments.command {
        Command::List => list(),
        Command::Snapshot { config, film, out } => {
            let config = Config::read(config).map_err(usage)?;
            let camera = config.camera.as_ref();
            let camera = camera.ok_or_else(|| usage(anyhow!("the configuration has no section [camera]")))?;
            snapshot(camera, *film, out)
        }
    }
}

#[cfg(feature = "camera")]
fn list() -> Result<Outcome, Failure> {
    use chestlight::intake::camera::device;
    use chestlight::intake::camera::format::{MAX_PIXELS, PixelFormat, choose};

    let found = device::list().map_err(usage)?;
    if found.is_empty() {
        anstream::println!("no camera is plugged in");
        return Ok(Outcome::Refused);
    }
    for camera in found {
        let stable = camera.stable.as_ref().map_or(camera.name.clone(), |link| link.display().to_string());
        anstream::println!("{} ({})", camera.name, camera.device.display());
        anstream::println!("  device = {stable:?}");
        match choose(&camera.offered, None, MAX_PIXELS) {
            Some(mode) => anstream::println!("  films are taken in {mode}"),
            None => anstream::println!("  no film can be taken: it offers nothing that is read"),
        }
        for format in PixelFormat::ALL {
            let offered = camera.offered.iter().filter(|(offered, _)| *offered == format);
            let sizes: Vec<String> = offered.map(|(_, sizes)| sizes.to_string()).collect();
            if !sizes.is_empty() {
                anstream::println!("  {format:5} {}", sizes.join(", "));
            }
        }
    }
    Ok(Outcome::Well)
}

#[cfg(not(feature = "camera"))]
fn list() -> Result<Outcome, Failure> {
    Err(usage(chestlight::intake::camera::error::CameraError::NotBuilt))
}

fn snapshot(camera: &config::Camera, film: bool, out: &PathBuf) -> Result<Outcome, Failure> {
    let mut source = source(&camera.device, camera.format, camera.max_pixels).map_err(usage)?;
    let taking =
        Taking { view: camera.view, settle: camera.settle, still: None, max_pixels: camera.max_pixels, decode_jpeg };
    let seen = one_frame(&mut *source, &taking, &AtomicBool::new(false)).map_err(usage)?;
    // Nobody has told it to stop.
    let (frame, mode) = seen.context("the camera gave no frame")?;
    let cut = camera.view.film(&frame);
    let written = if film { &cut } else { &frame };
    fs::write(out, written.png().context("the picture cannot be encoded")?)
        .with_context(|| format!("{} cannot be written", out.display()))
        .map_err(usage)?;
    let GreyFrame { width, height, pixels } = written;
    let bits = if matches!(pixels, Grey::U8(_)) { 8 } else { 16 };
    anstream::println!("{}, {mode}: {} has {width} x {height} pixels of {bits} bits", camera.device, out.display());
    if !film {
        anstream::println!("corners read off it need: corners_of = [{width}, {height}]");
    }
    let burnt = burnt(&cut);
    if burnt > MOST_BURNT {
        anstream::println!(
            "{:.0}% of the film is as bright as the camera can tell: shorten the exposure, or dim the light box",
            100.0 * burnt
        );
    }
    let film = Radiograph::new(cut.width, cut.height, cut.pixels, Encoding::Png).context("the film has no pixels")?;
    match gate::judge(&film) {
        Ok(()) => {
            anstream::println!("a film could be read from it, as far as size and exposure tell");
            Ok(Outcome::Well)
        }
        Err(refused) => {
            anstream::println!("it would be refused: {}; {}", refused.detail, refused.refusal.advice());
            Ok(Outcome::Refused)
        }
    }
}

/// Of the light box beside a film so much may be.
const MOST_BURNT: f64 = 0.2;

/// The share of samples at the end of the range.
fn burnt(film: &GreyFrame) -> f64 {
    let count = match &film.pixels {
        Grey::U8(samples) => samples.iter().filter(|sample| **sample >= 254).count(),
        Grey::U16(samples) => samples.iter().filter(|sample| **sample >= 65_000).count(),
    };
    count as f64 / film.pixels.len().max(1) as f64
}
