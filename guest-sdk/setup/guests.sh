#!/usr/bin/env bash
# Finds or makes the toolchain for guests: Rust, C and C++ to WebAssembly with WASI.
#
# It ends with three commands in $FAASLET_TOOLCHAIN/bin: guest-cargo, guest-cc and guest-c++,
# which carry every path and flag that this machine needs, and with toolchain.json beside them,
# which says what they stand on. Everything else (build-guest.sh, Makefiles, tests) calls these
# three and knows nothing of the machine. Running it again is quick and changes nothing.
set -euo pipefail

usage() {
  cat <<'END'
Usage: guests.sh [--check] [--no-install] [--only rust|c]

Finds or makes the toolchain for guests and tries it out.

  --check        print what is there and what is missing; change nothing.
                 Exit status 1 when something is missing.
  --no-install   install no packages: say which command would.
  --only PART    only the Rust part, or only the C and C++ part.

Environment:
  FAASLET_TOOLCHAIN    folder to use; ${XDG_CACHE_HOME:-~/.cache}/faaslet/toolchain otherwise
  FAASLET_RUST_GUESTS  rustup, system or source: insist on one way to the Rust target;
                       all three are tried in this order otherwise
  WASI_SDK_PATH        an unpacked wasi-sdk to take clang from instead of the system's
END
}

readonly TARGET=wasm32-wasip1
readonly RUSTUP_TIMEOUT_SECONDS=60
readonly TOOLCHAIN="${FAASLET_TOOLCHAIN:-${XDG_CACHE_HOME:-$HOME/.cache}/faaslet/toolchain}"
readonly BIN="$TOOLCHAIN/bin"
readonly WASI_INCLUDE=/usr/include/wasm32-wasi
readonly WASI_LIB=/usr/lib/wasm32-wasi

install_packages=yes
check_only=no
only=
scratch=

say() { printf 'guests: %s\n' "$*" >&2; }
fail() {
  printf 'guests: error: %s\n' "$1" >&2
  shift
  [ $# = 0 ] || printf '        %s\n' "$@" >&2
  exit 1
}

# Deletes the scratch folder; runs at every exit.
clean_up() { [ -z "$scratch" ] || rm -rf "$scratch"; }
trap clean_up EXIT

# --- packages -------------------------------------------------------------------------------

# Installs packages, or fails with the command that would. $1 says what they are for.
need_packages() {
  local purpose=$1
  shift
  local command="apt-get install -y --no-install-recommends $*"
  if [ "$install_packages" = no ] || [ "$(id -u)" != 0 ]; then
    fail "the packages for $purpose are missing." "Type:  sudo apt-get update && sudo $command" "then run this again."
  fi
  say "installing for $purpose: $*"
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" \
    >"$scratch/apt.log" 2>&1 || {
    tail -n 20 "$scratch/apt.log" >&2
    fail "apt-get could not install the packages for $purpose (its last lines are above)." \
      "Type:  $command"
  }
}

# True when apt knows every one of these packages.
apt_knows() {
  local package
  for package in "$@"; do
    [ -n "$(apt-cache madison "$package" 2>/dev/null)" ] || return 1
  done
}

# Fetches apt's lists when there are none, as in a fresh container.
refresh_apt() {
  command -v apt-get >/dev/null || return 1
  if ! apt_knows make && [ "$install_packages" = yes ] && [ "$(id -u)" = 0 ]; then
    say "fetching the package lists"
    apt-get update >"$scratch/apt.log" 2>&1 || say "apt-get update failed: $(tail -n 1 "$scratch/apt.log")"
  fi
}

# --- C and C++ ------------------------------------------------------------------------------

c_packages() { echo "clang-$1 lld-$1 libclang-rt-$1-dev-wasm32 libc++-$1-dev-wasm32 libc++abi-$1-dev-wasm32 wasi-libc"; }

