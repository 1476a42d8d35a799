//! `experiment collect`: the results of many jobs as one table.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chestlight::show::NOTICE;
use chestlight_trainer::result::JobResult;
use serde_json::json;

use super::run::finished;
use crate::cmd::write;

/// Joins the results of finished jobs; tells which have not finished
#[derive(clap::Args)]
pub struct Args {
    /// The folder that holds the jobs' folders
    #[arg(long, value_name = "FOLDER")]
    runs: PathBuf,
    /// Also into this file, Markdown
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let (results, unfinished) = read(&args.runs)?;
    let table = table(&results, &unfinished);
    if let Some(out) = &args.out {
        write(out, table.as_bytes())?;
    }
    if args.json {
        println!("{}", json!({ "schema": 1, "notice": NOTICE, "results": results, "unfinished": unfinished }));
    } else {
        print!("{table}");
    }
    Ok(())
}

/// Results by the name of their folder, and the folders that have none.
fn read(runs: &Path) -> anyhow::Result<(BTreeMap<String, JobResult>, Vec<String>)> {
    let told = || format!("cannot read {}", runs.display());
    let (mut results, mut unfinished) = (BTreeMap::new(), Vec::new());
    for entry in fs::read_dir(runs).with_context(told)? {
        let entry = entry.with_context(told)?;
        if !entry.path().join("experiment.toml").exists() {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        match finished(&entry.path())? {
            Some(result) => drop(results.insert(name, result)),
            None => unfinished.push(name),
        }
    }
    unfinished.sort();
    Ok((results, unfinished))
}

/// Jobs that differ in seed or fold alone share a line.
fn table(results: &BTreeMap<String, JobResult>, unfinished: &[String]) -> String {
    let mut alike: BTreeMap<String, Vec<&JobResult>> = BTreeMap::new();
    for result in results.values() {
        let without =
            result.leave_out.as_ref().map_or_else(String::new, |source| format!(", tested on {source} alone"));
        alike.entry(format!("{}{without}", result.name)).or_default().push(result);
    }
    let mut table = format!("# Results\n\n{NOTICE}\n\n");
    table += "Percent on the test parts: the mean over jobs, and their standard deviation where there are several.\n\n";
    table += "| experiment | jobs | accuracy | precision | recall | F1 | ms a film | controls called COVID-19 |\n\
              |---|---:|---:|---:|---:|---:|---:|---|\n";
    for (name, jobs) in &alike {
        let score =
            |of: &dyn Fn(&JobResult) -> f64| spread(&jobs.iter().map(|job| of(job) * 100.0).collect::<Vec<_>>());
        let mut called: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (control, rate) in jobs.iter().flat_map(|job| &job.controls) {
            called.entry(control).or_default().push(rate.rate * 100.0);
        }
        let called: Vec<String> = called.iter().map(|(name, rates)| format!("{name}: {}", spread(rates))).collect();
        table += &format!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} |\n",
            jobs.len(),
            score(&|job| job.scores.accuracy.value),
            score(&|job| job.scores.precision.value),
            score(&|job| job.scores.recall.value),
            score(&|job| job.scores.f1.value),
            spread(&jobs.iter().map(|job| job.milliseconds).collect::<Vec<_>>()),
            called.join("; ")
        );
    }
    if !unfinished.is_empty() {
        table += &format!("\nNot finished: {}\n", unfinished.join(", "));
    }
    table
}

/// `mean` or `mean ± standard deviation`.
fn spread(values: &[f64]) -> String {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    if values.len() < 2 {
        return format!("{mean:.2}");
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    format!("{mean:.2} ± {:.2}", (squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_jobs_are_told_with_their_spread() {
        assert_eq!(spread(&[97.0]), "97.00");
        assert_eq!(spread(&[96.0, 98.0]), "97.00 ± 1.41");
    }
}
