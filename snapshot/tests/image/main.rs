//! Tests of the image format, from outside the crate.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod damage;
mod determinism;
mod fork;
mod golden;
mod hostile;
mod layer;
mod mutation;
mod open;
mod round_trip;
mod sample;
mod sys;

#[expect(unreachable_pub, reason = "is the library of a fuzz target, too")]
#[path = "../../../tests/fuzz/oracles/image_open.rs"]
mod oracle;
