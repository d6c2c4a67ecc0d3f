#!/usr/bin/env bash
# Builds a function's project folder into one WebAssembly module.
#
# This is what `faaslet deploy FOLDER` runs. What a project folder is, is written in
# guest-sdk/README.md ("Project folders"); the compilers come from guests.sh.
set -euo pipefail

usage() {
  cat <<'END'
Usage: build-guest.sh PROJECT OUT.wasm

Builds PROJECT, a folder with a faaslet.toml or a Cargo.toml, or a single C or C++ file, and
writes the module to OUT.wasm. Progress and compiler messages go to standard error, nothing to standard output.
Exit status: 0 built, 1 the project does not build, 2 wrong usage or faaslet.toml,
3 the toolchain is missing.

Environment:
  FAASLET_TOOLCHAIN  the folder that guests.sh filled;
                     ${XDG_CACHE_HOME:-~/.cache}/faaslet/toolchain otherwise
  FAASLET_GUEST_BUILD  folder for intermediate files, one folder below it for each project;
                     ${XDG_CACHE_HOME:-~/.cache}/faaslet/guests-target otherwise
END
}

SETUP=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
HEADERS=$(cd "$SETUP/../c" && pwd)
readonly SETUP HEADERS
readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/faaslet"
readonly BIN="${FAASLET_TOOLCHAIN:-$CACHE/toolchain}/bin"

# A stack below the data, so that an overflow traps instead of overwriting variables.
readonly STACK_BYTES=1048576
readonly DEFAULT_FLAGS=(-O2 -gline-tables-only)

say() { printf 'build: %s\n' "$*" >&2; }
fail() {
  local status=$1
  shift
  printf 'build: error: %s\n' "$*" >&2
  exit "$status"
}

# --- faaslet.toml -----------------------------------------------------------------------------

# Prints the keys before the first [table] of a TOML file, one value a line: key, tab, value.
# Strings, numbers, booleans and arrays of strings are understood, which is all that a build
# needs; tables belong to `faaslet deploy`.
read_toml() {
  awk '
    function bad(what) { printf "line %d: %s\n", NR, what > "/dev/stderr"; failed = 1; exit 2 }
    function skip() { while (text ~ /^[ \t]/) text = substr(text, 2); if (text ~ /^#/) text = "" }
    function string(    quote, c, out) {
      quote = substr(text, 1, 1); text = substr(text, 2); out = ""
      while (text != "") {
        c = substr(text, 1, 1); text = substr(text, 2)
        if (c == quote) return out
        if (c == "\\" && quote == "\"") {
          c = substr(text, 1, 1); text = substr(text, 2)
          if (c != "\"" && c != "\\") bad("the escape \\" c " is not understood here")
        }
        out = out c
      }
      bad("a string does not end on its line")
    }
    function elements() {
      while (1) {
        skip()
        if (text == "") return
        if (text ~ /^\]/) { text = substr(text, 2); key = ""; skip(); if (text != "") bad("unexpected: " text); return }
        if (text ~ /^,/) { text = substr(text, 2); continue }
        if (text !~ /^["\047]/) bad("an array of strings was expected")
        print key "\t" string()
      }
    }
    { sub(/\r$/, ""); text = $0; skip() }
    text == "" { next }
    key != "" { elements(); next }
    text ~ /^\[/ { exit }
    !match(text, /^[A-Za-z0-9_-]+[ \t]*=/) { bad("expected: key = value") }
    {
      key = substr(text, 1, RLENGTH - 1); sub(/[ \t]+$/, "", key)
      text = substr(text, RLENGTH + 1); skip()
      if (text ~ /^\[/) { text = substr(text, 2); elements(); next }
      if (text ~ /^["\047]/) value = string()
      else if (match(text, /^[A-Za-z0-9._+-]+/)) { value = substr(text, 1, RLENGTH); text = substr(text, RLENGTH + 1) }
      else bad("a string, a number, true, false or an array of strings was expected")
      skip(); if (text != "") bad("unexpected: " text)
      print key "\t" value; key = ""
    }
    END { if (!failed && key != "") { print "an array does not end" > "/dev/stderr"; exit 2 } }
  ' "$1"
}

project='' name='' lang='' kind=''
sources=() flags=()
common=() # flags of every C and C++ compilation

# Fills the variables above from a folder or a single file, $1.
find_project() {
  if [ -d "$1" ]; then
    project=$(cd "$1" && pwd)
    name=$(basename "$project")
    read_project
    return
  fi
  [ -f "$1" ] || fail 2 "$1 is neither a folder nor a file."
  project=$(cd "$(dirname "$1")" && pwd)
  name=$(basename "${1%.*}")
  sources=("$(basename "$1")")
  case $1 in
  *.c) lang=c ;;
  *.cc | *.cpp | *.cxx) lang=c++ ;;
  *) fail 2 "$1 is no source file that can be built alone: .c, .cc, .cpp or .cxx was expected." ;;
  esac
}

# Reads the project's faaslet.toml, or takes it for a Rust project when it has none.
read_project() {
  local pairs key value
  if [ ! -e "$project/faaslet.toml" ]; then
    [ -e "$project/Cargo.toml" ] ||
      fail 2 "$project has neither faaslet.toml nor Cargo.toml, so it is not a project folder. See guest-sdk/README.md."
    lang=rust
    return
  fi
  pairs=$(read_toml "$project/faaslet.toml") || fail 2 "$project/faaslet.toml cannot be read (the line is named above)."
  while IFS=$'\t' read -r key value; do
    case $key in
    '') ;;
    name) name=$value ;;
    lang) lang=$value ;;
    kind) kind=$value ;;
    sources) sources+=("$value") ;;
    flags) flags+=("$value") ;;
    *) fail 2 "$project/faaslet.toml has the key '$key'; the keys before the first table are: name, lang, kind, sources, flags." ;;
    esac
  done <<<"$pairs"
  case $kind in
  '' | function | command) ;;
  *) fail 2 "$project/faaslet.toml says kind = \"$kind\"; \"function\" or \"command\" was expected." ;;
  esac
}

