//! What a cell's local tier has and has done, for the metrics and for who would end the cell.

use std::sync::atomic::{AtomicU64, Ordering};

use faaslet_state::CHUNK_BYTES;
use faaslet_tier::Usage;

/// Something that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Bytes that came from owners.
    Pulled,
    /// Bytes of changes that owners acknowledged.
    Pushed,
    /// Reads, writes and mappings that found everything here.
    Hit,
    /// Those that had to ask an owner first.
    Miss,
    /// Locks that were not free at once.
    LockWait,
}

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateCounts {
    /// Values that are here, if only in part.
    pub values: u64,
    /// Memory that they take, in bytes.
    pub bytes: u64,
    /// Bytes that may not have been pushed, in whole chunks; what functions store through
    /// mappings that they still have is among them.
    pub dirty_bytes: u64,
    /// See [`Count::Pulled`].
    pub pulled_bytes: u64,
    /// See [`Count::Pushed`].
    pub pushed_bytes: u64,
    /// See [`Count::Hit`].
    pub hits: u64,
    /// See [`Count::Miss`].
    pub misses: u64,
    /// See [`Count::LockWait`].
    pub lock_waits: u64,
}

/// Counters of all workers.
#[derive(Debug, Default)]
pub(super) struct Counters([AtomicU64; 5]);

impl Counters {
    pub(super) fn add(&self, what: Count, by: u64) {
        self.0[what as usize].fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn read(&self, usage: Usage, unfinished: u64) -> StateCounts {
        let read = |what: Count| self.0[what as usize].load(Ordering::Relaxed);
        StateCounts {
            values: usage.values as u64,
            bytes: usage.bytes,
            dirty_bytes: (usage.dirty_chunks + unfinished) * CHUNK_BYTES,
            pulled_bytes: read(Count::Pulled),
            pushed_bytes: read(Count::Pushed),
            hits: read(Count::Hit),
            misses: read(Count::Miss),
            lock_waits: read(Count::LockWait),
        }
    }
}
