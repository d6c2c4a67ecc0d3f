//! Any bytes, received by either end of a connection between monitors.
#![no_main]

#[path = "../oracles/peer_wire.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::check(bytes));
