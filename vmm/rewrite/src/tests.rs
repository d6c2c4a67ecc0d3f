//! Tests that need no engine: refusals, plans, verdicts, offsets.

mod dwarf;
mod mapping;
mod plans;
mod refusals;
mod symbols;

use crate::{Contract, Limits, RewriteError, Rewritten, rewrite, rewrite_under};

/// A module in text form, rewritten as a function.
fn function(text: &str) -> Result<Rewritten, RewriteError> {
    rewrite(&wasm(text), &Limits::default())
}

/// A module in text form, rewritten under the open contract.
fn open(text: &str) -> Rewritten {
    rewrite_under(&wasm(text), &Limits::default(), Contract::Open).expect("accepted")
}

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("valid text")
}

/// The least that is a function.
const MAIN: &str = r#"(func (export "faaslet_main"))"#;
