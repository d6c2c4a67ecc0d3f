//! A session that lives: the state machine, and who waits for what it asked.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use bytes::Bytes;
use faaslet_state::HostId;
use faaslet_state::message::{Body, SessionId};
use faaslet_state::session::{RequestId, Routes, Session, SessionConfig, SessionError};

use super::super::lock::lock;
use super::Answered;
use super::counts::{Asked, TenantCounts};
use super::work::{Work, Works};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Live {
    id: SessionId,
    tenant: Arc<str>,
    counts: Arc<TenantCounts>,
    /// Requests under way to other hosts that wait for locks.
    waits: AtomicUsize,
    inner: Mutex<Inner>,
}

/// What the session's lock guards.
pub(super) struct Inner {
    pub(super) session: Session<Bytes>,
    waiting: HashMap<RequestId, (Asked, Answered)>,
    /// Hosts that have heard of this session.
    asked: BTreeSet<HostId>,
    /// Nothing is asked any more but what ends it.
    closed: bool,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Live {
    pub(super) fn new(
        id: SessionId,
        tenant: &str,
        routes: Routes,
        config: SessionConfig,
        counts: Arc<TenantCounts>,
    ) -> Self {
        let inner = Inner {
            session: Session::new(id, routes, config),
            waiting: HashMap::new(),
            asked: BTreeSet::new(),
            closed: false,
        };
        let waits = AtomicUsize::new(0);
        Self { id, tenant: tenant.into(), counts, waits, inner: Mutex::new(inner) }
    }

    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    pub(super) fn tenant(&self) -> &str {
        &self.tenant
    }

    pub(super) fn counts(&self) -> &TenantCounts {
        &self.counts
    }

    pub(super) fn waits(&self) -> &AtomicUsize {
        &self.waits
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Takes no more requests; which hosts are to be told, if that was not so before.
    pub(super) fn close(&self) -> Option<BTreeSet<HostId>> {
        let mut inner = self.inner();
        let before = std::mem::replace(&mut inner.closed, true);
        (!before).then(|| inner.asked.clone())
    }

    /// Lets the session do something, and gives out what came of it.
    pub(super) fn step(self: &Arc<Self>, step: impl FnOnce(&mut Inner, &mut Works)) -> Works {
        let mut works = Works::new();
        let mut inner = self.inner();
        step(&mut inner, &mut works);
        inner.gather(self, &mut works);
        works
    }

    /// When the session is to be woken.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.inner().session.poll_timeout()
    }
}

impl Inner {
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Notes who waits for a request, or tells at once that there is none.
    pub(super) fn expect(
        &mut self,
        submitted: Result<RequestId, SessionError>,
        asked: Asked,
        answered: Answered,
        works: &mut Works,
    ) {
        match submitted {
            Ok(request) => {
                self.waiting.insert(request, (asked, answered));
            }
            Err(error) => works.push(Work::Tell(answered, Err(error))),
        }
    }

    /// What is to be sent and told now.
    fn gather(&mut self, live: &Arc<Live>, works: &mut Works) {
        let now = Instant::now();
        while let Some(transmit) = self.session.poll_transmit(now) {
            if !self.asked.contains(&transmit.to) {
                self.asked.insert(transmit.to);
            }
            works.push(Work::Send(Arc::clone(live), transmit));
        }
        while let Some(event) = self.session.poll_event() {
            if let Some((asked, answered)) = self.waiting.remove(&event.request) {
                live.counts.ended(asked, &event.result);
                works.push(Work::Tell(answered, event.result));
            }
        }
    }
}

/// The same request, as this session's.
pub(super) fn stamped(mut body: Body, own: SessionId) -> Body {
    if let Body::End { session } = &mut body {
        *session = own;
    }
    if let Some(stamp) = body.stamp_mut() {
        stamp.session = own;
    }
    body
}
