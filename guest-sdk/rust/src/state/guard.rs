//! A lock that is held.

use faaslet_abi::state::{Lock, Version};

use super::{StateError, value::Value};

/// A lock on a value, given back when this is dropped.
///
/// [`Lock::GlobalWrite`]: what was written under it and not pushed is taken back when it is given
/// back, so end with [`Guard::push`]. When the call traps or runs out of time the host gives it
/// back in the same way, and tells the next holder ([`Guard::was_abandoned`]).
#[derive(Debug)]
#[must_use = "a lock is given back when its guard is dropped"]
pub struct Guard<'a> {
    value: &'a Value,
    kind: Lock,
    abandoned: bool,
    held: bool,
}

impl<'a> Guard<'a> {
    pub(super) fn of(value: &'a Value, kind: Lock, abandoned: bool) -> Self {
        Self { value, kind, abandoned, held: true }
    }

    /// Whether the last holder of the global write lock never gave it back: what it had not pushed
    /// is lost, and what it had may be half of its work.
    pub fn was_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Pushes the value's changes and gives the lock back.
    ///
    /// # Errors
    /// See [`StateError`]; the lock is given back all the same.
    pub fn push(mut self) -> Result<Version, StateError> {
        let pushed = self.value.push(0, None, None);
        self.held = false;
        let unlocked = self.value.unlock(self.kind);
        pushed.and_then(|version| unlocked.map(|()| version))
    }

    /// Gives the lock back, and says so if it was lost.
    ///
    /// # Errors
    /// [`faaslet_abi::Status::LockLost`].
    pub fn unlock(mut self) -> Result<(), StateError> {
        self.held = false;
        self.value.unlock(self.kind)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.held {
            // Nobody could be told here; `unlock` is for those who want to know.
            let _ = self.value.unlock(self.kind);
        }
    }
}
