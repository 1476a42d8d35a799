//! Times an ONNX network in integers and as tract runs it, and compares what they say.
//!
//! `cargo run --release -p chestlight-qnn --example compare -- FILE.onnx [ROUNDS [THREADS [KERNEL]]]`

use std::time::{Duration, Instant};

use chestlight_qnn::{Int8, Kernel, Team};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::DimLike;

/// How long a round lasts: the system counts processor time in steps of some milliseconds.
const ROUND: Duration = Duration::from_millis(200);

fn main() -> TractResult<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, rest @ ..] = arguments.as_slice() else {
        return Err(TractError::msg("which FILE.onnx?"));
    };
    let number = |at: usize, default| rest.get(at).map_or(Ok(default), |text| text.parse::<usize>());
    let (rounds, threads) = (number(0, 10)?, number(1, 1)?);
    let team = Team::new(threads)?;
    let mut int8 = Int8::default().with_team(team.clone());
    let mut kernel = Kernel::best();
    if let Some(name) = rest.get(2) {
        kernel = Kernel::named(name).ok_or_else(|| TractError::msg("this processor has no such kernel"))?;
        int8 = int8.with_kernel(kernel);
    }
    let bytes = std::fs::read(file)?;
    let start = cpu();
    let mut model = chestlight_qnn::onnx().model_for_read(&mut bytes.as_slice())?;
    let shape =
        model.input_fact(0)?.shape.concretize().unwrap_or_else(|| tvec![1.into(), 3.into(), 224.into(), 224.into()]);
    let shape = shape.iter().map(|side| side.to_usize()).collect::<Result<Vec<_>, _>>()?;
    model.set_input_fact(0, f32::fact(&shape).into())?;
    let read = cpu() - start;
    let typed = model.into_typed()?;
    let analysed = cpu() - start;
    let (integers, report) = int8.apply(&typed)?;
    let rewritten = cpu() - start;
    let integers = integers.into_optimized()?.into_runnable()?;
    println!("load: read {read:?}, analysed {analysed:?}, rewritten {rewritten:?}, ready {:?}", cpu() - start);
    println!("{report}");
    let start = cpu();
    let mut model = tract_onnx::onnx().model_for_read(&mut bytes.as_slice())?;
    model.set_input_fact(0, f32::fact(&shape).into())?;
    let floats = model.into_optimized()?.into_runnable()?;
    println!("tract's own load: {:?}", cpu() - start);

    let volume: usize = shape.iter().product();
    let input: Vec<f32> =
        (0..volume).map(|at| ((at / 7 % 224) as f32 * 0.05).sin() + ((at % 97) as f32 * 0.02)).collect();
    let input: TValue = Tensor::from_shape(&shape, &input)?.into();
    let mut times = [Vec::new(), Vec::new()];
    let mut walls = [Vec::new(), Vec::new()];
    let mut last = [None, None];
    for _ in 0..rounds {
        let plans = [&integers, &floats].into_iter().zip(&mut times).zip(&mut walls).zip(&mut last);
        for (((plan, times), walls), last) in plans {
            let (start, began) = (cpu(), Instant::now());
            let mut runs = 0;
            while began.elapsed() < ROUND {
                *last = Some(team.run(|| plan.run(tvec!(input.clone())))?);
                runs += 1;
            }
            walls.push(began.elapsed() / runs);
            times.push((cpu() - start) / runs);
        }
    }
    let [ours, theirs] = times.map(median);
    let [our_wall, their_wall] = walls.map(median);
    println!(
        "{kernel} {threads} threads: {ours:?} (wall {our_wall:?}), tract {theirs:?} (wall {their_wall:?}), ratio {:.3}",
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
    for outputs in last.into_iter().flatten() {
        println!("{:?}", outputs.first().map(|output| output.dump(true)));
    }
    Ok(())
}

/// Processor time that all threads have used: other work on the machine then counts for little.
fn cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let used = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    used.filter_map(|text| text.split_whitespace().next()?.parse().ok()).map(Duration::from_nanos).sum()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
