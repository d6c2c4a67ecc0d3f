//! Whether a call may begin: a turn among its function's calls, and a slot.

use std::sync::Arc;

use super::{CHAINED_ONE_IN, Origin, Outside, Worker};
use crate::cell::call::{Answer, Call, Mode, Refusal};
use crate::cell::function::Function;
use crate::cell::turns::Turns;

impl<O: Outside> Worker<O> {
    /// Begins a call if there is a turn and a slot for it; gives it back otherwise.
    pub(super) fn place(&mut self, number: u32, call: Call, origin: Origin) -> Result<(), Call> {
        match self.place_for(number, &call) {
            Some(task) => {
                self.begin(task, call, origin);
                Ok(())
            }
            None => Err(call),
        }
    }

    /// A slot in which the call may begin at once, with a turn taken for it.
    pub(super) fn place_for(&mut self, number: u32, call: &Call) -> Option<u32> {
        if !self.take_turn(number, call.depth) {
            return None;
        }
        let (mode, slot) = (call.mode, self.idle_task(number, call.mode));
        let slot = slot.or_else(|| self.make_room(number, mode));
        if slot.is_none() {
            self.give_turn_back(number);
        }
        slot
    }

    /// Takes a turn among a function's calls, or stands in line for one.
    pub(super) fn take_turn(&self, number: u32, depth: u32) -> bool {
        if depth == 0 && self.outside_is_full() {
            return false;
        }
        let turns = self.functions.get(&number).and_then(|warm| warm.function.turns.as_ref());
        turns.is_none_or(|turns| turns.take_or_wait(self.number))
    }

    /// Whether calls from outside hold all slots that they may.
    fn outside_is_full(&self) -> bool {
        self.from_outside >= self.max_slots - self.max_slots / CHAINED_ONE_IN
    }

    /// A call has its answer: whoever waits for its turn may have it.
    pub(super) fn ended(&mut self, number: u32, depth: u32) {
        self.from_outside -= usize::from(depth == 0);
        self.give_turn_back(number);
    }

    fn give_turn_back(&mut self, number: u32) {
        let Some(function) = self.functions.get(&number).map(|warm| Arc::clone(&warm.function))
        else {
            return;
        };
        self.pass_on(&function);
    }

    /// Gives a turn back, and lets the worker that has it then know.
    fn pass_on(&mut self, function: &Arc<Function>) {
        match function.turns.as_ref().and_then(Turns::give_back) {
            None => {}
            Some(worker) if worker == self.number => self.turn_came(function),
            Some(worker) => self.outside.pass_turn(worker, function),
        }
    }

    /// This worker stood in line for a turn of a function's, and has it now.
    pub fn turn_came(&mut self, function: &Arc<Function>) {
        let number = function.number;
        let front = self.functions.get(&number).and_then(|warm| warm.queue.front());
        let slot = match front.map(|waiting| (waiting.call.mode, waiting.call.depth)) {
            Some((_, 0)) if self.outside_is_full() => None,
            Some((mode, _)) => {
                self.idle_task(number, mode).or_else(|| self.make_room(number, mode))
            }
            None => None,
        };
        match slot.and_then(|slot| Some((slot, self.pop_queued(number)?))) {
            Some((slot, waiting)) => {
                self.begin(slot, waiting.call, waiting.origin);
                // What waits behind it stands in line again.
                self.serve_queues(number);
            }
            None => self.pass_on(function),
        }
    }

    /// What a call is told for which there is no room.
    pub(super) fn no_room(&self, function: &Function, why: &str) -> Answer {
        let text = format!(
            "expected room for {}: all slots are taken (at most {} of this function, {} in all), \
             and {why}; try again later, or deploy it with a higher --concurrency",
            function.name, function.limits.concurrency, self.max_slots
        );
        Answer::refused(Refusal::Overloaded, text)
    }

    pub(super) fn idle_task(&mut self, number: u32, mode: Mode) -> Option<u32> {
        self.functions.get_mut(&number)?.idle[mode as usize].pop()
    }

    pub(super) fn room(&self, number: u32) -> bool {
        let Some(warm) = self.functions.get(&number) else { return false };
        warm.live < warm.function.limits.concurrency
            && self.tasks.len() - self.vacant.len() < self.max_slots
    }

    /// A new slot, in the place of another function's idle one if all are taken.
    pub(super) fn make_room(&mut self, number: u32, mode: Mode) -> Option<u32> {
        let warm = self.functions.get(&number)?;
        if warm.live >= warm.function.limits.concurrency {
            let other = self.functions.get_mut(&number)?.idle[1 - mode as usize].pop()?;
            self.retire(number, other);
        } else if !self.room(number) {
            let (victim, task) = self.functions.iter_mut().find_map(|(number, warm)| {
                warm.idle.iter_mut().find_map(Vec::pop).map(|task| (*number, task))
            })?;
            self.retire(victim, task);
        }
        self.new_task(number, mode)
    }

    pub(super) fn retire(&mut self, number: u32, task: u32) {
        if let Some(warm) = self.functions.get_mut(&number) {
            warm.live -= 1;
        }
        self.drop_task(task);
    }
}
