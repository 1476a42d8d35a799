//! `experiment plan`: the jobs of a sweep, one a line, for whatever scheduler a site has.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use chestlight_trainer::experiment::{Begin, Experiment, Fold};
use chestlight_trainer::index::Index;
use chestlight_trainer::split;

use crate::cmd::Variant;
use crate::cmd::train::Beginning;

/// Writes the jobs of a sweep to standard output, one command a line; each is independent of the others, and a job
/// that has finished does nothing when it is run again
#[derive(clap::Args)]
pub struct Args {
    /// An experiment; may be repeated
    #[arg(long, value_name = "FILE", required = true)]
    experiment: Vec<PathBuf>,
    /// The index of the films
    #[arg(long, value_name = "CSV")]
    index: PathBuf,
    /// The folder that gets a folder for each job
    #[arg(long, value_name = "FOLDER")]
    runs: PathBuf,
    #[command(flatten)]
    begin: Beginning,
    /// How many seeds, from the experiment's on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    seeds: u64,
    /// Cross validation with so many folds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=20))]
    folds: Option<u64>,
    /// One job for each source of the experiment's films, which is then the test part
    #[arg(long, conflicts_with = "folds")]
    leave_one_source_out: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let index = Index::read(&args.index)?;
    let mut names = BTreeSet::new();
    for path in &args.experiment {
        let experiment = Experiment::read(path)?;
        let name = name(path)?;
        if !names.insert(name.clone()) {
            bail!("two experiments are called {name}; their runs would get into each other's way");
        }
        for variant in variants(args, &experiment) {
            let (run, command) = (args.runs.join(folder(&name, &variant)), command(args, path, &experiment, &variant));
            let samples = split::deal(&index, &variant.applied(experiment.clone())?)?;
            // Some sources cannot be left out; that is a finding, not a failure of the plan.
            if let Err(error) = split::check(&samples, &variant.applied(experiment.clone())?) {
                println!("# {}: {error}", run.display());
                continue;
            }
            let read: Vec<String> = inputs(args, path, &experiment).iter().map(|path| quoted(path)).collect();
            let run = quoted(&run);
            println!("{command} --run {run}  # reads {}; writes {run}/result.json", read.join(" "));
        }
    }
    Ok(())
}

/// The file's name without its ending, which names the runs.
fn name(path: &Path) -> anyhow::Result<String> {
    let name = path.file_stem().and_then(|name| name.to_str());
    Ok(name.with_context(|| format!("{} has no name", path.display()))?.to_owned())
}

fn variants(args: &Args, experiment: &Experiment) -> Vec<Variant> {
    let sources: BTreeSet<&str> = experiment.films.iter().map(|films| films.source.as_str()).collect();
    let parts: Vec<Variant> = match args.folds {
        Some(of) => (1..=of as usize)
            .map(|number| Variant { fold: Some(Fold { number, of: of as usize }), ..Variant::default() })
            .collect(),
        None if args.leave_one_source_out => {
            let left_out = |source: &str| Variant { leave_out: Some(source.into()), ..Variant::default() };
            sources.into_iter().map(left_out).collect()
        }
        None => vec![Variant::default()],
    };
    let seeds = (0..args.seeds).map(|more| experiment.seed.wrapping_add(more));
    seeds.flat_map(|seed| parts.iter().map(move |part| Variant { seed: Some(seed), ..part.clone() })).collect()
}

/// The folder of a job, unique in the sweep.
fn folder(name: &str, variant: &Variant) -> String {
    let mut folder = name.to_owned();
    if let Some(seed) = variant.seed {
        folder += &format!("-seed{seed}");
    }
    if let Some(Fold { number, of }) = variant.fold {
        folder += &format!("-fold{number}of{of}");
    }
    if let Some(source) = &variant.leave_out {
        folder += &format!("-without-{source}");
    }
    folder
}

fn command(args: &Args, path: &Path, experiment: &Experiment, variant: &Variant) -> String {
    let mut command =
        format!("chestlight-trainer experiment run --experiment {} --index {}", quoted(path), quoted(&args.index));
    for (option, value) in beginning(&args.begin, experiment) {
        command += &format!(" {option} {}", quoted(value));
    }
    if let Some(seed) = variant.seed {
        command += &format!(" --seed {seed}");
    }
    if let Some(Fold { number, of }) = variant.fold {
        command += &format!(" --fold {number}/{of}");
    }
    if let Some(source) = &variant.leave_out {
        command += &format!(" --leave-out {}", quoted(Path::new(source)));
    }
    command
}

/// What this experiment takes of what the sweep is given.
fn beginning<'a>(begin: &'a Beginning, experiment: &Experiment) -> Vec<(&'static str, &'a PathBuf)> {
    let (weights, from): (&[PathBuf], &[PathBuf]) = match experiment.begin {
        Begin::Random => (&[], &[]),
        Begin::Weights => (begin.weights.as_slice(), &[]),
        Begin::Run => (&[], &begin.from),
    };
    let teachers: &[PathBuf] = if experiment.loss.teacher > 0.0 { &begin.teacher } else { &[] };
    let options = [("--weights", weights), ("--from", from), ("--teacher", teachers)];
    options.into_iter().flat_map(|(option, paths)| paths.iter().map(move |path| (option, path))).collect()
}

fn inputs<'a>(args: &'a Args, path: &'a Path, experiment: &Experiment) -> Vec<&'a Path> {
    let begin = beginning(&args.begin, experiment).into_iter().map(|(_, path)| path.as_path());
    [path, args.index.as_path()].into_iter().chain(begin).collect()
}

/// For a POSIX shell.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_quoted_paths_as_they_are() {
        for (path, expected) in [("a/b-1.toml", "a/b-1.toml"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("", "''")] {
            assert_eq!(quoted(Path::new(path)), expected);
        }
    }
}
