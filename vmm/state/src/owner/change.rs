//! Requests that change a value: each is applied once, and answered again as it was.

use std::sync::Arc;
use std::time::Instant;

use super::config::MAX_UNSTORED_BYTES;
use super::entry::{Kept, State};
use super::record::{Batch, Done, Head, Id, Record};
use super::undo::Before;
use super::value::{Change, Value};
use super::{Entry, Owner, Payload, malformed};
use crate::chunk::{CHUNK_BYTES, Chunk};
use crate::delta;
use crate::message::{Body, Failure, MAX_PAYLOAD_BYTES, MAX_PUSH_CHUNKS, Reply, Stamp};
use crate::payload::{Changes, ChunkChanges};
use crate::spec::Spec;
use crate::version::Version;

/// What is to become of a value.
enum Becomes {
    /// Nothing else: the value is as it was asked for.
    Same,
    /// A new value.
    Made(Spec),
    /// A new version.
    Changed(Change),
    /// None.
    Deleted,
}

impl Owner {
    pub(super) fn change(
        &mut self,
        now: Instant,
        id: &Id,
        body: &Body,
        payload: &[u8],
    ) -> Result<(Reply, Payload), Failure> {
        let Some(stamp) = body.change() else { return Err(malformed(&"found no change")) };
        let entry = self.tenants.make(id);
        if !self.config.faults.ignore_dedup
            && let Some(reply) = entry.answered(now, stamp)
        {
            return Ok((reply, Payload::default()));
        }
        self.sessions.note(stamp.session, id)?;
        if let Some(other) = self.tenants.make(id).make_room(now, stamp.session)? {
            self.sessions.unnote(other, id);
            self.outbox.persist(vec![Record::Done(id.clone(), other, None)]);
        }
        match self.prepare(id, body, payload) {
            Ok((becomes, reply)) => self.make_true(now, id, stamp, becomes, &reply),
            Err(failure) => self.keep(now, id, stamp, &Reply::Failed(failure.clone())),
        }
    }

    /// What the change comes to, with nothing changed yet.
    fn prepare(
        &mut self,
        id: &Id,
        body: &Body,
        payload: &[u8],
    ) -> Result<(Becomes, Reply), Failure> {
        if payload.len() > MAX_PAYLOAD_BYTES {
            let limit = MAX_PAYLOAD_BYTES as u64;
            return Err(Failure::Limit { what: "bytes in one request".to_owned(), limit });
        }
        if self.outbox.unstored_bytes() > MAX_UNSTORED_BYTES {
            let what = "bytes of changes that wait for the disk".to_owned();
            return Err(Failure::Limit { what, limit: MAX_UNSTORED_BYTES });
        }
        if let Body::Create { spec, renew, .. } = body {
            return self.create(id, *spec, *renew);
        }
        let next = self.shards.next(id.key.shard(&id.tenant));
        let ignore_fence = self.config.faults.ignore_fence;
        let entry = self.tenants.make(id);
        let check = |expected, fence| check(entry, expected, fence, ignore_fence);
        let prepared = match body {
            Body::Push { expected, fence, len, .. } => {
                check(*expected, *fence)?;
                push(entry.value()?, next, payload, *len)?
            }
            Body::Append { fence, .. } => {
                check(None, *fence)?;
                append(entry.value()?, next, payload)?
            }
            Body::Resize { expected, fence, len, .. } => {
                check(*expected, *fence)?;
                resize(entry.value()?, next, *len)?
            }
            Body::Delete { expected, fence, .. } => {
                // A value that was lost can be deleted, as it can be made anew.
                match check(*expected, *fence) {
                    Ok(()) | Err(Failure::Lost) => {}
                    Err(failure) => return Err(failure),
                }
                let reply = Reply::Pushed { version: next, len: 0, before: Vec::new() };
                (Becomes::Deleted, reply)
            }
            _ => return Err(malformed(&"found no change")),
        };
        if let Becomes::Changed(change) = &prepared.0 {
            self.tenants.room(id, Value::cost(change), &self.config)?;
        }
        Ok(prepared)
    }

