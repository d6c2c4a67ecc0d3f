#!/usr/bin/env bash
# Checks the dependencies of the program and of the fuzz targets against deny.toml with cargo-deny.
#
# Installs it when it is missing. Known vulnerabilities are in a database that is fetched from
# GitHub: where that cannot be reached, the rest is checked, and it is said.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v cargo-deny >/dev/null; then
  echo "deny: installing cargo-deny with cargo install (some minutes)"
  cargo install --locked cargo-deny
fi
export PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"

for manifest in Cargo.toml tests/fuzz/Cargo.toml; do
  echo "deny: $manifest"
  cargo deny --manifest-path "$manifest" --config "$PWD/deny.toml" check --hide-inclusion-graph \
    bans licenses sources
done
if ! cargo deny --log-level off fetch db 2>/dev/null; then
  echo "deny: the advisory database cannot be reached: vulnerabilities are NOT checked" >&2
  exit 0
fi
cargo deny check --disable-fetch advisories
