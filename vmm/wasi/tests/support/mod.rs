//! What the comparison with Wasmtime stands on: guests, folders, both ways to run.

pub(crate) mod engine;
pub(crate) mod fixture;
pub(crate) mod guest;
#[path = "../memory/mod.rs"]
pub(crate) mod memory;
pub(crate) mod reference;

/// What a run of a guest came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What it printed.
    pub(crate) output: String,
    /// What it printed to the error stream.
    pub(crate) errors: String,
    /// Its exit status, or why it trapped.
    pub(crate) end: Result<u32, String>,
}

/// What a guest is run with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    /// Arguments after the program's name.
    pub(crate) args: &'a [&'a str],
    /// Standard input.
    pub(crate) input: &'a str,
}

/// Name that every guest is run under.
pub(crate) const PROGRAM: &str = "program";
/// Environment that every guest is run with.
pub(crate) const ENVIRONMENT: [(&str, &str); 2] = [("A", "1"), ("LONG", "a value = with signs")];