    fn create(&mut self, id: &Id, spec: Spec, renew: bool) -> Result<(Becomes, Reply), Failure> {
        let spec = spec.checked().map_err(|error| malformed(&error))?;
        match &self.tenants.make(id).state {
            State::There(value) if value.spec == spec => {
                return Ok((Becomes::Same, Reply::Value(value.stat())));
            }
            State::There(value) => return Err(Failure::OtherSpec { found: value.spec }),
            State::Lost if !renew => return Err(Failure::Lost),
            State::Lost | State::Gone => {}
        }
        self.tenants.room_for_value(id, &self.config)?;
        self.tenants.room(id, 0, &self.config)?;
        // The answer is filled in when it has its version.
        Ok((Becomes::Made(spec), Reply::Done))
    }

    /// Makes the change, with its batch, and keeps the answer in it.
    fn make_true(
        &mut self,
        now: Instant,
        id: &Id,
        stamp: Stamp,
        becomes: Becomes,
        reply: &Reply,
    ) -> Result<(Reply, Payload), Failure> {
        let ticket = self.outbox.next_ticket();
        let settled = self.outbox.settled();
        let mut batch = Batch::new();
        let mut reply = reply.clone();
        match becomes {
            Becomes::Same => return self.keep(now, id, stamp, &reply),
            Becomes::Made(spec) => {
                let value = Value::new(spec, self.shards.next(id.key.shard(&id.tenant)), now);
                reply = Reply::Value(value.stat());
                batch.push(Record::Head(id.clone(), Some(value.head(value.is_durable()))));
                let before = self.tenants.update(id, |entry| {
                    std::mem::replace(&mut entry.state, State::There(Box::new(value)))
                });
                self.undo.note(ticket, id, Before::State(before));
            }
            Becomes::Deleted => {
                let before = self.tenants.update(id, |entry| std::mem::take(&mut entry.state));
                batch.extend(without(id, &before));
                self.undo.note(ticket, id, Before::State(before));
                self.refuse_waiting(id, &Failure::NotFound);
            }
            Becomes::Changed(change) => {
                let bodies = change.bodies.clone();
                let head = self.tenants.update(id, |entry| {
                    let open = std::mem::take(&mut entry.open);
                    let head = entry.value_mut().map(|value| {
                        let ticket = if value.is_durable() { ticket } else { settled };
                        value.put(now, change, ticket);
                        value.collect(now, settled, &open);
                        value.head(true)
                    });
                    entry.open = open;
                    head
                })?;
                if head.spec.durability() == crate::spec::Durability::Memory {
                    return self.keep(now, id, stamp, &reply);
                }
                batch.extend(changed(id, &head, bodies));
                self.undo.note(ticket, id, Before::Version);
            }
        }
        let done = Done { sequence: stamp.sequence, reply: reply.clone() };
        batch.push(Record::Done(id.clone(), stamp.session, Some(done.clone())));
        let entry = self.tenants.make(id);
        entry.after = Some(ticket);
        entry.done.insert(stamp.session, Kept { done, at: now });
        self.undo.note(ticket, id, Before::Done(stamp.session));
        self.outbox.persist(batch);
        Ok((reply, Payload::default()))
    }

    /// Keeps an answer in memory alone: a refusal, or one about a value that is there alone.
    fn keep(
        &mut self,
        now: Instant,
        id: &Id,
        stamp: Stamp,
        reply: &Reply,
    ) -> Result<(Reply, Payload), Failure> {
        let done = Done { sequence: stamp.sequence, reply: reply.clone() };
        self.tenants.make(id).done.insert(stamp.session, Kept { done, at: now });
        Ok((reply.clone(), Payload::default()))
    }
}

fn check(
    entry: &Entry,
    expected: Option<Version>,
    fence: Option<Version>,
    ignore_fence: bool,
) -> Result<(), Failure> {
    let found = entry.value()?.version();
    if !ignore_fence {
        entry.locks.check(fence)?;
    }
    match expected {
        Some(expected) if expected != found => Err(Failure::Conflict { expected, found }),
        _ => Ok(()),
    }
}

fn check_len(spec: &Spec, len: u64) -> Result<(), Failure> {
    let limit = spec.quota_bytes();
    if spec.allows(len) { Ok(()) } else { Err(Failure::Length { limit, found: len }) }
}

