//! What waits to be sent, small frames first, large payloads in turns.
//!
//! ```text
//!  small frames ──► small ──┐
//!                           ├──► ready ──► poll()
//!  ≤ one fragment ──────────┘      ▲
//!  larger ──► queued ──► active ───┘  one fragment of the first, which then goes to the back,
//!                                     when nothing else waits or small ones had their turn
//! ```
//!
//! One that goes *ahead* is queued in front of those that do not, and keeps the front until its last
//! piece has left. Only as many large payloads are active as the other end assembles at a time.

use super::limits::{MAX_FRAGMENT_BYTES, SMALL_TURN_BYTES};
use super::wire::{Header, Kind};
use crate::limits::{MAX_BATCH_BYTES, MAX_COPIED_BYTES};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// What leaves with some bytes, for the counts of the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Largest id of the small requests so far.
    pub(super) requests_through: u64,
    /// Responses that end here.
    pub(super) responses: u32,
    /// Bytes of the requests that those answer.
    pub(super) answered_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    ready: VecDeque<(Bytes, Tally)>,
    /// Invariant: whole frames, or a frame whose payload is pushed to `ready` next.
    small: BytesMut,
    /// Of what is in `small`.
    tally: Tally,
    queued: VecDeque<Bulk>,
    active: VecDeque<Bulk>,
    /// Invariant: sum of `whole_bytes` over `active`, not over the other end's limit.
    active_bytes: u64,
    /// Invariant: bytes left of all in `queued` and `active`.
    bulk_bytes: u64,
    /// Invariant: bytes in `ready` and `small`.
    gathered_bytes: usize,
    since_fragment_bytes: usize,
    /// What is pushed next goes ahead.
    ahead: bool,
}

#[derive(Debug)]
struct Bulk {
    kind: Kind,
    id: u64,
    rest: Bytes,
    whole_bytes: u64,
    /// Bytes of the request that it answers, if it is a response.
    answered_bytes: u64,
    ahead: bool,
}

impl Outgoing {
    /// Queues a frame; a payload over one fragment follows in data frames. `answered_bytes` are
    /// those of the request that a response answers.
    pub(super) fn push(
        &mut self,
        header: Header,
        head: &[u8],
        payload: Bytes,
        answered_bytes: u64,
    ) {
        let whole_bytes = payload.len();
        let header = Header { head_bytes: head.len(), whole_bytes: whole_bytes as u32, ..header };
        if whole_bytes <= MAX_FRAGMENT_BYTES {
            self.count(header, answered_bytes);
            self.frame(Header { payload_bytes: whole_bytes, ..header }, head, payload);
            return;
        }
        let kind = match header.kind {
            Kind::Response => Kind::ResponseData,
            _ => Kind::RequestData,
        };
        let (id, whole_bytes) = (header.id, whole_bytes as u64);
        self.frame(header, head, Bytes::new());
        self.bulk_bytes += whole_bytes;
        let ahead = self.ahead;
        let bulk = Bulk { kind, id, rest: payload, whole_bytes, answered_bytes, ahead };
        if ahead {
            insert_ahead(&mut self.queued, bulk);
        } else {
            self.queued.push_back(bulk);
        }
    }

    /// Large payloads that are pushed from now on go ahead of others.
    pub(super) fn next_goes_ahead(&mut self) {
        self.ahead = true;
    }

    /// Large payloads that are pushed from now on wait for their turn.
    pub(super) fn next_goes_behind(&mut self) {
        self.ahead = false;
    }

    /// True while the last piece of a large payload has not left.
    pub(super) fn has_bulk(&self, kind: Kind, id: u64) -> bool {
        self.queued.iter().chain(&self.active).any(|bulk| bulk.kind == kind && bulk.id == id)
    }

    /// Forgets what is left to send of a large payload.
    pub(super) fn drop_bulk(&mut self, kind: Kind, id: u64) {
        let it = |bulk: &Bulk| bulk.kind == kind && bulk.id == id;
        if let Some(bulk) = take(&mut self.queued, it) {
            self.bulk_bytes -= bulk.rest.len() as u64;
        } else if let Some(bulk) = take(&mut self.active, it) {
            self.bulk_bytes -= bulk.rest.len() as u64;
            self.active_bytes -= bulk.whole_bytes;
        }
    }

