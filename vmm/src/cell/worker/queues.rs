//! Calls that wait for a slot: in order, not past their deadline, and not for ever because other
//! functions have more to do.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faaslet_abi::Outcome;

use super::timers::{Sleeper, arm};
use super::{MAX_QUEUED_CALLS, Origin, Outside, Warm, Worker};
use crate::cell::call::{Answer, Call, Refusal};

/// Queued calls of one function that a slot serves while other functions wait for a slot.
const MAX_IN_A_ROW: u32 = 64;

/// Longest time that a chained call waits for a slot: those that hold the slots may all wait for
/// calls like it, and then none would ever become free.
const MAX_CHAINED_WAIT: Duration = Duration::from_secs(1);

/// A call that waits for a slot.
pub(super) struct Queued {
    pub(super) call: Call,
    pub(super) origin: Origin,
    /// How long it waits.
    pub(super) until: Instant,
    /// Its place in the order in which calls came, over all functions.
    pub(super) order: u64,
}

impl<O: Outside> Worker<O> {
    /// Lets a call wait for a slot, those that were chained before all others: their callers hold
    /// slots meanwhile.
    pub(super) fn queue(&mut self, number: u32, call: Call, origin: Origin) {
        let Some(warm) = self.functions.get(&number) else { return };
        if warm.queue.len() >= MAX_QUEUED_CALLS {
            let why = format!("{MAX_QUEUED_CALLS} calls wait for one");
            let answer = self.no_room(&warm.function, &why);
            return self.deliver(origin, answer);
        }
        let until = match origin {
            Origin::Outside(_) => call.deadline,
            Origin::Parent(_) => call.deadline.min(Instant::now() + MAX_CHAINED_WAIT),
        };
        let Some(warm) = self.functions.get_mut(&number) else { return };
        let before = |waiting: &Queued| waiting.call.depth > 0;
        let chained = call.depth > 0;
        let at = if chained { warm.queue.partition_point(before) } else { warm.queue.len() };
        self.arrived += 1;
        warm.queue.insert(at, Queued { call, origin, until, order: self.arrived });
        self.queued += 1;
        arm(&mut self.timers, &mut warm.timer, Sleeper::Queue(number), until);
    }

    /// Ends a call that waits, if it does. It is answered like any other: who counts the calls of
    /// this worker is not who has gone.
    pub(super) fn cancel_queued(&mut self, origin: Origin) {
        let mut cancelled = 0;
        for warm in self.functions.values_mut() {
            let before = warm.queue.len();
            warm.queue.retain(|waiting| waiting.origin != origin);
            cancelled += before - warm.queue.len();
        }
        self.queued -= cancelled;
        if cancelled > 0 {
            let text = "the call was cancelled while it waited for a slot";
            self.deliver(origin, Answer::refused(Refusal::Cancelled, text));
        }
    }

    /// Answers queued calls that have waited long enough.
    pub(super) fn expire(&mut self, number: u32, now: Instant) {
        let Some(warm) = self.functions.get_mut(&number) else { return };
        warm.timer = None;
        let queue = std::mem::take(&mut warm.queue);
        let (late, kept): (VecDeque<_>, _) =
            queue.into_iter().partition(|waiting| waiting.until <= now);
        warm.queue = kept;
        self.queued -= late.len();
        if let Some(next) = warm.queue.iter().map(|waiting| waiting.until).min() {
            arm(&mut self.timers, &mut warm.timer, Sleeper::Queue(number), next);
        }
        let function = Arc::clone(&warm.function);
        for Queued { call, origin, until, .. } in late {
            let answer = if until < call.deadline {
                self.no_room(&function, "a chained call does not wait for one that may wait for it")
            } else {
                let text = "the call's deadline passed while it waited for a slot";
                Answer::message(Outcome::TimedOut, text)
            };
            self.deliver(origin, answer);
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
        let front = warm.queue.front().filter(|waiting| waiting.call.mode == mode && !yields);
        if let Some(depth) = front.map(|waiting| waiting.call.depth)
            && self.take_turn(number, depth)
            && let Some(waiting) = self.pop_queued(number)
        {
            return self.begin(index, waiting.call, waiting.origin);
        }
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        let Some(warm) = self.functions.get_mut(&number) else { return };
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
        let waiting = self.pop_queued(number)?;
        if let Some(task) = self.place_for(number, &waiting.call) {
            return Some((task, waiting));
        }
        self.queued += 1;
        self.functions.get_mut(&number)?.queue.push_front(waiting);
        None
    }

    /// Takes the oldest queued call of a function.
    pub(super) fn pop_queued(&mut self, number: u32) -> Option<Queued> {
        let waiting = self.functions.get_mut(&number)?.queue.pop_front()?;
        self.queued -= 1;
        Some(waiting)
    }
}
