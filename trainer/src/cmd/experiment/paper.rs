//! `experiment paper`: the four models of Katsamenis et al. 2020 (DOI 10.1101/2020.12.14.20248158), one after the
//! other, beside the paper's figures.

use std::path::PathBuf;

use anyhow::Context as _;
use chestlight::show::NOTICE;
use chestlight_trainer::experiment::{Begin, Experiment};
use chestlight_trainer::measure::Interval;
use chestlight_trainer::result::JobResult;

use super::run::job;
use crate::cmd::train::{self, Beginning, Place};
use crate::cmd::{Variant, write};

/// Trains and measures the paper's Model_0, Model_1, Model_2 and Model_3; goes on where it was broken off
#[derive(clap::Args)]
pub struct Args {
    /// The index of the films
    #[arg(long, value_name = "CSV")]
    index: PathBuf,
    /// The folder that gets a folder for each model, and the table
    #[arg(long, value_name = "FOLDER")]
    runs: PathBuf,
    /// ResNet-50's ImageNet weights with torchvision's names, .pth or .safetensors; Model_3 is left out without them
    #[arg(long, value_name = "FILE")]
    resnet50: Option<PathBuf>,
    /// Instead of the built-in experiments: a folder with paper-model0.toml to paper-model3.toml
    #[arg(long, value_name = "FOLDER")]
    experiments: Option<PathBuf>,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    device: Place,
}

/// Name, experiment, and what the paper tells of it.
const MODELS: [(&str, &str, &str); 4] = [
    ("paper-model0", include_str!("../../../experiments/paper-model0.toml"), "not told"),
    ("paper-model1", include_str!("../../../experiments/paper-model1.toml"), "92.32%"),
    ("paper-model2", include_str!("../../../experiments/paper-model2.toml"), "95.65%"),
    ("paper-model3", include_str!("../../../experiments/paper-model3.toml"), "97.66%"),
];

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.runs).with_context(|| format!("cannot make {}", args.runs.display()))?;
    let mut lines = Vec::new();
    for (name, built_in, told) in MODELS {
        let path = match &args.experiments {
            Some(folder) => folder.join(name).with_extension("toml"),
            None => {
                let path = args.runs.join(name).with_extension("toml");
                write(&path, built_in.as_bytes())?;
                path
            }
        };
        let line = match beginning(args, &Experiment::read(&path)?) {
            Some(begin) => {
                log::info!("{name}");
                let run = args.runs.join(name);
                let result = job(&train::Args {
                    experiment: path,
                    index: args.index.clone(),
                    run,
                    begin,
                    variant: Variant::default(),
                    resume: true,
                    device: args.device,
                })?;
                line(name, &result, told)
            }
            None => {
                format!("| {name} | missing: it begins with ImageNet weights; give --resnet50 | | | | | | {told} |\n")
            }
        };
        lines.push(line);
    }
    let table = table(&lines);
    write(&args.runs.join("paper.md"), table.as_bytes())?;
    print!("{table}");
    Ok(())
}

/// What a model begins with; `None` where the user has not given it.
fn beginning(args: &Args, experiment: &Experiment) -> Option<Beginning> {
    Some(match experiment.begin {
        Begin::Random => Beginning::default(),
        Begin::Weights => Beginning { weights: Some(args.resnet50.clone()?), ..Beginning::default() },
        Begin::Run => Beginning { from: vec![args.runs.join("paper-model0")], ..Beginning::default() },
    })
}

fn line(name: &str, result: &JobResult, told: &str) -> String {
    let percent = |Interval { value, low, high }: Interval| {
        format!("{:.2} ({:.1} to {:.1})", value * 100.0, low * 100.0, high * 100.0)
    };
    let scores = &result.scores;
    format!(
        "| {name} | {} | {} | {} | {} | {:.1} | {} | {told} |\n",
        percent(scores.accuracy),
        percent(scores.precision),
        percent(scores.recall),
        percent(scores.f1),
        result.milliseconds,
        result.epochs
    )
}

fn table(lines: &[String]) -> String {
    format!(
        "# The paper's models\n\n{NOTICE}\n\n\
         Percent on the test part with 95% intervals (bootstrap over patients); precision, recall and F1 are means over \
         the classes. **Internal and confounded**: children of one hospital against adults of others. Measured on the \
         int8 file through chestlight; milliseconds are the median of a whole reading on this machine's processor. The \
         paper has its own split, and 26.9 to 42.7 ms an image on a K80 GPU.\n\n\
         | model | accuracy | precision | recall | F1 | ms a film | epochs | the paper's accuracy |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n{}",
        lines.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_experiments_are_valid_and_keep_its_rule() {
        for (name, text, _) in MODELS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let experiment = Experiment::read(&path).unwrap();
            for stage in &experiment.stages {
                let rule = (stage.batch, stage.reduce_after, stage.reduce_by, stage.stop_after, stage.epochs);
                assert_eq!(rule, (20, 5, 0.1, 10, 500), "{name}");
            }
        }
    }
}
