//! A payload that arrives in pieces.

use crate::close::{Close, violation};
use bytes::{Bytes, BytesMut};

/// Grows with what has arrived, never with what was announced.
#[derive(Debug)]
pub(crate) struct Assembly {
    announced_bytes: u64,
    received_bytes: u64,
    /// Nothing when the payload is not wanted any more and only counted to its end.
    kept: Option<BytesMut>,
}

impl Assembly {
    pub(crate) fn new(announced_bytes: u64) -> Self {
        Self { announced_bytes, received_bytes: 0, kept: Some(BytesMut::new()) }
    }

    /// Takes a piece; gives the whole when it is the last one.
    pub(crate) fn push(&mut self, id: u64, piece: &Bytes) -> Result<Option<Bytes>, Close> {
        self.received_bytes += piece.len() as u64;
        if piece.is_empty() || self.received_bytes > self.announced_bytes {
            return violation!(
                "expected {} bytes for call {id} in pieces that are not empty, found {} with one \
                 of {}",
                self.announced_bytes,
                self.received_bytes,
                piece.len()
            );
        }
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(piece);
        }
        let whole = self.received_bytes == self.announced_bytes;
        Ok(whole.then(|| self.kept.take().unwrap_or_default().freeze()))
    }

    /// Drops what has arrived; the rest is counted and dropped.
    pub(crate) fn discard(&mut self) {
        self.kept = None;
    }
}
