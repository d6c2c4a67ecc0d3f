//! The owner of this host's shards behind a lock, and who waits for its answers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use faaslet_state::key::SHARDS;
use faaslet_state::message::{Asked, Failure, Reply, Request};
use faaslet_state::owner::Output;
use faaslet_state::payload::Payload;
use faaslet_state::session::Routes;
use faaslet_state::{Epoch, Owner, OwnerConfig, Route};

use super::super::lock::lock;
use super::work::{Waiter, Work, Works};

/// Most requests that wait for an answer of the owner: for a lock, or for the disk.
pub const MAX_WAITING: usize = 65_536;

/// See the module's documentation.
pub(super) struct OwnerCell {
    config: OwnerConfig,
    inner: Mutex<Inner>,
}

struct Inner {
    owner: Owner,
    waiting: HashMap<u64, Waiter>,
    last_token: u64,
    epochs: Vec<(u16, Epoch)>,
}

impl std::fmt::Debug for OwnerCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnerCell").field("config", &self.config).finish_non_exhaustive()
    }
}

impl OwnerCell {
    /// The owner of all shards, in their first epoch.
    pub(super) fn in_memory(config: OwnerConfig) -> Self {
        let epochs: Vec<_> = (0..SHARDS).map(|shard| (shard, Epoch(1))).collect();
        let mut owner = Owner::new(config);
        for (shard, epoch) in &epochs {
            owner.own(*shard, *epoch);
        }
        let inner = Inner { owner, waiting: HashMap::new(), last_token: 0, epochs };
        Self { config, inner: Mutex::new(inner) }
    }

    /// Tells what this host owns, so that its own sessions need not ask.
    pub(super) fn teach(&self, routes: &mut Routes) {
        for (shard, epoch) in &self.inner().epochs {
            routes.learn(*shard, Route { owner: self.config.host, epoch: *epoch });
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
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
        if inner.waiting.len() >= MAX_WAITING {
            let what = "requests that wait for this host".to_owned();
            return vec![refusal(waiter, Failure::Limit { what, limit: MAX_WAITING as u64 })];
        }
        inner.last_token += 1;
        let token = inner.last_token;
        inner.waiting.insert(token, waiter);
        inner.owner.handle_request(now, &asked, payload, token);
        inner.gather(now)
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
                Output::Persist { ticket, batch: _ } => {
                    self.owner.persisted(ticket);
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
