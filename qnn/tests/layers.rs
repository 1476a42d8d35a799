//! Every kind of layer against tract's own evaluation of the same quantized graph, and what stays in floats.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it expects by unwrapping")]

mod onnx;

use chestlight_qnn::{Int8, Kernel, Report, Team, in_floats};
use onnx::{Network, int, ints};
use tract_onnx::prelude::*;

const OUTPUT_SCALE: f32 = 0.05;

fn input(shape: &[usize]) -> TValue {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|at| ((at * 37 % 101) as f32 / 101.0 - 0.4) * 4.0).collect();
    Tensor::from_shape(shape, &values).unwrap().into()
}

/// All outputs in integers by every kernel, the outputs of tract, and the report.
fn both(onnx: &[u8], shape: &[usize]) -> (Vec<Vec<Tensor>>, Vec<Tensor>, Report) {
    let fact = || f32::fact(shape).into();
    let run = |model: TypedModel| -> Vec<Tensor> {
        let plan = model.into_optimized().unwrap().into_runnable().unwrap();
        plan.run(tvec!(input(shape))).unwrap().into_iter().map(TValue::into_tensor).collect()
    };
    let read =
        |reader: tract_onnx::Onnx| reader.model_for_read(&mut &*onnx).unwrap().with_input_fact(0, fact()).unwrap();
    let typed = read(chestlight_qnn::onnx()).into_typed().unwrap();
    let mut reports = Vec::new();
    let ours = Kernel::available().into_iter().map(|kernel| {
        let int8 = Int8::default().with_kernel(kernel).with_team(Team::new(2).unwrap());
        let (integers, report) = int8.apply(&typed).unwrap();
        reports.push(report);
        run(integers)
    });
    let ours = ours.collect();
    (ours, run(read(tract_onnx::onnx()).into_typed().unwrap()), reports.remove(0))
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_plain_array_view::<f32>().unwrap().iter().copied().collect()
}

/// Everything in integers, and every output within a step of tract's; all kernels alike.
fn agrees(name: &str, onnx: &[u8], (shape, step): (&[usize], f32), layers: &[&str]) {
    let (ours, theirs, report) = both(onnx, shape);
    assert!(report.is_complete(), "{name}: {report}");
    assert_eq!(report.layers.iter().map(|taken| taken.layer).collect::<Vec<_>>(), layers, "{name}");
    for all in &ours {
        assert_eq!(all, &ours[0], "{name}: two kernels differ");
        for (ours, theirs) in all.iter().zip(&theirs) {
            assert_eq!(ours.shape(), theirs.shape(), "{name}");
            let (ours, theirs) = (values(ours), values(theirs));
            let apart = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart <= step * 1.01, "{name}: {apart} apart");
            let spread =
                theirs.iter().fold(f32::MIN, |a, b| a.max(*b)) - theirs.iter().fold(f32::MAX, |a, b| a.min(*b));
            assert!(spread > 4.0 * step, "{name}: nothing to see in {spread}");
        }
    }
}

