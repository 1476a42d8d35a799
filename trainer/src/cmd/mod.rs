//! One file a subcommand.

pub mod evaluate;
pub mod fetch_weights;
pub mod logits;
pub mod ship;
pub mod train;

use indicatif::{ProgressBar, ProgressStyle};

/// What every output ends with.
pub const NOTICE: &str = "Research use, not a diagnosis.";

/// A bar with the time left, on standard error and only on a terminal.
fn bar(what: &'static str, length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:22} {wide_bar} {pos}/{len}, {eta} left {msg}");
    ProgressBar::new(length as u64).with_prefix(what).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
