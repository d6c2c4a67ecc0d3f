//! Calls from function to function as their worker sees them: where one runs, and who gets its
//! answer.

use super::{Departure, Origin, Outside, Parent, Worker};
use crate::cell::call::{Answer, Call, Entry, Refusal};
use crate::cell::exchange::{Chain, Phase, Target};

impl<O: Outside> Worker<O> {
    /// The answer to a chained call that ran elsewhere.
    pub fn chained(&mut self, parent: Parent, answer: Answer) {
        let Some(Some(task)) = self.tasks.get(parent.task as usize) else { return };
        if task.serial != parent.serial || task.origin.is_none() {
            return;
        }
        let mut desk = task.exchange.desk();
        let limit = task.result_bytes;
        if desk.results.arrive(parent.handle, answer, limit)
            && matches!(desk.phase, Phase::Awaiting(handle, _) if handle == parent.handle)
        {
            desk.phase = Phase::Runnable;
            self.ready.push_back(parent.task);
        }
    }

    /// Starts a chained call, here or elsewhere.
    pub(super) fn chain(&mut self, index: u32, chain: Chain) {
        let Some(task) = self.tasks[index as usize].as_ref() else { return };
        let parent =
            Parent { worker: self.number, task: index, serial: task.serial, handle: chain.handle };
        let (function, name, entry) = match chain.target {
            Target::Function(name) => (self.names.get(&name).copied(), name, Entry::Main),
            Target::Export(name) => (Some(task.function), String::new(), Entry::Export(name)),
            Target::Table(at) => (Some(task.function), String::new(), Entry::Table(at)),
        };
        let called = function.and_then(|number| self.functions.get(&number)).map(|w| &w.function);
        let mode = called.map(|function| function.mode);
        let filling = called.is_some_and(|function| !function.is_whole());
        let call = Call {
            id: self.outside.call_id(),
            attempt: 1,
            depth: task.depth + 1,
            entry,
            mode: mode.unwrap_or_default(),
            deadline: task.deadline,
            request: Vec::new(),
            input: chain.input,
        };
        let departure = Departure { parent, function, name, call, filling };
        let Some(stays) = self.outside.depart(departure, self.ready.len()) else { return };
        match stays.function {
            Some(number) => self.run_here(number, stays),
            None => {
                let text =
                    format!("expected a function {}; the tenant has none of this name", stays.name);
                self.deliver(Origin::Parent(parent), Answer::refused(Refusal::NotFound, text));
            }
        }
    }

    /// Begins a chained call on this worker, or else lets it wait on the one that has least to do:
    /// each has slots of its own.
    fn run_here(&mut self, number: u32, departure: Departure) {
        let Departure { parent, function, name, call, filling } = departure;
        let origin = Origin::Parent(parent);
        if let Some(answer) = self.waits_for_itself(number, parent) {
            return self.deliver(origin, answer);
        }
        let Err(call) = self.place(number, call, origin) else { return };
        let departure = Departure { parent, function, name, call, filling };
        if let Some(stays) = self.outside.depart(departure, usize::MAX) {
            self.queue(number, stays.call, origin);
        }
    }

    /// The answer to a function that calls itself and may only run once at a time.
    fn waits_for_itself(&self, number: u32, parent: Parent) -> Option<Answer> {
        let task = self.tasks.get(parent.task as usize)?.as_ref()?;
        let function = &self.functions.get(&number)?.function;
        let itself = task.function == number && function.limits.concurrency <= 1;
        itself.then(|| {
            let text = format!(
                "expected a --concurrency of at least 2: {} calls itself, and one call of it at a \
                 time would wait for itself; deploy it with more",
                function.name
            );
            Answer::refused(Refusal::CannotBeMade, text)
        })
    }
}
