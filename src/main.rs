//! The `chestlight` command.

mod cmd;

use std::io;
use std::process::ExitCode;

use chestlight::journald::{Journald, JournaldLog};
use clap::{Parser, Subcommand};

use cmd::Failure;

/// Offline reader of chest radiographs. Research use, not a diagnosis.
#[derive(Parser)]
#[command(version, propagate_version = true, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 all read, 1 some refused, 2 usage or configuration, 3 internal fault";

#[derive(Subcommand)]
enum Command {
    Classify(cmd::classify::Arguments),
    Run(cmd::run::Arguments),
    Log(cmd::log::Arguments),
    Export(cmd::export::Arguments),
    Model(cmd::model::Arguments),
    Override(cmd::override_reading::Arguments),
    Camera(cmd::camera::Arguments),
    Capture(cmd::capture::Arguments),
    Check(cmd::check::Arguments),
    Acknowledge(cmd::acknowledge::Arguments),
    Clock(cmd::clock::Arguments),
    Lamps(cmd::lamps::Arguments),
    Status(cmd::status::Arguments),
    SupportBundle(cmd::support_bundle::Arguments),
    Demo(cmd::demo::Arguments),
    Bench(cmd::bench::Arguments),
    #[command(hide = true)]
    TryGpu(cmd::gpu::Arguments),
    Screens(cmd::screens::Arguments),
    Fault(cmd::fault::Arguments),
}

/// Log lines go to the standard error, or with fields to journald, where that is what stands behind it.
fn start_log() {
    let lines = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).build();
    log::set_max_level(lines.filter());
    let log: Box<dyn log::Log> = match Journald::behind(io::stderr()) {
        Some(journald) => Box::new(JournaldLog::new(journald, lines)),
        None => Box::new(lines),
    };
    // It fails where there is a logger already, and this is the first.
    let _ = log::set_boxed_logger(log);
}

fn main() -> ExitCode {
    start_log();
    let outcome = match Arguments::parse().command {
        Command::Classify(arguments) => cmd::classify::run(&arguments),
        Command::Run(arguments) => cmd::run::run(&arguments),
        Command::Log(arguments) => cmd::log::run(&arguments),
        Command::Export(arguments) => cmd::export::run(&arguments),
        Command::Model(arguments) => cmd::model::run(&arguments),
        Command::Override(arguments) => cmd::override_reading::run(&arguments),
        Command::Camera(arguments) => cmd::camera::run(&arguments),
        Command::Capture(arguments) => cmd::capture::run(&arguments),
        Command::Check(arguments) => cmd::check::run(&arguments),
        Command::Acknowledge(arguments) => cmd::acknowledge::run(&arguments),
        Command::Clock(arguments) => cmd::clock::run(&arguments),
        Command::Lamps(arguments) => cmd::lamps::run(&arguments),
        Command::Status(arguments) => cmd::status::run(&arguments),
        Command::SupportBundle(arguments) => cmd::support_bundle::run(&arguments),
        Command::Demo(arguments) => cmd::demo::run(&arguments),
        Command::Bench(arguments) => cmd::bench::run(&arguments),
        Command::TryGpu(arguments) => cmd::gpu::run(&arguments),
        Command::Screens(arguments) => cmd::screens::run(&arguments),
        Command::Fault(arguments) => cmd::fault::run(&arguments),
    };
    outcome
        .unwrap_or_else(|Failure { outcome, error }| {
            anstream::eprintln!("chestlight: {}", cmd::told(&error));
            outcome
        })
        .into()
}
