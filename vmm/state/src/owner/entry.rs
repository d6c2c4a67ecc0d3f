//! What an owner keeps under one key: the value, or why there is none; its locks; the last answer
//! to each session that changed it.

use std::collections::BTreeMap;
use std::time::Instant;

use super::config::{MAX_SESSIONS_PER_VALUE, SILENT};
use super::locks::Locks;
use super::record::{Done, Ticket};
use super::tenants::Usage;
use super::value::Value;
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
    pub(super) done: BTreeMap<SessionId, Kept>,
    /// How many sessions keep each version open.
    pub(super) open: BTreeMap<Version, u32>,
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

    /// Makes room for the answer to one more session; which session's went for it.
    pub(super) fn make_room(
        &mut self,
        now: Instant,
        session: SessionId,
    ) -> Result<Option<SessionId>, Failure> {
        if self.done.len() < MAX_SESSIONS_PER_VALUE || self.done.contains_key(&session) {
            return Ok(None);
        }
        let oldest = self.done.iter().min_by_key(|(_, kept)| kept.at);
        let silent = oldest.filter(|(_, kept)| now.saturating_duration_since(kept.at) >= SILENT);
        let Some(session) = silent.map(|(session, _)| *session) else {
            let limit = MAX_SESSIONS_PER_VALUE as u64;
            return Err(Failure::Limit {
                what: "sessions that change one value".to_owned(),
                limit,
            });
        };
        self.done.remove(&session);
        Ok(Some(session))
    }
}
