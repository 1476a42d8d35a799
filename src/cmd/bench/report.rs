//! What `bench` prints: a table for people, JSON for comparing machines (docs/bench-json.md).

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::num::NonZeroUsize;

use chestlight::show::NOTICE;
use serde::Serialize;

use super::machine::Machine;

/// Layout of the JSON.
pub const SCHEMA: u32 = 1;

/// Layers that the table shows; the JSON has all of them.
const SHOWN: usize = 12;

/// Everything that was measured.
#[derive(Serialize)]
pub struct Report<'a> {
    pub schema: u32,
    pub chestlight: &'static str,
    pub machine: Machine,
    pub model: ModelPart<'a>,
    pub films: Vec<FilmPart<'a>>,
    pub readings: usize,
    pub stages: Vec<Stage>,
    pub layers: Vec<Layer>,
    pub peak_memory_mib: Option<f64>,
}

#[derive(Serialize)]
pub struct ModelPart<'a> {
    pub name: &'a str,
    pub digest: &'a str,
    pub engine: &'static str,
    pub threads: NonZeroUsize,
    pub load_ms: f64,
}

#[derive(Serialize)]
pub struct FilmPart<'a> {
    pub name: &'a str,
    pub bytes: usize,
}

#[derive(Serialize)]
pub struct Stage {
    pub stage: &'static str,
    pub ms: Spread,
}

#[derive(Serialize)]
pub struct Layer {
    pub layer: String,
    pub operator: String,
    pub ms: Spread,
}

/// Percentiles of many times, milliseconds, each one of the times (nearest rank).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub min: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

impl Spread {
    /// All 0 of no times.
    pub fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let rank = |percent: usize| {
            let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
            let time = times.get(place).copied().unwrap_or_default();
            (time * 1e4).round() / 1e4
        };
        Self { min: rank(0), p50: rank(50), p90: rank(90), p99: rank(99), max: rank(100) }
    }
}

impl Report<'_> {
    pub fn print(&self, json: bool) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        if json { writeln!(out, "{}", serde_json::to_string_pretty(self)?) } else { self.print_tables(&mut out) }
    }

    fn print_tables(&self, out: &mut impl Write) -> io::Result<()> {
        let Machine { processor, architecture, cores, vector_units, memory_mib, kernel } = &self.machine;
        writeln!(out, "chestlight {}: {NOTICE}", self.chestlight)?;
        writeln!(out, "{processor}, {architecture}, {cores} cores, {memory_mib} MiB, {kernel}")?;
        writeln!(out, "vector units: {}", vector_units.join(" "))?;
        let ModelPart { name, engine, threads, load_ms, .. } = &self.model;
        writeln!(out, "model {name}, loaded in {load_ms:.0} ms, run by {engine}, threads: {threads}")?;
        let names: Vec<&str> = self.films.iter().map(|film| film.name).collect();
        writeln!(out, "{} readings of {}", self.readings, names.join(", "))?;
        writeln!(out, "\n{:12} {:>9} {:>9} {:>9} {:>9} {:>9}", "STAGE, MS", "MIN", "P50", "P90", "P99", "MAX")?;
        for Stage { stage, ms } in &self.stages {
            writeln!(
                out,
                "{stage:12} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>9.3}",
                ms.min, ms.p50, ms.p90, ms.p99, ms.max
            )?;
        }
        let total: f64 = self.layers.iter().map(|layer| layer.ms.p50).sum();
        let share = |ms: f64| if total > 0.0 { 100.0 * ms / total } else { 0.0 };
        writeln!(out, "\n{:40} {:>6} {:>9} {:>7}", "OPERATOR", "LAYERS", "P50, MS", "SHARE")?;
        for (operator, (layers, ms)) in self.operators() {
            writeln!(out, "{operator:40} {layers:>6} {ms:>9.3} {:>6.1}%", share(ms))?;
        }
        writeln!(out, "\n{:40} {:>16} {:>7}", format!("SLOWEST OF {} LAYERS", self.layers.len()), "P50, MS", "SHARE")?;
        let mut slowest: Vec<&Layer> = self.layers.iter().collect();
        slowest.sort_by(|a, b| b.ms.p50.total_cmp(&a.ms.p50));
        for layer in slowest.into_iter().take(SHOWN) {
            writeln!(out, "{:40} {:>16.3} {:>6.1}%", layer.layer, layer.ms.p50, share(layer.ms.p50))?;
        }
        match self.peak_memory_mib {
            Some(peak) => writeln!(out, "\npeak memory {peak:.1} MiB"),
            None => Ok(()),
        }
    }

    /// Layers and time by operator, the slowest first.
    fn operators(&self) -> Vec<(&str, (usize, f64))> {
        let mut operators: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
        for layer in &self.layers {
            let (layers, ms) = operators.entry(&layer.operator).or_default();
            *layers += 1;
            *ms += layer.ms.p50;
        }
        let mut operators: Vec<_> = operators.into_iter().collect();
        operators.sort_by(|(_, (_, a)), (_, (_, b))| b.total_cmp(a));
        operators
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        for (times, [min, p50, p90, p99, max]) in [
            (vec![], [0.0; 5]),
            (vec![3.0], [3.0; 5]),
            (vec![4.0, 1.0, 3.0, 2.0], [1.0, 2.0, 4.0, 4.0, 4.0]),
            ((1..=1000).map(f64::from).collect(), [1.0, 500.0, 900.0, 990.0, 1000.0]),
        ] {
            assert_eq!(Spread::of(times.clone()), Spread { min, p50, p90, p99, max }, "{} times", times.len());
        }
    }
}
