//! `chestlight-trainer logits`: what chestlight's engine answers, for comparison with other engines.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use chestlight::model::{Engine, Manifest};
use chestlight::phantom::{Opacity, Phantom};
use chestlight::preprocess::{InputTensor, preprocess};
use chestlight_trainer::dataset;

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
    let (mut inputs, mut logits) = (Vec::new(), Vec::new());
    let mut answer = |tensor: InputTensor| -> anyhow::Result<()> {
        logits.extend(engine.infer(&tensor)?.logits.0);
        inputs.extend(tensor.plane.repeat(3));
        Ok(())
    };
    for film in &args.films {
        answer(dataset::load_file(film, &manifest.input)?)?;
    }
    if args.films.is_empty() {
        let opacities = [Opacity::None, Opacity::Focal, Opacity::Diffuse].into_iter().cycle();
        for (seed, opacity) in (1..=PHANTOMS).zip(opacities) {
            answer(preprocess(&Phantom::new(seed, opacity).render()?, &manifest.input)?)?;
        }
    }
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    for (name, values) in [("inputs.f32", inputs), ("logits.f32", logits)] {
        let path = args.out.join(name);
        let bytes: Vec<u8> = values.iter().flat_map(|value: &f32| value.to_le_bytes()).collect();
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
