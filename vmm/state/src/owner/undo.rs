//! Changes that are made but not stored, and how each is taken back.

use std::collections::VecDeque;

use super::Owner;
use super::entry::State;
use super::record::{Id, Ticket};

/// What was before a change.
#[derive(Debug)]
pub(super) enum Before {
    /// The version before.
    Version,
    /// Another value, or none.
    State(State),
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Undo {
    /// Invariant: in the order of the changes; tickets do not fall.
    changes: VecDeque<(Ticket, Id, Before)>,
}

impl Undo {
    pub(super) fn note(&mut self, ticket: Ticket, id: &Id, before: Before) {
        self.changes.push_back((ticket, id.clone(), before));
    }

    /// What is stored is not taken back.
    pub(super) fn forget(&mut self, settled: Ticket) {
        while self.changes.front().is_some_and(|(ticket, ..)| *ticket <= settled) {
            self.changes.pop_front();
        }
    }

    fn pop(&mut self, from: Ticket) -> Option<(Id, Before)> {
        self.changes.pop_back_if(|(ticket, ..)| *ticket >= from).map(|(_, id, before)| (id, before))
    }
}

impl Owner {
    pub(super) fn take_back(&mut self, from: Ticket, why: &str) {
        while let Some((id, before)) = self.undo.pop(from) {
            self.tenants.update(&id, |entry| {
                match before {
                    Before::State(state) => entry.state = state,
                    Before::Version => {
                        if let Ok(value) = entry.value_mut() {
                            value.undo();
                        }
                    }
                }
                // Sent again, or late, what followed from it is refused.
                entry.fail(from, why);
            });
            self.tell_watches(&id);
        }
    }
}
