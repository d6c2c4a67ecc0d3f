//! A value at its owner: immutable chunks, each with the versions that changed it.
//!
//! ```text
//! steps    1.4 ── 1.7 ── 1.9          the versions that are there; the last is the newest
//! chunk 0  1.4           1.9          bodies, each with the version that put it there
//! chunk 1  1.4
//! chunk 2         1.7                 at 1.4 it was zeros, as a chunk is that nothing was put in
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::config::MAX_VERSIONS_PER_VALUE;
use super::record::{Head, Ticket};
use crate::chunk::Chunk;
use crate::message::{Stat, VersionStat};
use crate::spec::{Durability, Spec};
use crate::version::Version;

/// What a body or a step costs beside its bytes.
const OVERHEAD_BYTES: u64 = 96;

/// A chunk's bytes, beyond which it is zero, since a version.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) version: Version,
    pub(super) bytes: Option<Arc<[u8]>>,
}

impl Body {
    fn cost(&self) -> u64 {
        OVERHEAD_BYTES + self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)
    }
}

#[derive(Debug)]
struct Slot {
    newest: Body,
    /// Invariant: oldest first, and each is what the chunk was in some step.
    older: VecDeque<Body>,
}

/// A version that is there.
#[derive(Debug)]
struct Step {
    version: Version,
    len: u64,
    at: Instant,
    /// Chunks that differ from the step before, in order.
    chunks: Vec<u32>,
    changed_bytes: u64,
    /// The batch that it is in, for a durable value.
    ticket: Ticket,
}

impl Step {
    fn cost(&self) -> u64 {
        OVERHEAD_BYTES + 4 * self.chunks.len() as u64
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) spec: Spec,
    pub(super) made: Version,
    chunks: BTreeMap<u32, Slot>,
    /// Invariant: never empty, and versions grow.
    steps: VecDeque<Step>,
    /// Invariant: the cost of all bodies and steps.
    bytes: u64,
}

/// A new version: its length, and the chunks that it puts.
pub(super) struct Change {
    pub(super) version: Version,
    pub(super) len: u64,
    pub(super) bodies: Vec<(Chunk, Option<Arc<[u8]>>)>,
}

impl Value {
    pub(super) fn new(spec: Spec, made: Version, now: Instant) -> Self {
        Self::restored(&Head { spec, len: 0, version: made, made, whole: true }, now)
    }

    pub(super) fn restored(head: &Head, now: Instant) -> Self {
        let Head { spec, len, version, made, .. } = *head;
        let ticket = Ticket::default();
        let step = Step { version, len, at: now, chunks: Vec::new(), changed_bytes: 0, ticket };
        let bytes = step.cost();
        Self { spec, made, chunks: BTreeMap::new(), steps: [step].into(), bytes }
    }

    /// Puts a chunk of the newest version as it was stored.
    pub(super) fn restore_chunk(&mut self, chunk: Chunk, version: Version, bytes: Arc<[u8]>) {
        let newest = Body { version, bytes: Some(bytes) };
        self.bytes += newest.cost();
        self.chunks.insert(chunk.0, Slot { newest, older: VecDeque::new() });
    }

    fn newest(&self) -> &Step {
        &self.steps[self.steps.len() - 1]
    }

    pub(super) fn version(&self) -> Version {
        self.newest().version
    }

