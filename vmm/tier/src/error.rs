//! Why the local tier refuses.

use std::io;

use faaslet_state::Key;

use crate::task::{QueueFull, Task};

/// Why an operation on a value was refused. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum TierError {
    /// It was deleted, or made anew under the same name.
    #[error("value {key}: it was deleted meanwhile: open it again")]
    Gone {
        /// Its key.
        key: Key,
    },
    /// Another holds the global write lock.
    #[error("value {key}: {holder} holds its global write lock on this host: wait for the lock")]
    Locked {
        /// Its key.
        key: Key,
        /// Who.
        holder: Task,
    },
    /// The budget is used up by what cannot be evicted.
    #[error(
        "value {key}: no room for {asked} bytes: {used} of {budget} are mapped, changed or locked; \
         push and unmap, or raise the tenant's state budget"
    )]
    NoRoom {
        /// Its key.
        key: Key,
        /// What was needed.
        asked: u64,
        /// What is in use after everything evictable went.
        used: u64,
        /// The budget.
        budget: u64,
    },
    /// Outside the value.
    #[error("value {key}: expected a range within {limit} bytes; found {len} at {offset}")]
    Range {
        /// Its key.
        key: Key,
        /// Where.
        offset: u64,
        /// How many.
        len: u64,
        /// Where the value, or its quota, ends.
        limit: u64,
    },
    /// A length that the value cannot have.
    #[error(
        "value {key}: expected a length of at most {limit} bytes, whole elements; found {found}"
    )]
    Length {
        /// Its key.
        key: Key,
        /// The quota.
        limit: u64,
        /// What was asked for.
        found: u64,
    },
    /// Chunks that must be here are not.
    #[error("value {key}: chunk {chunk} is not on this host: pull it first")]
    Absent {
        /// Its key.
        key: Key,
        /// The first of them.
        chunk: u32,
    },
    /// A bound of this host.
    #[error("value {key}: expected at most {limit} {what}: give some back first")]
    TooMany {
        /// Its key.
        key: Key,
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// A call that makes no sense.
    #[error("value {key}: {why}")]
    Invalid {
        /// Its key.
        key: Key,
        /// What was expected.
        why: &'static str,
    },
    /// Bytes from the owner that are not what they should be.
    #[error("value {key}: expected a well-formed answer of its owner; {why}")]
    Malformed {
        /// Its key.
        key: Key,
        /// What was found.
        why: String,
    },
    /// The queue is full.
    #[error("value {key}: {full}")]
    Queue {
        /// Its key.
        key: Key,
        /// Which says how many.
        full: QueueFull,
    },
    /// The system refused.
    #[error("value {key}: memory for it could not be had: {error}")]
    System {
        /// Its key.
        key: Key,
        /// The system's answer.
        error: io::Error,
    },
}
