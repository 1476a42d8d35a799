#!/usr/bin/env bash
# Runs the property tests of the kernels under valgrind, which sees reads and writes past the ends of what was allocated
# and decisions by bytes that nobody wrote. By hand; valgrind knows AVX2 and neither AVX-512 nor VNNI, so that of the x86-64
# kernels only AVX2's run. CASES is how many cases of each property (16).
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
tests=$(cargo test --locked -p chestlight-qnn --no-default-features --lib --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*chestlight_qnn-[^"]*\)".*/\1/p')
QNN_KERNELS='avx2 scalar' PROPTEST_CASES=${CASES:-16} valgrind --quiet --error-exitcode=9 "$tests" --test-threads=1 --nocapture
