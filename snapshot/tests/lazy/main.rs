//! Images that are not whole: forks of them in this process, with the pager of a cell in it too.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod ground;
mod script;
mod sharing;
mod sources;
mod working_set;
