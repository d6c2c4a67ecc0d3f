# Everything a user or CI runs. `make help` lists it.
#
# One profile (release) and one feature set (the whole workspace) serve demo, tests and benches,
# so that Wasmtime is built once: cargo is never called with -p, and always with the targets that
# tests need (another selection resolves other features of shared dependencies).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
export CARGO_TARGET_DIR ?= $(CURDIR)/target
FAASLET := $(CARGO_TARGET_DIR)/release/faaslet

.PHONY: help demo test lint bench fuzz deny soak chaos build guests toolchain clean

help: ## lists the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

demo: build guests ## starts a monitor, deploys image recognition and a small function, calls them
	@FAASLET=$(FAASLET) tests/demo.sh

test: build guests ## all tests; random and load tests in their short forms
	guest-sdk/setup/test.sh
	cargo test --release --workspace

lint: ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings

# The parts first (Criterion, about a minute), which `bench run` takes over as its group micro.
PARTS := reset open ring session wire rewrite
bench: build guests ## the figures: target/perf/results.json and perf/RESULTS.md
	$(MAKE) -s -C guest-sdk/examples/recognise native
	cargo bench --workspace $(PARTS:%=--bench %)
	$(CARGO_TARGET_DIR)/release/bench run
	$(CARGO_TARGET_DIR)/release/bench table

fuzz: ## every fuzz target for SECONDS_EACH=60; installs cargo-fuzz when it is missing
	@tests/fuzz/run.sh

deny: ## licences, bans, sources and known vulnerabilities of dependencies; installs cargo-deny
	@tests/deny.sh

soak: build guests ## their long forms: a million resets, 10,000 handshakes
	FAASLET_RESETS=1000000 FAASLET_MODEL_STEPS=100000 FAASLET_HANDSHAKES=10000 \
		cargo test --release --workspace -- --include-ignored

# Histories in virtual time; real monitors under several faults at once; kills of a process that
# changes durable values.
chaos: build guests ## long runs of state with faults: FAASLET_SEEDS=20000 histories, rounds, kills
	FAASLET_SEEDS=$${FAASLET_SEEDS:-20000} cargo test --release --workspace --test simulation -- --nocapture
	FAASLET_FAULT_ROUNDS=$${FAASLET_FAULT_ROUNDS:-40} cargo test --release --workspace --test state_faults -- --nocapture
	FAASLET_CRASH_ROUNDS=$${FAASLET_CRASH_ROUNDS:-3000} cargo test --release --workspace --test state_crash

build: ## the faaslet binary
	cargo build --release --workspace --all-targets

guests: toolchain ## the functions that demo and tests deploy
	tests/guests/build.sh

toolchain: ## the compilers for guests, in the user's cache
	guest-sdk/setup/guests.sh

clean: ## removes what was built here
	cargo clean
