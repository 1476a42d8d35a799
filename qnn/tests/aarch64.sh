#!/usr/bin/env bash
# Runs the property tests of the aarch64 kernels on another machine, under qemu-user: every kernel of the emulated
# processors against the scalar one. By hand: `sudo qnn/tests/aarch64.sh`; it needs what tests/vm/aarch64 needs and
# qemu-user-static. tract is left out (`--no-default-features`): building it for another processor takes longer than
# everything else.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
export WORK=${WORK:-/var/tmp/chestlight-vm}
cross=$WORK/cross

"$root/tests/vm/aarch64" cargo test --locked -p chestlight-qnn --no-default-features --lib --no-run
tests=$(find "$cross/build/target/aarch64-unknown-linux-gnu/debug/deps" -name 'chestlight_qnn-*' -executable -type f \
    -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2)
run() { # PROCESSOR and the kernels that it must have
    echo "== $1: $2"
    QNN_KERNELS=$2 qemu-aarch64-static -cpu "$1" -L "$cross" "$tests"
}
run max 'i8mm dotprod neon scalar'
run cortex-a76 'dotprod neon scalar'
run cortex-a53 'neon scalar'
