//! How far a function is on its way here, for those who watch.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use faaslet_net::ship::Stage;

use super::super::lock::lock;

/// See the module.
#[derive(Debug)]
pub(in crate::monitor) struct Progress {
    stage: Mutex<Stage>,
    total_bytes: AtomicU64,
    moved_bytes: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        let stage = Mutex::new(Stage::Find);
        Self { stage, total_bytes: AtomicU64::new(0), moved_bytes: AtomicU64::new(0) }
    }
}

impl Progress {
    pub(super) fn enter(&self, stage: Stage) {
        *lock(&self.stage) = stage;
    }

    pub(super) fn stage(&self) -> Stage {
        *lock(&self.stage)
    }

    /// So many bytes belong to the function.
    pub(super) fn expect(&self, bytes: u64) {
        self.total_bytes.store(bytes, Relaxed);
    }

    /// So many came from another host.
    pub(super) fn moved(&self, bytes: u64) {
        self.moved_bytes.fetch_add(bytes, Relaxed);
    }

    /// What was moved, and what belongs to it.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.moved_bytes.load(Relaxed), self.total_bytes.load(Relaxed))
    }
}
