//! Locks among the Faaslets of this host: shared or exclusive, first come, first served.
//!
//! Readers next to each other in the queue go together; a reader behind a writer waits for it, so
//! that writers do not starve. A lock is held by a task until it is given back or the task leaves.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use crate::task::{MAX_WAITERS, Task, Wake};

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// With other readers.
    Read,
    /// Alone.
    Write,
}

/// Why a lock is not given, or not taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Locks are not re-entrant.
    #[error("{task} holds this lock, or waits for it, already: unlock first")]
    Twice {
        /// Who asked again.
        task: Task,
    },
    /// Not held, or in the other mode.
    #[error("expected a lock that {task} holds for this; it holds none: lock first")]
    NotHeld {
        /// Who gave it back.
        task: Task,
    },
    /// Too many hold it or wait.
    #[error("expected at most {MAX_WAITERS} calls at one lock: try again later")]
    Full,
}

/// A local lock of one value.
#[derive(Debug, Default)]
pub struct LocalLock {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Invariant: there is a writer or there are readers, never both.
    writer: Option<Task>,
    readers: Vec<Task>,
    /// Invariant: its first could not hold the lock together with those who do.
    queue: VecDeque<(Task, LockMode)>,
}

impl LocalLock {
    /// Asks for the lock. Who gets [`Poll::Pending`] is woken when it has it, which
    /// [`LocalLock::is_held_by`] says too; who gives up waiting [leaves](LocalLock::leave).
    pub fn lock(&self, task: Task, mode: LockMode) -> Result<Poll<()>, LockError> {
        let mut state = self.state();
        if state.knows(task) {
            return Err(LockError::Twice { task });
        }
        if state.readers.len() + state.queue.len() >= MAX_WAITERS {
            return Err(LockError::Full);
        }
        if state.queue.is_empty() && state.allows(mode) {
            state.give(task, mode);
            return Ok(Poll::Ready(()));
        }
        state.queue.push_back((task, mode));
        Ok(Poll::Pending)
    }

    /// Whether the task has the lock, in either mode.
    pub fn is_held_by(&self, task: Task) -> bool {
        self.state().is_held_by(task)
    }

    /// Whether anybody has it.
    pub fn is_held(&self) -> bool {
        let state = self.state();
        state.writer.is_some() || !state.readers.is_empty()
    }

    /// Somebody who has it: what an error names to those who waited in vain.
    pub fn holder(&self) -> Option<Task> {
        let state = self.state();
        state.writer.or_else(|| state.readers.first().copied())
    }

    /// Gives the lock back.
    pub fn unlock(&self, task: Task, mode: LockMode) -> Result<Wake, LockError> {
        let mut state = self.state();
        let held = match mode {
            LockMode::Write => state.writer == Some(task),
            LockMode::Read => state.readers.contains(&task),
        };
        if !held {
            return Err(LockError::NotHeld { task });
        }
        state.take(task);
        Ok(state.admit())
    }

    /// Takes from a task what it holds and its place in the queue: its call is over, or its
    /// patience.
    pub fn leave(&self, task: Task) -> Wake {
        let mut state = self.state();
        state.take(task);
        state.queue.retain(|&(waiting, _)| waiting != task);
        state.admit()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_held_by(&self, task: Task) -> bool {
        self.writer == Some(task) || self.readers.contains(&task)
    }

    fn knows(&self, task: Task) -> bool {
        self.is_held_by(task) || self.queue.iter().any(|&(waiting, _)| waiting == task)
    }

    fn allows(&self, mode: LockMode) -> bool {
        self.writer.is_none() && (mode == LockMode::Read || self.readers.is_empty())
    }

    fn give(&mut self, task: Task, mode: LockMode) {
        match mode {
            LockMode::Read => self.readers.push(task),
            LockMode::Write => self.writer = Some(task),
        }
    }

    fn take(&mut self, task: Task) {
        self.writer = self.writer.filter(|&writer| writer != task);
        self.readers.retain(|&reader| reader != task);
    }

    /// Gives the lock to as many from the head of the queue as can have it together.
    fn admit(&mut self) -> Wake {
        let mut wake = Wake::nobody();
        while let Some(&(task, mode)) = self.queue.front() {
            if !self.allows(mode) {
                break;
            }
            self.give(task, mode);
            self.queue.pop_front();
            wake.0.push(task);
        }
        wake
    }
}
