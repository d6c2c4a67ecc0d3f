//! Changes of the same value, one after the other.

use std::collections::{BTreeMap, VecDeque};

use super::RequestId;
use crate::message::Request;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// By tenant and key: the change under way, and those behind it. Bounded by the number of
    /// requests.
    queues: BTreeMap<(String, String), VecDeque<RequestId>>,
}

impl Queues {
    /// Takes the change in; whether it is the first.
    pub(super) fn enter(&mut self, request: &Request, id: RequestId) -> bool {
        let name = (request.tenant.clone(), request.key.clone());
        let queue = self.queues.entry(name).or_default();
        queue.push_back(id);
        queue.len() == 1
    }

    /// The change has ended; the one that is first now, if it was not before.
    pub(super) fn leave(&mut self, request: &Request, id: RequestId) -> Option<RequestId> {
        let name = (request.tenant.clone(), request.key.clone());
        let queue = self.queues.get_mut(&name)?;
        let was_first = queue.front() == Some(&id);
        if was_first {
            queue.pop_front();
        } else {
            queue.retain(|other| *other != id);
        }
        let first = queue.front().copied();
        if first.is_none() {
            self.queues.remove(&name);
        }
        first.filter(|_| was_first)
    }
}
