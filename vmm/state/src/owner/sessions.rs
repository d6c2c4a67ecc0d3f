//! What an owner knows of the sessions of other hosts: where they left traces, until when their
//! locks hold, and which have ended.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::config::{
    LOOK_AGAIN, MAX_CLOSED, MAX_ENDED_SESSIONS, MAX_OPEN_PER_SESSION, MAX_SESSIONS, SILENT,
};
use super::record::Id;
use crate::message::{Failure, SessionId, Stamp};
use crate::version::Version;

/// One session.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// When it was heard of last.
    heard: Option<Instant>,
    /// Until when its locks and open versions hold; `None` where it has none.
    pub(super) until: Option<Instant>,
    /// Where answers are kept for it, or locks.
    pub(super) at: BTreeSet<Id>,
    /// Versions that are kept for it, by value and the number of the request that opened them.
    pub(super) open: BTreeMap<(Id, u64), Version>,
    /// Numbers of those that it has closed last.
    closed: BTreeSet<u64>,
    /// All with a number up to this that are not open are closed.
    closed_below: u64,
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
    /// When silent sessions are looked for again, at the earliest.
    look_again: Option<Instant>,
}

/// There are too many sessions.
pub(super) fn too_many() -> Failure {
    Failure::Limit { what: "sessions".to_owned(), limit: MAX_SESSIONS as u64 }
}

impl Sessions {
    pub(super) fn has_ended(&self, session: SessionId) -> bool {
        self.ended.contains(&session)
    }

    pub(super) fn get_mut(&mut self, session: SessionId) -> Option<&mut Known> {
        self.known.get_mut(&session)
    }

    /// The session is alive.
    pub(super) fn renew(&mut self, session: SessionId, now: Instant, lease: Duration) {
        let Some(known) = self.known.get_mut(&session) else { return };
        known.heard = Some(now);
        if let Some(until) = &mut known.until {
            *until = (now + lease).max(*until);
        }
    }

    /// Notes that something is kept for the session at `id`; not without room.
    pub(super) fn note(&mut self, now: Instant, session: SessionId, id: &Id) -> bool {
        if !self.has_room(session) {
            return false;
        }
        let known = self.known.entry(session).or_default();
        known.heard = Some(now);
        if !known.at.contains(id) {
            known.at.insert(id.clone());
        }
        true
    }

    pub(super) fn has_room(&self, session: SessionId) -> bool {
        self.known.len() < MAX_SESSIONS || self.known.contains_key(&session)
    }

    /// The sessions that were silent for long and hold nothing. Looked for now and then only.
    pub(super) fn silent(&mut self, now: Instant) -> Vec<SessionId> {
        if self.look_again.is_some_and(|at| now < at) {
            return Vec::new();
        }
        self.look_again = Some(now + LOOK_AGAIN);
        let is_silent = |known: &Known| {
            let heard = known.heard.map(|heard| now.saturating_duration_since(heard));
            known.until.is_none() && heard.is_none_or(|silence| silence >= SILENT)
        };
        let silent = self.known.iter().filter(|(_, known)| is_silent(known));
        silent.map(|(session, _)| *session).collect()
    }

    /// Forgets a session, which may come again; what was known of it.
    pub(super) fn forget(&mut self, session: SessionId) -> Known {
        self.known.remove(&session).unwrap_or_default()
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

    /// From now on a session that is known has something that goes when it is silent.
    pub(super) fn lease(&mut self, session: SessionId, until: Instant) {
        let known = self.known.entry(session).or_default();
        if known.until.is_none() {
            self.timers.insert((until, Timer::Lease(session)));
        }
        known.until = known.until.max(Some(until));
    }

    /// The version that was opened by this stamp, if it is open.
    pub(super) fn opened(&self, stamp: Stamp, id: &Id) -> Result<Option<Version>, Failure> {
        let Some(known) = self.known.get(&stamp.session) else { return Ok(None) };
        let open = known.open.get(&(id.clone(), stamp.sequence));
        let was_closed =
            stamp.sequence <= known.closed_below || known.closed.contains(&stamp.sequence);
        if open.is_none() && was_closed { Err(Failure::Stale) } else { Ok(open.copied()) }
    }

    /// Keeps a version for a session.
    pub(super) fn open(&mut self, stamp: Stamp, id: &Id, version: Version) -> Result<(), Failure> {
        if !self.has_room(stamp.session) {
            return Err(too_many());
        }
        let known = self.known.entry(stamp.session).or_default();
        if known.open.len() >= MAX_OPEN_PER_SESSION {
            let limit = MAX_OPEN_PER_SESSION as u64;
            return Err(Failure::Limit { what: "open versions".to_owned(), limit });
        }
        known.open.insert((id.clone(), stamp.sequence), version);
        Ok(())
    }

    /// Which version was kept, if one was. That it is closed is remembered for as long as the
    /// session's lease, as the request that opens it may still be on its way.
    pub(super) fn close(&mut self, until: Instant, stamp: Stamp, id: &Id) -> Option<Version> {
        if !self.has_room(stamp.session) {
            return None;
        }
        self.lease(stamp.session, until);
        let known = self.known.get_mut(&stamp.session)?;
        known.closed.insert(stamp.sequence);
        if known.closed.len() > MAX_CLOSED {
            known.closed_below = known.closed.pop_first()?.max(known.closed_below);
        }
        known.open.remove(&(id.clone(), stamp.sequence))
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
        self.forget(session)
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
