//! Any bytes, as a request, reply or record of hosts that give each other functions.
#![no_main]

#[path = "../oracles/ship.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::check(bytes));
