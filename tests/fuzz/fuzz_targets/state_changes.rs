//! Any bytes, taken for changes, chunks or names of state.
#![no_main]

#[path = "../oracles/state_changes.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::check(bytes));
