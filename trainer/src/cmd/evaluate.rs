//! `chestlight-trainer evaluate`: a model's confusion matrix, measured through chestlight.

use std::path::PathBuf;

use anyhow::Context as _;
use chestlight::model::ModelFiles;
use chestlight::show::NOTICE;
use chestlight_trainer::evaluate::{self, ANSWERS};
use chestlight_trainer::experiment::Experiment;
use chestlight_trainer::index::Index;
use chestlight_trainer::split::{self, Part, Sample};
use serde_json::json;

use super::bar;

/// Measures a model on the films of an experiment, read by chestlight as a unit reads them
#[derive(clap::Args)]
pub struct Args {
    /// The model's manifest, its network beside it
    #[arg(long, value_name = "TOML")]
    model: PathBuf,
    /// The experiment that says which films are in which part
    #[arg(long, value_name = "FILE")]
    experiment: PathBuf,
    /// The index of the films
    #[arg(long, value_name = "CSV")]
    index: PathBuf,
    /// Which part
    #[arg(long, value_enum, default_value = "test")]
    part: Part,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let model = ModelFiles::read(&args.model)?.load()?;
    let index = Index::read(&args.index)?;
    let samples = split::deal(&index, &Experiment::read(&args.experiment)?)?;
    let samples: Vec<&Sample> = samples.iter().filter(|sample| sample.part == args.part).collect();
    let bar = bar("reading", samples.len());
    let evaluation = evaluate::evaluate(&model, &index, &samples, &mut || bar.inc(1))
        .context("a film of the index cannot be read")?;
    bar.finish_and_clear();
    if args.json {
        let report = json!({
            "schema": 1,
            "notice": NOTICE,
            "model": { "name": model.manifest.name, "digest": model.manifest.digest },
            "part": args.part,
            "answers": ANSWERS,
            "confusion": evaluation.all,
            "accuracy": evaluation.all.accuracy(),
            "by_source": evaluation.by_source,
        });
        println!("{report}");
        return Ok(());
    }
    println!("{} on the {} part\n\n{}", model.manifest.name, args.part.name(), evaluation.all.table());
    println!("accuracy {}", evaluation.all.accuracy());
    for (source, confusion) in &evaluation.by_source {
        println!("  {source}: {}", confusion.accuracy());
    }
    println!("\n{NOTICE}");
    Ok(())
}
