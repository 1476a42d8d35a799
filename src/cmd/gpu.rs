//! Whether the GPU can be used, tried in a process of its own: where a driver or a library of CUDA is not as it must be,
//! the process that loads it may die.

use std::env;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use chestlight::config::{Config, ConfigError, Gpu};
use chestlight::model::{EngineKind, EngineOptions, shipped};
use chestlight::self_test;
use rustix::process::{Pid, Signal, kill_process};

use super::{Failure, Outcome};

/// A trial that takes longer has failed. The first one on a board compiles kernels, which takes minutes.
const LONGEST: Duration = Duration::from_secs(300);

/// Try the GPU with the shipped model
///
/// `chestlight run` starts this in a process of its own where the configuration has `gpu = true`.
#[derive(clap::Args)]
pub struct Arguments {}

/// Lets the GPU read the golden phantoms.
pub fn run(_: &Arguments) -> Result<Outcome, Failure> {
    let options = EngineOptions { kind: EngineKind::Cuda, ..EngineOptions::default() };
    let model = shipped().load_with(&options).context("the shipped model does not load")?;
    self_test::run(&model).context("the shipped model")?;
    match model.engine.offload_wrong() {
        None => Ok(Outcome::Well),
        Some(wrong) => Err(anyhow!("the GPU cannot be used: {wrong}").into()),
    }
}

/// The configuration, with a GPU that it asks for tried.
pub fn read_config(path: &Path) -> Result<Config, ConfigError> {
    let mut config = Config::read(path)?;
    if config.gpu == Gpu::Yes
        && let Err(wrong) = tried()
    {
        log::warn!("the CPU reads, because the GPU cannot be used: {wrong}");
        config.gpu = Gpu::Failed(wrong);
    }
    Ok(config)
}

fn tried() -> Result<(), String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let child = Command::new(program)
        .arg("try-gpu")
        .env("RUST_LOG", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("the trial does not start: {error}"))?;
    let ended = wait(child).map_err(|error| error.to_string())?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let said = said.lines().last().unwrap_or_default().trim_start_matches("chestlight: ");
    Err(if said.is_empty() { format!("the trial ended with {}", ended.status) } else { said.to_owned() })
}

fn wait(child: Child) -> io::Result<std::process::Output> {
    let pid = Pid::from_child(&child);
    let (sender, ended) = sync_channel(1);
    thread::Builder::new().name("gpu-trial".into()).spawn(move || sender.send(child.wait_with_output()))?;
    ended.recv_timeout(LONGEST).unwrap_or_else(|error| {
        if error == RecvTimeoutError::Timeout {
            // It is still ours: nobody has waited for it yet.
            let _ = kill_process(pid, Signal::KILL);
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the trial did not end"))
    })
}
