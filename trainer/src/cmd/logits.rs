//! `chestlight-trainer logits`: what chestlight's engine answers, for comparison with other engines.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use chestlight::model::{Engine, Manifest};
use chestlight::phantom::{Opacity, Phantom};
use chestlight::preprocess::preprocess;

/// Writes network inputs of phantoms and chestlight's logits as raw little-endian f32, for scripts/crosscheck.py
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
    /// How many phantoms
    #[arg(long, default_value_t = 12)]
    phantoms: u64,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let read = |path: &PathBuf| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let manifest = Manifest::parse(&String::from_utf8(read(&args.manifest)?)?)?;
    let engine = Engine::load(&read(&args.onnx)?, &manifest.input)?;
    let (mut inputs, mut logits) = (Vec::new(), Vec::new());
    for (seed, opacity) in (1..=args.phantoms).zip([Opacity::None, Opacity::Focal, Opacity::Diffuse].iter().cycle()) {
        let tensor = preprocess(&Phantom::new(seed, *opacity).render()?, &manifest.input)?;
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
