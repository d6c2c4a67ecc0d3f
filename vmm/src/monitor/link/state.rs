//! State between a cell and the owners: its requests go into its session, as far as bounds allow.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faaslet_state::SessionError;
use faaslet_state::message::{Asked, Reply, Request};

use super::CellLink;
use crate::monitor::lock::lock;
use crate::monitor::state::{Answered, StateSession};
use crate::wire::{ArchivedStateCounts, StateCounts, StateEnd, ToCell};

/// Requests of one cell that may be under way; more are refused at once.
const MAX_STATE_REQUESTS: usize = 16_384;
/// Bytes of these requests.
const MAX_STATE_BYTES: usize = 256 << 20;
/// How much longer a cell may be idle that holds what was not pushed. Then that is dropped, which is
/// logged.
const MAX_UNPUSHED: Duration = Duration::from_secs(3600);
/// Longest time that a request is given.
const MAX_DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// The session of a cell's local tier, and what it has under way.
pub(super) struct StateLink {
    session: StateSession,
    requests: AtomicUsize,
    bytes: AtomicUsize,
    counts: Mutex<StateCounts>,
}

impl StateLink {
    pub(super) fn new(session: StateSession) -> Self {
        let (requests, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { session, requests, bytes, counts: Mutex::default() }
    }

    /// The local tier has ended with its cell. What was not pushed is lost, and said so.
    pub(super) fn end(&self, pid: u32) {
        self.session.end();
        let StateCounts { dirty_bytes, values, .. } = *lock(&self.counts);
        if dirty_bytes > 0 {
            let tenant = self.session.tenant();
            tracing::warn!(tenant, pid, dirty_bytes, values, "a cell ended with unpushed state");
        }
    }

    /// What the cell says of its local tier.
    pub(super) fn told(&self, counts: &ArchivedStateCounts) {
        *lock(&self.counts) = StateCounts {
            values: counts.values.to_native(),
            bytes: counts.bytes.to_native(),
            dirty_bytes: counts.dirty_bytes.to_native(),
            pulled_bytes: counts.pulled_bytes.to_native(),
            pushed_bytes: counts.pushed_bytes.to_native(),
            hits: counts.hits.to_native(),
            misses: counts.misses.to_native(),
            lock_waits: counts.lock_waits.to_native(),
        };
    }

    /// Takes room for a request; the bound that refuses it, if one does.
    fn enter(&self, bytes: usize) -> Result<(), usize> {
        let requests = self.requests.fetch_add(1, Ordering::Relaxed);
        let under_way = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if requests >= MAX_STATE_REQUESTS {
            self.leave(bytes);
            return Err(MAX_STATE_REQUESTS);
        }
        if under_way.saturating_add(bytes) > MAX_STATE_BYTES {
            self.leave(bytes);
            return Err(MAX_STATE_BYTES);
        }
        Ok(())
    }

    fn leave(&self, bytes: usize) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl CellLink {
    /// What the cell's local tier has and has done, as it told last: at most a second or two ago.
    pub fn state_counts(&self) -> StateCounts {
        *lock(&self.state.counts)
    }

    /// Whether the cell may be ended for being idle, as far as its state goes: it waits for
    /// functions to push what they wrote, though not for ever.
    pub(in crate::monitor) fn may_forget(&self, idle: Duration) -> bool {
        self.state_counts().dirty_bytes == 0 || self.idle_for() >= idle + MAX_UNPUSHED
    }

    /// A request of a worker's, number 0 for one whose answer nobody waits for.
    pub(super) fn ask_owner(
        self: &Arc<Self>,
        worker: usize,
        number: u64,
        left_us: u64,
        request_bytes: usize,
        payload: &[u8],
    ) -> Result<(), String> {
        let (head, payload) =
            payload.split_at_checked(request_bytes).ok_or("a request for state is cut short")?;
        let request = Request::access(head).map_err(|failure| failure.to_string())?;
        let asked = Asked::try_from(request).map_err(|failure| failure.to_string())?;
        let bytes = payload.len();
        if let Err(limit) = self.state.enter(bytes) {
            self.reply(worker, number, Err(SessionError::Full { limit }));
            return Ok(());
        }
        let left = Duration::from_micros(left_us).min(MAX_DEADLINE);
        let (key, body, link) = (asked.key, asked.body.into_owned(), Arc::clone(self));
        let answered: Answered = Box::new(move |result| {
            link.state.leave(bytes);
            link.reply(worker, number, result);
        });
        let payload = Bytes::copy_from_slice(payload);
        self.state.session.ask(key, body, payload, Instant::now() + left, answered);
        Ok(())
    }

    fn reply(&self, worker: usize, number: u64, result: Result<(Reply, Bytes), SessionError>) {
        if number == 0 {
            return;
        }
        let (end, reply, payload) = match result {
            Ok((reply, payload)) => (StateEnd::Answered, Some(reply), payload),
            Err(error) => ended(error),
        };
        // A reply that cannot be encoded leaves the cell to its calls' deadlines.
        let Ok(reply) = reply.map(|reply| reply.to_bytes()).transpose() else { return };
        let reply = reply.unwrap_or_default();
        let head = ToCell::State { number, end, reply_bytes: reply.len() as u32 };
        self.tell(worker, &head, &[&reply, &payload]);
    }
}

fn ended(error: SessionError) -> (StateEnd, Option<Reply>, Bytes) {
    let (end, reply) = match error {
        SessionError::Refused(failure) => (StateEnd::Answered, Some(Reply::Failed(failure))),
        SessionError::Unknown => (StateEnd::Unknown, None),
        SessionError::Deadline => (StateEnd::Deadline, None),
        SessionError::NoOwner { hops } => (StateEnd::NoOwner { hops }, None),
        SessionError::Full { limit } => (StateEnd::Full { limit: limit as u64 }, None),
    };
    (end, reply, Bytes::new())
}
