//! Locks that a call has, or waits for, and how they are given back.

use std::sync::Arc;

use faaslet_abi::state::Lock;
use faaslet_state::Version;
use faaslet_state::message::{Body, Stamp};
use faaslet_tier::{TierError, Value};

use super::held::Held;
use crate::cell::local::Unfinished;

/// Locks that a call may hold at a time.
pub(super) const MAX_LOCKS: usize = 1024;

/// See the module.
#[derive(Default)]
pub(super) struct Locks(Vec<HeldLock>);

/// One lock.
pub(super) struct HeldLock {
    pub(super) value: Arc<Value>,
    pub(super) kind: Lock,
    /// It stands in the queue of the local lock.
    pub(super) waiting: bool,
    /// The lock at the owner: asked for under this stamp.
    pub(super) asked: Option<Stamp>,
    /// Its token, once it was granted.
    pub(super) fence: Option<Version>,
    /// What others here had not pushed before is pushed: what is changed is the holder's alone.
    pub(super) settled: bool,
}

/// Whether it is a lock among the calls of this host alone.
pub(super) fn is_local(kind: Lock) -> bool {
    matches!(kind, Lock::LocalRead | Lock::LocalWrite)
}

impl Locks {
    pub(super) fn push(&mut self, lock: HeldLock) {
        self.0.push(lock);
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX_LOCKS
    }

    pub(super) fn find(&mut self, value: &Arc<Value>, kind: Lock) -> Option<&mut HeldLock> {
        self.0.iter_mut().find(|lock| lock.kind == kind && Arc::ptr_eq(&lock.value, value))
    }

    pub(super) fn take(&mut self, value: &Arc<Value>, kind: Lock) -> Option<HeldLock> {
        let found = |lock: &HeldLock| lock.kind == kind && Arc::ptr_eq(&lock.value, value);
        let at = self.0.iter().position(found)?;
        Some(self.0.swap_remove(at))
    }

    /// Whether the call has a lock of the value that this one would have to wait for.
    pub(super) fn conflicts(&self, value: &Arc<Value>, kind: Lock) -> bool {
        let conflicts = |lock: &HeldLock| {
            let both = [lock.kind, kind];
            is_local(lock.kind) == is_local(kind) || both.contains(&Lock::GlobalWrite)
        };
        self.0.iter().any(|lock| Arc::ptr_eq(&lock.value, value) && conflicts(lock))
    }

    /// The token that goes with every change of the value.
    pub(super) fn fence(&self, value: &Arc<Value>) -> Option<Version> {
        let write =
            |lock: &&HeldLock| lock.kind == Lock::GlobalWrite && Arc::ptr_eq(&lock.value, value);
        self.0.iter().find(write)?.fence
    }
}

impl Held {
    /// Gives every lock back, as one whose holder did not.
    pub(super) fn abandon_locks(&mut self) {
        for lock in std::mem::take(&mut self.locks.0) {
            let told = Self::unlock_body(&lock, true);
            // What cannot be taken back stays changed, and says so when it is pushed.
            let _ = self.let_go(&lock);
            if let Some(body) = told {
                self.tell(lock.value.key(), body);
            }
        }
    }

    /// What to tell the owner, if the lock was asked for there.
    pub(super) fn unlock_body(lock: &HeldLock, abandoned: bool) -> Option<Body> {
        let stamp = lock.asked?;
        let fence = lock.fence.unwrap_or(Version::NONE);
        // Nobody can have written under one to read, or one that was never granted.
        let wrote = lock.kind == Lock::GlobalWrite && lock.fence.is_some();
        Some(Body::Unlock { stamp, fence, abandoned: abandoned && wrote })
    }

    /// Gives back what it has of a lock on this host; changes that were not pushed under a global
    /// write lock go.
    pub(super) fn let_go(&self, lock: &HeldLock) -> Result<(), TierError> {
        let HeldLock { value, kind, settled, .. } = lock;
        let reverted = match kind {
            Lock::GlobalWrite => self.local.with_unfinished(value, |push| {
                value.end_exclusive(self.task, *settled, push.map(|push| &push.prepared))
            }),
            _ => Ok(()),
        };
        if *kind != Lock::GlobalRead {
            self.wake(value.lock().leave(self.task));
        }
        reverted
    }

    /// The owner does not know the lock any more that a push was sent under: what was written under
    /// it is taken back, and the lock is gone if this call has it still.
    pub(super) fn lost(&mut self, push: Unfinished) -> Result<(), TierError> {
        let value = push.value;
        if push.is_holders {
            value.push_lost(&push.prepared)?;
        } else {
            value.push_failed(push.prepared);
        }
        if self.locks.fence(&value) == push.fence
            && let Some(lock) = self.locks.take(&value, Lock::GlobalWrite)
        {
            return self.let_go(&lock);
        }
        Ok(())
    }

    /// Whether all that is not pushed of a value was written under this call's lock.
    pub(super) fn has_alone(&self, value: &Arc<Value>) -> bool {
        self.locks.0.iter().any(|lock| lock.settled && Arc::ptr_eq(&lock.value, value))
    }
}
