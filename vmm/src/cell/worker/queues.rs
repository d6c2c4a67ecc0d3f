//! Calls that wait for a slot: in order, not past their deadline, and not for ever because other
//! functions have more to do.

use std::collections::VecDeque;
use std::time::Instant;

use faaslet_abi::Outcome;

use super::timers::{Sleeper, arm};
use super::{Origin, Outside, Warm, Worker};
use crate::cell::call::{Answer, Call};

/// Queued calls of one function that a slot serves while other functions wait for a slot.
const MAX_IN_A_ROW: u32 = 64;

/// A call from outside that waits for a slot.
pub(super) struct Queued {
    pub(super) call: Call,
    pub(super) origin: Origin,
    /// Its place in the order in which calls came, over all functions.
    pub(super) order: u64,
}

impl<O: Outside> Worker<O> {
    /// Answers queued calls whose deadline has passed.
    pub(super) fn expire(&mut self, number: u32, now: Instant) {
        let Some(warm) = self.functions.get_mut(&number) else { return };
        warm.timer = None;
        let queue = std::mem::take(&mut warm.queue);
        let (late, kept): (VecDeque<_>, _) =
            queue.into_iter().partition(|waiting| waiting.call.deadline <= now);
        warm.queue = kept;
        self.queued -= late.len();
        if let Some(next) = warm.queue.iter().map(|waiting| waiting.call.deadline).min() {
            arm(&mut self.timers, &mut warm.timer, Sleeper::Queue(number), next);
        }
        for Queued { origin, .. } in late {
            let text = "the call's deadline passed while it waited for a slot";
            self.deliver(origin, Answer::message(Outcome::TimedOut, text));
        }
        self.forget(number);
    }

    /// A slot is free: the next call of its function, or of another one, gets it.
    pub(super) fn idle(&mut self, index: u32) {
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        let (number, mode) = (task.function, task.mode);
        let Some(warm) = self.functions.get_mut(&number) else { return };
        let others = self.queued > warm.queue.len();
        warm.in_a_row = if others { warm.in_a_row + 1 } else { 0 };
        let yields = warm.in_a_row > MAX_IN_A_ROW;
        let fits = warm.queue.front().is_some_and(|waiting| waiting.call.mode == mode);
        if fits
            && !yields
            && let Some(Queued { call, origin, .. }) = warm.queue.pop_front()
        {
            self.queued -= 1;
            return self.begin(index, call, origin);
        }
        warm.in_a_row = 0;
        if warm.named {
            task.idle = true;
            warm.idle[mode as usize].push(index);
        } else {
            self.retire(number, index);
            self.forget(number);
        }
        self.serve_queues(number);
    }

    /// Starts queued calls for which there is a slot now: a slot of `last` became free, and may
    /// serve another function, or calls that go in the other way. Oldest first, `last` at the end.
    pub(super) fn serve_queues(&mut self, last: u32) {
        if self.queued == 0 {
            return;
        }
        let front = |(number, warm): (&u32, &Warm)| {
            Some((*number == last, warm.queue.front()?.order, *number))
        };
        let mut waiting: Vec<_> = self.functions.iter().filter_map(front).collect();
        waiting.sort_unstable();
        for (.., number) in waiting {
            while let Some((task, Queued { call, origin, .. })) = self.next_queued(number) {
                self.begin(task, call, origin);
            }
        }
    }

    /// The oldest queued call of a function, and a slot for it.
    fn next_queued(&mut self, number: u32) -> Option<(u32, Queued)> {
        let mode = self.functions.get(&number)?.queue.front()?.call.mode;
        let task = self.idle_task(number, mode).or_else(|| self.make_room(number, mode))?;
        let waiting = self.functions.get_mut(&number)?.queue.pop_front()?;
        self.queued -= 1;
        Some((task, waiting))
    }
}
