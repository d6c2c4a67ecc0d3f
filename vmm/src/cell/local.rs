//! The local tier as a cell has it: the tenant's values on this host, shared by all its workers.
//!
//! What it is: the one tier of the cell, the numbers of its changes, and the pushes whose end is
//! not known. What it is not: who waits and who asks (that is each call's, `host/state`), or the
//! way to the owners (the worker's ring, and the monitor behind it).

mod counts;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use faaslet_state::message::{Body, Reply, SessionId, Stamp};
use faaslet_state::{Key, SessionError};
use faaslet_tier::{Prepared, Task, Tier, Tracker, Value};

pub use counts::Count;
use counts::Counters;

use crate::wire::StateCounts;

/// What came of a request to an owner, and the bytes beside it.
pub type Replied = Result<(Reply, Vec<u8>), SessionError>;

/// A request to the owner of a key, on its way out of a Faaslet.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Whose it is.
    pub task: Task,
    /// Its number among the requests of that call; nobody waits for the answer to number 0.
    pub number: u64,
    /// The key; the prefix of a `List`.
    pub key: String,
    /// What is asked. The monitor puts its session in.
    pub body: Body,
    /// What goes beside it.
    pub payload: Vec<u8>,
    /// Until when an answer is of use.
    pub deadline: std::time::Instant,
}

/// A push that was sent, and whose end this host does not know.
#[derive(Debug)]
pub(crate) struct Unfinished {
    pub(crate) value: Arc<Value>,
    pub(crate) prepared: Prepared,
    pub(crate) stamp: Stamp,
    pub(crate) expected: Option<faaslet_state::Version>,
    /// The token of the global write lock that it was sent under.
    pub(crate) fence: Option<faaslet_state::Version>,
}

/// See the module.
#[derive(Debug)]
pub struct LocalTier {
    tier: Tier,
    sequence: AtomicU64,
    /// Invariant: what is in here, its value has as sent. It is sent again, with the same stamp,
    /// by whoever has the value's turn next.
    unfinished: Mutex<HashMap<Key, Unfinished>>,
    counters: Counters,
}

impl LocalTier {
    /// A tier of at most so many bytes of memory.
    pub fn new(budget_bytes: u64, tracker: Tracker) -> Self {
        Self {
            tier: Tier::new(budget_bytes, tracker),
            sequence: AtomicU64::new(0),
            unfinished: Mutex::default(),
            counters: Counters::default(),
        }
    }

    /// The values.
    pub fn tier(&self) -> &Tier {
        &self.tier
    }

    /// The stamp of the next change or lock. The monitor puts its session in.
    pub(crate) fn stamp(&self) -> Stamp {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        Stamp { session: SessionId(0), sequence }
    }

    /// Keeps a push that is about to be sent.
    pub(crate) fn sent(&self, push: Unfinished) {
        self.lock().insert(push.value.key().clone(), push);
    }

    /// Takes the push of a value whose end is not known.
    pub(crate) fn unfinished(&self, value: &Arc<Value>) -> Option<Unfinished> {
        let push = self.lock().remove(value.key())?;
        // One of another value of the same name, that was deleted: there is nothing to tell it.
        Arc::ptr_eq(&push.value, value).then_some(push)
    }

    /// Counts something.
    pub(crate) fn count(&self, what: Count, by: u64) {
        self.counters.add(what, by);
    }

    /// What it has and has done.
    pub fn counts(&self) -> StateCounts {
        let unfinished = self.lock().len() as u64;
        self.counters.read(self.tier.usage(), unfinished)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Unfinished>> {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name under which a call waits, locks and maps: its worker, its place there, and which of
/// the worker's calls it is.
pub fn task_of(worker: u32, place: u32, serial: u64) -> Task {
    Task(u128::from(worker) << 96 | u128::from(place) << 64 | u128::from(serial))
}

/// The worker of a task.
pub fn worker_of(task: Task) -> u32 {
    (task.0 >> 96) as u32
}

/// The place of a task on its worker.
pub(crate) fn place_of(task: Task) -> u32 {
    (task.0 >> 64) as u32
}

/// Which of its worker's calls a task is.
pub(crate) fn serial_of(task: Task) -> u64 {
    task.0 as u64
}
