//! Any bytes, taken for a request to the owner of state.
#![no_main]

#[path = "../oracles/state_message.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::check(bytes));
