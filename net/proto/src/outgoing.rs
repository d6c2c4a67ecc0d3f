//! What waits to be sent, small frames first, large payloads in turns.
//!
//! ```text
//!  small frames ──► small ──┐
//!                           ├──► ready ──► poll()
//!  ≤ one fragment ──────────┘      ▲
//!  larger ──► bulk: a b c ─────────┘  one fragment of the first, which then goes to the back,
//!                                     whenever nothing else waits
//! ```

use crate::head::{HeadWriter, IdHead, put_frame};
use crate::limits::{MAX_BATCH_BYTES, MAX_COPIED_BYTES, MAX_FRAGMENT_BYTES};
use crate::wire::Kind;
use bytes::{Bytes, BytesMut};
use rkyv::rancor::{Failure, Strategy};
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    ready: VecDeque<Bytes>,
    /// Invariant: whole frames, or a frame whose payload is pushed to `ready` next.
    small: BytesMut,
    bulk: VecDeque<Bulk>,
    /// Invariant: bytes in `ready` and `small`.
    gathered_bytes: usize,
    /// Invariant: bytes in `bulk`.
    bulk_bytes: u64,
}

#[derive(Debug)]
struct Bulk {
    id: u64,
    rest: Bytes,
}

impl Outgoing {
    /// Queues a frame of call `id`; a payload over one fragment follows in data frames.
    pub(crate) fn push<T>(&mut self, kind: Kind, head: &T, id: u64, payload: Bytes)
    where
        T: for<'a> rkyv::Serialize<Strategy<HeadWriter<'a>, Failure>>,
    {
        if payload.len() > MAX_FRAGMENT_BYTES {
            self.frame(kind, head, 0);
            self.bulk_bytes += payload.len() as u64;
            self.bulk.push_back(Bulk { id, rest: payload });
            return;
        }
        self.frame(kind, head, payload.len());
        self.payload(payload);
    }

    /// Queues a frame whose payload is the whole of it, or that has none.
    pub(crate) fn push_bare(&mut self, kind: Kind, payload: &[u8]) {
        self.frame(kind, &(), payload.len());
        self.payload(Bytes::copy_from_slice(payload));
    }

    /// Forgets what is left to send of call `id`.
    pub(crate) fn drop_bulk(&mut self, id: u64) {
        if let Some(at) = self.bulk.iter().position(|bulk| bulk.id == id)
            && let Some(bulk) = self.bulk.remove(at)
        {
            self.bulk_bytes -= bulk.rest.len() as u64;
        }
    }

    /// The next bytes to send.
    pub(crate) fn poll(&mut self) -> Option<Bytes> {
        if self.ready.is_empty() && self.small.is_empty() {
            self.next_fragment();
        }
        let bytes = match self.ready.pop_front() {
            Some(bytes) => bytes,
            None if self.small.is_empty() => return None,
            None => self.small.split().freeze(),
        };
        self.gathered_bytes -= bytes.len();
        Some(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.gathered_bytes == 0 && self.bulk.is_empty()
    }

    pub(crate) fn gathered_bytes(&self) -> usize {
        self.gathered_bytes
    }

    /// Everything that waits.
    pub(crate) fn queued_bytes(&self) -> u64 {
        self.gathered_bytes as u64 + self.bulk_bytes
    }

    fn frame<T>(&mut self, kind: Kind, head: &T, payload_bytes: usize)
    where
        T: for<'a> rkyv::Serialize<Strategy<HeadWriter<'a>, Failure>>,
    {
        let before = self.small.len();
        put_frame(kind, head, payload_bytes, &mut self.small);
        self.gathered_bytes += self.small.len() - before;
    }

    fn payload(&mut self, payload: Bytes) {
        self.gathered_bytes += payload.len();
        if payload.len() <= MAX_COPIED_BYTES {
            self.small.extend_from_slice(&payload);
            if self.small.len() >= MAX_BATCH_BYTES {
                self.ready.push_back(self.small.split().freeze());
            }
        } else {
            self.ready.push_back(self.small.split().freeze());
            self.ready.push_back(payload);
        }
    }

    fn next_fragment(&mut self) {
        let Some(mut bulk) = self.bulk.pop_front() else { return };
        let piece = bulk.rest.split_to(bulk.rest.len().min(MAX_FRAGMENT_BYTES));
        self.bulk_bytes -= piece.len() as u64;
        self.frame(Kind::Data, &IdHead { id: bulk.id }, piece.len());
        self.payload(piece);
        if !bulk.rest.is_empty() {
            self.bulk.push_back(bulk);
        }
    }
}