fn push(
    value: &Value,
    version: Version,
    payload: &[u8],
    len: u64,
) -> Result<(Becomes, Reply), Failure> {
    let spec = &value.spec;
    let changes =
        Changes::parse(payload, spec.element().width()).map_err(|error| malformed(&error))?;
    if changes.len() > MAX_PUSH_CHUNKS {
        let limit = MAX_PUSH_CHUNKS as u64;
        return Err(Failure::Limit { what: "chunks in one push".to_owned(), limit });
    }
    let len = len.max(value.len());
    check_len(spec, len)?;
    let mut bodies = Vec::with_capacity(changes.len());
    let mut before = Vec::with_capacity(changes.len());
    for entry in changes.iter() {
        let chunk = entry.chunk();
        if chunk.start() + entry.end() as u64 > len {
            let found = chunk.start() + entry.end() as u64;
            return Err(Failure::Length { limit: len, found });
        }
        if entry.has_tails() && spec.rule() != crate::spec::Rule::Replace {
            return Err(malformed(&"found bytes of a part of an element"));
        }
        let old = value.body(chunk);
        before.push(old.version);
        bodies.push((chunk, Some(merge(spec, old.bytes.as_deref(), &entry))));
    }
    Ok((Becomes::Changed(Change { version, len, bodies }), Reply::Pushed { version, len, before }))
}

fn merge(spec: &Spec, old: Option<&[u8]>, changes: &ChunkChanges<'_>) -> Arc<[u8]> {
    let old = old.unwrap_or_default();
    let mut new = grown(old, changes.end());
    if let Some(bytes) = Arc::get_mut(&mut new) {
        delta::apply(spec, bytes, changes);
    }
    new
}

/// A copy, with zeros up to `len` at least.
fn grown(old: &[u8], len: usize) -> Arc<[u8]> {
    if old.len() >= len {
        return old.into();
    }
    let mut bytes = Vec::with_capacity(len);
    bytes.extend_from_slice(old);
    bytes.resize(len, 0);
    bytes.into()
}

fn append(value: &Value, version: Version, bytes: &[u8]) -> Result<(Becomes, Reply), Failure> {
    let at = value.len();
    let len = at.saturating_add(bytes.len() as u64);
    check_len(&value.spec, len)?;
    let mut bodies = Vec::new();
    let mut left = bytes;
    while !left.is_empty() {
        let start = len - left.len() as u64;
        let chunk = Chunk((start / CHUNK_BYTES) as u32);
        let within = (start - chunk.start()) as usize;
        let (now, later) = left.split_at(left.len().min(CHUNK_BYTES as usize - within));
        let old = value.body(chunk);
        let mut new = grown(old.bytes.as_deref().unwrap_or_default(), within + now.len());
        if let Some(new) = Arc::get_mut(&mut new) {
            new[within..within + now.len()].copy_from_slice(now);
        }
        bodies.push((chunk, Some(new)));
        left = later;
    }
    let reply = Reply::Appended { version, at, len };
    Ok((Becomes::Changed(Change { version, len, bodies }), reply))
}

fn resize(value: &Value, version: Version, len: u64) -> Result<(Becomes, Reply), Failure> {
    check_len(&value.spec, len)?;
    let mut bodies = Vec::new();
    if len < value.len() {
        for (chunk, body) in value.put_from(Chunk((len / CHUNK_BYTES) as u32)) {
            let Some(bytes) = &body.bytes else { continue };
            let left = chunk.bytes(len);
            let left = (left.end - left.start) as usize;
            if left < bytes.len() {
                bodies.push((chunk, (left > 0).then(|| bytes[..left].into())));
            }
        }
    }
    let reply = Reply::Pushed { version, len, before: Vec::new() };
    Ok((Becomes::Changed(Change { version, len, bodies }), reply))
}

/// The records of a new version.
fn changed(
    id: &Id,
    head: &Head,
    bodies: Vec<(Chunk, Option<Arc<[u8]>>)>,
) -> impl Iterator<Item = Record> {
    let version = head.version;
    let chunks = bodies.into_iter().map(move |(chunk, bytes)| {
        Record::Chunk(id.clone(), chunk, bytes.map(|bytes| (version, bytes)))
    });
    std::iter::once(Record::Head(id.clone(), Some(*head))).chain(chunks)
}

/// The records that remove a value.
fn without(id: &Id, state: &State) -> Vec<Record> {
    let mut batch = vec![Record::Head(id.clone(), None)];
    if let State::There(value) = state
        && value.is_durable()
    {
        let chunks = value.put_from(Chunk(0)).filter(|(_, body)| body.bytes.is_some());
        batch.extend(chunks.map(|(chunk, _)| Record::Chunk(id.clone(), chunk, None)));
    }
    batch
}
