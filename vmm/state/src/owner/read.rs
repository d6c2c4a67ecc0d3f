//! Requests that read a value, or keep a version of it open.

use std::time::Instant;

use super::record::Id;
use super::value::{Body as ChunkBody, Value};
use super::{Entry, Owner, Payload, malformed};
use crate::chunk::{Chunk, ChunkRange};
use crate::delta;
use crate::message::{
    Body, Failure, MAX_LISTED, MAX_PULL_CHUNKS, MAX_PULL_RANGES, PullRange, Reply, Stamp,
};
use crate::payload::{write_changes, write_whole, write_zeros};
use crate::version::Version;

/// A chunk is sent as changes where they take less than one part in so many of it.
const CHANGES_WORTH: usize = 2;

impl Owner {
    pub(super) fn read(
        &mut self,
        now: Instant,
        id: &Id,
        body: &Body,
    ) -> Result<(Reply, Payload), Failure> {
        match body {
            Body::Stat => Ok((Reply::Value(self.value(id)?.stat()), Payload::default())),
            Body::Pull { ranges, at } => pull(self.value(id)?, ranges, *at),
            Body::Versions => {
                let versions = self.value(id)?.versions(now).take(MAX_LISTED as usize).collect();
                Ok((Reply::Versions { versions }, Payload::default()))
            }
            Body::Open { stamp, at } => self.open(now, id, *stamp, *at),
            Body::Close { stamp } => {
                if let Some(version) = self.sessions.close(now + self.config.lease, *stamp, id) {
                    self.tenants.update(id, |entry| close(entry, version));
                }
                Ok((Reply::Done, Payload::default()))
            }
            _ => Err(malformed(&"found a request of another kind")),
        }
    }

    fn value(&self, id: &Id) -> Result<&Value, Failure> {
        self.tenants.get(id).ok_or(Failure::NotFound)?.value()
    }

    fn open(
        &mut self,
        now: Instant,
        id: &Id,
        stamp: Stamp,
        at: Option<Version>,
    ) -> Result<(Reply, Payload), Failure> {
        let value = self.value(id)?;
        let known = self.sessions.opened(stamp, id)?;
        let version = known.or(at).unwrap_or(value.version());
        let len = value.len_at(version).ok_or(Failure::Collected { version })?;
        let stat = crate::message::Stat { len, version, ..value.stat() };
        if known.is_none() {
            self.sessions.open(stamp, id, version)?;
            *self.tenants.make(id).open.entry(version).or_default() += 1;
        }
        self.sessions.lease(stamp.session, now + self.config.lease);
        Ok((Reply::Value(stat), Payload::default()))
    }
}

/// One opening less keeps the version open.
pub(super) fn close(entry: &mut Entry, version: Version) {
    if let Some(count) = entry.open.get_mut(&version) {
        *count -= 1;
        if *count == 0 {
            entry.open.remove(&version);
        }
    }
}

fn pull(
    value: &Value,
    ranges: &[PullRange],
    at: Option<Version>,
) -> Result<(Reply, Payload), Failure> {
    let chunks = ranges.iter().map(|range| u64::from(range.count)).sum::<u64>();
    if ranges.len() > MAX_PULL_RANGES || chunks > u64::from(MAX_PULL_CHUNKS) {
        let limit = u64::from(MAX_PULL_CHUNKS);
        return Err(Failure::Limit { what: "chunks in one pull".to_owned(), limit });
    }
    let version = at.unwrap_or(value.version());
    let len = value.len_at(version).ok_or(Failure::Collected { version })?;
    let mut payload = Payload::default();
    for range in ranges {
        let end = range.first.checked_add(range.count);
        end.ok_or_else(|| malformed(&"found chunks beyond the last that has a number"))?;
        let chunks = ChunkRange { first: Chunk(range.first), count: range.count };
        for chunk in chunks.iter().filter(|chunk| chunk.start() < len) {
            let body = value.body_at(chunk, version).ok_or(Failure::Collected { version })?;
            if body.version > range.since {
                write(&mut payload, value, chunk, &body, range.since);
            }
        }
    }
    Ok((Reply::Pulled { version, made: value.made, len }, payload))
}

/// Writes a chunk that is newer than `since`, in whatever form is shortest.
fn write(payload: &mut Payload, value: &Value, chunk: Chunk, body: &ChunkBody, since: Version) {
    let Some(bytes) = &body.bytes else { return write_zeros(payload, chunk, body.version) };
    if since >= value.made
        && let Some(entry) = changes_since(value, chunk, bytes, since)
    {
        return write_changes(payload, chunk, body.version, &entry);
    }
    write_whole(payload, chunk, body.version, bytes);
}

/// What differs from the chunk as it was, if that is known, and little. Where it was shorter, it
/// was zero.
fn changes_since(value: &Value, chunk: Chunk, bytes: &[u8], since: Version) -> Option<Vec<u8>> {
    let old = value.body_at(chunk, since)?.bytes?;
    if old.len() != bytes.len() {
        return None;
    }
    let mut entry = Vec::new();
    let found = delta::absolute(&value.spec, chunk, &old, bytes, &mut entry);
    (found && entry.len() * CHANGES_WORTH < bytes.len()).then_some(entry)
}
