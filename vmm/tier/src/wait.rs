//! Waiting on a word of a value until somebody says that it changed.
//!
//! Looking at the word and joining the queue are one step with respect to a notification: both
//! happen under the queue's lock, so who stores and then notifies finds either a waiter in the
//! queue or one that sees the store.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use crate::error::TierError;
use crate::sys::WORD_BYTES;
use crate::task::{MAX_WAITERS, Task, Wake};
use crate::value::Value;

/// What asking to wait gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitStart {
    /// The task waits now.
    Queued,
    /// The word holds something else: nothing to wait for.
    Other,
}

#[derive(Debug, Default)]
pub(crate) struct Waits {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By offset of the word. Invariant: no queue is empty.
    queues: HashMap<u64, VecDeque<Task>>,
    /// Invariant: how many are in all queues.
    waiting: usize,
}

impl Value {
    /// Waits on the word at `offset`, if it holds `expected`. Who waits is woken by
    /// [`Value::notify`], asks [`Value::poll_wait`], and gives up by [`Value::cancel_wait`].
    pub fn wait(&self, task: Task, offset: u64, expected: u32) -> Result<WaitStart, TierError> {
        let table = self.table();
        self.check_there(&table)?;
        if !offset.is_multiple_of(WORD_BYTES) {
            return Err(self.invalid("expected a word at a multiple of 4"));
        }
        self.check_range(&table, offset, WORD_BYTES)?;
        let mut state = self.waits.state();
        if self.load_word(offset)? != expected {
            return Ok(WaitStart::Other);
        }
        if state.waiting >= MAX_WAITERS {
            return Err(self.too_many("calls that wait on words", MAX_WAITERS));
        }
        state.queues.entry(offset).or_default().push_back(task);
        state.waiting += 1;
        Ok(WaitStart::Queued)
    }

    /// Whether the task's wait on that word is over.
    pub fn poll_wait(&self, task: Task, offset: u64) -> Poll<()> {
        let state = self.waits.state();
        let waits = state.queues.get(&offset).is_some_and(|queue| queue.contains(&task));
        if waits { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Ends the wait; ready if somebody had woken the task before.
    pub fn cancel_wait(&self, task: Task, offset: u64) -> Poll<()> {
        let mut state = self.waits.state();
        let Some(queue) = state.queues.get_mut(&offset) else { return Poll::Ready(()) };
        let Some(at) = queue.iter().position(|&waiting| waiting == task) else {
            return Poll::Ready(());
        };
        queue.remove(at);
        state.forget(offset, 1);
        Poll::Pending
    }

    /// Wakes at most `count` of those who wait on the word at `offset`, the first come first.
    pub fn notify(&self, offset: u64, count: u32) -> Wake {
        let mut state = self.waits.state();
        let Some(queue) = state.queues.get_mut(&offset) else { return Wake::nobody() };
        let count = queue.len().min(count as usize);
        let wake = Wake(queue.drain(..count).collect());
        state.forget(offset, count);
        wake
    }

    /// Wakes all who wait on any word: there is nothing left to wait for.
    pub(crate) fn notify_all(&self) -> Wake {
        let mut state = self.waits.state();
        state.waiting = 0;
        Wake(state.queues.drain().flat_map(|(_, queue)| queue).collect())
    }
}

impl Waits {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// After `count` have left the queue of the word at `offset`.
    fn forget(&mut self, offset: u64, count: usize) {
        self.waiting -= count;
        if self.queues.get(&offset).is_some_and(VecDeque::is_empty) {
            self.queues.remove(&offset);
        }
    }
}
