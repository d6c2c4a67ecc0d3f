//! Any bytes, as the outline of a file, or as a file.
#![no_main]

#[path = "../oracles/outline.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::check(bytes));
