//! A session of a host with the owners of shards: what it does to be heard.
//!
//! ```text
//!  submit ──► queued ──► ready ──poll_transmit──► sent ──handle_reply──► finished ──► poll_event
//!   (a change waits       ▲ ▲                      │ │
//!    for the one before   │ └── another owner ─────┘ │ late, lost, or no answer for a while
//!    of the same value)   └───────── pause ──────────┘
//! ```
//!
//! Invariant: a request is sent again with the stamp that it had, so that it is applied once. An
//! answer that comes later than the margin after its request counts as lost: its owner may have
//! been deposed in between.
//!
//! What it is not: connections. The caller carries what `poll_transmit` gives to the host it names
//! and brings back the answers, by the number of the attempt.

mod answer;
mod config;
mod lease;
mod queue;
mod routes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

pub use config::*;
pub use routes::Routes;

use crate::host::HostId;
use crate::key::Key;
use crate::message::{Body, Failure, Reply, Request, SessionId, Stamp};
use crate::version::Epoch;
use lease::Leases;
use queue::Queues;

/// A request of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One time that a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub u64);

/// What to send.
#[derive(Clone, Debug)]
pub struct Transmit<P> {
    /// To whom.
    pub to: HostId,
    /// The number to bring the answer back with.
    pub attempt: AttemptId,
    /// The head, as `Request::access` reads it.
    pub head: Vec<u8>,
    /// And what goes beside it.
    pub payload: P,
    /// A later answer counts as lost.
    pub within: Duration,
    /// What room it needs.
    pub kind: TransmitKind,
}

/// How a request uses the way to its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransmitKind {
    /// The owner lets it wait, for a lock that is not free.
    Waits,
    /// It gives something back, or tells that what is held is still needed: it goes first.
    GivesBack,
    /// It is answered as soon as may be.
    Asks,
}

/// The end of a request.
#[derive(Clone, Debug)]
pub struct Event<P> {
    /// Which.
    pub request: RequestId,
    /// What came of it; never `Reply::Failed`.
    pub result: Result<(Reply, P), SessionError>,
}

/// How a request ends without what it asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The owner refuses: nothing has changed.
    #[error(transparent)]
    Refused(#[from] Failure),
    /// No answer in time, and the change may have been applied, or may still be.
    #[error(
        "no answer within the deadline: the change may have been applied, or may still be; read the value before trying again"
    )]
    Unknown,
    /// No answer in time, and nothing has changed.
    #[error("no answer within the deadline; nothing has changed: try again later")]
    Deadline,
    /// Owners name each other.
    #[error("expected an owner of the shard; {hops} hosts named another: try again later")]
    NoOwner {
        /// How many.
        hops: u32,
    },
    /// Too much at once.
    #[error("expected at most {limit} requests under way: wait for some to end")]
    Full {
        /// The bound.
        limit: usize,
    },
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
enum Target {
    /// To the owner of a shard.
    Shard(u16),
    /// To this host.
    Host(HostId),
}

#[derive(Debug)]
struct Pending<P> {
    request: Request,
    payload: P,
    target: Target,
    deadline: Instant,
    /// When something is to be done for it: to send it, to send it again, or to give up.
    wake: Instant,
    /// Sent so often.
    tries: u32,
    /// Of those, without an answer that says that nothing has changed.
    unanswered: u32,
    hops: u32,
    /// Nobody is told of its end.
    silent: bool,
    /// It is among those to be sent.
    is_ready: bool,
    /// Those of which nothing has been heard.
    attempts: Vec<AttemptId>,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    request: RequestId,
    to: HostId,
    /// From then on an answer counts as lost, but for the time that the owner waited.
    late: Instant,
    epoch: Epoch,
}

/// See the module's documentation. `P` is what payloads are kept in: cheap to clone.
#[derive(Debug)]
pub struct Session<P> {
    id: SessionId,
    config: SessionConfig,
    routes: Routes,
    sequence: u64,
    last_request: u64,
    last_attempt: u64,
    requests: BTreeMap<RequestId, Pending<P>>,
    attempts: BTreeMap<AttemptId, Attempt>,
    /// Invariant: a timer for each request that is not queued behind another, at its `wake`.
    timers: BTreeSet<(Instant, RequestId)>,
    ready: VecDeque<RequestId>,
    queues: Queues,
    leases: Leases,
    events: VecDeque<Event<P>>,
}

impl<P: Clone + Default + AsRef<[u8]>> Session<P> {
    /// A session that begins.
    pub fn new(id: SessionId, routes: Routes, config: SessionConfig) -> Self {
        Self {
            id,
            config,
            routes,
            sequence: 0,
            last_request: 0,
            last_attempt: 0,
            requests: BTreeMap::new(),
            attempts: BTreeMap::new(),
            timers: BTreeSet::new(),
            ready: VecDeque::new(),
            queues: Queues::default(),
            leases: Leases::default(),
            events: VecDeque::new(),
        }
    }

    /// Its name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The stamp for the next change, or the next lock; an `Unlock` has that of its `Lock`. Take
    /// it just before `submit`: changes of a value are sent in the order in which they come there.
    pub fn stamp(&mut self) -> Stamp {
        self.sequence += 1;
        Stamp { session: self.id, sequence: self.sequence }
    }

    /// What is known of owners; what is learnt elsewhere goes in here.
    pub fn routes_mut(&mut self) -> &mut Routes {
        &mut self.routes
    }

