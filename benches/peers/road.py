#!/usr/bin/env python3
"""The whole road beside its peer: chestlight against Pillow, NumPy and onnxruntime on the same films and the same network.

    python3 -m venv VENV && VENV/bin/pip install onnxruntime pillow numpy
    cargo build --release
    VENV/bin/python benches/peers/road.py --model models/chestlight-lite0.toml --rounds 5 FILM...

Rounds are interleaved, each program alone, with one thread. Both sides begin with the film's bytes in memory and end with
the verdict recorded: chestlight in its journal, the peer in an SQLite table with the same durability. Run by hand, on a
quiet machine; research use, not a diagnosis.
"""

import argparse
import io
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib

os.environ["OMP_NUM_THREADS"] = "1"


def median(values):
    return statistics.median(values)


def chestlight(program, model, films, readings, state):
    """Wall and processor milliseconds of the road, as the program tells them."""
    command = [program, "bench", "--json", "--films", str(readings), "--model", model, "--state", state, *films]
    report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    stages = {stage["stage"]: stage["ms"]["p50"] for stage in report["stages"]}
    return stages | {"peak_mib": report["peak_memory_mib"]}


class Peer:
    """What a careful Python program does with the same network."""

    def __init__(self, manifest, precise, draft, state):
        import numpy
        import onnxruntime
        from PIL import Image

        self.numpy, self.image, self.draft = numpy, Image, draft
        with open(manifest, "rb") as file:
            self.manifest = tomllib.load(file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.x64quantprecision", "1" if precise else "0")
        network = os.path.splitext(manifest)[0] + ".onnx"
        self.session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        self.database = sqlite3.connect(os.path.join(state, f"peer-{precise}-{draft}.db"))
        self.database.executescript(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
            "CREATE TABLE IF NOT EXISTS reading (at REAL, normal REAL, bacterial REAL, covid19 REAL)"
        )

    def read(self, film):
        numpy, given = self.numpy, self.manifest["input"]
        size = (given["width"], given["height"])
        image = self.image.open(io.BytesIO(film))
        if self.draft:
            image.draft("L", (2 * size[0], 2 * size[1]))
        grey = image.convert("L").resize(size, self.image.Resampling.BILINEAR)
        pixels = numpy.asarray(grey, dtype=numpy.float32)
        low, high = numpy.quantile(pixels, [given["exposure_low"], given["exposure_high"]], method="nearest")
        exposed = numpy.clip((pixels - low) / max(high - low, 1e-6), 0, 1) * 255
        plane = ((exposed - given["mean"]) / given["std"]).astype(numpy.float32)
        tensor = numpy.broadcast_to(plane, (1, 3, *plane.shape))
        logits = self.session.run(["logits"], {self.session.get_inputs()[0].name: numpy.ascontiguousarray(tensor)})[0][0]
        scaled = logits / self.manifest["calibration"]["temperature"]
        odds = numpy.exp(scaled - scaled.max())
        probabilities = odds / odds.sum()
        with self.database:
            self.database.execute("INSERT INTO reading VALUES (?, ?, ?, ?)", [time.time(), *map(float, probabilities)])


def run_peer(arguments):
    """In a process of its own: prints the median wall and processor milliseconds, and the peak memory."""
    peer = Peer(arguments.model, arguments.precise, arguments.draft, arguments.state)
    films = [open(film, "rb").read() for film in arguments.films]
    walls, cpus = [], []
    for number in range(arguments.readings + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        peer.read(films[number % len(films)])
        if number:
            walls.append((time.perf_counter() - wall) * 1e3)
            cpus.append((time.process_time() - cpu) * 1e3)
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    print(json.dumps({"road": median(walls), "road_cpu": median(cpus), "peak_mib": peak}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", nargs="+", metavar="FILM")
    parser.add_argument("--model", required=True, help="manifest, its .onnx beside it")
    parser.add_argument("--program", default="target/release/chestlight")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--readings", type=int, default=20, help="readings a round")
    parser.add_argument("--state", default=tempfile.gettempdir(), help="folder on the disc to record on")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--precise", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--draft", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return run_peer(arguments)

    peers = {
        "Pillow + onnxruntime": [],
        "Pillow + onnxruntime, x64quantprecision=1": ["--precise"],
        "Pillow with draft + onnxruntime": ["--draft"],
    }
    measured = {name: [] for name in ["chestlight", *peers]}
    with tempfile.TemporaryDirectory(dir=arguments.state, prefix="chestlight-peers-") as state:
        for _ in range(arguments.rounds):
            measured["chestlight"].append(
                chestlight(arguments.program, arguments.model, arguments.films, arguments.readings, state)
            )
            for name, flags in peers.items():
                command = [sys.executable, __file__, "--peer", *flags, "--model", arguments.model, "--state", state]
                command += ["--readings", str(arguments.readings), *arguments.films]
                measured[name].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))

    def figure(name, key):
        return median([each[key] for each in measured[name]])

    print(f"{'':44} {'CPU, MS':>9} {'WALL, MS':>9} {'PEAK, MIB':>9}  CHESTLIGHT'S CPU AND WALL TO IT")
    for name in measured:
        cpu, wall = figure(name, "road_cpu"), figure(name, "road")
        ratios = f"{figure('chestlight', 'road_cpu') / cpu:.2f} {figure('chestlight', 'road') / wall:.2f}"
        print(f"{name:44} {cpu:9.2f} {wall:9.2f} {figure(name, 'peak_mib'):9.1f}  {ratios}")
    rooms = ["decode", "gate", "preprocess", "infer", "record"]
    print("chestlight by room, ms: " + ", ".join(f"{room} {figure('chestlight', room):.2f}" for room in rooms))


if __name__ == "__main__":
    main()
