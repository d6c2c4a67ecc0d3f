//! Rings in shared memory, over which the monitor and a cell talk.
//!
//! One *pair* of rings serves one worker thread of a cell: a ring to the cell and a ring from it,
//! both in one memfd whose size is sealed. A message is bytes; what they mean is the caller's
//! business. A peer that is busy is never woken by a system call; one that sleeps is woken by a
//! futex (the cell) or an eventfd (the monitor).
//!
//! What this is not: a codec, a queue between threads of one process, or a way to move
//! descriptors (those go over the socket).
//!
//! ```text
//!  byte 0        4096              4096 + C              4096 + 2C
//!  ┌─────────────┬───────────────────┬───────────────────┐
//!  │ header      │ data to the cell  │ data from the cell │   C: a power of two, never read
//!  └─────────────┴───────────────────┴───────────────────┘      from the memory: from its size
//!
//!  header, a cache line pair (128 bytes) each:
//!     0  to the cell:   tail u64  (written by the monitor)
//!   128  to the cell:   head u64  (written by the cell)
//!   256  from the cell: tail u64  (written by the cell)
//!   384  from the cell: head u64  (written by the monitor)
//!   512  what the cell waits for     u32: bit 0 data, bit 1 room; the futex word
//!   640  what the monitor waits for  u32: bit 0 data, bit 1 room
//!
//!  record: u64 header (bits 0-31 length, bit 32 "more", others 0), the bytes, zeros to a
//!  multiple of 8. It may run over the end of the data and go on at its start.
//! ```
//!
//! # Trust
//!
//! The peer is hostile. An index that it wrote must not go back nor pass what the ring holds; a
//! record must lie within what was announced; a message must stay under [`MAX_MESSAGE_BYTES`]; the
//! bell must not ring more often than there is news. Whatever breaks a rule is a [`Broken`], and
//! stays one: the ring answers nothing else from then on, and its cell is to be ended. Bytes are
//! copied out, by atomic loads, before anybody looks at them. Work per call is bounded by the
//! capacity of the ring, and memory by [`MAX_MESSAGE_BYTES`] and [`MAX_BACKLOG_BYTES`], whatever
//! the peer does.
//!
//! # Monitor
//!
//! [`MonitorEnd::create`] makes the pair and the [`RingFds`] to hand over. [`Bell::into_async`] puts
//! the bell into a tokio runtime; the [`Producer`] goes in a mutex if several tasks send:
//!
//! ```text
//! loop {
//!     while from_cell.try_recv(&mut message)? { ... }      // with a budget, then yield
//!     to_cell.lock().pump()?;                              // backlog, if there was no room
//!     if from_cell.arm()? {                                // nothing came meanwhile
//!         bell.rung().await?;
//!     }
//! }
//! // anywhere: to_cell.lock().push(&[head, payload])?; ... ; to_cell.lock().flush();
//! ```
//!
//! `tests/async_monitor.rs` is a whole one.
//!
//! # Cell
//!
//! [`CellEnd::attach`] checks and maps what came over the socket. A worker calls
//! [`CellEnd::try_recv`] while it has work and [`CellEnd::wait`] when it has none; other threads
//! of the cell wake it by a [`Waker`].

mod cell;
mod consumer;
mod error;
mod lane;
mod monitor;
mod pack;
mod producer;
mod sys;
mod wake;

#[cfg(test)]
mod tests;

pub use cell::{CellEnd, SPIN_MICROS, Waker, Woken};
pub use consumer::Consumer;
pub use error::{AttachError, BellError, Broken, CreateError, PushError, WaitError};
pub use lane::{Capacity, DEFAULT_CAPACITY_BYTES, MAX_CAPACITY_BYTES, MIN_CAPACITY_BYTES, RingFds};
pub use monitor::{AsyncBell, Bell, MonitorEnd};
pub use producer::Producer;

/// Largest message. A call's input or output is at most 64 MiB; the rest is for what surrounds it.
pub const MAX_MESSAGE_BYTES: usize = 65 << 20;

/// Most bytes that a producer keeps for a peer that makes no room. A message that finds the
/// backlog empty is always taken.
pub const MAX_BACKLOG_BYTES: usize = MAX_MESSAGE_BYTES;

/// Longest message that may take the room kept for small ones.
pub const MAX_SMALL_MESSAGE_BYTES: usize = 504;

/// Room in a backlog for small messages beside all others: one for each of 65,536 calls.
pub const SMALL_BACKLOG_BYTES: usize = 65_536 * (MAX_SMALL_MESSAGE_BYTES + 8);

/// Largest piece of a message in one record; small rings use less.
pub const MAX_FRAME_BYTES: usize = 64 << 10;
