#!/usr/bin/env python3
"""The networks alone beside their peers: chestlight-qnn and tract against onnxruntime and OpenVINO on the same ONNX files.

    python3 -m venv VENV && VENV/bin/pip install numpy onnx onnxruntime openvino
    cargo build --release -p chestlight-qnn --example compare
    VENV/bin/python benches/peers/networks.py --work FOLDER --rounds 5

Writes four networks with random weights (EfficientNet-Lite0, MobileNetV2, ResNet-50, a small plain CNN; 1 x 3 x 224 x 224),
quantizes each (QDQ, u8 activations, s8 weights per channel), and times every engine on every file in interleaved rounds, one
process each, in processor and wall milliseconds. Random weights cost what trained ones cost; they say nothing of accuracy.
Run by hand, on a quiet machine.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

CLASSES = 3


class Network:
    """An ONNX graph that grows node by node."""

    def __init__(self, seed=1):
        import numpy

        self.numpy, self.random = numpy, numpy.random.default_rng(seed)
        self.nodes, self.weights, self.channels, self.last = [], [], 3, "input"

    def weight(self, values):
        from onnx import numpy_helper

        name = f"weight{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def node(self, operator, inputs, **attributes):
        from onnx import helper

        output = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def conv(self, x, channels_in, channels, side, stride=1, groups=1, act=None, gain=2.0):
        fan_in = channels_in // groups * side * side
        shape = (channels, channels_in // groups, side, side)
        weight = self.random.normal(0, (gain / fan_in) ** 0.5, shape).astype("float32")
        bias = self.random.normal(0, 0.05, channels).astype("float32")
        x = self.node(
            "Conv",
            [x, self.weight(weight), self.weight(bias)],
            kernel_shape=[side, side],
            strides=[stride, stride],
            pads=[side // 2] * 4,
            group=groups,
        )
        if act == "relu":
            return self.node("Relu", [x])
        if act == "relu6":
            limits = [self.weight(self.numpy.array(limit, "float32")) for limit in (0, 6)]
            return self.node("Clip", [x, *limits])
        return x

    def inverted(self, x, channels_in, channels, widen, side, stride):
        inner = channels_in * widen
        y = self.conv(x, channels_in, inner, 1, act="relu6") if widen > 1 else x
        y = self.conv(y, inner, inner, side, stride, groups=inner, act="relu6")
        y = self.conv(y, inner, channels, 1, gain=0.7)
        return self.node("Add", [y, x]) if stride == 1 and channels_in == channels else y

    def bottleneck(self, x, channels_in, inner, stride, project):
        y = self.conv(x, channels_in, inner, 1, act="relu")
        y = self.conv(y, inner, inner, 3, stride, act="relu")
        y = self.conv(y, inner, 4 * inner, 1, gain=0.5)
        short = self.conv(x, channels_in, 4 * inner, 1, stride, gain=1.0) if project else x
        return self.node("Relu", [self.node("Add", [y, short])])

    def save(self, x, channels, path):
        import onnx
        from onnx import TensorProto, helper

        x = self.node("Flatten", [self.node("GlobalAveragePool", [x])], axis=1)
        weight = self.random.normal(0, channels**-0.5, (CLASSES, channels)).astype("float32")
        bias = self.numpy.zeros(CLASSES, "float32")
        self.nodes.append(helper.make_node("Gemm", [x, self.weight(weight), self.weight(bias)], ["logits"], transB=1))
        given = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 224, 224])
        told = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES])
        graph = helper.make_graph(self.nodes, "peer", [given], [told], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.save(onnx.shape_inference.infer_shapes(model), path)


def inverted_network(path, stages):
    network = Network()
    x, channels = network.conv("input", 3, 32, 3, 2, act="relu6"), 32
    for widen, out, repeats, stride, side in stages:
        for repeat in range(repeats):
            x = network.inverted(x, channels, out, widen, side, stride if repeat == 0 else 1)
            channels = out
    network.save(network.conv(x, channels, 1280, 1, act="relu6"), 1280, path)


def lite0(path):
    """Tan and Le 2019; the Lite variant has no squeeze and no swish."""
    stages = [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3)]
    inverted_network(path, [*stages, (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)])


def mobilenet_v2(path):
    """Sandler et al. 2018, table 2."""
    stages = [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 3, 2, 3), (6, 64, 4, 2, 3)]
    inverted_network(path, [*stages, (6, 96, 3, 1, 3), (6, 160, 3, 2, 3), (6, 320, 1, 1, 3)])


def resnet50(path):
    """He et al. 2015, table 1."""
    network = Network()
    x = network.conv("input", 3, 64, 7, 2, act="relu")
    x = network.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for inner, repeats, stride in [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)]:
        for repeat in range(repeats):
            x = network.bottleneck(x, channels, inner, stride if repeat == 0 else 1, repeat == 0)
            channels = 4 * inner
    network.save(x, channels, path)


def small_cnn(path):
    """Plain 3 x 3 convolutions and pooling."""
    network = Network()
    x, channels = "input", 3
    for out, repeats in [(32, 1), (64, 1), (128, 2), (256, 2), (256, 2)]:
        for _ in range(repeats):
            x, channels = network.conv(x, channels, out, 3, act="relu"), out
        x = network.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    network.save(x, channels, path)


NETWORKS = {"lite0": lite0, "mobilenet-v2": mobilenet_v2, "resnet-50": resnet50, "small-cnn": small_cnn}


def images(count, seed):
    """Smooth noise, as pictures are."""
    import numpy

    random = numpy.random.default_rng(seed)
    for _ in range(count):
        image = random.normal(0, 1, (1, 3, 224, 224)).astype("float32")
        for axis in (2, 3, 2, 3):
            image = (numpy.roll(image, 1, axis) + image + numpy.roll(image, -1, axis)) / 2
        yield image


def quantize(float_path, int8_path, weight_bits):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Images(CalibrationDataReader):
        def __init__(self):
            self.images = images(8, 3)

        def get_next(self):
            image = next(self.images, None)
            return None if image is None else {"input": image}

    quantize_static(
        float_path,
        int8_path,
        Images(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=weight_bits == 7,
        extra_options={"WeightSymmetric": True},
    )


def time_peer(engine, path, threads, runs):
    """In a process of its own: prints median processor and wall milliseconds of one pass."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    image = next(images(1, 5))
    if engine == "openvino":
        import openvino

        settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()

        def run():
            request.infer([image])
    else:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.x64quantprecision", "1" if engine.endswith("precise") else "0")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

        def run():
            session.run(None, {"input": image})

    walls, cpus = [], []
    for number in range(runs + 3):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        if number >= 3:
            walls.append((time.perf_counter() - wall) * 1e3)
            cpus.append((time.process_time() - cpu) * 1e3)
    print(json.dumps([statistics.median(cpus), statistics.median(walls)]))