# The file of clang N's runtime for Wasm, wherever this release keeps it; nothing when absent.
clang_builtins() {
  local file
  for file in /usr/lib/llvm-"$1"/lib/clang/*/lib/{*/libclang_rt.builtins*wasm32*.a,wasm32*/libclang_rt.builtins.a}; do
    if [ -e "$file" ]; then
      echo "$file"
      return
    fi
  done
}

# Newest clang that is here with all it needs; nothing when there is none.
find_clang() {
  local version
  for version in $(printf '%s\n' /usr/bin/clang-* | sed -n 's/.*clang-\([0-9]\{1,\}\)$/\1/p' | sort -rn); do
    if [ -e "/usr/bin/wasm-ld-$version" ] && [ -e "$WASI_LIB/libc.a" ] &&
      [ -e "/usr/lib/llvm-$version/lib/wasm32-wasi/libc++.a" ] &&
      [ -n "$(clang_builtins "$version")" ]; then
      echo "$version"
      return
    fi
  done
}

# Newest clang of which apt knows all parts; nothing when there is none.
find_clang_package() {
  local version
  for version in $(apt-cache search --names-only '^clang-[0-9]+$' 2>/dev/null |
    sed -n 's/^clang-\([0-9]*\) .*/\1/p' | sort -rn); do
    # shellcheck disable=SC2046
    if apt_knows $(c_packages "$version"); then
      echo "$version"
      return
    fi
  done
}

# Writes one command into bin/: its name, then the words that come before the caller's own.
write_command() {
  local name=$1
  shift
  {
    printf '#!/bin/sh\n# Made by guests.sh; made anew when it runs again.\nexec'
    printf ' %q' "$@"
    printf ' "$@"\n'
  } >"$scratch/$name"
  chmod 755 "$scratch/$name"
  mkdir -p "$BIN"
  mv "$scratch/$name" "$BIN/$name"
}

# The commands for clang N of the system. Without -nostdinc a header that WASI lacks would be
# taken from the host's /usr/include, and the guest would be built with the host's layouts.
write_clang_commands() {
  local version=$1 llvm=/usr/lib/llvm-$1 resources
  resources=$(/usr/bin/clang-"$version" -print-resource-dir)
  local base=(--target=wasm32-wasi -Wno-deprecated --start-no-unused-arguments -nostdinc)
  local headers=(-isystem "$resources/include" -isystem "$WASI_INCLUDE")
  local libraries=(-L"$llvm/lib/wasm32-wasi" --end-no-unused-arguments)
  write_command guest-cc "/usr/bin/clang-$version" "${base[@]}" "${headers[@]}" "${libraries[@]}"
  write_command guest-c++ "/usr/bin/clang++-$version" "${base[@]}" -fno-exceptions \
    -isystem "$llvm/include/wasm32-wasi/c++/v1" "${headers[@]}" "${libraries[@]}"
}

write_sdk_commands() {
  local sdk=$1
  [ -x "$sdk/bin/clang" ] || fail "WASI_SDK_PATH is $sdk, which has no bin/clang." \
    "Set it to the folder of an unpacked wasi-sdk, or unset it."
  write_command guest-cc "$sdk/bin/clang" "--target=$TARGET"
  write_command guest-c++ "$sdk/bin/clang++" "--target=$TARGET" -fno-exceptions
}

# Builds a C and a C++ program that need headers, libraries and the runtime.
try_c() {
  [ -x "$BIN/guest-cc" ] && [ -x "$BIN/guest-c++" ] || return 1
  cat >"$scratch/try.c" <<'END'
#include <stdio.h>
int main(void) { long double x = 1; return printf("%f\n", (double)(x / 3)) < 0; }
END
  cat >"$scratch/try.cpp" <<'END'
#include <string>
#include <vector>
std::vector<std::string> all;
extern "C" __attribute__((export_name("try"))) int try_(int n) {
  all.push_back(std::to_string(n));
  return static_cast<int>(all.size());
}
END
  "$BIN/guest-cc" -O1 -o "$scratch/c.wasm" "$scratch/try.c" &&
    "$BIN/guest-c++" -O1 -mexec-model=reactor -o "$scratch/cpp.wasm" "$scratch/try.cpp" &&
    is_wasm "$scratch/c.wasm" && is_wasm "$scratch/cpp.wasm"
}

