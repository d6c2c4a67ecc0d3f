//! Pulls: what to ask the owner for, and what to do with its answer.

use faaslet_state::delta::{lay_under, newer};
use faaslet_state::message::{MAX_PULL_CHUNKS, MAX_PULL_RANGES, PullRange};
use faaslet_state::payload::{Body, PulledChunk, pulled_chunks};
use faaslet_state::{CHUNK_BYTES, Chunk, ChunkRange, Version};

use crate::error::TierError;
use crate::table::{Entry, Standing, Table};
use crate::value::{Short, Value};

/// The head of an owner's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The newest version.
    pub version: Version,
    /// The version in which the value was made.
    pub made: Version,
    /// The value's length then.
    pub len: u64,
}

impl Value {
    /// What to ask the owner for, so that the range is here: absent chunks. Room for them is made.
    /// Nothing when all are here; after an answer ask again, as one pull may not hold all.
    pub fn missing(&self, offset: u64, len: u64) -> Result<Vec<PullRange>, TierError> {
        let none = |table: &Table, chunk| {
            (table.standing(chunk) == Standing::Absent).then_some(Version::NONE)
        };
        self.with_room(|table| {
            let ranges = self.ranges(table, offset, len, none)?;
            let chunks = ranges.iter().map(|range| u64::from(range.count)).sum::<u64>();
            self.take(table, chunks * CHUNK_BYTES)?;
            self.give_back(table, chunks * CHUNK_BYTES);
            Ok(ranges)
        })
    }

    /// What to ask the owner for, so that what is here of the range is the newest: a pull of what
    /// is absent is [`Value::missing`]'s. One request may not hold all: the next begins behind the
    /// last range that this one returned, and there is none when nothing is left.
    pub fn newer(&self, offset: u64, len: u64) -> Result<Vec<PullRange>, TierError> {
        let since = |table: &Table, chunk| match table.standing(chunk) {
            Standing::Present => table.entry(chunk).map(Entry::since),
            Standing::Absent | Standing::Zeros => None,
        };
        self.ranges(&self.table(), offset, len, since)
    }

    /// Neighbours with the same `since` as ranges, up to the bounds of one request.
    fn ranges(
        &self,
        table: &Table,
        offset: u64,
        len: u64,
        since: impl Fn(&Table, Chunk) -> Option<Version>,
    ) -> Result<Vec<PullRange>, TierError> {
        self.check_there(table)?;
        let len = table.len.saturating_sub(offset).min(len);
        let mut ranges: Vec<PullRange> = Vec::new();
        let mut left = MAX_PULL_CHUNKS;
        for chunk in self.chunks(offset, len, table.len.max(offset))?.iter() {
            let Some(since) = since(table, chunk) else { continue };
            let full = ranges.len() == MAX_PULL_RANGES;
            match ranges.last_mut() {
                Some(last) if last.first + last.count == chunk.0 && last.since == since => {
                    last.count += 1;
                }
                _ if full => break,
                _ => ranges.push(PullRange { first: chunk.0, count: 1, since }),
            }
            left -= 1;
            if left == 0 {
                break;
            }
        }
        Ok(ranges)
    }

    /// Takes an owner's answer to a pull of `ranges`: absent chunks are written, unless that was
    /// done already through the [file](Value::file); those that are here get what is newer under
    /// what was changed here. Chunks that the answer leaves out are as they were, and those that
    /// were absent as the file has them. All of it or, when refused, nothing.
    pub fn install(
        &self,
        ranges: &[PullRange],
        pulled: Pulled,
        payload: &[u8],
    ) -> Result<(), TierError> {
        let chunks = self.check_pulled(ranges, pulled, payload)?;
        self.budget.tick();
        self.with_room(|table| {
            self.check_there(table)?;
            if table.sending.is_some() {
                return Err(self.invalid("expected one push or pull at a time").into());
            }
            self.check_bodies(table, &chunks)?;
            // What is behind the owner's end by now needs no room: it is not here afterwards.
            self.see(table, pulled.version, pulled.len)?;
            self.take_absent(table, ranges)?;
            for chunk in &chunks {
                self.install_one(table, chunk)?;
            }
            self.settle(table, ranges, pulled.version);
            Ok(())
        })
    }

