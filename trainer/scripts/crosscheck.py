"""Compares chestlight's engine with onnxruntime on the same inputs. A development script; nothing needs it to run.

    pip install onnx onnxruntime numpy
    chestlight-trainer logits --onnx RUN/f32.onnx --manifest models/NAME.toml --out f32
    chestlight-trainer logits --onnx models/NAME.onnx --manifest models/NAME.toml --out int8
    python trainer/scripts/crosscheck.py RUN/f32.onnx f32 --tolerance 1e-4
    python trainer/scripts/crosscheck.py models/NAME.onnx int8 --tolerance 0.1

Films instead of phantoms: name them after the other arguments of `logits`. With `--unit models/NAME.toml` the
probabilities of a unit are compared as well.

An int8 network is compared with `session.x64quantprecision` on: without it onnxruntime's kernels for processors with
AVX2 but without VNNI saturate, and are no reference. `--unfused` compares with onnxruntime's operators one by one, in f32
between the bytes.
"""

import argparse
import pathlib
import sys
import tomllib

import numpy
import onnx
import onnxruntime


def main():
    arguments = argparse.ArgumentParser(description="Compare chestlight's logits with onnxruntime's.")
    arguments.add_argument("onnx", help="the network")
    arguments.add_argument("folder", type=pathlib.Path, help="what `chestlight-trainer logits` wrote of it")
    arguments.add_argument("--tolerance", type=float, required=True, help="largest difference of a logit")
    arguments.add_argument("--unfused", action="store_true", help="onnxruntime without its optimizations")
    arguments.add_argument("--unit", type=pathlib.Path, help="manifest with the temperature of probabilities")
    options = arguments.parse_args()

    onnx.checker.check_model(options.onnx, full_check=True)
    session_options = onnxruntime.SessionOptions()
    session_options.add_session_config_entry("session.x64quantprecision", "1")
    if options.unfused:
        session_options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(options.onnx, session_options, providers=["CPUExecutionProvider"])
    taken = session.get_inputs()[0]
    inputs = numpy.fromfile(options.folder / "inputs.f32", dtype="<f4").reshape(-1, *taken.shape)
    ours = numpy.fromfile(options.folder / "logits.f32", dtype="<f4").reshape(len(inputs), -1)
    theirs = numpy.concatenate([session.run(None, {taken.name: one})[0] for one in inputs])

    differences = numpy.abs(ours - theirs)
    apart = float(differences.max())
    same = int((ours.argmax(1) == theirs.argmax(1)).sum())
    print(f"{options.onnx}: checker ok, {len(inputs)} inputs, difference {differences.mean():.2e} on average and "
          f"{apart:.2e} at most, same class on {same}, onnxruntime {onnxruntime.__version__}")
    if options.unit:
        temperature = tomllib.loads(options.unit.read_text())["calibration"]["temperature"]
        told = [probabilities(logits, temperature) for logits in (ours, theirs)]
        differences = numpy.abs(told[0] - told[1]).max(1)
        print(f"probabilities apart: {differences.mean():.4f} on average, {differences.max():.4f} at most, "
              f"over 0.01 on {int((differences > 0.01).sum())}")
    return 0 if apart <= options.tolerance else 1


def probabilities(logits, temperature):
    powers = numpy.exp((logits - logits.max(1, keepdims=True)) / temperature)
    return powers / powers.sum(1, keepdims=True)


if __name__ == "__main__":
    sys.exit(main())
