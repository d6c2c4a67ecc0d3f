//! The thread that stores the owner's batches: all that wait go into one transaction, so that many
//! changes cost one write to the disk.
//!
//! Invariant: batches enter the queue under the owner's lock, in the order of their tickets. What
//! waits is bounded by the owner: at most `MAX_UNSTORED_BYTES` of changes.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;

use faaslet_state::owner::{Batch, Ticket};

use super::super::lock::lock;
use super::States;
use super::disk::{Disk, DiskError};

/// Most batches in one transaction.
const MAX_GROUP: usize = 4096;
/// Most records in one transaction, but for a single batch.
const MAX_GROUP_RECORDS: usize = 8192;

/// Batches on their way to the disk.
#[derive(Debug, Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    batches: VecDeque<(Ticket, Batch)>,
    /// A group is being stored.
    busy: bool,
    stopped: bool,
}

impl Queue {
    /// Takes a batch. The owner is locked by the caller.
    pub(super) fn push(&self, ticket: Ticket, batch: Batch) {
        let mut inner = lock(&self.inner);
        inner.batches.push_back((ticket, batch));
        if !inner.busy {
            self.changed.notify_all();
        }
    }

    /// Forgets what waits: the owner has taken it back. The owner is locked by the caller.
    pub(super) fn clear(&self) {
        lock(&self.inner).batches.clear();
    }

    /// Stores what waits, then takes nothing more.
    fn stop(&self) {
        lock(&self.inner).stopped = true;
        self.changed.notify_all();
    }

    /// All that wait, within bounds; nothing after the end.
    fn next(&self) -> Vec<(Ticket, Batch)> {
        let mut inner = lock(&self.inner);
        inner.busy = false;
        while inner.batches.is_empty() && !inner.stopped {
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        inner.busy = true;
        let mut records = 0;
        let mut group = Vec::new();
        while let Some((ticket, batch)) = inner.batches.pop_front() {
            records += batch.len();
            if !group.is_empty() && (records > MAX_GROUP_RECORDS || group.len() == MAX_GROUP) {
                inner.batches.push_front((ticket, batch));
                break;
            }
            group.push((ticket, batch));
        }
        group
    }
}

/// The thread, and its end.
#[derive(Debug)]
pub(super) struct Committer {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<Disk>>>,
}

impl Committer {
    /// Starts the thread.
    pub(super) fn start(
        states: Weak<States>,
        queue: Arc<Queue>,
        mut disk: Disk,
    ) -> std::io::Result<Self> {
        let waiting = Arc::clone(&queue);
        let run = move || {
            loop {
                let group = waiting.next();
                if group.is_empty() {
                    return disk;
                }
                let stored = disk.store_or_reopen(group.iter().map(|(_, batch)| batch));
                if let Some(states) = states.upgrade() {
                    states.stored(&group, stored);
                }
            }
        };
        let thread =
            std::thread::Builder::new().name("faaslet-state-disk".to_owned()).spawn(run)?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)) })
    }

    /// Stores what waits, then `records`, and ends. Nothing may be pushed any more.
    pub(super) fn finish(&self, records: &Batch) -> Option<Result<(), DiskError>> {
        self.queue.stop();
        let thread = lock(&self.thread).take()?;
        let mut disk = thread.join().ok()?;
        Some(disk.store(std::iter::once(records)))
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue.stop();
        let thread = lock(&self.thread).take();
        // The last handle on the states may be dropped by this thread itself.
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic was told when it happened.
            let _ = thread.join();
        }
    }
}

impl States {
    /// A group is on the disk, or is not.
    fn stored(self: &Arc<Self>, group: &[(Ticket, Batch)], stored: Result<(), DiskError>) {
        let (Some((first, _)), Some((last, _))) = (group.first(), group.last()) else { return };
        self.counts.stored(group.len(), stored.is_ok());
        let works = match stored {
            Ok(()) => self.owner.persisted(*last),
            Err(error) => {
                tracing::error!(%error, batches = group.len(), "state was not stored");
                self.owner.storage_failed(*first, &error.to_string())
            }
        };
        self.run(works);
    }
}
