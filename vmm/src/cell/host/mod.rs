//! The host interface: what a function can ask of its host.
//!
//! Each call checks its pointers against the virtual size of the memory, copies in and copies out,
//! and answers with a status; none traps on a bad argument. `io` is input, output and identity,
//! `chain` other functions, `state` the tenant's values, `carrier` all of these through one import,
//! `wasi` the POSIX side.

mod carrier;
mod chain;
mod io;
mod memory;
mod state;
mod wasi;

use std::sync::Arc;
use std::time::Instant;

use faaslet_abi::Status;
use faaslet_snapshot::guest::GuestMemory;
use faaslet_snapshot::slot::Slot;
use faaslet_wasi::{Clock, Random, Wasi};
use wasmtime::{Engine, Global, Linker};

use super::call::{Call, ResponseHead};
use super::exchange::Exchange;
use super::function::Function;
use super::stop::Stop;
use super::streams::Streams;
use super::tables::TableRoom;

pub(crate) use memory::{bind_window, host_grow};

/// What a host function gives back to Wasm.
pub(crate) type HostResult = Result<i32, Status>;

/// The host's side of one Faaslet: the data of its store.
pub struct Host {
    /// The function that it runs.
    pub(crate) function: Arc<Function>,
    /// Shared with the worker.
    pub(crate) exchange: Exchange,
    /// The call that runs now.
    pub(crate) running: Running,
    /// POSIX, and the streams of the call.
    pub(crate) wasi: Wasi<Streams>,
    /// The guest's view of its size, in bytes.
    pub(crate) size: Option<Global>,
    /// How much its tables may still grow.
    pub(crate) tables: TableRoom,
    /// The guest's view of where the used part of its window ends; 0 when nothing is mapped.
    pub(crate) window: Option<Global>,
    /// The memory as host calls touch it.
    pub(crate) memory: GuestMemory,
    /// Declared last, dropped last: the instance's memory lies in it.
    pub(crate) slot: Slot,
}

/// Whether a Faaslet is being made or runs a call.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// Boot and initialisation of an image: no chaining, a clock that stands still, random bytes
    /// that are the same each time.
    Bake {
        /// The tenant's secret.
        secret: [u8; 32],
        /// What the image is made from.
        recipe: [u8; 32],
    },
    /// Boot and initialisation of a fresh Faaslet: no chaining.
    Make,
    /// A call.
    Run,
}

/// State of the call that runs now.
pub(crate) struct Running {
    /// It may call other functions, and use state.
    pub(crate) reaches_out: bool,
    pub(crate) call: Call,
    pub(crate) error: Vec<u8>,
    pub(crate) response: ResponseHead,
    pub(crate) next_handle: u32,
    /// Its memory could not grow for lack of room.
    pub(crate) grow_refused: bool,
    /// What it has of the tenant's state, from its first call for state on.
    pub(crate) state: Option<Box<state::Held>>,
    /// Why its last call for state was refused.
    pub(crate) state_error: String,
}

impl Running {
    fn new(reaches_out: bool, call: Call) -> Self {
        let (error, response) = (Vec::new(), ResponseHead::default());
        Self {
            reaches_out,
            call,
            error,
            response,
            next_handle: 1,
            grow_refused: false,
            state: None,
            state_error: String::new(),
        }
    }
}

/// Binds every host call; made once for a cell.
///
/// # Errors
/// When two host calls have one name, which the tests exclude.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    io::bind(&mut linker)?;
    chain::bind(&mut linker)?;
    state::bind(&mut linker)?;
    wasi::bind(&mut linker)?;
    carrier::bind(&mut linker)?;
    Ok(linker)
}

/// A status as Wasm sees it.
pub(crate) fn code(result: HostResult) -> i32 {
    match result {
        Ok(value) => value,
        Err(status) => status as i32,
    }
}

impl Host {
    /// The host's side of a Faaslet that is about to be made over `slot`, until `deadline`.
    pub(crate) fn new(
        slot: Slot,
        function: &Arc<Function>,
        exchange: &Exchange,
        stage: &Stage,
        deadline: Instant,
    ) -> Self {
        let (clock, random) = match stage {
            Stage::Bake { secret, recipe } => {
                (Clock::bake_after(function.monotonic_ns), Random::bake(secret, recipe))
            }
            Stage::Make | Stage::Run => (Clock::live(), Random::live()),
        };
        let streams = Streams::new(Vec::new(), 0, false, exchange.clone());
        let streams = streams.direct(function.direct.is_some());
        Self {
            wasi: Wasi::new(function.settings(), clock, random, streams),
            running: Running::new(matches!(stage, Stage::Run), Call::making(deadline)),
            function: Arc::clone(function),
            exchange: exchange.clone(),
            size: None,
            tables: TableRoom::default(),
            window: None,
            memory: slot.memory(),
            slot,
        }
    }

