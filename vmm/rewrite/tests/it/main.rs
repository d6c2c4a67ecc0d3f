//! Rewritten modules run as the originals do.
//!
//! Each test runs a module twice in Wasmtime, as it is and rewritten, and compares what can be
//! seen: results, traps, memory, globals. The rewritten one runs over memory as the host makes
//! it: one fixed size of 4 GiB, inaccessible above the virtual size and outside the window.
#![allow(unreachable_pub)] // nothing here is reachable

mod access;
mod core;
mod cost;
mod drops;
mod fuzz;
mod random;
mod smith;
mod sys;
mod world;
