//! What an owner keeps under one key: the value, or why there is none; its locks; the last answer
//! to each session that changed it.

use std::collections::BTreeMap;
use std::time::Instant;

use super::config::{MAX_REFUSED_PER_VALUE, MAX_SESSIONS_PER_VALUE, SILENT};
use super::locks::Locks;
use super::record::{Done, Ticket};
use super::tenants::Usage;
use super::value::Value;
use super::watch::Watches;
use crate::message::{Failure, Reply, SessionId, Stamp};
use crate::version::Version;

/// The value under a key.
#[derive(Debug, Default)]
pub(super) enum State {
    /// There is none; it is remembered for retries.
    #[default]
    Gone,
    /// It was in memory alone, and its owner died.
    Lost,
    /// It is there.
    There(Box<Value>),
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) state: State,
    pub(super) locks: Locks,
    pub(super) watches: Watches,
    pub(super) done: BTreeMap<SessionId, Kept>,
    /// How many sessions keep each version open.
    pub(super) open: BTreeMap<Version, u32>,
    /// How many waits for its locks its tenant counts.
    pub(super) counted_waits: usize,
    /// When its waits are looked at next.
    pub(super) wake: Option<Instant>,
    /// The batch that what is here waits for.
    pub(super) after: Option<Ticket>,
}

/// An answer that is kept, and when it was last of use.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) done: Done,
    pub(super) at: Instant,
    /// The batch that it waits for.
    pub(super) after: Option<Ticket>,
    /// It refuses a session for which there was no room.
    pub(super) is_outside: bool,
}

/// Whether the answer to one more session can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It can.
    There,
    /// It can, as that of a silent session went.
    From(SessionId),
    /// A refusal can: what comes late of a session that was refused must not be applied.
    ForRefusal,
    /// Not even that.
    Nowhere,
}

impl Entry {
    /// What it counts for its tenant.
    pub(super) fn usage(&self) -> Usage {
        match &self.state {
            State::There(value) => Usage { values: 1, bytes: value.bytes() },
            State::Lost => Usage { values: 1, bytes: 0 },
            State::Gone => Usage::default(),
        }
    }

    /// Whether there is no value, and none that was lost.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone)
    }

    pub(super) fn value(&self) -> Result<&Value, Failure> {
        match &self.state {
            State::There(value) => Ok(value),
            State::Gone => Err(Failure::NotFound),
            State::Lost => Err(Failure::Lost),
        }
    }

    pub(super) fn value_mut(&mut self) -> Result<&mut Value, Failure> {
        match &mut self.state {
            State::There(value) => Ok(value),
            State::Gone => Err(Failure::NotFound),
            State::Lost => Err(Failure::Lost),
        }
    }

    /// The answer to a change that was here before.
    pub(super) fn answered(&mut self, now: Instant, stamp: Stamp) -> Option<Reply> {
        let kept = self.done.get_mut(&stamp.session)?;
        if stamp.sequence > kept.done.sequence {
            return None;
        }
        kept.at = now;
        let is_last = stamp.sequence == kept.done.sequence;
        Some(if is_last { kept.done.reply.clone() } else { Reply::Failed(Failure::Stale) })
    }

    /// Keeps an answer that waits for what is here now.
    pub(super) fn keep(&mut self, now: Instant, session: SessionId, done: Done) {
        let after = self.after;
        self.done.insert(session, Kept { done, at: now, after, is_outside: false });
    }

    /// Keeps the refusal of a session for which there is no room.
    pub(super) fn keep_out(&mut self, now: Instant, session: SessionId, done: Done) {
        self.done.insert(session, Kept { done, at: now, after: None, is_outside: true });
    }

    /// What was kept and waits for a batch from `ticket` on is not so: it could not be stored.
    pub(super) fn fail(&mut self, ticket: Ticket, why: &str) {
        for kept in self.done.values_mut().filter(|kept| kept.after >= Some(ticket)) {
            kept.done.reply = Reply::Failed(Failure::Storage { why: why.to_owned() });
        }
    }

    /// Makes room for the answer to a session.
    pub(super) fn make_room(&mut self, now: Instant, session: SessionId) -> Room {
        let known = self.done.get(&session).is_some_and(|kept| !kept.is_outside);
        if known || self.done.len() < MAX_SESSIONS_PER_VALUE {
            return Room::There;
        }
        let others = self.done.iter().filter(|(other, _)| **other != session);
        let oldest = others.min_by_key(|(_, kept)| kept.at);
        let silent = oldest.filter(|(_, kept)| now.saturating_duration_since(kept.at) >= SILENT);
        if let Some(silent) = silent.map(|(silent, _)| *silent) {
            self.done.remove(&silent);
            return Room::From(silent);
        }
        let may_be_kept_out = self.done.contains_key(&session)
            || self.done.len() < MAX_SESSIONS_PER_VALUE + MAX_REFUSED_PER_VALUE;
        if may_be_kept_out { Room::ForRefusal } else { Room::Nowhere }
    }
}
