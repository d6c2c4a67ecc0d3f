//! Any bytes, as a file that a user writes: settings of a monitor, manifest of a project.
#![no_main]

#[allow(dead_code, reason = "no file is read here")]
#[path = "../../../vmm/src/cli/manifest.rs"]
mod manifest;
#[allow(dead_code, reason = "seeds are for others")]
#[path = "../oracles/manifest.rs"]
mod oracle;
#[allow(dead_code, reason = "the command line has more of them")]
#[path = "../../../vmm/src/cli/parse.rs"]
mod parse;
#[path = "../../../vmm/src/cli/settings.rs"]
mod settings;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::check(bytes));