    /// Asks the owner of the key. One event tells the end, at the deadline at the latest.
    ///
    /// # Errors
    /// `Full`, and `Refused` for a text that is no key; nothing is sent then.
    pub fn submit(
        &mut self,
        now: Instant,
        (tenant, key): (&str, &str),
        body: Body,
        payload: P,
        deadline: Instant,
    ) -> Result<RequestId, SessionError> {
        let valid = Key::new(key.as_bytes())
            .map_err(|error| Failure::Malformed { why: error.to_string() })?;
        let target = Target::Shard(valid.shard(tenant));
        let request = request(tenant, key, body);
        let asked = request.body.clone();
        let id = self.add(now, request, payload, target, deadline, false)?;
        self.leases.submitted((tenant, key), &asked);
        self.handle_timeout(now);
        Ok(id)
    }

    /// Asks one host, for what is about no single key: `List`, `Renew`, `End`. A list's key is
    /// the prefix.
    ///
    /// # Errors
    /// `Full`; nothing is sent then.
    pub fn submit_to(
        &mut self,
        now: Instant,
        host: HostId,
        (tenant, key): (&str, &str),
        body: Body,
        deadline: Instant,
    ) -> Result<RequestId, SessionError> {
        let request = request(tenant, key, body);
        let id = self.add(now, request, P::default(), Target::Host(host), deadline, false)?;
        self.handle_timeout(now);
        Ok(id)
    }

    fn add(
        &mut self,
        now: Instant,
        request: Request,
        payload: P,
        target: Target,
        deadline: Instant,
        silent: bool,
    ) -> Result<RequestId, SessionError> {
        // What gives something back has room of its own.
        let limit =
            if request.body.gives_back() { MAX_REQUESTS + MAX_GIVEN_BACK } else { MAX_REQUESTS };
        if self.requests.len() >= limit {
            return Err(SessionError::Full { limit });
        }
        self.last_request += 1;
        let id = RequestId(self.last_request);
        let first = request.body.change().is_none() || self.queues.enter(&request, id);
        let pending = Pending {
            request,
            payload,
            target,
            deadline,
            wake: deadline,
            tries: 0,
            unanswered: 0,
            hops: 0,
            silent,
            is_ready: false,
            attempts: Vec::new(),
        };
        self.requests.insert(id, pending);
        self.wake(id, if first { now } else { deadline });
        Ok(id)
    }

    fn wake(&mut self, id: RequestId, at: Instant) {
        let Some(pending) = self.requests.get_mut(&id) else { return };
        self.timers.remove(&(pending.wake, id));
        pending.wake = at.min(pending.deadline);
        self.timers.insert((pending.wake, id));
    }

    /// The next thing to send.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit<P>> {
        loop {
            let id = self.ready.pop_front()?;
            if let Some(transmit) = self.transmit(now, id) {
                return Some(transmit);
            }
        }
    }

    fn transmit(&mut self, now: Instant, id: RequestId) -> Option<Transmit<P>> {
        let pending = self.requests.get_mut(&id)?;
        pending.is_ready = false;
        let (to, epoch) = match pending.target {
            Target::Host(host) => (host, Epoch(0)),
            Target::Shard(shard) => {
                self.routes.of(shard).map(|route| (route.owner, route.epoch))?
            }
        };
        pending.request.epoch = epoch;
        let head = pending.request.to_bytes().ok()?;
        let (body, sent) = (&pending.request.body, pending.payload.as_ref().len());
        let pause = self.config.resend_after(body, sent, pending.tries);
        let within = self.config.answer_within(body, sent);
        let kind = SessionConfig::kind(body);
        let late = now + self.config.late_after(body, sent);
        pending.tries += 1;
        pending.unanswered += 1;
        let payload = pending.payload.clone();
        self.last_attempt += 1;
        let attempt = AttemptId(self.last_attempt);
        pending.attempts.push(attempt);
        self.attempts.insert(attempt, Attempt { request: id, to, late, epoch });
        self.wake(id, now + pause);
        Some(Transmit { to, attempt, head, payload, within, kind })
    }

    fn make_ready(&mut self, id: RequestId) {
        if let Some(pending) = self.requests.get_mut(&id)
            && !std::mem::replace(&mut pending.is_ready, true)
        {
            self.ready.push_back(id);
        }
    }

    /// The next request that has ended.
    pub fn poll_event(&mut self) -> Option<Event<P>> {
        self.events.pop_front()
    }

    /// When to call [`Session::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let first = self.timers.first().map(|(at, _)| *at);
        first.into_iter().chain(self.leases.next_timeout()).min()
    }

    /// Sends what has waited long enough, gives up what is past its deadline, renews leases.
    ///
    /// Invariant: nothing that it calls calls it. What becomes due on the way gets a timer, and
    /// its turn here: the stack stays as deep as it is, however much is due at once.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.renew(now);
        while let Some((at, id)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            match self.requests.get(&id).map(|pending| pending.deadline) {
                Some(deadline) if deadline <= now => self.give_up(now, id),
                Some(deadline) => {
                    self.wake(id, deadline);
                    self.make_ready(id);
                }
                None => {}
            }
        }
    }
}

fn request(tenant: &str, key: &str, body: Body) -> Request {
    Request { tenant: tenant.to_owned(), key: key.to_owned(), epoch: Epoch(0), body }
}

#[cfg(test)]
mod tests;