    pub(super) fn len(&self) -> u64 {
        self.newest().len
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_durable(&self) -> bool {
        self.spec.durability() == Durability::Durable
    }

    pub(super) fn head(&self, whole: bool) -> Head {
        let (version, len) = (self.version(), self.len());
        Head { spec: self.spec, len, version, made: self.made, whole }
    }

    pub(super) fn stat(&self) -> Stat {
        Stat { spec: self.spec, len: self.len(), version: self.version(), made: self.made }
    }

    /// The length at a version, if that is still there.
    pub(super) fn len_at(&self, version: Version) -> Option<u64> {
        let found = self.steps.binary_search_by_key(&version, |step| step.version).ok()?;
        Some(self.steps[found].len)
    }

    /// A chunk at the newest version.
    pub(super) fn body(&self, chunk: Chunk) -> Body {
        let put = self.chunks.get(&chunk.0).map(|slot| slot.newest.clone());
        put.unwrap_or(Body { version: self.made, bytes: None })
    }

    /// How many bytes of a chunk were put in the newest version.
    pub(super) fn body_len(&self, chunk: Chunk) -> usize {
        let put = self.chunks.get(&chunk.0).and_then(|slot| slot.newest.bytes.as_ref());
        put.map_or(0, |bytes| bytes.len())
    }

    /// A chunk as it was at `version`, if that is known.
    pub(super) fn body_at(&self, chunk: Chunk, version: Version) -> Option<Body> {
        let Some(slot) = self.chunks.get(&chunk.0) else {
            return (version >= self.made).then_some(Body { version: self.made, bytes: None });
        };
        if slot.newest.version <= version {
            return Some(slot.newest.clone());
        }
        let behind = slot.older.partition_point(|body| body.version <= version);
        slot.older.get(behind.checked_sub(1)?).cloned()
    }

    /// The chunks from `first` on in which something was put.
    pub(super) fn put_from(&self, first: Chunk) -> impl Iterator<Item = (Chunk, &Body)> {
        self.chunks.range(first.0..).map(|(chunk, slot)| (Chunk(*chunk), &slot.newest))
    }

    /// What a change will cost that puts bodies of these lengths, before anything is collected.
    pub(super) fn cost(lens: impl Iterator<Item = usize>) -> u64 {
        lens.fold(2 * OVERHEAD_BYTES, |cost, len| cost + OVERHEAD_BYTES + len as u64)
    }

    /// Makes a version. `ticket` is that of its batch.
    pub(super) fn put(&mut self, now: Instant, change: Change, ticket: Ticket) {
        let Change { version, len, bodies } = change;
        let changed_bytes = bodies.iter().map(|(_, b)| b.as_ref().map_or(0, |b| b.len() as u64));
        let changed_bytes = changed_bytes.sum();
        let chunks = bodies.iter().map(|(chunk, _)| chunk.0).collect();
        let step = Step { version, len, at: now, chunks, changed_bytes, ticket };
        self.bytes += step.cost();
        self.steps.push_back(step);
        for (chunk, bytes) in bodies {
            let body = Body { version, bytes };
            let zeros = Body { version: self.made, bytes: None };
            self.bytes += body.cost();
            let slot = self.chunks.entry(chunk.0).or_insert_with(|| {
                self.bytes += zeros.cost();
                Slot { newest: zeros, older: VecDeque::new() }
            });
            slot.older.push_back(std::mem::replace(&mut slot.newest, body));
        }
    }

    /// Takes the newest version back.
    pub(super) fn undo(&mut self) {
        if self.steps.len() < 2 {
            return;
        }
        let Some(step) = self.steps.pop_back() else { return };
        self.bytes -= step.cost();
        for chunk in step.chunks {
            let Some(slot) = self.chunks.get_mut(&chunk) else { continue };
            let Some(before) = slot.older.pop_back() else { continue };
            self.bytes -= std::mem::replace(&mut slot.newest, before).cost();
        }
    }

    /// Lets versions go that need not be kept: past the value's retention, not `open`, and with
    /// a later one that is stored.
    pub(super) fn collect(&mut self, now: Instant, settled: Ticket, open: &BTreeMap<Version, u32>) {
        while self.may_go(0, now, settled, open) {
            self.drop_oldest();
        }
        let mut at = 1;
        while !open.is_empty() && at + 1 < self.steps.len() && self.is_old(at) {
            if self.may_go(at, now, settled, open) {
                self.drop_between(at);
            } else {
                at += 1;
            }
        }
    }

    /// Whether it is not among those that are kept for their count.
    fn is_old(&self, at: usize) -> bool {
        let older = self.steps.len() - 1 - at;
        older > (self.spec.retention().versions as usize).min(MAX_VERSIONS_PER_VALUE)
    }

    fn may_go(
        &self,
        at: usize,
        now: Instant,
        settled: Ticket,
        open: &BTreeMap<Version, u32>,
    ) -> bool {
        let keep = self.spec.retention();
        let (Some(step), Some(next)) = (self.steps.get(at), self.steps.get(at + 1)) else {
            return false;
        };
        let older = (self.steps.len() - 1 - at) as u64;
        let age = now.saturating_duration_since(step.at).as_secs();
        let is_past =
            older > u64::from(keep.versions) && (keep.age_s == 0 || age >= u64::from(keep.age_s));
        (is_past || older > MAX_VERSIONS_PER_VALUE as u64)
            && next.ticket <= settled
            && !open.contains_key(&step.version)
    }

    fn drop_oldest(&mut self) {
        let Some(step) = self.steps.pop_front() else { return };
        self.bytes -= step.cost();
        let Some(next) = self.steps.front() else { return };
        for chunk in &next.chunks {
            let Some(slot) = self.chunks.get_mut(chunk) else { continue };
            let second = |slot: &Slot| slot.older.get(1).map_or(slot.newest.version, |b| b.version);
            while !slot.older.is_empty() && second(slot) <= next.version {
                self.bytes -= slot.older.pop_front().map_or(0, |body| body.cost());
            }
        }
    }

    /// Drops a step that has one before: its bodies go, or become those of the next.
    fn drop_between(&mut self, at: usize) {
        let Some(step) = self.steps.remove(at) else { return };
        self.bytes -= step.cost();
        let next = &mut self.steps[at];
        self.bytes -= next.cost();
        for chunk in step.chunks {
            let Err(place) = next.chunks.binary_search(&chunk) else {
                let Some(slot) = self.chunks.get_mut(&chunk) else { continue };
                let behind = slot.older.partition_point(|body| body.version <= step.version);
                let gone = behind.checked_sub(1).and_then(|seen| slot.older.remove(seen));
                self.bytes -= gone.map_or(0, |body| body.cost());
                continue;
            };
            next.chunks.insert(place, chunk);
        }
        self.bytes += next.cost();
    }

    /// The versions that are there, newest first.
    pub(super) fn versions(&self, now: Instant) -> impl Iterator<Item = VersionStat> {
        self.steps.iter().rev().map(move |step| VersionStat {
            version: step.version,
            len: step.len,
            age_ms: now.saturating_duration_since(step.at).as_millis() as u64,
            changed_bytes: step.changed_bytes,
        })
    }
}