    /// Reads the payload and checks it against what was asked.
    fn check_pulled<'p>(
        &self,
        ranges: &[PullRange],
        pulled: Pulled,
        payload: &'p [u8],
    ) -> Result<Vec<PulledChunk<'p>>, TierError> {
        if pulled.made != self.made() {
            return Err(TierError::Gone { key: self.key().clone() });
        }
        let quota = self.spec().quota_bytes();
        if pulled.len > quota {
            return Err(TierError::Length {
                key: self.key().clone(),
                limit: quota,
                found: pulled.len,
            });
        }
        let end = quota.div_ceil(CHUNK_BYTES);
        if ranges.iter().any(|range| u64::from(range.first) + u64::from(range.count) > end) {
            return Err(self.malformed("a range behind the quota".into()));
        }
        let chunks = pulled_chunks(payload, self.spec().element().width());
        let chunks = chunks.collect::<Result<Vec<_>, _>>();
        let chunks = chunks.map_err(|error| self.malformed(error.to_string()))?;
        let asked = |chunk: Chunk| {
            ranges.iter().any(|range| (range.first..range.first + range.count).contains(&chunk.0))
        };
        match chunks.iter().find(|pulled| !asked(pulled.chunk)) {
            Some(other) => Err(self.malformed(format!("{:?} was not asked for", other.chunk))),
            None => Ok(chunks),
        }
    }

    /// That each body fits its chunk, and changes come to chunks that are here.
    fn check_bodies(&self, table: &Table, chunks: &[PulledChunk<'_>]) -> Result<(), TierError> {
        for pulled in chunks {
            let (len, here) = (table.chunk_len(pulled.chunk), table.standing(pulled.chunk));
            let fits = match pulled.body {
                Body::Zeros => true,
                Body::Whole(bytes) => bytes.len() <= len,
                Body::Changes(changes) => {
                    let known = table.entry(pulled.chunk).is_some_and(|entry| !entry.mixed);
                    changes.end() <= len && here == Standing::Present && known
                }
            };
            if !fits {
                let why = format!("{:?} does not fit what is here of it", pulled.chunk);
                return Err(self.malformed(why));
            }
        }
        Ok(())
    }

    /// Takes the room that absent chunks need, all at once.
    fn take_absent(&self, table: &mut Table, ranges: &[PullRange]) -> Result<(), Short> {
        let absent = |chunk: &Chunk| table.standing(*chunk) == Standing::Absent;
        let chunks = ranges.iter().flat_map(|range| chunks(range).iter());
        let cost = chunks.filter(absent).map(|chunk| table.cost(chunk)).sum();
        self.take(table, cost)
    }

    fn install_one(&self, table: &mut Table, pulled: &PulledChunk<'_>) -> Result<(), TierError> {
        let (chunk, len, used) =
            (pulled.chunk, table.chunk_len(pulled.chunk), table.used(pulled.chunk));
        // A late answer may be of a version that was longer than the value is by now.
        let end = table.owner_len.saturating_sub(chunk.start()).min(len as u64) as usize;
        let entry = table.entry_mut(chunk);
        if !entry.present {
            if let Body::Whole(bytes) = pulled.body {
                let put = self.memory.put(chunk.start(), &bytes[..bytes.len().min(end)]);
                return put.map_err(|error| self.system(error));
            }
            return Ok(());
        }
        let old = pulled.version < entry.version;
        if old || (pulled.version == entry.version && !entry.mixed) {
            return Ok(());
        }
        let view = self.memory.view(chunk.start(), len as u64);
        let view = view.map_err(|error| self.system(error))?;
        match &mut entry.base {
            Some(base) => {
                let mut newer = newer(base, pulled.body, len);
                newer[end..].fill(0);
                // What is not in use is no element: a last one may be in use in part.
                lay_under(self.spec(), &view, &mut base[..used], &newer[..used]);
                base[used..].copy_from_slice(&newer[used..]);
            }
            None => {
                let mut here = vec![0; len];
                view.read(&mut here);
                let mut newer = newer(&here, pulled.body, len);
                newer[end..].fill(0);
                view.write(&newer);
            }
        }
        Ok(())
    }

    /// What was asked for is here now, exactly as of `version`.
    fn settle(&self, table: &mut Table, ranges: &[PullRange], version: Version) {
        let now = self.budget.now();
        let all = |range: &PullRange| {
            let since = range.since;
            chunks(range).iter().map(move |chunk| (chunk, since))
        };
        for (chunk, since) in ranges.iter().flat_map(all) {
            if table.standing(chunk) == Standing::Zeros {
                continue;
            }
            let entry = table.entry_mut(chunk);
            entry.touch(now);
            // A mixed one was asked for before it was: it needs another pull.
            if entry.mixed && since != Version::NONE {
                continue;
            }
            (entry.present, entry.mixed) = (true, false);
            entry.version = entry.version.max(version);
        }
    }

    fn malformed(&self, why: String) -> TierError {
        TierError::Malformed { key: self.key().clone(), why }
    }
}

fn chunks(range: &PullRange) -> ChunkRange {
    ChunkRange { first: Chunk(range.first), count: range.count }
}
