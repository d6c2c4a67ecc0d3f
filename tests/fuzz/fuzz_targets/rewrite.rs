//! Any bytes, rewritten as a module. Seeds: any `.wasm` files.
#![no_main]

#[path = "../oracles/rewrite.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::check(bytes));
