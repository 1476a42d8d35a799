//! Single layers in integers, beside tract on the same quantized graph and on the same layer in f32, in one run.
//!
//! `cargo bench -p chestlight-qnn`. Whole networks: `examples/compare.rs`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot begin should say where")]
#![allow(missing_docs, reason = "criterion's macros make public functions")]

#[path = "../tests/onnx/mod.rs"]
mod onnx;

use chestlight_qnn::Int8;
use criterion::{Criterion, criterion_group, criterion_main};
use onnx::{Network, int, ints};
use tract_onnx::prelude::*;

/// Name, side, channels in and out, side of the window, stride, groups.
type Shape = (&'static str, usize, usize, usize, usize, i64, usize);

/// What the networks that we care for consist of.
const SHAPES: [Shape; 7] = [
    ("first 3x3, 224", 224, 3, 32, 3, 2, 1),
    ("expand 1x1, 56", 56, 24, 144, 1, 1, 1),
    ("project 1x1, 14", 14, 480, 112, 1, 1, 1),
    ("dense 3x3, 28", 28, 128, 128, 3, 1, 1),
    ("dense 3x3, 7", 7, 512, 512, 3, 1, 1),
    ("depthwise 3x3, 56", 56, 144, 144, 3, 1, 144),
    ("depthwise 5x5, 14", 14, 672, 672, 5, 1, 672),
];

fn network(shape: &Shape, quantized: bool) -> Vec<u8> {
    let &(_, side, inputs, outputs, kernel, stride, groups) = shape;
    let mut network = Network::new(&[1, inputs, side, side]);
    let dims = [outputs, inputs / groups, kernel, kernel];
    let attributes = || {
        let before = kernel as i64 / 2;
        vec![ints("strides", &[stride; 2]), ints("pads", &[before; 4]), int("group", groups as i64)]
    };
    let bias = network.bias(outputs);
    let y = if quantized {
        let x = network.through("input", 0.02, 100);
        let weights = network.weights(&dims, 0, 7);
        let y = network.op("Conv", &[&x, &weights, &bias], attributes());
        let y = network.op("Relu", &[&y], vec![]);
        network.through(&y, 0.05, 0)
    } else {
        let count = dims.iter().product();
        let weights: Vec<f32> = (0..count).map(|_| network.random() - 0.5).collect();
        let weights = network.floats(&dims, &weights);
        let y = network.op("Conv", &["input", &weights, &bias], attributes());
        network.op("Relu", &[&y], vec![])
    };
    network.encode(&[&y])
}

fn layers(criterion: &mut Criterion) {
    for shape in &SHAPES {
        let &(name, side, inputs, ..) = shape;
        let fact = [1, inputs, side, side];
        let values: Vec<f32> = (0..inputs * side * side).map(|at| (at * 37 % 101) as f32 / 25.0 - 1.6).collect();
        let input: TValue = Tensor::from_shape(&fact, &values).unwrap().into();
        let typed = |reader: tract_onnx::Onnx, quantized: bool| {
            let onnx = network(shape, quantized);
            let model = reader.model_for_read(&mut onnx.as_slice()).unwrap();
            model.with_input_fact(0, f32::fact(fact).into()).unwrap().into_typed().unwrap()
        };
        let runnable = |model: TypedModel| model.into_optimized().unwrap().into_runnable().unwrap();
        let (integers, report) = Int8::default().apply(&typed(chestlight_qnn::onnx(), true)).unwrap();
        assert!(report.is_complete(), "{report}");
        let mut group = criterion.benchmark_group(name);
        for (engine, plan) in [
            ("qnn", runnable(integers)),
            ("tract int8", runnable(typed(tract_onnx::onnx(), true))),
            ("tract f32", runnable(typed(tract_onnx::onnx(), false))),
        ] {
            group.bench_function(engine, |bencher| bencher.iter(|| plan.run(tvec!(input.clone())).unwrap()));
        }
    }
}

criterion_group!(benches, layers);
criterion_main!(benches);
