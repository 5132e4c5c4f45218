#!/bin/sh
# Builds csrc for 64-bit Arm and runs its test and a short fuzz in emulation.
# Debian: apt-get install g++-aarch64-linux-gnu qemu-user cmake ninja-build
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${1:-$(mktemp -d)}
cmake -S "$root" -B "$build" -G Ninja -DMGNET_FAST_PYTHON=OFF -DMGNET_FAST_TESTS=ON \
  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ \
  -DCMAKE_CROSSCOMPILING_EMULATOR="qemu-aarch64;-L;/usr/aarch64-linux-gnu"
cmake --build "$build"
cd "$build" && ctest --output-on-failure
