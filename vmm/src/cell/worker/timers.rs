//! When what waits is woken: at most one timer for each task and each queue, so that a Faaslet that
//! waits again and again leaves nothing behind.

use std::collections::BTreeSet;
use std::time::Instant;

use super::{Outside, Worker};
use crate::cell::exchange::Phase;

/// What a timer wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sleeper {
    /// A Faaslet, by its place.
    Task(u32),
    /// The queue of a function.
    Queue(u32),
}

impl<O: Outside> Worker<O> {
    /// When the earliest timer runs out.
    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Wakes what has waited long enough.
    pub fn fire(&mut self, now: Instant) {
        while let Some((at, sleeper)) = self.timers.first().copied() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            match sleeper {
                Sleeper::Task(task) => self.wake(task, now),
                Sleeper::Queue(number) => self.expire(number, now),
            }
        }
    }

    fn wake(&mut self, index: u32, now: Instant) {
        let Some(Some(task)) = self.tasks.get_mut(index as usize) else { return };
        task.timer = None;
        let mut desk = task.exchange.desk();
        let Some(until) = desk.phase.until() else { return };
        if until > now {
            // It has been woken otherwise since, and waits for something else.
            return arm(&mut self.timers, &mut task.timer, Sleeper::Task(index), until);
        }
        desk.phase = Phase::Runnable;
        self.ready.push_back(index);
    }
}

/// Makes sure that something wakes `sleeper` at `until` or before; `armed` is the one timer that
/// it has.
pub(super) fn arm(
    timers: &mut BTreeSet<(Instant, Sleeper)>,
    armed: &mut Option<Instant>,
    sleeper: Sleeper,
    until: Instant,
) {
    match *armed {
        Some(at) if at <= until => return,
        Some(at) => drop(timers.remove(&(at, sleeper))),
        None => {}
    }
    timers.insert((until, sleeper));
    *armed = Some(until);
}

#[cfg(test)]
impl<O> Worker<O> {
    /// How many timers there are.
    pub(crate) fn timers(&self) -> usize {
        self.timers.len()
    }
}
