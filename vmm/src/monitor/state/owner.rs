//! The owner of this host's shards behind a lock, and who waits for its answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use faaslet_state::Owner;
use faaslet_state::message::{Asked, Failure, Reply, Request};
use faaslet_state::owner::{Output, Ticket, Usage};
use faaslet_state::payload::Payload;

use super::super::lock::lock;
use super::committer::Queue;
use super::work::{Waiter, Work, Works};

/// Most requests that wait for an answer of the owner: for a lock, or for the disk. What gives
/// something back is answered at once, and always taken.
pub const MAX_WAITING: usize = 65_536;

/// See the module's documentation.
pub(super) struct OwnerCell(Mutex<Inner>);

struct Inner {
    owner: Owner,
    waiting: HashMap<u64, Waiter>,
    last_token: u64,
    /// Where batches go; `None` where nothing is stored.
    queue: Option<Arc<Queue>>,
    /// What is in memory is being saved.
    closed: bool,
}

impl std::fmt::Debug for OwnerCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnerCell").finish_non_exhaustive()
    }
}

impl OwnerCell {
    /// An owner that takes requests. Without a queue, nothing is stored.
    pub(super) fn new(owner: Owner, queue: Option<Arc<Queue>>) -> Self {
        let inner = Inner { owner, waiting: HashMap::new(), last_token: 0, queue, closed: false };
        Self(Mutex::new(inner))
    }

    /// What the owner has to do when it begins: nothing was asked of it yet.
    pub(super) fn start(&self) -> Works {
        let mut inner = self.inner();
        inner.owner.start();
        inner.gather(Instant::now())
    }

    /// Takes no requests any more; gives `take` the owner then.
    pub(super) fn close<T>(&self, take: impl FnOnce(&Owner) -> T) -> T {
        let mut inner = self.inner();
        inner.closed = true;
        take(&inner.owner)
    }

    /// What a tenant has here.
    pub(super) fn usage(&self, tenant: &str) -> Usage {
        self.inner().owner.usage(tenant)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.0)
    }

    /// Takes a request; what comes of it.
    pub(super) fn request(&self, waiter: Waiter, head: &[u8], payload: &[u8]) -> Works {
        let asked = Request::access(head).and_then(Asked::try_from);
        let asked = match asked {
            Ok(asked) => asked,
            Err(failure) => return vec![refusal(waiter, failure)],
        };
        let now = Instant::now();
        let mut inner = self.inner();
        if inner.closed {
            return vec![Work::Answer(waiter, None)];
        }
        if inner.waiting.len() >= MAX_WAITING && !asked.body.gives_back() {
            let what = "requests that wait for this host".to_owned();
            return vec![refusal(waiter, Failure::Limit { what, limit: MAX_WAITING as u64 })];
        }
        inner.last_token += 1;
        let token = inner.last_token;
        inner.waiting.insert(token, waiter);
        inner.owner.handle_request(now, &asked, payload, token);
        inner.gather(now)
    }

    /// These batches, and all before, are stored.
    pub(super) fn persisted(&self, ticket: Ticket) -> Works {
        let mut inner = self.inner();
        inner.owner.persisted(ticket);
        inner.gather(Instant::now())
    }

    /// This batch is not stored, nor is any after it.
    pub(super) fn storage_failed(&self, ticket: Ticket, why: &str) -> Works {
        let mut inner = self.inner();
        inner.owner.storage_failed(ticket, why);
        if let Some(queue) = &inner.queue {
            queue.clear();
        }
        inner.gather(Instant::now())
    }

    /// When [`OwnerCell::wake`] is due.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.inner().owner.poll_timeout()
    }

    /// Ends what is over.
    pub(super) fn wake(&self, now: Instant) -> Works {
        let mut inner = self.inner();
        inner.owner.handle_timeout(now);
        inner.gather(now)
    }
}

fn refusal(waiter: Waiter, failure: Failure) -> Work {
    Work::Answer(waiter, Some((Reply::Failed(failure), Payload::default())))
}

impl Inner {
    fn gather(&mut self, now: Instant) -> Works {
        let mut works = Works::new();
        while let Some(output) = self.owner.poll_output(now) {
            let (token, answer) = match output {
                Output::Reply { token, reply, payload } => (token, Some((reply, payload))),
                Output::Dropped { token } => (token, None),
                Output::Persist { ticket, batch } => {
                    match &self.queue {
                        Some(queue) => queue.push(ticket, batch),
                        None => self.owner.persisted(ticket),
                    }
                    continue;
                }
            };
            if let Some(waiter) = self.waiting.remove(&token) {
                works.push(Work::Answer(waiter, answer));
            }
        }
        works
    }
}
