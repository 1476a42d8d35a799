//! Logits, loss gradients and running statistics of one training step, for `scripts/torchcheck.py`; with `--steps`,
//! the time that steps take, for `benches/step.py`. A development program, not part of what is installed.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use burn::module::{Module as _, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;
use burn::tensor::TensorData;
use burn_store::{ModuleSnapshot as _, SafetensorsStore};
use chestlight_trainer::adam::adam;
use chestlight_trainer::experiment::Loss;
use chestlight_trainer::finding::Finding;
use chestlight_trainer::loss;
use chestlight_trainer::net::{Architecture, Net, Norm};
use chestlight_trainer::weights;
use clap::Parser;

/// One training step with mean cross entropy; film `i` is of class `i % 3`
#[derive(Parser)]
struct Args {
    /// As experiments write it
    #[arg(long, value_parser = architecture)]
    architecture: Architecture,
    /// The norms take the statistics of the batch
    #[arg(long)]
    batch_norm: bool,
    /// Weights with published names, the linear layer of three classes among them; random ones otherwise
    #[arg(long)]
    weights: Option<PathBuf>,
    /// The batch: little-endian f32, films x 3 x side x side; waves otherwise
    #[arg(long)]
    input: Option<PathBuf>,
    #[arg(long, default_value_t = 20)]
    films: usize,
    #[arg(long, default_value_t = 224)]
    side: usize,
    /// The first trained block; what comes before it is computed once
    #[arg(long, default_value_t = 0)]
    from_block: usize,
    /// Folder for logits.f32 and, as safetensors under this program's names, gradients and norms after the step
    #[arg(long)]
    out: Option<PathBuf>,
    /// Steps with Adam that are timed after one that is not
    #[arg(long, default_value_t = 0)]
    steps: usize,
}

fn architecture(name: &str) -> Result<Architecture, String> {
    let found = Architecture::ALL.into_iter().find(|it| it.name() == name);
    found.ok_or_else(|| format!("one of {}", Architecture::ALL.map(Architecture::name).join(", ")))
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let plain = Device::flex();
    let norm = if args.batch_norm { Norm::Batch } else { Norm::Frozen };
    let mut net = Net::random(args.architecture, norm, 3, 1, &plain);
    if let Some(path) = &args.weights {
        net = weights::load(net, args.architecture, path, true)?.net;
    }
    let count = args.films * 3 * args.side * args.side;
    let values: Vec<f32> = match &args.input {
        Some(path) => floats(&std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?),
        None => (0..count).map(|i| (i as f32 * 0.37).sin()).collect(),
    };
    let input = Tensor::<4>::from_data(TensorData::new(values, [args.films, 3, args.side, args.side]), &plain);
    let rows = net.activations(input, 0, args.from_block);
    let rows = Tensor::<4>::from_data(rows.into_data(), &plain.clone().autodiff());
    let findings: Vec<Finding> = Finding::DEVICE.into_iter().cycle().take(args.films).collect();
    let targets = loss::targets(&findings, &Finding::DEVICE, false);
    let targets: Vec<&loss::Target> = targets.iter().collect();
    let mut net = net.valid().to_device(&plain.autodiff()).train();

    if let Some(out) = &args.out {
        let logits = net.logits(rows.clone(), args.from_block);
        let loss = loss::each(logits.clone(), &targets, &Loss::default()).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &net);
        let bytes: Vec<u8> =
            logits.into_data().try_to_vec::<f32>()?.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(out.join("logits.f32"), bytes)?;
        save(&net.valid(), out.join("after.safetensors"))?;
        save(&net.valid().map(&mut Instead(gradients)), out.join("gradients.safetensors"))?;
    }

    let mut optimiser = adam();
    let mut times = Vec::new();
    let mut before = 0.0;
    for step in 0..args.steps + usize::from(args.steps > 0) {
        if step == 1 {
            before = processor_seconds();
        }
        let start = Instant::now();
        let loss = loss::each(net.logits(rows.clone(), args.from_block), &targets, &Loss::default()).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &net);
        net = optimiser.step(1e-3, net, gradients);
        times.push(start.elapsed().as_secs_f64());
    }
    if args.steps > 0 {
        let processor = processor_seconds() - before;
        let seconds = times.get(1..);
        println!("{}", serde_json::json!({ "seconds": seconds, "processor": processor, "peak_mib": peak_mib() }));
    }
    Ok(())
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn save(net: &Net, path: PathBuf) -> anyhow::Result<()> {
    net.save_into(&mut SafetensorsStore::from_file(&path).overwrite(true).skip_enum_variants(true))
        .map_err(|error| anyhow::anyhow!("cannot write {}: {error}", path.display()))
}

/// Every parameter gives way to its gradient; running statistics, which have none, to zeros.
struct Instead(GradientsParams);

impl ModuleMapper for Instead {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let gradient = self.0.get::<D>(param.id).map(Tensor::without_autodiff);
        param.map(|value| gradient.unwrap_or_else(|| value.zeros_like()))
    }
}

/// What the system counted for all threads, user and system; it counts hundredths.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name, in brackets, may hold spaces; the times are the 12th and 13th field after it.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// What the system counted at most, MiB.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}
