#!/usr/bin/env bash
# Every figure of docs/performance.md, on a quiet machine: benches/measure.sh FILM FOLDER [VENV]
# FILM is the 2,348 x 1,851 JPEG, FOLDER holds many films, VENV has the peers (benches/peers/). Only what is there is measured.
set -euo pipefail
cd "$(dirname "$0")/.."
film=$1 folder=$2 venv=${3:-}
program=target/release/chestlight
cargo build --release

echo "== stages and layers, one core"
taskset -c 0 "$program" bench --films 50 "$film"

echo "== peak memory of classify"
/usr/bin/time -f '%M KiB resident at most' "$program" classify "$film" 2>&1 | tail -n 1

echo "== seconds for the folder, by films at a time, in turn"
for _ in 1 2 3 4 5; do
    for threads in 1 2; do
        /usr/bin/time -f "$threads: %e s" "$program" classify "$folder" --threads "$threads" --json 2>&1 >/dev/null | tail -n 1
    done
done

if [ -n "$venv" ]; then
    echo "== the whole road beside Pillow and onnxruntime, one core"
    taskset -c 0 "$venv/bin/python" benches/peers/road.py --model models/chestlight-lite0.toml "$film"
    if [ -d qnn ]; then
        echo "== the networks beside onnxruntime and OpenVINO, one core"
        cargo build --release -p chestlight-qnn --example compare
        taskset -c 0 "$venv/bin/python" benches/peers/networks.py
    fi
fi
