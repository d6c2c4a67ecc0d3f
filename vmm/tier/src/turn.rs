//! A turnstile: one push or pull of a value is under way at a time, first come, first served.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use crate::task::{MAX_WAITERS, QueueFull, Task, Wake};

/// Whose turn it is, and who waits for one.
#[derive(Debug, Default)]
pub struct Turn {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    holder: Option<Task>,
    /// Invariant: empty while there is no holder; holds no task twice, nor the holder.
    queue: VecDeque<Task>,
}

impl Turn {
    /// Asks for the turn, or whether it has come: ready from then on until the task leaves.
    ///
    /// # Errors
    /// [`QueueFull`] when too many wait already.
    pub fn ask(&self, task: Task) -> Result<Poll<()>, QueueFull> {
        let mut state = self.state();
        match state.holder {
            None => state.holder = Some(task),
            Some(holder) if holder == task => {}
            Some(_) if state.queue.contains(&task) => return Ok(Poll::Pending),
            Some(_) if state.queue.len() >= MAX_WAITERS => return Err(QueueFull),
            Some(_) => {
                state.queue.push_back(task);
                return Ok(Poll::Pending);
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Ends the task's turn, or its wait for one; the next in the queue has the turn then.
    pub fn leave(&self, task: Task) -> Wake {
        let mut state = self.state();
        if state.holder != Some(task) {
            state.queue.retain(|&waiting| waiting != task);
            return Wake::nobody();
        }
        state.holder = state.queue.pop_front();
        state.holder.into()
    }

    /// Whose turn it is.
    pub fn holder(&self) -> Option<Task> {
        self.state().holder
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn turns_go_in_the_order_of_asking_and_past_those_who_left() {
        let turn = Turn::default();
        assert_eq!(turn.ask(Task(1)), Ok(Poll::Ready(())));
        for waiting in 2..=4 {
            assert_eq!(turn.ask(Task(waiting)), Ok(Poll::Pending));
            assert_eq!(turn.ask(Task(waiting)), Ok(Poll::Pending), "asking again takes no place");
        }
        assert_eq!(turn.ask(Task(1)), Ok(Poll::Ready(())));
        assert_eq!(turn.leave(Task(2)), Wake::nobody());
        assert_eq!(turn.leave(Task(1)).0, [Task(3)]);
        assert_eq!(turn.ask(Task(4)), Ok(Poll::Pending));
        assert_eq!(turn.leave(Task(3)).0, [Task(4)]);
        assert_eq!(turn.leave(Task(4)), Wake::nobody());
        assert_eq!(turn.holder(), None);
    }

    #[test]
    fn a_queue_has_an_end() {
        let turn = Turn::default();
        for task in 0..=MAX_WAITERS as u128 {
            let _ = turn.ask(Task(task)).unwrap();
        }
        assert_eq!(turn.ask(Task(u128::MAX)), Err(QueueFull));
    }
}