set_up_c() {
  local version
  if [ -n "${WASI_SDK_PATH:-}" ]; then
    write_sdk_commands "$WASI_SDK_PATH"
  else
    version=$(find_clang)
    if [ -z "$version" ]; then
      install_clang
      version=$(find_clang)
      [ -n "$version" ] || fail "the packages are installed, but no complete clang for WebAssembly was found." \
        "Type:  dpkg -L libclang-rt-*-dev-wasm32  and report where its files are."
    fi
    write_clang_commands "$version"
  fi
  try_c || fail "clang is there but could not build a small program (its message is above)." \
    "Type:  $0 --check"
  say "C and C++: $(c_version)"
}

install_clang() {
  local version
  refresh_apt || fail "clang for WebAssembly is missing, and this system has no apt-get to install it." \
    "Unpack a wasi-sdk release (github.com/WebAssembly/wasi-sdk) and set WASI_SDK_PATH to its folder."
  version=$(find_clang_package)
  [ -n "$version" ] || fail "clang for WebAssembly is missing, and apt knows no version with all its parts:" \
    "$(c_packages N)" "Type:  sudo apt-get update" "or set WASI_SDK_PATH to an unpacked wasi-sdk, then run this again."
  # shellcheck disable=SC2046
  need_packages "C and C++ guests" $(c_packages "$version")
}

c_version() { "$BIN/guest-cc" --version 2>/dev/null | head -n 1; }

# --- Rust -----------------------------------------------------------------------------------

is_wasm() { [ "$(head -c 4 "$1" 2>/dev/null | od -An -tx1 | tr -d ' \n')" = 0061736d ]; }

# Variables of the caller that are meant for the host's programs and would break a guest.
readonly NOT_FOR_GUESTS="-u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u CARGO_TARGET_DIR -u CARGO_BUILD_TARGET_DIR -u RUSTC -u RUSTC_WRAPPER -u CARGO -u RUSTUP_TOOLCHAIN"

# Builds a guest that needs the standard library, what a libc may lack, and link-time optimisation.
try_rust() {
  [ -x "$BIN/guest-cargo" ] || return 1
  local project=$scratch/try
  mkdir -p "$project/src"
  cat >"$project/Cargo.toml" <<'END'
[package]
name = "try"
version = "0.0.0"
edition = "2024"
[lib]
crate-type = ["cdylib"]
[profile.release]
lto = true
panic = "abort"
[workspace]
END
  cat >"$project/src/lib.rs" <<'END'
#[unsafe(no_mangle)]
pub extern "C" fn faaslet_main() -> i32 {
    println!("{:?}", std::fs::canonicalize("."));
    0
}
END
  (cd "$project" && "$BIN/guest-cargo" build --release --quiet --target-dir target) >"$scratch/try.log" 2>&1 &&
    is_wasm "$project/target/$TARGET/release/try.wasm"
}

# Way 1: rustup's own target. Needs static.rust-lang.org the first time.
rust_by_rustup() {
  command -v rustup >/dev/null || return 1
  local name
  name=$(rustup show active-toolchain 2>/dev/null | cut -d' ' -f1) && [ -n "$name" ] || return 1
  timeout "$RUSTUP_TIMEOUT_SECONDS" rustup target add --toolchain "$name" "$TARGET" >/dev/null 2>&1 || return 1
  # shellcheck disable=SC2086
  write_command guest-cargo env $NOT_FOR_GUESTS "RUSTUP_TOOLCHAIN=$name" "CARGO_BUILD_TARGET=$TARGET" \
    "$(command -v cargo)"
  try_rust
}

