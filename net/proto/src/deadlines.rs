//! Deadlines of the calls in flight on one connection, earliest first.

use std::{collections::BTreeSet, time::Instant};

/// Invariant: holds exactly the calls in flight that have a deadline, so the connection's bound on
/// calls in flight bounds it.
#[derive(Debug, Default)]
pub(crate) struct Deadlines(BTreeSet<(Instant, u64)>);

impl Deadlines {
    pub(crate) fn insert(&mut self, deadline: Option<Instant>, id: u64) {
        if let Some(deadline) = deadline {
            self.0.insert((deadline, id));
        }
    }

    pub(crate) fn remove(&mut self, deadline: Option<Instant>, id: u64) {
        if let Some(deadline) = deadline {
            self.0.remove(&(deadline, id));
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(deadline, _)| *deadline)
    }

    /// Takes one call whose deadline has passed.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<u64> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, id)| id)
    }
}
