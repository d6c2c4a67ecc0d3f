//! What the metrics tell of state: requests of each tenant on this host, and of its disk.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faaslet_state::message::{Body, Failure, Reply};
use faaslet_state::session::SessionError;

use super::super::lock::lock;

/// Names of the kinds of requests.
pub const KINDS: [&str; 14] = [
    "create", "stat", "pull", "push", "append", "resize", "delete", "lock", "unlock", "open",
    "close", "list", "versions", "watch",
];
/// A group of batches counts in the first of these that it is not larger than, or in one more.
pub const GROUP_SIZES: [u64; 7] = [1, 2, 4, 8, 16, 64, 256];

/// The number of a request's kind.
pub(super) fn kind(body: &Body) -> usize {
    match body {
        Body::Create { .. } => 0,
        Body::Stat => 1,
        Body::Pull { .. } => 2,
        Body::Push { .. } => 3,
        Body::Append { .. } => 4,
        Body::Resize { .. } => 5,
        Body::Delete { .. } => 6,
        Body::Lock { .. } => 7,
        Body::Unlock { .. } => 8,
        Body::Open { .. } => 9,
        Body::Close { .. } => 10,
        Body::List { .. } | Body::Renew { .. } | Body::End { .. } => 11,
        Body::Versions => 12,
        Body::Watch { .. } => 13,
    }
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) kind: usize,
    pub(super) at: Instant,
}

/// Of one tenant.
#[derive(Debug, Default)]
pub(super) struct TenantCounts {
    requests: [AtomicU64; KINDS.len()],
    failed: AtomicU64,
    conflicts: AtomicU64,
    pushed_bytes: AtomicU64,
    pulled_bytes: AtomicU64,
    lock_waits: AtomicU64,
    lock_wait_us: AtomicU64,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Bounded by the number of tenants of this host.
    tenants: Mutex<BTreeMap<Arc<str>, Arc<TenantCounts>>>,
    groups: [AtomicU64; GROUP_SIZES.len() + 1],
    batches: AtomicU64,
    failed_groups: AtomicU64,
}

/// What was counted for one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantCount {
    /// Requests, in the order of [`KINDS`].
    pub requests: [u64; KINDS.len()],
    /// Those that were refused or not answered.
    pub failed: u64,
    /// Of those, for another version than expected.
    pub conflicts: u64,
    /// Payloads of pushes and appends.
    pub pushed_bytes: u64,
    /// Payloads of pulls.
    pub pulled_bytes: u64,
    /// Locks that were asked for.
    pub lock_waits: u64,
    /// How long they took, until granted or refused.
    pub lock_wait: Duration,
}

/// What was counted of the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskCount {
    /// Groups that were stored, by [`GROUP_SIZES`].
    pub groups: [u64; GROUP_SIZES.len() + 1],
    /// Batches in them.
    pub batches: u64,
    /// Groups that were not stored.
    pub failed_groups: u64,
}

impl TenantCounts {
    pub(super) fn asked(&self, body: &Body, payload: &[u8]) {
        self.requests[kind(body)].fetch_add(1, Relaxed);
        self.pushed_bytes.fetch_add(payload.len() as u64, Relaxed);
    }

    pub(super) fn ended(&self, asked: Asked, result: &Result<(Reply, Bytes), SessionError>) {
        match result {
            Ok((Reply::Pulled { .. }, payload)) => {
                self.pulled_bytes.fetch_add(payload.len() as u64, Relaxed);
            }
            Ok(_) => {}
            Err(error) => {
                self.failed.fetch_add(1, Relaxed);
                if let SessionError::Refused(Failure::Conflict { .. }) = error {
                    self.conflicts.fetch_add(1, Relaxed);
                }
            }
        }
        if KINDS[asked.kind] == "lock" {
            self.lock_waits.fetch_add(1, Relaxed);
            self.lock_wait_us.fetch_add(asked.at.elapsed().as_micros() as u64, Relaxed);
        }
    }

    fn count(&self) -> TenantCount {
        TenantCount {
            requests: std::array::from_fn(|kind| self.requests[kind].load(Relaxed)),
            failed: self.failed.load(Relaxed),
            conflicts: self.conflicts.load(Relaxed),
            pushed_bytes: self.pushed_bytes.load(Relaxed),
            pulled_bytes: self.pulled_bytes.load(Relaxed),
            lock_waits: self.lock_waits.load(Relaxed),
            lock_wait: Duration::from_micros(self.lock_wait_us.load(Relaxed)),
        }
    }
}

impl Counts {
    pub(super) fn tenant(&self, name: &str) -> Arc<TenantCounts> {
        let mut tenants = lock(&self.tenants);
        if let Some(known) = tenants.get(name) {
            return Arc::clone(known);
        }
        Arc::clone(tenants.entry(name.into()).or_default())
    }

    pub(super) fn stored(&self, batches: usize, is_stored: bool) {
        if !is_stored {
            self.failed_groups.fetch_add(1, Relaxed);
            return;
        }
        let size = GROUP_SIZES.partition_point(|size| *size < batches as u64);
        self.groups[size].fetch_add(1, Relaxed);
        self.batches.fetch_add(batches as u64, Relaxed);
    }

    pub(super) fn tenants(&self) -> Vec<(Arc<str>, TenantCount)> {
        lock(&self.tenants).iter().map(|(name, counts)| (name.clone(), counts.count())).collect()
    }

    pub(super) fn disk(&self) -> DiskCount {
        DiskCount {
            groups: std::array::from_fn(|size| self.groups[size].load(Relaxed)),
            batches: self.batches.load(Relaxed),
            failed_groups: self.failed_groups.load(Relaxed),
        }
    }
}
