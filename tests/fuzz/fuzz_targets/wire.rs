//! Any bytes, received by either end of a call connection.
#![no_main]

#[path = "../oracles/wire.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::check(bytes));