#[test]
fn convolutions_of_every_shape_agree_with_tract() {
    // Channels in and out, kernel, stride, pads, dilation, groups, bits, activation.
    type Case = (usize, usize, [i64; 2], i64, [i64; 4], i64, usize, u32, &'static str);
    let cases: [Case; 10] = [
        (3, 16, [3, 3], 2, [0, 0, 1, 1], 1, 1, 8, "Clip"),
        (3, 8, [7, 7], 2, [3, 3, 3, 3], 1, 1, 7, "Relu"),
        (8, 24, [1, 1], 1, [0; 4], 1, 1, 8, ""),
        (24, 40, [1, 1], 2, [0; 4], 1, 1, 7, "Relu"),
        (16, 33, [3, 3], 1, [1; 4], 1, 1, 8, "Relu"),
        (5, 7, [3, 2], 1, [1, 0, 2, 1], 2, 1, 8, "Clip"),
        (24, 24, [3, 3], 1, [1; 4], 1, 24, 8, "Clip"),
        (72, 72, [5, 5], 2, [1, 1, 2, 2], 1, 72, 7, "Relu"),
        (9, 9, [5, 5], 1, [2; 4], 1, 9, 8, ""),
        (1, 1, [3, 3], 1, [1; 4], 1, 1, 8, ""),
    ];
    for (inputs, outputs, kernel, stride, pads, dilation, groups, bits, activation) in cases {
        let name = format!("{inputs} to {outputs} in {groups} groups, {kernel:?} {activation}");
        let shape = [2, inputs, 11, 9];
        let mut network = Network::new(&shape);
        let x = network.through("input", 0.02, 100);
        let dims = [outputs, inputs / groups, kernel[0] as usize, kernel[1] as usize];
        let weights = network.weights(&dims, 0, bits);
        let bias = network.bias(outputs);
        let attributes = vec![
            ints("kernel_shape", &kernel),
            ints("strides", &[stride; 2]),
            ints("pads", &pads),
            ints("dilations", &[dilation; 2]),
            int("group", groups as i64),
        ];
        let mut y = network.op("Conv", &[&x, &weights, &bias], attributes);
        y = match activation {
            "Relu" => network.op("Relu", &[&y], vec![]),
            "Clip" => {
                let (low, high) = (network.floats(&[], &[0.0]), network.floats(&[], &[3.0]));
                network.op("Clip", &[&y, &low, &high], vec![])
            }
            _ => y,
        };
        let y = network.through(&y, OUTPUT_SCALE, if activation.is_empty() { 120 } else { 0 });
        agrees(&name, &network.encode(&[&y]), (&shape, OUTPUT_SCALE), &["Int8Conv"]);
    }
}

#[test]
fn matrix_products_agree_with_tract() {
    for (transposed, axis) in [(1, 0), (0, 1)] {
        let shape = [3, 20];
        let mut network = Network::new(&shape);
        let x = network.through("input", 0.02, 100);
        let dims = if axis == 0 { [7, 20] } else { [20, 7] };
        let weights = network.weights(&dims, axis, 8);
        let bias = network.bias(7);
        let y = network.op("Gemm", &[&x, &weights, &bias], vec![int("transB", transposed)]);
        let y = network.through(&y, OUTPUT_SCALE, 128);
        agrees(
            &format!("Gemm with transB = {transposed}"),
            &network.encode(&[&y]),
            (&shape, OUTPUT_SCALE),
            &["Int8Conv"],
        );
    }
    let shape = [3, 20];
    let mut network = Network::new(&shape);
    let x = network.through("input", 0.02, 100);
    let weights = network.weights(&[20, 7], 1, 8);
    let y = network.op("MatMul", &[&x, &weights], vec![]);
    let y = network.through(&y, OUTPUT_SCALE, 128);
    agrees("MatMul", &network.encode(&[&y]), (&shape, OUTPUT_SCALE), &["Int8Conv"]);
}

#[test]
fn sums_pools_means_and_joins_agree_with_tract() {
    let shape = [2, 12, 8, 6];
    let window = || vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), ints("pads", &[1; 4])];
    for (name, layers) in [
        ("Add", ["Int8Add"].as_slice()),
        ("Add and Relu", &["Int8Add"]),
        ("MaxPool", &["Int8MaxPool"]),
        ("GlobalAveragePool", &["Int8Mean"]),
        ("GlobalAveragePool and Flatten", &["Int8Mean"]),
        ("GlobalAveragePool, bytes, Flatten", &["Int8Mean", "Int8Concat"]),
        ("Concat", &["Int8Concat"]),
    ] {
        let mut network = Network::new(&shape);
        let x = network.through("input", 0.02, 100);
        let z = network.op("Abs", &["input"], vec![]);
        let z = network.through(&z, 0.03, 90);
        let y = match name {
            "Add" => network.op("Add", &[&x, &z], vec![]),
            "Add and Relu" => {
                let half = network.through("input", 0.04, 60);
                let y = network.op("Add", &[&x, &half], vec![]);
                network.op("Relu", &[&y], vec![])
            }
            "MaxPool" => network.op("MaxPool", &[&x], window()),
            "Concat" => network.op("Concat", &[&z, &x], vec![int("axis", 1)]),
            _ => network.op("GlobalAveragePool", &[&x], vec![]),
        };
        let y = match name {
            "GlobalAveragePool and Flatten" => network.op("Flatten", &[&y], vec![int("axis", 1)]),
            "GlobalAveragePool, bytes, Flatten" => {
                let y = network.through(&y, 0.01, 60);
                network.op("Flatten", &[&y], vec![int("axis", 1)])
            }
            _ => y,
        };
        let (scale, zero_point) = match name {
            "MaxPool" => (0.02, 100),
            "Add" => (OUTPUT_SCALE, 60),
            "Add and Relu" => (OUTPUT_SCALE, 0),
            name if name.starts_with("Global") => (0.01, 60),
            _ => (OUTPUT_SCALE, 120),
        };
        let y = network.through(&y, scale, zero_point);
        agrees(name, &network.encode(&[&y]), (&shape, scale), layers);
    }
}

