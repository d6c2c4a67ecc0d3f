//! Requests that change a value: each is applied once, and answered again as it was.

use std::sync::Arc;
use std::time::Instant;

use super::config::{Fault, MAX_SESSIONS_PER_VALUE, MAX_UNSTORED_BYTES};
use super::entry::{Room, State};
use super::record::{Batch, Done, Head, Id, Record};
use super::undo::Before;
use super::value::{Change, Value};
use super::{Answer, Entry, Owner, alone, malformed};
use crate::chunk::{CHUNK_BYTES, Chunk};
use crate::delta;
use crate::message::{Body, Failure, MAX_PAYLOAD_BYTES, MAX_PUSH_CHUNKS, Reply, Stamp};
use crate::payload::{Changes, ChunkChanges};
use crate::spec::Spec;
use crate::version::Version;

/// What is to become of a value.
pub(super) enum Becomes {
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
        token: u64,
    ) -> Answer {
        let Some(stamp) = body.change() else { return Err(malformed(&"found no change")) };
        let session = stamp.session;
        let entry = self.tenants.make(id);
        // That a value is there as it is to be made is no change. It needs no record, and calls of
        // one session may come in any order.
        if let (Body::Create { spec, .. }, State::There(value)) = (body, &entry.state)
            && value.spec == *spec
        {
            return Ok(Some(alone(Reply::Value(value.stat()))));
        }
        if !self.config.leaves_out(Fault::IgnoreDedup)
            && let Some(reply) = entry.answered(now, stamp)
        {
            return Ok(Some(alone(reply)));
        }
        if !self.note(now, session, id) {
            // Without a record of a refusal, what comes late could be applied after it.
            self.outbox.drop_request(token);
            return Ok(None);
        }
        match self.tenants.make(id).make_room(now, session) {
            Room::There => {}
            Room::From(silent) => {
                self.unnote(silent, id);
                self.outbox.persist(vec![Record::Done(id.clone(), silent, None)]);
            }
            Room::ForRefusal => return Err(self.keep_out(now, id, stamp)),
            Room::Nowhere => {
                self.unnote(session, id);
                self.outbox.drop_request(token);
                return Ok(None);
            }
        }
        match self.prepare(id, body, payload) {
            Ok((becomes, reply)) => self.make_true(now, id, stamp, becomes, reply),
            Err(failure) => {
                self.keep(now, id, stamp, Reply::Failed(failure.clone()));
                Err(failure)
            }
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
        room_to_store(self.outbox.unstored_bytes())?;
        if let Body::Create { spec, renew, .. } = body {
            return self.create(id, *spec, *renew);
        }
        let next = self.shards.next(id.key.shard(&id.tenant));
        let ignore_fence = self.config.leaves_out(Fault::IgnoreFence);
        let (tenants, config) = (&self.tenants, &self.config);
        let entry = tenants.get(id).ok_or(Failure::NotFound)?;
        let unstored = self.outbox.unstored_bytes();
        let room = |cost| {
            let is_durable = entry.value().is_ok_and(Value::is_durable);
            room_to_store(if is_durable { unstored + cost } else { unstored })?;
            tenants.room(id, cost, config)
        };
        let ignore_made = self.config.leaves_out(Fault::IgnoreMade);
        let check = |made, expected, fence| {
            let made = if ignore_made { Version::NONE } else { made };
            check(entry, made, expected, fence, ignore_fence)
        };
        match body {
            Body::Push { made, expected, fence, len, .. } => {
                check(*made, *expected, *fence)?;
                push(entry.value()?, next, payload, *len, room)
            }
            Body::Append { made, fence, .. } => {
                check(*made, None, *fence)?;
                append(entry.value()?, next, payload, room)
            }
            Body::Resize { made, expected, fence, len, .. } => {
                check(*made, *expected, *fence)?;
                resize(entry.value()?, next, *len, room)
            }
            Body::Delete { made, expected, fence, .. } => {
                // A value that was lost can be deleted, as it can be made anew.
                match check(*made, *expected, *fence) {
                    Ok(()) | Err(Failure::Lost) => {}
                    Err(failure) => return Err(failure),
                }
                let reply = Reply::Pushed { version: next, len: 0, before: Vec::new() };
                Ok((Becomes::Deleted, reply))
            }
            _ => Err(malformed(&"found no change")),
        }
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
        reply: Reply,
    ) -> Answer {
        let (mut batch, reply) = match becomes {
            Becomes::Same => (Batch::new(), reply),
            Becomes::Made(spec) => self.make(now, id, spec),
            Becomes::Deleted => (self.delete(id), reply),
            Becomes::Changed(change) => (self.put(now, id, change)?, reply),
        };
        if batch.is_empty() {
            // The answer is kept in memory alone, as what it tells is there alone.
            self.keep(now, id, stamp, reply.clone());
            self.tell_watches(id);
            return Ok(Some(alone(reply)));
        }
        let done = Done { sequence: stamp.sequence, reply: reply.clone() };
        batch.push(Record::Done(id.clone(), stamp.session, Some(done.clone())));
        let ticket = self.outbox.persist(batch);
        let entry = self.tenants.make(id);
        entry.after = Some(ticket);
        entry.keep(now, stamp.session, done);
        self.tell_watches(id);
        Ok(Some(alone(reply)))
    }

    fn make(&mut self, now: Instant, id: &Id, spec: Spec) -> (Batch, Reply) {
        let value = Value::new(spec, self.shards.next(id.key.shard(&id.tenant)), now);
        let reply = Reply::Value(value.stat());
        let batch = vec![Record::Head(id.clone(), Some(value.head(value.is_durable())))];
        let made = State::There(Box::new(value));
        let before = self.tenants.update(id, |entry| std::mem::replace(&mut entry.state, made));
        self.undo.note(self.outbox.next_ticket(), id, Before::State(before));
        (batch, reply)
    }

    fn delete(&mut self, id: &Id) -> Batch {
        let before = self.tenants.update(id, |entry| std::mem::take(&mut entry.state));
        let batch = without(id, &before);
        self.undo.note(self.outbox.next_ticket(), id, Before::State(before));
        self.refuse_waiting(id, &Failure::NotFound);
        batch
    }

    /// Puts a new version; what of it is to be stored.
    fn put(&mut self, now: Instant, id: &Id, change: Change) -> Result<Batch, Failure> {
        let (ticket, settled) = (self.outbox.next_ticket(), self.outbox.settled());
        let durable = self.tenants.make(id).value()?.is_durable();
        let bodies = if durable { change.bodies.clone() } else { Vec::new() };
        let head = self.tenants.update(id, |entry| {
            let Entry { state: State::There(value), open, .. } = entry else {
                return Err(Failure::NotFound);
            };
            value.put(now, change, if durable { ticket } else { settled });
            value.collect(now, settled, open);
            Ok(value.head(true))
        })?;
        if !durable {
            return Ok(Batch::new());
        }
        self.undo.note(ticket, id, Before::Version);
        Ok(changed(id, &head, bodies).collect())
    }

    /// Keeps an answer in memory alone.
    fn keep(&mut self, now: Instant, id: &Id, stamp: Stamp, reply: Reply) {
        let done = Done { sequence: stamp.sequence, reply };
        self.tenants.make(id).keep(now, stamp.session, done);
    }

    /// Refuses a session for which there is no room, once and for all for this stamp.
    fn keep_out(&mut self, now: Instant, id: &Id, stamp: Stamp) -> Failure {
        let limit = MAX_SESSIONS_PER_VALUE as u64;
        let failure = Failure::Limit { what: "sessions that change one value".to_owned(), limit };
        let done = Done { sequence: stamp.sequence, reply: Reply::Failed(failure.clone()) };
        self.tenants.make(id).keep_out(now, stamp.session, done);
        failure
    }
}