# Way 2: a compiler whose distribution ships the target.
rust_by_system() {
  local rustc
  for rustc in $(type -ap rustc | sort -u); do
    case $(readlink -f "$rustc") in */rustup*) continue ;; esac
    [ -e "$(dirname "$rustc")/cargo" ] || continue
    ls "$("$rustc" --print target-libdir --target "$TARGET" 2>/dev/null)"/libstd-*.rlib >/dev/null 2>&1 || continue
    # shellcheck disable=SC2086
    write_command guest-cargo env $NOT_FOR_GUESTS "RUSTC=$rustc" "CARGO_BUILD_TARGET=$TARGET" \
      "$(dirname "$rustc")/cargo"
    try_rust && return 0
  done
  return 1
}

# Way 3: Debian's compiler and library sources, where only package mirrors can be reached.
rust_by_source() {
  local version sysroot=$TOOLCHAIN/sysroot
  refresh_apt || return 1
  [ -n "$(find_clang)" ] || install_clang
  version=$(find_clang)
  debian_rust_is_here || {
    apt_knows rustc-web rust-web-src || return 1
    need_packages "Rust guests" rust-web-src rustc-web libstd-rust-web-dev cargo-web
  }
  local stamp
  stamp="$(/usr/bin/rustc -vV; echo "clang $version"; dpkg-query -W wasi-libc)"
  if [ "$(cat "$sysroot/stamp" 2>/dev/null)" != "$stamp" ]; then
    build_sysroot "$version"
    printf '%s\n' "$stamp" >"$scratch/sysroot/stamp"
    rm -rf "$sysroot"
    mkdir -p "$TOOLCHAIN"
    mv "$scratch/sysroot" "$sysroot"
  fi
  # shellcheck disable=SC2086
  write_command guest-cargo env $NOT_FOR_GUESTS RUSTC=/usr/bin/rustc "CARGO_BUILD_TARGET=$TARGET" \
    "CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS=--sysroot $sysroot -Clinker=wasm-ld-$version" /usr/bin/cargo
  try_rust
}

debian_rust_is_here() {
  [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] &&
    [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/std" ]
}

# Compiles the standard library into $scratch/sysroot. $1: version of clang.
build_sysroot() {
  say "building Rust's standard library for $TARGET from source (about two minutes, once)"
  local project=$scratch/std library=$scratch/sysroot/lib/rustlib/$TARGET/lib
  mkdir -p "$project/src" "$library/self-contained"
  printf '%s\n' '[package]' 'name = "empty"' 'version = "0.0.0"' 'edition = "2021"' '[profile.release]' \
    'panic = "abort"' '[workspace]' >"$project/Cargo.toml"
  : >"$project/src/lib.rs"
  # shellcheck disable=SC2086
  (cd "$project" && env $NOT_FOR_GUESTS RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
    CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS=-Cembed-bitcode=yes \
    /usr/bin/cargo build --release -Zbuild-std=std,panic_abort --target "$TARGET" --target-dir target) \
    >"$scratch/std.log" 2>&1 || {
    tail -n 20 "$scratch/std.log" >&2
    fail "Rust's standard library did not compile (the last lines are above)."
  }
  cp "$project/target/$TARGET/release/deps/"*.rlib "$library/" &&
    rm -f "$library"/libempty-*.rlib &&
    cp "$WASI_LIB/crt1-command.o" "$WASI_LIB/crt1-reactor.o" "$WASI_LIB/libc.a" "$library/self-contained/" &&
    add_realpath "$1" "$library/self-contained/libc.a" ||
    fail "could not put Rust's standard library together in $scratch (the reason is above)."
}

# Debian's wasi-libc is older than the library expects and has no realpath, which
# std::fs::canonicalize calls. There are no symbolic links to follow that the host would not.
# The archive gets no index (S), since the host's ar cannot read objects for Wasm; wasm-ld reads
# the members themselves.
add_realpath() {
  cat >"$scratch/realpath.c" <<'END'
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
char *realpath(const char *path, char *resolved) {
  if (access(path, F_OK) != 0) return 0;
  if (!resolved) return strdup(path);
  if (strlen(path) >= PATH_MAX) { errno = ENAMETOOLONG; return 0; }
  return strcpy(resolved, path);
}
END
  "/usr/bin/clang-$1" --target=wasm32-wasi -Wno-deprecated -O2 -c -o "$scratch/realpath.o" "$scratch/realpath.c" &&
    ar rcS "$2" "$scratch/realpath.o"
}

set_up_rust() {
  local way
  for way in ${FAASLET_RUST_GUESTS:-rustup system source}; do
    case $way in
    rustup | system | source) ;;
    *) fail "FAASLET_RUST_GUESTS is '$way': rustup, system or source was expected." ;;
    esac
    if "rust_by_$way"; then
      say "Rust: $(rust_version), by $way"
      return
    fi
  done
  [ ! -s "$scratch/try.log" ] || tail -n 20 "$scratch/try.log" >&2
  fail "no way to the Rust target $TARGET worked (tried: ${FAASLET_RUST_GUESTS:-rustup system source})." \
    "With rustup, type:  rustup target add $TARGET" \
    "On Debian, type:    sudo apt-get install rust-web-src rustc-web libstd-rust-web-dev cargo-web" \
    "then run this again."
}

