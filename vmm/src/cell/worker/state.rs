//! State as a worker sees it: whose wait is over, what goes to the owners of values, and what comes
//! back.

use faaslet_tier::Task;

use super::{Outside, Worker};
use crate::cell::exchange::{LeftState, Phase};
use crate::cell::local::{Replied, place_of, serial_of, worker_of};

impl<O: Outside> Worker<O> {
    /// Sends out what a Faaslet left on its desk.
    pub(super) fn send_state(&mut self, left: LeftState) {
        let Some((asks, woken)) = left else { return };
        for ask in asks {
            if let Err((ask, error)) = self.outside.ask(ask) {
                self.replied(ask.task, ask.number, Err(error));
            }
        }
        for task in woken {
            if worker_of(task) == self.number {
                self.wake_task(task);
            } else {
                self.outside.wake(task);
            }
        }
    }

    /// The end of a request to an owner; dropped when its call has ended.
    pub fn replied(&mut self, task: Task, number: u64, replied: Replied) {
        let Some(waiting) = self.waiting(task) else { return };
        waiting.exchange.desk().replied = Some((number, replied));
        self.wake_task(task);
    }

    /// Lets a call look again at what it waits for, if it is still there and waits.
    pub fn wake_task(&mut self, task: Task) {
        let Some(waiting) = self.waiting(task) else { return };
        let mut desk = waiting.exchange.desk();
        if matches!(desk.phase, Phase::Waiting(_)) {
            desk.phase = Phase::Runnable;
            drop(desk);
            self.ready.push_back(place_of(task));
        }
    }

    fn waiting(&self, task: Task) -> Option<&super::Task> {
        let there = self.tasks.get(place_of(task) as usize)?.as_ref()?;
        (there.serial == serial_of(task) && there.origin.is_some()).then_some(there)
    }
}
