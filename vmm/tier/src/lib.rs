//! The local tier: memory of values that all Faaslets of one tenant share on one host.
//!
//! What it is: for each value a memfd ([`Value`]), which of its chunks are here and up to which
//! version, what changed since the owner was told (a push is [`prepared`](Value::prepare_push) and
//! [`acknowledged`](Value::acknowledged), a pull is [`installed`](Value::install)), local locks,
//! waits on words, and a budget with eviction over all of them ([`Tier`]).
//!
//! What it is not: who owns a value and how hosts talk (`vmm/state`), where in a Faaslet's memory a
//! value is mapped (the slot's window), or who runs: nothing here blocks a thread but for the time
//! of a copy. Who must wait is queued as a [`Task`] and gets [`Poll::Pending`](std::task::Poll);
//! whatever frees something returns the tasks to [`Wake`].
//!
//! ```text
//!   Faaslet A's window     Faaslet B's window        the cell's own view
//!          │ loads, stores        │                      │ read, write, push, pull
//!          ▼                      ▼                      ▼
//!   ┌─────────────────────────── memfd, as long as the quota, sparse, sealed ───┐
//!   │ chunk 0: here, exactly version 1.7 │ chunk 1: absent │ chunk 2: here ...  │
//!   └────────────────────────────────────────────────────────────────────────────┘
//!     base of chunk 0: as the owner has it, there while the chunk may be written
//! ```
//!
//! The order of a push: [`Turn::ask`] until it is one's turn, [`Value::prepare_push`], send,
//! [`Value::acknowledged`], [`Value::push_failed`] or [`Value::push_lost`], [`Turn::leave`]. Of a pull: the same turn,
//! [`Value::missing`] or [`Value::newer`], send, [`Value::install`].

mod access;
mod budget;
mod error;
mod exclusive;
mod length;
mod lock;
mod map;
mod pull;
mod push;
mod sys;
mod table;
mod task;
mod tier;
mod track;
mod turn;
mod value;
mod wait;

pub use access::Copied;
pub use error::TierError;
pub use lock::{LocalLock, LockError, LockMode};
pub use map::{MAX_MAPS, MapId, MapMode};
pub use pull::Pulled;
pub use push::Prepared;
pub use task::{MAX_WAITERS, QueueFull, Task, Wake};
pub use tier::{MAX_VALUES, Tier, Usage};
pub use track::{Tracker, Tracking};
pub use turn::Turn;
pub use value::Value;
pub use wait::WaitStart;
