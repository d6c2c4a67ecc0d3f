//! How a change is found, merged and acknowledged: pure functions over the bytes of one chunk.
//!
//! | | where | what it does |
//! | --- | --- | --- |
//! | [`diff`], [`diff_within`] | local tier, push | writes what differs between base and copy |
//! | [`apply`] | owner | merges changes into a chunk |
//! | [`acknowledge`] | local tier, after a push | lets the base take what was sent |
//! | [`merge_into`] | local tier, merge | merges elements into memory that others write meanwhile |
//! | [`newer`] | local tier, pull | the chunk as the owner has it, from what it sent |
//! | [`lay_under`] | local tier, pull | brings it to memory that others write meanwhile |
//!
//! What it is not: the copy of memory that is written meanwhile; the local tier makes it, element
//! by element. See `README.md`, "Bases".
//!
//! Floats are compared by their bits, but for `sum`, where a change is a difference that is not
//! zero, and what has become NaN stays so; `min` and `max` prefer a number to NaN, and -0 is less
//! than 0.

mod find;
mod lay;
mod merge;
mod number;

pub use find::{absolute, diff, diff_within};
pub use lay::{Elements, lay_under, newer, take_back};
pub use merge::{acknowledge, apply, merge_into};

#[cfg(test)]
mod tests;
