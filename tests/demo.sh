#!/usr/bin/env bash
# The main job, as a user would see it: a monitor on its defaults, two functions built from source,
# calls over QUIC and HTTP with real pictures, and what a call costs fresh and forked.
set -euo pipefail
cd "$(dirname "$0")/.."
FAASLET=${FAASLET:-target/release/faaslet}
CALLS=${CALLS:-50}
[ -x "$FAASLET" ] || { echo "no $FAASLET: build it with 'make build'"; exit 1; }
scratch=$(mktemp -d)
export FAASLET_DIR=$scratch/state
monitor=
finish() {
  [ -z "$monitor" ] || { kill "$monitor" 2>/dev/null && wait "$monitor" || true; }
  rm -rf "$scratch"
}
trap finish EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
# shows COMMAND...: prints and runs a command of ours.
shows() { printf '$ faaslet %s\n' "$*"; "$FAASLET" "$@"; }

say "1. Start a monitor (embedded defaults, a folder of its own)"
"$FAASLET" up --listen 127.0.0.1:0 --http 127.0.0.1:0 --log warn >"$scratch/up.log" 2>&1 &
monitor=$!
for _ in $(seq 300); do
  [ -s "$FAASLET_DIR/address.json" ] && break
  kill -0 "$monitor" 2>/dev/null || { cat "$scratch/up.log"; exit 1; }
  read -rt 0.1 <> <(:) || true
done
[ -s "$FAASLET_DIR/address.json" ] || { cat "$scratch/up.log"; echo "the monitor did not start within 30 s"; exit 1; }
cat "$scratch/up.log"

say "2. Deploy two functions, built from source"
shows deploy guest-sdk/examples/recognise
shows deploy guest-sdk/examples/hello

say "3. Call them over QUIC"
read -r person nobody < <(make -s -C guest-sdk/examples/recognise samples | xargs)
shows call recognise --file "$person"; echo
shows call recognise --file "$nobody"; echo
shows call hello --data '{"name": "Ada"}'; echo

say "4. The same over HTTP"
http=$(sed -E 's/.*"http":"([^"]*)".*/\1/' "$FAASLET_DIR/address.json")
token=$(cat "$FAASLET_DIR/default.token")
python3 - "$http" "$token" "$person" <<'PY'
import sys, urllib.request
address, token, picture = sys.argv[1:]
url = (address if address.startswith("http") else "http://" + address) + "/f/recognise"
request = urllib.request.Request(url, data=open(picture, "rb").read(), method="POST",
                                 headers={"Authorization": "Bearer " + token})
with urllib.request.urlopen(request) as answer:
    print("POST", url, "->", answer.status, answer.read().decode())
PY

say "5. What a call costs: fresh (initialised for each call) and forked from its image"
# cost FUNCTION INPUT: the median run time of each mode, in microseconds, of $CALLS calls.
cost() {
  local mode
  for mode in fresh fork; do
    for _ in $(seq "$CALLS"); do
      "$FAASLET" call "$1" --file "$2" --mode "$mode" --output json
    done | sed -nE 's/.*"run_us": ?([0-9.]+).*/\1/p' | sort -n | awk -v mode="$mode" \
      '{v[NR] = $1} END {printf "%s %.1f\n", mode, v[int((NR + 1) / 2)]}'
  done
}
printf '{"name": "Ada"}' >"$scratch/ada.json"
printf '%-12s %14s %14s %10s\n' function "fresh, us" "forked, us" ratio
for pair in "recognise $person" "hello $scratch/ada.json"; do
  read -r name input <<<"$pair"
  cost "$name" "$input" | awk -v name="$name" '
    {t[$1] = $2} END {printf "%-12s %14.1f %14.1f %9.1fx\n", name, t["fresh"], t["fork"], t["fresh"] / t["fork"]}'
done
echo "(run time in the cell, median of $CALLS calls; the model's own inference is the most of recognise)"

say "6. What is there"
shows ps
say "Done: the monitor stops and its folder goes."