/// Whether the disk may owe so many bytes.
fn room_to_store(bytes: u64) -> Result<(), Failure> {
    let what = || "bytes of changes that wait for the disk".to_owned();
    if bytes <= MAX_UNSTORED_BYTES {
        Ok(())
    } else {
        Err(Failure::Limit { what: what(), limit: MAX_UNSTORED_BYTES })
    }
}

/// That the value is the one that is meant, in the version that is expected, and that a change
/// with this token may be made.
fn check(
    entry: &Entry,
    made: Version,
    expected: Option<Version>,
    fence: Option<Version>,
    ignore_fence: bool,
) -> Result<(), Failure> {
    let value = entry.value()?;
    if made != Version::NONE && made != value.made {
        return Err(Failure::OtherValue { made: value.made });
    }
    if !ignore_fence {
        entry.locks.check(fence)?;
    }
    let found = value.version();
    match expected {
        Some(expected) if expected != found => Err(Failure::Conflict { expected, found }),
        _ => Ok(()),
    }
}

fn check_len(spec: &Spec, len: u64) -> Result<(), Failure> {
    let limit = spec.quota_bytes();
    if spec.allows(len) { Ok(()) } else { Err(Failure::Length { limit, found: len }) }
}

pub(super) fn push(
    value: &Value,
    version: Version,
    payload: &[u8],
    len: u64,
    room: impl Fn(u64) -> Result<(), Failure>,
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
    changes.iter().try_for_each(|entry| check_entry(spec, len, &entry))?;
    // A few bytes may make a whole chunk, so there must be room before anything is made.
    room(Value::cost(changes.iter().map(|entry| {
        let old = value.body_len(entry.chunk());
        old.max(entry.end())
    })))?;
    let mut bodies = Vec::with_capacity(changes.len());
    let mut before = Vec::with_capacity(changes.len());
    for entry in changes.iter() {
        let chunk = entry.chunk();
        let old = value.body(chunk);
        before.push(old.version);
        bodies.push((chunk, Some(merge(spec, old.bytes.as_deref(), &entry))));
    }
    Ok((Becomes::Changed(Change { version, len, bodies }), Reply::Pushed { version, len, before }))
}

fn check_entry(spec: &Spec, len: u64, entry: &ChunkChanges<'_>) -> Result<(), Failure> {
    let found = entry.chunk().start() + entry.end() as u64;
    if found > len {
        return Err(Failure::Length { limit: len, found });
    }
    if entry.has_tails() && spec.rule() != crate::spec::Rule::Replace {
        return Err(malformed(&"found bytes of a part of an element"));
    }
    Ok(())
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

fn append(
    value: &Value,
    version: Version,
    bytes: &[u8],
    room: impl Fn(u64) -> Result<(), Failure>,
) -> Result<(Becomes, Reply), Failure> {
    let at = value.len();
    let len = at.saturating_add(bytes.len() as u64);
    check_len(&value.spec, len)?;
    // The last chunk is copied, all others are new.
    let last = value.body_len(Chunk((at / CHUNK_BYTES) as u32));
    let chunks = 1 + bytes.len() / CHUNK_BYTES as usize;
    let lens = std::iter::repeat_n(0, chunks).chain([last + bytes.len()]);
    room(Value::cost(lens))?;
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

fn resize(
    value: &Value,
    version: Version,
    len: u64,
    room: impl Fn(u64) -> Result<(), Failure>,
) -> Result<(Becomes, Reply), Failure> {
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
    let lens = bodies
        .iter()
        .map(|(_, bytes): &(_, Option<Arc<[u8]>>)| bytes.as_ref().map_or(0, |bytes| bytes.len()));
    room(Value::cost(lens))?;
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