    /// The next bytes to send. The other end assembles `max_assembly_bytes` at a time.
    pub(super) fn poll(&mut self, max_assembly_bytes: u64) -> Option<(Bytes, Tally)> {
        let idle = self.ready.is_empty() && self.small.is_empty();
        if idle || self.since_fragment_bytes >= SMALL_TURN_BYTES {
            self.next_fragment(max_assembly_bytes);
        }
        let (bytes, tally) = match self.ready.pop_front() {
            Some(chunk) => chunk,
            None if self.small.is_empty() => return None,
            None => (self.small.split().freeze(), std::mem::take(&mut self.tally)),
        };
        self.gathered_bytes -= bytes.len();
        self.since_fragment_bytes += bytes.len();
        Some((bytes, tally))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gathered_bytes == 0 && self.bulk_bytes == 0
    }

    /// Everything that waits.
    pub(super) fn queued_bytes(&self) -> u64 {
        self.gathered_bytes as u64 + self.bulk_bytes
    }

    fn count(&mut self, header: Header, answered_bytes: u64) {
        match header.kind {
            Kind::Request => self.tally.requests_through = header.id,
            Kind::Response => self.count_response(answered_bytes),
            _ => {}
        }
    }

    fn count_response(&mut self, answered_bytes: u64) {
        self.tally.responses += 1;
        self.tally.answered_bytes += answered_bytes;
    }

    /// Invariant: what leaves with the frame is in `tally` already.
    fn frame(&mut self, header: Header, head: &[u8], payload: Bytes) {
        let before = self.small.len();
        header.put(&mut self.small);
        self.small.extend_from_slice(head);
        self.gathered_bytes += self.small.len() - before + payload.len();
        if payload.len() <= MAX_COPIED_BYTES {
            self.small.extend_from_slice(&payload);
            if self.small.len() >= MAX_BATCH_BYTES {
                self.ready
                    .push_back((self.small.split().freeze(), std::mem::take(&mut self.tally)));
            }
        } else {
            // A request whose first bytes have left has been sent, for those who must know.
            self.ready.push_back((self.small.split().freeze(), std::mem::take(&mut self.tally)));
            self.ready.push_back((payload, Tally::default()));
        }
    }

    fn next_fragment(&mut self, max_assembly_bytes: u64) {
        self.since_fragment_bytes = 0;
        while let Some(next) = self.queued.front()
            && self.active_bytes + next.whole_bytes <= max_assembly_bytes
            && let Some(next) = self.queued.pop_front()
        {
            self.active_bytes += next.whole_bytes;
            if next.ahead {
                insert_ahead(&mut self.active, next);
            } else {
                self.active.push_back(next);
            }
        }
        let Some(mut bulk) = self.active.pop_front() else { return };
        let piece = bulk.rest.split_to(bulk.rest.len().min(MAX_FRAGMENT_BYTES));
        self.bulk_bytes -= piece.len() as u64;
        if bulk.rest.is_empty() {
            self.active_bytes -= bulk.whole_bytes;
            if bulk.kind == Kind::ResponseData {
                self.count_response(bulk.answered_bytes);
            }
        }
        let header = Header::new(bulk.kind, bulk.id);
        self.frame(Header { payload_bytes: piece.len(), ..header }, &[], piece);
        if bulk.rest.is_empty() {
            return;
        }
        if bulk.ahead {
            self.active.push_front(bulk);
        } else {
            self.active.push_back(bulk);
        }
    }
}

/// Behind those that go ahead too, before all others.
fn insert_ahead(bulks: &mut VecDeque<Bulk>, bulk: Bulk) {
    let at = bulks.iter().position(|other| !other.ahead).unwrap_or(bulks.len());
    bulks.insert(at, bulk);
}

fn take(bulks: &mut VecDeque<Bulk>, it: impl Fn(&Bulk) -> bool) -> Option<Bulk> {
    let at = bulks.iter().position(it)?;
    bulks.remove(at)
}
