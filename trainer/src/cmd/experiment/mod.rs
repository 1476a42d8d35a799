//! `chestlight-trainer experiment`: whole experiments, alone or as jobs of a sweep.

mod collect;
mod paper;
mod plan;
mod run;

use crate::cmd::train;

/// Runs whole experiments, alone or as the jobs of a sweep
#[derive(clap::Subcommand)]
pub enum Experiments {
    /// Trains, quantizes and measures; does nothing where that is done, and goes on where it was broken off
    Run(train::Args),
    Plan(plan::Args),
    Collect(collect::Args),
    Paper(paper::Args),
}

/// Runs the command.
pub fn run(command: &Experiments) -> anyhow::Result<()> {
    match command {
        Experiments::Run(args) => run::run(args),
        Experiments::Plan(args) => plan::run(args),
        Experiments::Collect(args) => collect::run(args),
        Experiments::Paper(args) => paper::run(args),
    }
}
