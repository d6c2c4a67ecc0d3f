#!/usr/bin/env bash
# Runs every fuzz target for a while: run.sh [TARGET]...
#
# Installs cargo-fuzz when it is missing. The stable toolchain serves: the flags that a fuzzer needs
# are unlocked by RUSTC_BOOTSTRAP, and the runtime of the address sanitizer comes with it.
#
#   SECONDS_EACH   how long each target runs (60)
#   FUZZ_CORPUS    where what is found interesting is kept from run to run (the build folder)
set -euo pipefail
cd "$(dirname "$0")"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/../../target}"
export RUSTC_BOOTSTRAP=1
corpus="${FUZZ_CORPUS:-$CARGO_TARGET_DIR/fuzz-corpus}"

if ! command -v cargo-fuzz >/dev/null; then
  echo "fuzz: installing cargo-fuzz with cargo install (about a minute)"
  cargo install --locked cargo-fuzz
fi
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

seeds=$corpus/seeds
cargo run --quiet --locked --example seeds "$seeds"

targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(cargo fuzz list --fuzz-dir .)
for target in "${targets[@]}"; do
  echo "fuzz: $target for ${SECONDS_EACH:-60} s"
  mkdir -p "$corpus/$target" "$seeds/$target"
  cargo fuzz run --fuzz-dir . "$target" "$corpus/$target" "$seeds/$target" -- \
    -max_total_time="${SECONDS_EACH:-60}" -print_final_stats=1 -verbosity=0
done
