//! `chestlight-trainer`: the companion of chestlight that makes its models, on a host with or without a GPU.

mod cmd;

use std::process::ExitCode;

use clap::Parser;

/// Trains, exports, quantizes and measures the models that chestlight reads with. Research use, not a diagnosis.
#[derive(Parser)]
#[command(version, after_help = "Exit codes: 0 done, 1 failed, 2 wrong command line")]
enum Command {
    Prepare(cmd::prepare::Args),
    FetchWeights(cmd::fetch_weights::Args),
    Train(cmd::train::Args),
    Quantize(cmd::quantize::Args),
    Ship(cmd::ship::Args),
    Keygen(cmd::bundle::KeygenArgs),
    Bundle(cmd::bundle::BundleArgs),
    Sign(cmd::bundle::SignArgs),
    Evaluate(cmd::evaluate::Args),
    #[command(subcommand)]
    Experiment(cmd::experiment::Experiments),
    Logits(cmd::logits::Args),
    Phantoms(cmd::phantoms::Args),
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).format_target(false).init();
    let done = match Command::parse() {
        Command::Prepare(args) => cmd::prepare::run(&args),
        Command::FetchWeights(args) => cmd::fetch_weights::run(&args),
        Command::Train(args) => cmd::train::run(&args),
        Command::Quantize(args) => cmd::quantize::run(&args),
        Command::Ship(args) => cmd::ship::run(&args),
        Command::Keygen(args) => cmd::bundle::keygen(&args),
        Command::Bundle(args) => cmd::bundle::bundle(&args),
        Command::Sign(args) => cmd::bundle::sign(&args),
        Command::Evaluate(args) => cmd::evaluate::run(&args),
        Command::Experiment(command) => cmd::experiment::run(&command),
        Command::Logits(args) => cmd::logits::run(&args),
        Command::Phantoms(args) => cmd::phantoms::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes; a cause that the error has told already is not told again.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        before if before.contains(&cause) => told,
        _ => format!("{told}: {cause}"),
    })
}
