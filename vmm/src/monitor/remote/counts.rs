//! What is counted of functions that travel.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the monitor started.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) finds: AtomicU64,
    pub(super) copies: AtomicU64,
    pub(super) pulled_bytes: AtomicU64,
    pub(super) served_bytes: AtomicU64,
    pub(super) bad_pieces: AtomicU64,
    pub(super) left_out: AtomicU64,
}

/// What [`Counts`] are at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoteCounts {
    /// Functions that were looked for on other hosts.
    pub finds: u64,
    /// Copies that were made or renewed.
    pub copies: u64,
    /// Bytes of files that came from other hosts.
    pub pulled_bytes: u64,
    /// Bytes of files that went to other hosts.
    pub served_bytes: u64,
    /// Pieces that were not what they should be.
    pub bad_pieces: u64,
    /// Hosts that were left out of a transfer: unreachable, too slow, or with a bad piece.
    pub left_out: u64,
}

impl Counts {
    /// Adds to a count.
    pub(super) fn add(count: &AtomicU64, more: u64) {
        count.fetch_add(more, Relaxed);
    }

    pub(super) fn now(&self) -> RemoteCounts {
        RemoteCounts {
            finds: self.finds.load(Relaxed),
            copies: self.copies.load(Relaxed),
            pulled_bytes: self.pulled_bytes.load(Relaxed),
            served_bytes: self.served_bytes.load(Relaxed),
            bad_pieces: self.bad_pieces.load(Relaxed),
            left_out: self.left_out.load(Relaxed),
        }
    }
}
