#!/usr/bin/env bash
# Runs the property tests of the aarch64 kernels on another machine, under qemu-user: every kernel of the emulated
# processor (`-cpu max` has dotprod and i8mm) against the scalar one. By hand; it needs root, mmdebstrap,
# qemu-user-static and a Debian mirror, and some 1.5 GB in WORK. tract is left out (`--no-default-features`): building
# it for another processor takes longer than everything else.
#
#   qnn/tests/aarch64.sh WORK [MIRROR]
set -euo pipefail
work=$(realpath "${1:?a folder to work in}")
mirror=${2:-http://deb.debian.org/debian}
root=$(cd "$(dirname "$0")/../.." && pwd)
cross=$work/cross

if [ ! -d "$cross" ]; then
    # A compiler with a standard library for aarch64 that is at least the workspace's rust-version.
    mmdebstrap --variant=apt --architectures=amd64,arm64 --skip=check/qemu --aptopt='APT::Install-Recommends "false"' \
        --include=ca-certificates,rustc/trixie-backports,cargo/trixie-backports,libstd-rust-dev:amd64/trixie-backports,libstd-rust-dev:arm64/trixie-backports,gcc,libc6-dev,gcc-aarch64-linux-gnu,libc6-dev:arm64 \
        trixie "$cross" "deb $mirror trixie main" "deb $mirror trixie-backports main"
fi

# The sources, and what cargo has fetched already; the pinned toolchain is not Debian's.
cargo fetch --locked --manifest-path "$root/Cargo.toml"
rm -rf "$cross/build/source"
mkdir -p "$cross/build/source" "$cross/root/.cargo"
(cd "$root" && git ls-files -z | tar -c --null -T -) | tar -x -C "$cross/build/source"
rm "$cross/build/source/rust-toolchain.toml"
cp -au "${CARGO_HOME:-$HOME/.cargo}/registry" "$cross/root/.cargo/"

chroot "$cross" env -i HOME=/root PATH=/usr/bin:/bin CARGO_NET_OFFLINE=true CARGO_TARGET_DIR=/build/target \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    sh -c 'cd /build/source && cargo test -p chestlight-qnn --no-default-features --lib --no-run \
        --target aarch64-unknown-linux-gnu'

tests=$(find "$cross/build/target/aarch64-unknown-linux-gnu/debug/deps" -name 'chestlight_qnn-*' -executable -type f \
    -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2)
for processor in max cortex-a76 cortex-a53; do
    echo "== $processor"
    qemu-aarch64-static -cpu "$processor" -L "$cross" "$tests"
done
