//! Any bytes, opened as an image. Seeds: `snapshot/tests/golden/*.image`.
#![no_main]

#[path = "../oracles/image_open.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::check(bytes));