def milliseconds(text):
    """Of a Rust `Duration` as it is printed."""
    number, unit = re.fullmatch(r"([\d.]+)(ns|µs|ms|s)", text).groups()
    return float(number) * {"ns": 1e-6, "µs": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def time_ours(program, path, threads, runs, kernel):
    """Median processor and wall milliseconds of chestlight-qnn and of tract."""
    command = [program, path, str(runs), str(threads), *kernel]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    times = re.search(r"threads: (\S+) \(wall (\S+)\), tract (\S+) \(wall (\S+)\),", printed).groups()
    qnn, qnn_wall, tract, tract_wall = map(milliseconds, times)
    return {"chestlight-qnn": [qnn, qnn_wall], "tract": [tract, tract_wall]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default="target/peers", help="folder for the networks")
    parser.add_argument("--program", default="target/release/examples/compare")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--weight-bits", type=int, default=8, choices=[7, 8])
    parser.add_argument("--kernel", nargs=1, default=[], help="of chestlight-qnn; the fastest by default")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=15, help="passes a round")
    parser.add_argument("--peer", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return time_peer(*arguments.peer, arguments.threads, arguments.runs)

    os.makedirs(arguments.work, exist_ok=True)
    print(f"{'NETWORK':14} {'FILE':5} {'ENGINE':22} {'CPU, MS':>9} {'WALL, MS':>9}  QNN'S CPU TO IT")
    for name in arguments.networks:
        quantized = f"int{arguments.weight_bits}"
        files = {kind: os.path.join(arguments.work, f"{name}.{kind}.onnx") for kind in ("f32", quantized)}
        if not os.path.exists(files[quantized]):
            NETWORKS[name](files["f32"])
            quantize(files["f32"], files[quantized], arguments.weight_bits)
        measured = {}
        for _ in range(arguments.rounds):
            for kind, path in files.items():
                ours = time_ours(arguments.program, path, arguments.threads, arguments.runs, arguments.kernel)
                for engine, times in ours.items():
                    measured.setdefault((kind, engine), []).append(times)
                for engine in ("onnxruntime", "onnxruntime precise", "openvino"):
                    if kind == "f32" and engine.endswith("precise"):
                        continue
                    command = [sys.executable, __file__, "--peer", engine, path]
                    command += ["--threads", str(arguments.threads), "--runs", str(arguments.runs)]
                    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                    measured.setdefault((kind, engine), []).append(json.loads(printed))
        qnn = statistics.median(cpu for cpu, _ in measured[quantized, "chestlight-qnn"])
        for (kind, engine), times in measured.items():
            if (kind, engine) == ("f32", "chestlight-qnn"):
                continue
            cpu = statistics.median(cpu for cpu, _ in times)
            wall = statistics.median(wall for _, wall in times)
            print(f"{name:14} {kind:5} {engine:22} {cpu:9.2f} {wall:9.2f}  {qnn / cpu:.2f}", flush=True)


if __name__ == "__main__":
    main()
