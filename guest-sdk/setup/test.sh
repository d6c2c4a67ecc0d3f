#!/usr/bin/env bash
# Tests the header and the builder of guests. Needs the toolchain (guests.sh); takes some seconds.
set -uo pipefail

SETUP=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly SETUP HEADER=$SETUP/../c/faaslet.h ABI=$SETUP/../abi/src/lib.rs
readonly RECOGNISE=$SETUP/../examples/recognise
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0
export FAASLET_GUEST_BUILD=$scratch/build

pass() { printf 'ok    %s\n' "$1"; }
miss() {
  printf 'FAIL  %s\n' "$1"
  [ $# = 1 ] || printf '      %s\n' "${@:2}"
  failures=$((failures + 1))
}
# holds NAME COMMAND...: the command succeeds.
holds() { if "${@:2}" >/dev/null 2>&1; then pass "$1"; else miss "$1"; fi; }
same() { if [ -n "$2" ] && [ "$2" = "$3" ]; then pass "$1"; else miss "$1" "expected: $2" "found:    $3"; fi; }

# expect NAME STATUS TEXT PROJECT: a build ends with this status and says this text.
expect() {
  local output status
  output=$("$SETUP/build-guest.sh" "$4" "$scratch/out.wasm" 2>&1)
  status=$?
  if [ $status = "$2" ] && [[ $output == *"$3"* ]]; then pass "$1"; else
    miss "$1" "expected: status $2 and '$3'" "found:    status $status and '$output'"
  fi
}

# project NAME TEXT: a fresh C project with this faaslet.toml; prints its folder.
project() {
  mkdir -p "$scratch/$1"
  printf '%s\n' "$2" >"$scratch/$1/faaslet.toml"
  printf '#include "faaslet.h"\nFAASLET_MAIN { return faaslet_printf("%%s", NAME); }\n' >"$scratch/$1/a.c"
  echo "$scratch/$1"
}

# --- the header says what the ABI says ----------------------------------------------------------

header_imports() { sed -n 's/.*FAASLET_HOST("\([a-z_]*\)").*/\1/p' "$HEADER" | sort; }
abi_imports() { sed -n '/^pub mod import/,/^}/ s/.*: &str = "\([a-z_]*\)";/\1/p' "$ABI" | sort; }
same "the header has every host call of the ABI" "$(abi_imports)" "$(header_imports)"

# Names and numbers of an enum of the ABI ($1) and of the header ($2), as NAME=NUMBER.
abi_enum() {
  sed -n "/^pub enum $1 /,/^}/ s/^ *\([A-Za-z]*\) = \(-\{0,1\}[0-9]*\),.*/\1=\2/p" "$ABI" |
    sed 's/\([a-z]\)\([A-Z]\)/\1_\2/g' | tr '[:lower:]' '[:upper:]' | sort
}
header_enum() {
  sed -n "/^enum $1 /,/^}/ s/^ *FAASLET_\([A-Z_]*\) = \(-\{0,1\}[0-9]*\),.*/\1=\2/p" "$HEADER" | sort
}
same "the header has the statuses of the ABI" "$(abi_enum Status)" "$(header_enum faaslet_status)"
same "the header has the outcomes of the ABI" "$(abi_enum Outcome)" \
  "$(header_enum faaslet_outcome | sed 's/^CALL_TIMED_OUT/TIMED_OUT/' | sort)"
same "the header has the levels of the ABI" "$(abi_enum Level)" \
  "$(header_enum faaslet_level | sed 's/^WARNING/WARN/' | sort)"
same "the header imports from the ABI's module" "$(sed -n 's/.*IMPORT_MODULE: &str = "\(.*\)";/\1/p' "$ABI")" \
  "$(sed -n 's/.*import_module("\(.*\)"), import_name(name).*/\1/p' "$HEADER")"
same "the header has the ABI's version" "$(sed -n 's/.*ABI_VERSION: u32 = \([0-9]*\);/\1/p' "$ABI")" \
  "$(sed -n 's/^#define FAASLET_ABI_VERSION \([0-9]*\)/\1/p' "$HEADER")"
header_exports() { sed -n 's/.*FAASLET_EXPORT("\(faaslet_[a-z_]*\)").*/\1/p' "$HEADER" | sort; }
abi_exports() { sed -n '/^pub mod export/,/^}/ s/.*: &str = "\(faaslet_[a-z_]*\)";/\1/p' "$ABI" | sort; }
same "the header has the entries of the ABI" "$(abi_exports)" "$(header_exports)"

# --- faaslet.toml -------------------------------------------------------------------------------

toml='# a comment
name = "one"   # behind a value
lang = '"'c'"'
kind = "function"
sources = [ "a.c", # first
]
flags = ["-DNAME=\"a # b\"",
  "-Wall"]

[deploy]
memory = "64 MiB"
anything = { here = 1 }'
expect "a full faaslet.toml" 0 "build: one (c)" "$(project full "$toml")"
holds "flags reach the compiler as they are" grep -q 'a # b' "$scratch/out.wasm"

# The function in C of the guide is one.
guide=$(project guide 'lang = "c"')
awk '/^```c$/ {on = 1; next} on && /^```/ {exit} on' "$SETUP/../README.md" >"$guide/a.c"
expect "the guide's function in C" 0 "build: guide (c)" "$guide"

expect "an unknown key" 2 "has the key 'sorces'" "$(project key $'lang = "c"\nsorces = ["a.c"]')"
expect "a line that is no pair" 2 "line 2: expected: key = value" "$(project pair $'lang = "c"\nnonsense')"
expect "a string that does not end" 2 "line 1: a string does not end" "$(project string 'lang = "c')"
expect "an array that does not end" 2 "an array does not end" "$(project array $'lang = "c"\nflags = ["-O1"')"
expect "an array of numbers" 2 "an array of strings was expected" "$(project numbers 'flags = [1]')"
expect "an unknown language" 2 'lang = "go"' "$(project go 'lang = "go"')"
expect "an unknown kind" 2 'kind = "daemon"' "$(project kind $'lang = "c"\nkind = "daemon"')"
expect "a source that is not there" 1 "none.c" "$(project none $'lang = "c"\nsources = ["none.c"]')"

# --- projects -----------------------------------------------------------------------------------

mkdir "$scratch/empty"
expect "a folder that is no project" 2 "neither faaslet.toml nor Cargo.toml" "$scratch/empty"
expect "nothing there" 2 "neither a folder nor a file" "$scratch/nothing"
echo 'int main(void) { return 0; }' >"$scratch/command.c"
expect "a single file with main()" 0 "build: command (c)" "$scratch/command.c"
holds "main() makes a command" grep -q _start "$scratch/out.wasm"
printf '#include "faaslet.h"\nFAASLET_MAIN { return 0; }\n' >"$scratch/function.cpp"
expect "a single file of C++" 0 "build: function (c++)" "$scratch/function.cpp"
holds "FAASLET_MAIN makes a function" grep -q faaslet_main "$scratch/out.wasm"
echo 'text' >"$scratch/text.txt"
expect "a file of another kind" 2 "no source file" "$scratch/text.txt"
printf '#include <sys/epoll.h>\nint main(void) { return 0; }\n' >"$scratch/header.c"
expect "a header of the host is not taken" 1 "'sys/epoll.h' file not found" "$scratch/header.c"
mkdir "$scratch/both"
printf 'lang = "c++"\nflags = ["-std=c++20", "-DN=1"]\n' >"$scratch/both/faaslet.toml"
printf '#include "faaslet.h"\nextern "C" int one(void);\nFAASLET_MAIN { return one() - N; }\n' >"$scratch/both/a.cpp"
printf 'int one(void) { int class = N; return class; }\n' >"$scratch/both/b.c"
expect "C and C++ in one project" 0 "build: both (c++)" "$scratch/both"
mkdir -p "$scratch/rust/src"
printf '[package]\nname = "r"\nedition = "2024"\n[workspace]\n' >"$scratch/rust/Cargo.toml"
: >"$scratch/rust/src/lib.rs"
expect "a Rust library without cdylib" 1 'crate-type = ["cdylib"]' "$scratch/rust"
printf '[lib]\ncrate-type = ["cdylib"]\n' >>"$scratch/rust/Cargo.toml"
RUSTFLAGS=-Ctarget-cpu=native expect "a Rust project, whatever RUSTFLAGS say" 0 "build: rust (rust)" "$scratch/rust"
echo 'broken' >"$scratch/rust/src/lib.rs"
cp "$scratch/out.wasm" "$scratch/before.wasm"
expect "a Rust project that does not compile" 1 "rust does not compile" "$scratch/rust"
holds "a failed build leaves the old module" cmp "$scratch/out.wasm" "$scratch/before.wasm"
FAASLET_TOOLCHAIN=$scratch/none expect "no toolchain" 3 "guests.sh" "$scratch/command.c"

# The same sources in two folders give the same module.
for folder in one two; do
  cp -R "$SETUP/../examples/c-hello" "$scratch/$folder"
  "$SETUP/build-guest.sh" "$scratch/$folder" "$scratch/$folder.wasm" 2>/dev/null
done
holds "a module does not depend on its folder" cmp "$scratch/one.wasm" "$scratch/two.wasm"

# --- the test guests ------------------------------------------------------------------------------

guests=$SETUP/../../tests/guests
for file in "$guests"/wat/*.wat "$guests"/wat/refused/*.wat "$guests"/c/*.c*; do
  name=$(basename "${file%.*}")
  grep -qE "\b$name\b" "$guests/README.md" || [[ $file == *refused* ]] || miss "tests/guests/README.md names $name"
  case $file in *.wat) head -n 1 "$file" | grep -q '^;; ' || miss "$file says first what it does" ;; esac
done

# --- the recognise example, natively --------------------------------------------------------------

native=$(make -s -C "$RECOGNISE" native BUILD="$scratch/recognise" 2>"$scratch/log" | tail -n 1)
samples=$(make -s -C "$RECOGNISE" samples)
folder=$(dirname "${samples%% *}")
label() { "$native" "$1" 2>&1 | sed 's/.*"label":"\([a-z ]*\)".*/\1/'; }
same "a person is recognised" person "$(label "$folder/person.pgm")"
same "no person is recognised" "no person" "$(label "$folder/no-person.pgm")"

# The sample as 96x96 bytes, and as a colour picture of three times its size with margins at both
# sides, must give the same answer, to the last digit.
tail -c 9216 "$folder/person.pgm" >"$scratch/raw"
same "grey bytes without a header" "$("$native" "$folder/person.pgm")" "$("$native" "$scratch/raw")"
{
  printf 'P6 # colour\n300 288\n255\n'
  od -An -v -tu1 -w96 "$scratch/raw" | awk '
    function pixel(grey) { for (c = 0; c < 3; c++) printf "\\%03o", grey }
    function margin() { for (m = 0; m < 6; m++) pixel(1) }
    { for (row = 0; row < 3; row++) {
        margin()
        for (i = 1; i <= NF; i++) for (k = 0; k < 3; k++) pixel($i)
        margin(); print "" } }' | while read -r row; do printf '%b' "$row"; done
} >"$scratch/big.ppm"
same "a larger colour picture" "$("$native" "$folder/person.pgm")" "$("$native" "$scratch/big.ppm")"
for picture in '' 'P5' 'P5 96 96 255' 'P5 0 1 255 x' 'P5 1 1 65535 xx' 'P6 99999 1 255 x' 'P5 2 2 255 abc' 'P5 -1 2 255 a'; do
  printf '%s' "$picture" >"$scratch/bad"
  if "$native" "$scratch/bad" >"$scratch/answer" 2>&1; then miss "the picture '$picture' is refused"; else pass "the picture '$picture' is refused"; fi
done

echo
if [ $failures = 0 ]; then echo "all passed"; else
  echo "$failures failed"
  exit 1
fi
