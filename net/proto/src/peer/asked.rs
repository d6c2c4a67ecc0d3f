//! What this end has asked, and how asking ends.

use super::limits::PeerLimits;
use super::session::Assembly;
use crate::deadlines::Deadlines;
use bytes::Bytes;
use std::collections::HashMap;
use std::time::Instant;

/// Why a request was not taken. Nothing of it has left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAsked {
    /// The connection takes no requests now: not greeted yet, or one end is leaving.
    #[error("the connection takes no requests now")]
    Closed,
    /// As many requests or bytes are in flight as the other end takes; wait for a response.
    #[error("as many requests or bytes are in flight as the other host takes")]
    Busy,
    /// Head or payload is over a limit.
    #[error("expected a {what} of at most {limit_bytes} bytes, found {found_bytes}")]
    TooLarge {
        /// Head or payload.
        what: &'static str,
        /// The limit.
        limit_bytes: u64,
        /// Its length.
        found_bytes: u64,
    },
    /// The deadline has passed already.
    #[error("the deadline had passed before the request was sent")]
    Deadline,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerResponse {
    /// Head, not looked at.
    pub head: Bytes,
    /// Payload.
    pub payload: Bytes,
}

/// Why a request that was taken has no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The other host did not execute it.
    #[error("refused: {reason}")]
    Refused {
        /// What it said.
        reason: String,
    },
    /// Its deadline passed.
    #[error("the deadline passed{}", may(*may_have_run))]
    TimedOut {
        /// False when it certainly was not executed.
        may_have_run: bool,
    },
    /// The other host took it and has no response: it may have been executed.
    #[error("no response, the request may have been executed: {reason}")]
    NoResponse {
        /// What it said.
        reason: String,
    },
}

fn may(may_have_run: bool) -> &'static str {
    if may_have_run { ", the request may have been executed" } else { " before it was sent" }
}

/// A request of this end that has no response yet.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    /// Nothing when its response is for nobody.
    pub(super) tag: Option<T>,
    pub(super) deadline: Instant,
    pub(super) asked_at: Instant,
    pub(super) bytes: u64,
    /// True when its payload goes in pieces.
    pub(super) is_bulk: bool,
    /// The response of which a part has arrived: status, head and payload so far.
    pub(super) arriving: Option<(u8, Bytes, Assembly)>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Asked<T> {
    pub(super) waiting: HashMap<u64, Waiting<T>>,
    /// Invariant: deadlines of those whose response is for somebody.
    pub(super) deadlines: Deadlines,
    pub(super) last_id: u64,
    /// Invariant: largest id of a small request of which bytes have left.
    pub(super) sent_through: u64,
    /// Invariant: sum of `bytes` over `waiting`.
    pub(super) bytes: u64,
}

impl<T> Default for Asked<T> {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            deadlines: Deadlines::default(),
            last_id: 0,
            sent_through: 0,
            bytes: 0,
        }
    }
}

impl<T> Asked<T> {
    pub(super) fn has_room(&self, limits: &PeerLimits, bytes: u64) -> bool {
        self.waiting.len() < limits.max_in_flight as usize
            && self.bytes + bytes <= limits.max_requests_bytes
    }

    /// Counts a request in and gives its id.
    pub(super) fn insert(&mut self, waiting: Waiting<T>) -> u64 {
        self.last_id += 1;
        self.deadlines.insert(Some(waiting.deadline), self.last_id);
        self.bytes += waiting.bytes;
        self.waiting.insert(self.last_id, waiting);
        self.last_id
    }

    /// Nobody waits for the response any more; gives the tag of who did.
    pub(super) fn unwant(&mut self, id: u64) -> Option<T> {
        let waiting = self.waiting.get_mut(&id)?;
        let tag = waiting.tag.take()?;
        self.deadlines.remove(Some(waiting.deadline), id);
        Some(tag)
    }

    /// Counts a request out.
    pub(super) fn remove(&mut self, id: u64) -> Option<Waiting<T>> {
        let waiting = self.waiting.remove(&id)?;
        self.bytes -= waiting.bytes;
        if waiting.tag.is_some() {
            self.deadlines.remove(Some(waiting.deadline), id);
        }
        Some(waiting)
    }
}