# --- building ---------------------------------------------------------------------------------

need_tool() {
  [ -x "$BIN/$1" ] || fail 3 "$BIN/$1 is missing. Type:  $SETUP/guests.sh"
}

# Runs cargo and prints the path of the one module that it made.
build_rust() {
  local report modules
  need_tool guest-cargo
  report=$build/cargo.json
  (cd "$project" && "$BIN/guest-cargo" build --release --target-dir "$build" \
    --message-format json-render-diagnostics "${flags[@]}") >"$report" || fail 1 "$name does not compile (the messages are above)."
  modules=$(grep '"reason":"compiler-artifact"' "$report" |
    grep -oE '"(filenames|executable)":(\["[^]]*\]|"[^"]*")' | grep -oE '"[^"]*\.wasm"' | tr -d '"' |
    grep -v '/deps/' | sort -u || true)
  case $(grep -c . <<<"$modules") in
  1) cp "$modules" "$module" ;;
  0) fail 1 "$name compiles, but to no module. A function's Cargo.toml has:  [lib] crate-type = [\"cdylib\"]" ;;
  *) fail 1 "$name compiles to several modules; one was expected: $(tr '\n' ' ' <<<"$modules")" ;;
  esac
}

# Compiles and links the sources, or lets the project's Makefile do it. Folders' names are kept out
# of the debug information, so that the same sources give the same module.
build_c() {
  local compiler=$1 model=reactor
  need_tool guest-cc
  need_tool guest-c++
  if [ ${#sources[@]} = 0 ] && [ -e "$project/Makefile" ]; then
    build_by_make
    return
  fi
  [ ${#sources[@]} -gt 0 ] || default_sources
  [ -n "$kind" ] || kind=$(kind_of_sources)
  if [ "$kind" = command ]; then model="command"; fi
  common=("${DEFAULT_FLAGS[@]}" "-ffile-prefix-map=$project=." "-ffile-prefix-map=$HEADERS/="
    -fdebug-compilation-dir=. "-I$HEADERS")
  if [ "$lang" = c++ ]; then compile_c_sources; fi
  (cd "$project" && "$BIN/$compiler" "${common[@]}" "-mexec-model=$model" \
    -Wl,--stack-first -Wl,-z,stack-size=$STACK_BYTES "${flags[@]}" -o "$module" "${sources[@]}") ||
    fail 1 "$name does not compile (the messages are above)."
}

# In a C++ project, compiles C sources as C, without the flags that say which C++ it is, and puts
# their objects in their place.
compile_c_sources() {
  local index flag c_flags=()
  for flag in "${flags[@]}"; do
    case $flag in -std=*++* | -Wl,*) ;; *) c_flags+=("$flag") ;; esac
  done
  for index in "${!sources[@]}"; do
    case ${sources[index]} in
    *.c)
      (cd "$project" && "$BIN/guest-cc" "${common[@]}" "${c_flags[@]}" -c -o "$build/$index.o" "${sources[index]}") ||
        fail 1 "$name does not compile (the messages are above)."
      sources[index]=$build/$index.o
      ;;
    esac
  done
}

# Every source in the folder and in src/, when faaslet.toml names none.
default_sources() {
  local file
  shopt -s nullglob
  for file in "$project"/*.c "$project"/src/*.c; do sources+=("${file#"$project"/}"); done
  if [ "$lang" = c++ ]; then
    for file in "$project"/*.{cc,cpp,cxx} "$project"/src/*.{cc,cpp,cxx}; do sources+=("${file#"$project"/}"); done
  fi
  [ ${#sources[@]} -gt 0 ] || fail 1 "$project has no $lang sources. Name them in faaslet.toml:  sources = [\"main.c\"]"
}

# A source that has the function's entry makes a function; else it is a program with main().
kind_of_sources() {
  if (cd "$project" && grep -qE 'FAASLET_MAIN|faaslet_main' "${sources[@]}"); then echo function; else echo command; fi
}

build_by_make() {
  command -v make >/dev/null || fail 3 "$name has a Makefile and make is missing. Type:  sudo apt-get install make"
  # What an outer make hands down would reach the project's Makefile and change it.
  env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -C "$project" --no-print-directory -j "$(nproc)" \
    CC="$BIN/guest-cc" CXX="$BIN/guest-c++" CPPFLAGS="-I$HEADERS -ffile-prefix-map=$HEADERS/=" BUILD="$build" OUT="$module" "${flags[@]}" guest >&2 ||
    fail 1 "$name does not build (the messages are above)."
}

# What another compiler made must not be linked with what this one makes.
drop_old_build() {
  local record=$BIN/../toolchain.json
  cmp -s "$record" "$build/toolchain.json" && return
  find "$build" -mindepth 1 -maxdepth 1 ! -name lock -exec rm -rf {} +
  [ ! -e "$record" ] || cp "$record" "$build/toolchain.json"
}

main() {
  case ${1:-} in -h | --help)
    usage
    exit 0
    ;;
  esac
  [ $# = 2 ] || {
    usage >&2
    exit 2
  }
  local out=$2
  [ -d "$(dirname "$out")" ] || fail 2 "$(dirname "$out"), the folder to write to, does not exist."
  find_project "$1"
  # One folder for each project: two of the same name must not meet in it.
  build=${FAASLET_GUEST_BUILD:-$CACHE/guests-target}/$(tr -c 'A-Za-z0-9._\n-' _ <<<"$name")-$(cksum <<<"$project/$name" | cut -d' ' -f1)
  mkdir -p "$build"
  exec 9>"$build/lock"
  flock 9
  drop_old_build
  module=$build/module.wasm
  say "$name ($lang)"
  case $lang in
  rust) build_rust ;;
  c) build_c guest-cc ;;
  c++) build_c guest-c++ ;;
  *) fail 2 "$project/faaslet.toml says lang = \"$lang\"; \"rust\", \"c\" or \"c++\" was expected." ;;
  esac
  [ "$(head -c 4 "$module" | od -An -tx1 | tr -d ' \n')" = 0061736d ] || fail 1 "the build wrote no WebAssembly module."
  # Written beside and renamed, so that nobody sees half a module.
  cp "$module" "$out.$$" && mv "$out.$$" "$out"
  say "$out ($(wc -c <"$out" | tr -d ' ') bytes)"
}

main "$@"
