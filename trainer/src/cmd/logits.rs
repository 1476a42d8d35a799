//! `chestlight-trainer logits`: what chestlight's engine answers, for comparison with other engines.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use chestlight::decode::{Limits, decode_reduced};
use chestlight::model::{Engine, Manifest};
use chestlight::phantom::{Opacity, Phantom};
use chestlight::preprocess::preprocess;
use chestlight::radiograph::Radiograph;

/// Writes network inputs and chestlight's logits as raw little-endian f32, for scripts/crosscheck.py
#[derive(clap::Args)]
pub struct Args {
    /// The network, f32 or int8
    #[arg(long, value_name = "FILE")]
    onnx: PathBuf,
    /// The manifest that states its input
    #[arg(long, value_name = "TOML")]
    manifest: PathBuf,
    /// Folder for inputs.f32 (each 3 planes of height x width) and logits.f32 (each 3)
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Films; without any, twelve phantoms
    #[arg(value_name = "FILM")]
    films: Vec<PathBuf>,
}

/// Phantoms that are read where no films are given.
const PHANTOMS: u64 = 12;

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let read = |path: &PathBuf| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let manifest = Manifest::parse(&String::from_utf8(read(&args.manifest)?)?)?;
    let engine = Engine::load(&read(&args.onnx)?, &manifest.input)?;
    let at_least = manifest.input.at_least();
    let film = |path: &PathBuf| {
        decode_reduced(&read(path)?, &Limits::default(), at_least).with_context(|| path.display().to_string())
    };
    let opacities = [Opacity::None, Opacity::Focal, Opacity::Diffuse].into_iter().cycle();
    let phantoms = (1..=PHANTOMS).zip(opacities).map(|(seed, opacity)| Ok(Phantom::new(seed, opacity).render()?));
    let films: Box<dyn Iterator<Item = anyhow::Result<Radiograph>>> =
        if args.films.is_empty() { Box::new(phantoms) } else { Box::new(args.films.iter().map(film)) };
    let (mut inputs, mut logits) = (Vec::new(), Vec::new());
    for film in films {
        let tensor = preprocess(&film?, &manifest.input)?;
        logits.extend(engine.infer(&tensor)?.logits.0);
        inputs.extend(tensor.plane.repeat(3));
    }
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    for (name, values) in [("inputs.f32", inputs), ("logits.f32", logits)] {
        let path = args.out.join(name);
        let bytes: Vec<u8> = values.iter().flat_map(|value: &f32| value.to_le_bytes()).collect();
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
