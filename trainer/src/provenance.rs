//! From what, with what and where a run was made.

use std::fs::{self, File};
use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, thread};

use chestlight::digest::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What stands beside a run's experiment in `run.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// SHA-256 of the index of films.
    pub index: String,
    /// Where the first weights came from, with the digest of a file.
    pub begin: String,
    /// Version of this program.
    pub version: String,
    /// SHA-256 of this program's executable: the same code gives the same one.
    pub program: String,
    /// Model of the processor, as the system tells it.
    pub processor: String,
    /// Number of threads that compute.
    pub threads: usize,
    /// `cpu`, `cuda` or `auto`.
    pub device: String,
    /// Operating system and architecture.
    pub system: String,
    /// When the run was begun or last resumed, seconds since 1970.
    pub time: u64,
}

impl Provenance {
    /// Of a run that begins now. What cannot be found out is told as `unknown`.
    pub fn now(index: &str, begin: &str, device: &str) -> Self {
        Self {
            index: index.into(),
            begin: begin.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            program: program().unwrap_or_else(|| "unknown".into()),
            processor: processor().unwrap_or_else(|| "unknown".into()),
            threads: thread::available_parallelism().map_or(1, usize::from),
            device: device.into(),
            system: format!("{} {}", env::consts::OS, env::consts::ARCH),
            time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        }
    }

    /// As it is written.
    pub fn to_json(&self) -> String {
        // A struct of strings and numbers always becomes JSON.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

fn program() -> Option<String> {
    let mut file = File::open(env::current_exe().ok()?).ok()?;
    let mut digest = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece).ok()? {
            0 => return Some(hex(&digest.finalize())),
            read => digest.update(piece.get(..read)?),
        }
    }
}

fn processor() -> Option<String> {
    let told = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = told.lines().find(|line| line.starts_with("model name") || line.starts_with("Model"))?;
    Some(line.split(':').nth(1)?.trim().to_owned())
}
