//! One file a subcommand.

pub mod evaluate;
pub mod fetch_weights;
pub mod logits;
pub mod ship;
pub mod train;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, bail};
use chestlight_trainer::index::Index;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar with the time left, on standard error and only on a terminal.
fn bar(what: &'static str, length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:22} {wide_bar} {pos}/{len}, {eta} left {msg}");
    ProgressBar::new(length as u64).with_prefix(what).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Binds a run to its index: another one would deal films of the test part to training, or the other way round.
fn bind(run: &Path, index: &Index) -> anyhow::Result<()> {
    let path = run.join("index.sha256");
    match fs::read_to_string(&path) {
        Ok(bound) if bound.trim() == index.digest => Ok(()),
        Ok(_) => bail!("{} was trained from another index; its parts would not be the same", run.display()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::write(&path, &index.digest).with_context(|| format!("cannot write {}", path.display()))
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
