//! Reading: a range of one version, and what differs between two.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use faaslet_state::message::{Body, MAX_PULL_CHUNKS, PullRange, Reply, Stamp, Stat};
use faaslet_state::payload::{Body as ChunkBody, pulled_chunks};
use faaslet_state::{CHUNK_BYTES, Chunk, ChunkRange, Version};

use super::{Outside, OutsideError, any_stamp};

/// Most ranges that a comparison tells.
const MAX_CHANGES: usize = 4096;
/// Chunks that are pulled at once.
const PULL_CHUNKS: u32 = 64;
const _: () = assert!(PULL_CHUNKS <= MAX_PULL_CHUNKS);

/// A range of one version, part by part. The version is kept until it is read or dropped.
#[derive(Debug)]
pub struct Reading {
    opening: Opening,
    /// The value as of the version.
    pub stat: Stat,
    left: Range<u64>,
    parts: VecDeque<Bytes>,
}

/// Closes its version when it goes, whether the owner has opened it by then or not.
#[derive(Debug)]
struct Opening {
    outside: Outside,
    key: String,
    stamp: Stamp,
}

/// A part that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where it begins.
    pub at: u64,
    /// How long it is.
    pub len: u64,
}

impl Outside {
    /// Opens a version, the newest where none is named.
    ///
    /// # Errors
    /// See [`OutsideError`].
    pub async fn open(&self, key: &str, at: Option<Version>) -> Result<Reading, OutsideError> {
        let sequence = self.opened.fetch_add(1, Ordering::Relaxed) + 1;
        let stamp = Stamp { sequence, ..any_stamp() };
        let (outside, name) = (self.clone(), key.to_owned());
        // Made before it is asked for: who asks may go before the owner answers.
        let opening = Opening { outside, key: name, stamp };
        let Reply::Value(stat) = self.ask(key, Body::Open { stamp, at }, Bytes::new()).await?.0
        else {
            return Err(OutsideError::Protocol);
        };
        Ok(Reading { opening, stat, left: 0..stat.len, parts: VecDeque::new() })
    }

    /// What differs between two versions, in order, and whether that is all.
    ///
    /// # Errors
    /// See [`OutsideError`].
    pub async fn diff(
        &self,
        key: &str,
        from: Version,
        to: Version,
    ) -> Result<(Vec<Change>, bool), OutsideError> {
        let (mut old, mut new) =
            (self.open(key, Some(from)).await?, self.open(key, Some(to)).await?);
        let mut changes = Vec::new();
        let mut at = 0;
        loop {
            let (before, after) = (old.pull().await?, new.pull().await?);
            if before.is_empty() && after.is_empty() {
                return Ok((changes, true));
            }
            differences(&before, &after, at, &mut changes);
            if changes.len() > MAX_CHANGES {
                changes.truncate(MAX_CHANGES);
                return Ok((changes, false));
            }
            at += before.len().max(after.len()) as u64;
        }
    }
}

/// Where two parts of a value differ; what only one has differs.
fn differences(old: &[u8], new: &[u8], at: u64, changes: &mut Vec<Change>) {
    for index in 0..old.len().max(new.len()) {
        if old.get(index) == new.get(index) {
            continue;
        }
        let here = at + index as u64;
        match changes.last_mut() {
            Some(last) if last.at + last.len == here => last.len += 1,
            _ => changes.push(Change { at: here, len: 1 }),
        }
    }
}

impl Reading {
    /// Reads this range alone.
    ///
    /// # Errors
    /// `Range`.
    pub fn within(mut self, range: Range<u64>) -> Result<Self, OutsideError> {
        let len = self.stat.len;
        if range.start > range.end || range.end > len {
            return Err(OutsideError::Range {
                key: self.opening.key.clone(),
                len,
                width: 1,
                from: range.start,
            });
        }
        self.left = range;
        Ok(self)
    }

    /// Bytes that are left.
    pub fn len(&self) -> u64 {
        self.left.end - self.left.start
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// The next part; `None` at the end.
    ///
    /// # Errors
    /// See [`OutsideError`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, OutsideError> {
        if self.parts.is_empty() && !self.is_empty() {
            let part = self.pull().await?;
            self.parts.push_back(part.into());
        }
        Ok(self.parts.pop_front())
    }

    /// The next chunks, in one.
    async fn pull(&mut self) -> Result<Vec<u8>, OutsideError> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let first = Chunk((self.left.start / CHUNK_BYTES) as u32);
        let end = self.left.end.min(first.start() + u64::from(PULL_CHUNKS) * CHUNK_BYTES);
        let chunks = ChunkRange::covering(first.start(), end - first.start())
            .ok_or(OutsideError::Protocol)?;
        let range = PullRange { first: first.0, count: chunks.count, since: Version::NONE };
        let body = Body::Pull { ranges: vec![range], at: Some(self.stat.version) };
        let Opening { outside, key, .. } = &self.opening;
        let (_, payload) = outside.ask(key, body, Bytes::new()).await?;
        let mut bytes = vec![0; (end - first.start()) as usize];
        for chunk in pulled_chunks(&payload, self.stat.spec.element().width()) {
            let chunk = chunk.map_err(|_| OutsideError::Protocol)?;
            let ChunkBody::Whole(body) = chunk.body else { continue };
            let at = chunk.chunk.start().checked_sub(first.start());
            let at = at.ok_or(OutsideError::Protocol)? as usize;
            let into = bytes.get_mut(at..).unwrap_or_default();
            let len = body.len().min(into.len());
            into[..len].copy_from_slice(&body[..len]);
        }
        bytes.drain(..(self.left.start - first.start()) as usize);
        self.left.start = end;
        Ok(bytes)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let body = Body::Close { stamp: self.stamp };
        let deadline = std::time::Instant::now() + super::WITHIN;
        let closed = Box::new(|_| {});
        self.outside.session.ask_numbered(&self.key, body, Bytes::new(), deadline, closed);
    }
}