    /// Puts everything of the call before away and `call` in its place.
    pub(crate) fn begin(&mut self, mut call: Call) {
        let input = std::mem::take(&mut call.input);
        let command = self.function.plan.entry == faaslet_rewrite::Entry::Command;
        let limit = self.function.limits.output_bytes;
        let streams = Streams::new(input, limit, command, self.exchange.clone());
        let streams = streams.direct(self.function.direct.is_some());
        let clock = Clock::live_after(self.function.monotonic_ns);
        self.wasi = Wasi::new(self.function.settings(), clock, Random::live(), streams);
        self.running = Running::new(true, call);
    }

    /// Lets go of what the call that has ended held: its files, its input, its request.
    pub(crate) fn end(&mut self) {
        self.wasi.close();
        self.wasi.console().input = Vec::new();
        self.wasi.console().output = Vec::new();
        self.running.call.request = Vec::new();
        self.running.error = Vec::new();
    }

    /// As [`Host::begin`], with clock and random bytes as they are, and without chaining.
    pub(crate) fn rehearse(&mut self, mut call: Call) {
        let limit = self.function.limits.output_bytes;
        *self.wasi.console() = Streams::new(
            std::mem::take(&mut call.input),
            limit,
            self.function.plan.entry == faaslet_rewrite::Entry::Command,
            self.exchange.clone(),
        );
        self.running = Running::new(false, call);
    }

    /// Whether a page of the image could not be had: what the call computes is of no use.
    pub(crate) fn lost(&self) -> bool {
        self.memory.watch().is_some() && (self.memory.lost() || self.exchange.desk().lost)
    }

    /// Refuses every call of a Faaslet that [`Host::lost`] says is.
    pub(crate) fn refuse_lost(&self) -> Result<(), Stop> {
        if self.lost() { Err(Stop::Lost) } else { Ok(()) }
    }

    /// The memory, for the bake to read.
    pub(crate) fn guest_memory(&self) -> GuestMemory {
        self.memory.clone()
    }

    /// Copies a range of guest memory out.
    pub(crate) fn bytes(&self, ptr: u32, len: u32) -> Result<Vec<u8>, Status> {
        let mut bytes = Vec::new();
        append(&self.memory, ptr, len, &mut bytes)?;
        Ok(bytes)
    }

    /// Copies a short text out of guest memory.
    pub(crate) fn text(&self, ptr: u32, len: u32, limit: usize) -> Result<String, Status> {
        self.memory.range(ptr, len).map_err(|_| Status::Fault)?;
        if len as usize > limit {
            return Err(Status::TooLarge);
        }
        String::from_utf8(self.bytes(ptr, len)?).map_err(|_| Status::Invalid)
    }
}

/// Appends a range of guest memory to `bytes`, which is unchanged on failure.
pub(crate) fn append(
    memory: &GuestMemory,
    ptr: u32,
    len: u32,
    bytes: &mut Vec<u8>,
) -> Result<(), Status> {
    memory.range(ptr, len).map_err(|_| Status::Fault)?;
    let before = bytes.len();
    bytes.resize(before + len as usize, 0);
    memory.read(ptr, &mut bytes[before..]).map_err(|_| Status::Fault)
}

/// Copies as much of `from` behind `offset` as fits into the range; returns how much.
pub(crate) fn fill(
    memory: &GuestMemory,
    from: &[u8],
    offset: u32,
    ptr: u32,
    len: u32,
) -> HostResult {
    memory.range(ptr, len).map_err(|_| Status::Fault)?;
    let rest = from.get(offset as usize..).unwrap_or_default();
    let part = &rest[..rest.len().min(len as usize)];
    memory.write(ptr, part).map_err(|_| Status::Fault)?;
    length(part.len())
}

/// A length as a host call returns it.
pub(crate) fn length(bytes: usize) -> HostResult {
    i32::try_from(bytes).map_err(|_| Status::TooLarge)
}
