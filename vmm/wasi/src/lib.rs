//! WASI preview 1 for Faaslets, independent of the engine that runs them.
//!
//! What it is: the 46 calls of `wasi_snapshot_preview1` as methods of [`Wasi`], over a trait for
//! guest memory ([`GuestMemory`]), one for the standard streams ([`Console`]), and granted
//! folders ([`Preopen`]). What it is not: an engine, a thread that waits (a call that has to
//! wait says so with a [`Step`]), a network, or a way out of the granted folders.
//!
//! Wasmtime is the reference: results, error numbers and files left behind are the same, except
//! where `README.md` of this crate says otherwise.
//!
//! Where to start: [`Config`] is made once for a deployment, a [`Wasi`] for each call, and
//! [`for_each_import!`] binds its methods to an engine.

pub mod abi;
mod arguments;
mod clock;
mod config;
mod console;
mod errno;
mod fd;
mod host;
mod imports;
mod io;
mod listing;
mod memory;
mod open_files;
mod path;
mod poll;
mod process;
mod random;
mod snapshot;
mod stat;
mod table;

use std::sync::Arc;
use std::time::Duration;

pub use abi::Errno;
pub use clock::{BAKE_START_UNIX_S, Clock};
pub use config::{Config, ConfigError, MAX_FDS, MAX_PREOPENS, MAX_STRINGS_BYTES, Preopen};
pub use console::{Captured, Console, Lines, MAX_HELD_LINES, MAX_LINE_BYTES, Stdio};
pub use memory::{Call, Failure, Fault, GuestMemory, Trap, settle};
pub use open_files::{DecodeError, Mode, NotSnapshottable, OpenFile, OpenFiles, Opened};
pub use poll::MAX_SUBSCRIPTIONS;
pub use process::MAX_RANDOM_BYTES;
pub use random::Random;

/// What has to happen before a call that may wait returns to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Nothing: return this number.
    Done(Errno),
    /// Let this time pass, without holding the thread, then return 0. The answer lies in guest
    /// memory already.
    Sleep(Duration),
    /// Let others run, then return 0.
    Yield,
}

/// The guest ended itself, with a status below 126.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u32);

/// WASI as one Faaslet sees it during one call. Making one costs no system call and, but for
/// what the console holds, no allocation.
#[derive(Debug)]
pub struct Wasi<C> {
    config: Arc<Config>,
    clock: Clock,
    random: Random,
    console: C,
    /// Invariant: `None` until a call needs more than the standard streams and folders.
    table: Option<Box<table::Table>>,
}

impl<C: Console> Wasi<C> {
    /// A Faaslet with nothing open but the standard streams and the granted folders.
    pub fn new(config: Arc<Config>, clock: Clock, random: Random, console: C) -> Self {
        Self { config, clock, random, console, table: None }
    }

    /// Closes what the guest opened. What it finds open next is what a fresh Faaslet does.
    pub fn close(&mut self) {
        self.table = None;
    }

    /// The standard streams.
    pub fn console(&mut self) -> &mut C {
        &mut self.console
    }

    /// The clocks, as for [`Clock::live_after`] at the end of a bake.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}