# Which of the three ways made guest-cargo.
rust_way() {
  case $(cat "$BIN/guest-cargo") in
  *RUSTUP_TOOLCHAIN=*) echo rustup ;;
  *--sysroot*) echo source ;;
  *) echo system ;;
  esac
}

rust_version() { "$BIN/guest-cargo" --version 2>/dev/null | head -n 1; }

# --- all ------------------------------------------------------------------------------------

# toolchain.json: what the commands stand on, for people, bug reports and figures.
write_record() {
  {
    printf '{\n  "target": "%s"' "$TARGET"
    if [ -x "$BIN/guest-cargo" ]; then printf ',\n  "rust": "%s"' "$(rust_version), by $(rust_way)"; fi
    if [ -x "$BIN/guest-cc" ]; then printf ',\n  "c": "%s"' "$(c_version)"; fi
    printf ',\n  "bin": "%s"\n}\n' "$BIN"
  } >"$scratch/toolchain.json"
  mv "$scratch/toolchain.json" "$TOOLCHAIN/toolchain.json"
}

# Prints one line for each part; status 1 when one is missing.
check() {
  local status=0
  if try_rust; then echo "rust   ok       $(rust_version)"; else
    echo "rust   missing  type: $0 --only rust"
    status=1
  fi
  if try_c 2>/dev/null; then echo "c      ok       $(c_version)"; else
    echo "c      missing  type: $0 --only c"
    status=1
  fi
  echo "folder $TOOLCHAIN"
  return $status
}

main() {
  while [ $# -gt 0 ]; do
    case $1 in
    --check) check_only=yes ;;
    --no-install) install_packages=no ;;
    --only)
      [ "${2:-}" = rust ] || [ "${2:-}" = c ] || fail "--only takes rust or c, not '${2:-}'."
      only=$2
      shift
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) fail "unknown option '$1'." "Type:  $0 --help" ;;
    esac
    shift
  done
  mkdir -p "$TOOLCHAIN"
  scratch=$(mktemp -d "$TOOLCHAIN/scratch.XXXXXX")
  if [ "$check_only" = yes ]; then
    check
    exit
  fi
  exec 9>"$TOOLCHAIN/lock"
  flock 9 || fail "could not lock $TOOLCHAIN/lock, so another set-up may be running." "Is that folder writable?"
  [ "$only" = rust ] || set_up_c
  [ "$only" = c ] || set_up_rust
  write_record
  say "ready: $BIN"
}

main "$@"