#[test]
fn inner_values_may_have_readers_in_floats_beside_the_integer_ones() {
    let shape = [1, 3, 10, 10];
    let mut network = Network::new(&shape);
    let x = network.through("input", 0.02, 100);
    let weights = network.weights(&[16, 3, 3, 3], 0, 8);
    let y = network.op("Conv", &[&x, &weights], vec![ints("pads", &[1; 4])]);
    let inner = network.through(&y, OUTPUT_SCALE, 120);
    let weights = network.weights(&[8, 16, 1, 1], 0, 8);
    let y = network.op("Conv", &[&inner, &weights], vec![]);
    let last = network.through(&y, OUTPUT_SCALE, 120);
    let plain = network.floats(&[3, 16, 1, 1], &[0.01; 48]);
    let map = network.op("Conv", &[&inner, &plain], vec![]);
    let mean = network.op("GlobalAveragePool", &[&inner], vec![]);
    agrees("three outputs", &network.encode(&[&last, &map, &mean]), (&shape, OUTPUT_SCALE), &["Int8Conv", "Int8Conv"]);
}

#[test]
fn what_is_not_recognised_stays_as_it_is_and_is_named() {
    let shape = [1, 8, 6, 6];
    let conv = |network: &mut Network, x: &str, groups: usize| {
        let weights = network.weights(&[8, 8 / groups, 1, 1], 0, 8);
        network.op("Conv", &[x, &weights], vec![int("group", groups as i64)])
    };
    for (op, reason) in
        [("Sigmoid", "Sigmoid has no integer form"), ("groups", "a convolution in 2 groups of 8 channels")]
    {
        let mut network = Network::new(&shape);
        let x = network.through("input", 0.02, 100);
        let x = conv(&mut network, &x, 1);
        let x = network.through(&x, 0.05, 120);
        let y = if op == "groups" { conv(&mut network, &x, 2) } else { network.op(op, &[&x], vec![]) };
        let y = network.through(&y, 0.02, 60);
        let y = conv(&mut network, &y, 1);
        let y = network.through(&y, 0.02, 120);
        let (ours, theirs, report) = both(&network.encode(&[&y]), &shape);
        assert!(!report.is_complete());
        assert_eq!(report.layers.len(), 2, "{report}");
        assert_eq!(report.left.iter().map(|left| left.reason.as_str()).collect::<Vec<_>>(), [reason]);
        for (ours, theirs) in values(&ours[0][0]).into_iter().zip(values(&theirs[0])) {
            // A step in the middle is more than one at the end.
            assert!((ours - theirs).abs() <= 0.1, "{op}: {ours} instead of {theirs}");
        }
    }
}

#[test]
fn floats_are_what_the_bytes_mean_without_their_rounding() {
    let shape = [1, 3, 10, 10];
    let mut network = Network::new(&shape);
    let x = network.through("input", 0.02, 100);
    let weights = network.weights(&[16, 3, 3, 3], 0, 8);
    let y = network.op("Conv", &[&x, &weights], vec![ints("pads", &[1; 4])]);
    // Narrow steps: many sums are more than 255 of them can say.
    let y = network.through(&y, 0.002, 120);
    let onnx = network.encode(&[&y]);
    let typed = tract_onnx::onnx().model_for_read(&mut onnx.as_slice()).unwrap();
    let typed = typed.with_input_fact(0, f32::fact(shape).into()).unwrap().into_typed().unwrap();
    let count = |model: &TypedModel, what: &str| model.nodes().iter().filter(|it| it.op.name().contains(what)).count();
    assert_eq!(count(&typed, "QuantizeLinearU8"), 2);
    let run = |model: TypedModel| {
        let plan = model.into_optimized().unwrap().into_runnable().unwrap();
        values(&plan.run(tvec!(input(&shape))).unwrap()[0])
    };
    let floats = in_floats(typed.clone()).unwrap().into_decluttered().unwrap();
    assert_eq!(count(&floats, "QuantizeLinearU8") + count(&floats, "DequantizeLinear"), 0);
    let (bytes, floats) = (run(typed), run(floats));
    let (least, most) = (-120.0 * 0.002, 135.0 * 0.002);
    assert!(floats.contains(&least) && floats.contains(&most) && floats.iter().all(|it| (least..=most).contains(it)));
    let apart = bytes.iter().zip(&floats).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart > 0.0 && apart < 0.05, "{apart}");
}

#[test]
fn a_float_network_stays_as_it_is() {
    let shape = [1, 3, 6, 6];
    let mut network = Network::new(&shape);
    let weights = network.floats(&[2, 3, 1, 1], &[0.5; 6]);
    let y = network.op("Conv", &["input", &weights], vec![]);
    let (ours, theirs, report) = both(&network.encode(&[&y]), &shape);
    assert_eq!(report, Report::default());
    assert_eq!(values(&ours[0][0]), values(&theirs[0]));
}
