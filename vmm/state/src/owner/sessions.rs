//! What an owner knows of the sessions of other hosts: where they left traces, until when their
//! locks hold, and which have ended.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::time::Instant;

use super::config::{MAX_ENDED_SESSIONS, MAX_OPEN_PER_SESSION, MAX_SESSIONS};
use super::record::Id;
use crate::message::{Failure, SessionId};
use crate::version::Version;

/// One session.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Until when its locks and open versions hold; `None` where it has none.
    pub(super) until: Option<Instant>,
    /// Where answers are kept for it, or locks.
    pub(super) at: BTreeSet<Id>,
    /// Versions that are kept for it.
    pub(super) open: BTreeSet<(Id, Version)>,
}

/// What is to be done at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// See whether a session's lease has run out.
    Lease(SessionId),
    /// End waits for the locks of a value.
    Waits(Id),
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    known: BTreeMap<SessionId, Known>,
    ended: HashSet<SessionId>,
    /// Invariant: the same as `ended`, in the order in which they ended.
    ended_in_order: VecDeque<SessionId>,
    timers: BTreeSet<(Instant, Timer)>,
}

impl Sessions {
    pub(super) fn has_ended(&self, session: SessionId) -> bool {
        self.ended.contains(&session)
    }

    pub(super) fn get_mut(&mut self, session: SessionId) -> Option<&mut Known> {
        self.known.get_mut(&session)
    }

    /// The session is alive.
    pub(super) fn renew(&mut self, session: SessionId, until: Instant) {
        if let Some(lease) = self.known.get_mut(&session).and_then(|known| known.until.as_mut()) {
            *lease = until.max(*lease);
        }
    }

    /// Notes that something is kept for the session at `id`.
    pub(super) fn note(&mut self, session: SessionId, id: &Id) -> Result<(), Failure> {
        self.room(session)?;
        let known = self.known.entry(session).or_default();
        if !known.at.contains(id) {
            known.at.insert(id.clone());
        }
        Ok(())
    }

    fn room(&mut self, session: SessionId) -> Result<(), Failure> {
        if self.known.len() < MAX_SESSIONS || self.known.contains_key(&session) {
            return Ok(());
        }
        self.known.retain(|_, known| !known.at.is_empty() || known.until.is_some());
        let limit = MAX_SESSIONS as u64;
        let full = self.known.len() >= MAX_SESSIONS;
        if full { Err(Failure::Limit { what: "sessions".to_owned(), limit }) } else { Ok(()) }
    }

    /// Nothing is kept for the session at `id` any more.
    pub(super) fn unnote(&mut self, session: SessionId, id: &Id) {
        if let Some(known) = self.known.get_mut(&session) {
            known.at.remove(id);
            if known.at.is_empty() && known.until.is_none() {
                self.known.remove(&session);
            }
        }
    }

    /// From now on the session has something that goes when it is silent.
    pub(super) fn lease(&mut self, session: SessionId, until: Instant) {
        let known = self.known.entry(session).or_default();
        if known.until.is_none() {
            self.timers.insert((until, Timer::Lease(session)));
        }
        known.until = known.until.max(Some(until));
    }

    /// Keeps a version for a session; whether it was not kept before.
    pub(super) fn open(
        &mut self,
        session: SessionId,
        id: &Id,
        version: Version,
    ) -> Result<bool, Failure> {
        self.room(session)?;
        let known = self.known.entry(session).or_default();
        let limit = MAX_OPEN_PER_SESSION;
        if known.open.len() >= limit && !known.open.contains(&(id.clone(), version)) {
            return Err(Failure::Limit { what: "open versions".to_owned(), limit: limit as u64 });
        }
        Ok(known.open.insert((id.clone(), version)))
    }

    /// Whether it was kept.
    pub(super) fn close(&mut self, session: SessionId, id: &Id, version: Version) -> bool {
        let known = self.known.get_mut(&session);
        known.is_some_and(|known| known.open.remove(&(id.clone(), version)))
    }

    /// The session ends, and is refused from now on; what was known of it.
    pub(super) fn end(&mut self, session: SessionId) -> Known {
        if self.ended.insert(session) {
            self.ended_in_order.push_back(session);
        }
        if self.ended_in_order.len() > MAX_ENDED_SESSIONS
            && let Some(oldest) = self.ended_in_order.pop_front()
        {
            self.ended.remove(&oldest);
        }
        self.known.remove(&session).unwrap_or_default()
    }

    /// Wakes the waits of a value at another time than before.
    pub(super) fn wake(&mut self, id: &Id, before: Option<Instant>, at: Option<Instant>) {
        if let Some(before) = before {
            self.timers.remove(&(before, Timer::Waits(id.clone())));
        }
        if let Some(at) = at {
            self.timers.insert((at, Timer::Waits(id.clone())));
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// What is due. Leases that were renewed meanwhile are set anew, and not told.
    pub(super) fn due(&mut self, now: Instant) -> Option<Timer> {
        while self.timers.first().is_some_and(|(at, _)| *at <= now) {
            let (_, timer) = self.timers.pop_first()?;
            let Timer::Lease(session) = timer else { return Some(timer) };
            match self.known.get_mut(&session).and_then(|known| known.until) {
                Some(until) if until > now => {
                    self.timers.insert((until, timer));
                }
                Some(_) => return Some(timer),
                None => {}
            }
        }
        None
    }
}
