//! What the other end has asked.

use super::limits::PeerLimits;
use super::session::Assembly;
use crate::close::{Close, violation};
use crate::deadlines::Deadlines;
use bytes::Bytes;
use std::collections::HashMap;
use std::time::Instant;

/// Which part of a host a request is for, by a number that the layer above gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Service(pub u8);

/// A request as it was received, its payload whole.
#[derive(Clone, Debug)]
pub struct PeerRequest {
    /// What it is for.
    pub service: Service,
    /// Head, not looked at.
    pub head: Bytes,
    /// Payload.
    pub payload: Bytes,
    /// When nobody waits for the response any more.
    pub deadline: Instant,
}

/// A request of the other end's that has no response yet.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) deadline: Instant,
    pub(super) bytes: u64,
    /// The request of which a part has arrived: what it is for, its head and payload so far.
    pub(super) arriving: Option<(Service, Bytes, Assembly)>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Served {
    pub(super) serving: HashMap<u64, Serving>,
    /// Invariant: deadlines of all in `serving`.
    pub(super) deadlines: Deadlines,
    /// Invariant: every id seen so far is at most this.
    pub(super) last_id: u64,
    /// Invariant: those in `serving`, and those whose response has not left.
    pub(super) in_flight: u32,
    /// Invariant: bytes of the requests that `in_flight` counts.
    pub(super) bytes: u64,
}

impl Served {
    /// Counts a request in, unless its sender should have known that there is no room.
    pub(super) fn insert(
        &mut self,
        limits: &PeerLimits,
        id: u64,
        serving: Serving,
    ) -> Result<(), Close> {
        if id <= self.last_id {
            return violation!("expected a request id over {}, found {id}", self.last_id);
        }
        let (in_flight, bytes) = (self.in_flight + 1, self.bytes + serving.bytes);
        if in_flight > limits.max_in_flight || bytes > limits.max_requests_bytes {
            return violation!(
                "expected at most {} requests of {} bytes in flight, found {in_flight} of {bytes}",
                limits.max_in_flight,
                limits.max_requests_bytes
            );
        }
        self.last_id = id;
        (self.in_flight, self.bytes) = (in_flight, bytes);
        self.deadlines.insert(Some(serving.deadline), id);
        self.serving.insert(id, serving);
        Ok(())
    }

    /// A request is about to be answered; it counts until its response has left.
    pub(super) fn remove(&mut self, id: u64) -> Option<Serving> {
        let serving = self.serving.remove(&id)?;
        self.deadlines.remove(Some(serving.deadline), id);
        Some(serving)
    }

    /// Responses have left.
    pub(super) fn count_out(&mut self, responses: u32, answered_bytes: u64) {
        self.in_flight -= responses;
        self.bytes -= answered_bytes;
    }
}
