#!/usr/bin/env bash
# Builds the test guests that need a compiler, and the examples, into one folder:
#
#   tests/guests/build.sh [FOLDER] [NAME...]     FOLDER: ${XDG_CACHE_HOME:-~/.cache}/faaslet/guests
#
# c/NAME.c becomes NAME-c.wasm, c/NAME.cpp NAME-cpp.wasm, rust/NAME NAME-rs.wasm, and an example
# NAME.wasm. With names (noop-c, recognise) only these are built. What is newer than its sources
# is left as it is.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly HERE SDK=$HERE/../../guest-sdk
readonly FOLDER=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/faaslet/guests}
[ $# = 0 ] || shift
readonly WANTED=" $* "

# True when $1 is to be built: it is wanted, and a file of $2, the SDKs or the builder is newer.
stale() {
  [ "$WANTED" = "  " ] || [[ $WANTED == *" $1 "* ]] || return 1
  [ ! -e "$FOLDER/$1.wasm" ] ||
    [ -n "$(find "$2" "$SDK/c" "$SDK/abi" "$SDK/rust" "$SDK/setup/build-guest.sh" -newer "$FOLDER/$1.wasm" -type f ! -path '*/target/*' | head -n 1)" ]
}

build() {
  if stale "$1" "$2"; then "$SDK/setup/build-guest.sh" "$2" "$FOLDER/$1.wasm"; fi
}

mkdir -p "$FOLDER"
for file in "$HERE"/c/*.c; do build "$(basename "$file" .c)-c" "$file"; done
for file in "$HERE"/c/*.cpp; do build "$(basename "$file" .cpp)-cpp" "$file"; done
for project in "$HERE"/rust/*/; do build "$(basename "$project")-rs" "$project"; done
# A project in Python has nothing to compile: it is deployed as it is.
for project in "$SDK"/examples/*/; do
  grep -qs '^lang = "python"' "$project/faaslet.toml" || build "$(basename "$project")" "$project"
done
