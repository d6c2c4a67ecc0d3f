//! What a cell's local tier has and has done, for the metrics and for who would end the cell.

use std::sync::atomic::{AtomicU64, Ordering};

use faaslet_state::CHUNK_BYTES;
use faaslet_tier::Usage;

use crate::wire::StateCounts;

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
