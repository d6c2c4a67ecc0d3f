//! Pushes: what changed since the owner was told, and what its answer means.

use std::collections::BTreeSet;
use std::ops::Range;

use faaslet_state::delta::{acknowledge, diff_within, take_back};
use faaslet_state::message::{MAX_PAYLOAD_BYTES, MAX_PUSH_CHUNKS};
use faaslet_state::payload::{Changes, ChunkChanges};
use faaslet_state::{CHUNK_BYTES, Chunk, ChunkRange, Version};

use crate::error::TierError;
use crate::sys::{PAGE_BYTES, View};
use crate::table::{CHUNK_PAGES, LastPush, Sending, Table};
use crate::task::Task;
use crate::value::Value;

/// Most bytes that the changes of one chunk take: runs of one byte, every other byte.
const MAX_CHUNK_CHANGES_BYTES: usize = 4 * CHUNK_BYTES as usize;
const PAGE: usize = PAGE_BYTES as usize;
/// Bytes of the widest element.
const MAX_WIDTH: usize = 8;

/// A push that is ready to be sent. Its outcome must be told: [`Value::acknowledged`] or
/// [`Value::push_failed`]; until then there is no other push or pull of the value.
#[derive(Debug)]
#[must_use = "tell the value what became of it"]
pub struct Prepared {
    /// The changes, as the owner reads them.
    pub payload: Vec<u8>,
    /// The length that the value has at least afterwards.
    pub len: u64,
    /// More changed than one push holds: push again.
    pub more: bool,
    grows: bool,
    serial: u64,
    range: Range<u64>,
    chunks: Vec<Sent>,
    /// Bytes of pages that were compared, and of those that differed.
    compared: u64,
    differed: u64,
}

/// See [`Prepared::changes`].
pub(crate) struct SentChanges<'p> {
    changes: Changes<'p>,
    chunks: &'p [Sent],
}

impl SentChanges<'_> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Chunk, u16, ChunkChanges<'_>)> {
        let sent = self.chunks.iter().map(|sent| (sent.chunk, sent.pages));
        sent.zip(self.changes.iter()).map(|((chunk, pages), changes)| (chunk, pages, changes))
    }
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    chunk: Chunk,
    /// Up to which version it, or its base, was the owner's.
    had: Version,
    pages: u16,
}

impl Prepared {
    /// Whether there is nothing to tell the owner.
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty() && !self.grows
    }

    /// Where the last change ends: the owner's value is at least that long.
    fn end_of_changes(&self, table: &Table) -> u64 {
        self.chunks.last().map_or(0, |sent| sent.chunk.bytes(table.len).end)
    }

    /// It was not: its changes are for the next push.
    fn take_back(self, table: &mut Table) {
        for sent in self.chunks {
            table.mark(sent.chunk, sent.pages);
        }
        if table.sending.as_ref().is_none_or(|sending| sending.serial == self.serial) {
            table.sending = None;
        }
    }

    /// Its chunks, the pages of each that differed, and what was sent of them.
    pub(crate) fn changes(&self, value: &Value) -> Result<SentChanges<'_>, TierError> {
        let changes = Changes::parse(&self.payload, value.spec().element().width());
        let changes = changes.map_err(|error| TierError::Malformed {
            key: value.key().clone(),
            why: error.to_string(),
        })?;
        Ok(SentChanges { changes, chunks: &self.chunks })
    }

    /// How many chunks changed.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }
}

impl Value {
    /// Finds what changed in a range, while functions go on storing: what they store from now on
    /// goes with the next push. To be called in one's [turn](Value::turn).
    pub fn prepare_push(&self, task: Task, offset: u64, len: u64) -> Result<Prepared, TierError> {
        let mut table = self.table_mut();
        self.check_there(&table)?;
        self.check_not_locked(&table, task)?;
        if table.sending.is_some() {
            return Err(self.invalid("expected one push or pull at a time"));
        }
        let end = offset.saturating_add(len).min(table.len);
        let range = offset.min(end)..end;
        self.harvest(&mut table, range.start, range.end);
        table.prepared += 1;
        let mut prepared = Prepared {
            payload: Vec::new(),
            len: if end == table.len { end } else { table.owner_len.min(table.len) },
            more: false,
            grows: false,
            serial: table.prepared,
            range,
            chunks: Vec::new(),
            compared: 0,
            differed: 0,
        };
        let found = self.find_changes(&mut table, &mut prepared);
        if let Err(error) = found {
            prepared.take_back(&mut table);
            return Err(error);
        }
        if table.dense && prepared.compared > 0 {
            table.dense = self.tracker.is_dense(true, prepared.differed, prepared.compared);
        }
        prepared.len = prepared.len.max(prepared.end_of_changes(&table));
        prepared.grows = prepared.len > table.owner_len;
        let chunks = prepared.chunks.iter().map(|sent| sent.chunk.0).collect();
        table.sending = Some(Sending { serial: prepared.serial, chunks });
        Ok(prepared)
    }

    /// Goes through the chunks with dirty pages.
    fn find_changes(&self, table: &mut Table, prepared: &mut Prepared) -> Result<(), TierError> {
        let len = prepared.range.end - prepared.range.start;
        let Some(chunks) = ChunkRange::covering(prepared.range.start, len) else { return Ok(()) };
        let last = chunks.first.0 + chunks.count;
        let dirty: BTreeSet<u32> = table.dirty.range(chunks.first.0..last).copied().collect();
        let mut copy = vec![0; CHUNK_BYTES as usize];
        for chunk in dirty.into_iter().map(Chunk) {
            let full = prepared.payload.len() + MAX_CHUNK_CHANGES_BYTES > MAX_PAYLOAD_BYTES;
            if full || prepared.chunks.len() >= MAX_PUSH_CHUNKS {
                prepared.more = true;
                break;
            }
            self.find_in_chunk(table, prepared, chunk, &mut copy)?;
        }
        Ok(())
    }

    /// Copies the pages that differ from the base, once, and compares the copy.
    fn find_in_chunk(
        &self,
        table: &mut Table,
        prepared: &mut Prepared,
        chunk: Chunk,
        copy: &mut [u8],
    ) -> Result<(), TierError> {
        let view = self.chunk(table, chunk)?;
        let used = table.used(chunk);
        let entry = table.entry_mut(chunk);
        let Some(base) = &entry.base else { return Ok(()) };
        let part = asked_part(chunk, &prepared.range, used);
        let (mut done, mut pages, mut ranges) = (0, 0, Vec::new());
        for (page, bytes) in pages_of(entry.dirty, used) {
            let asked = bytes.start.max(part.start)..bytes.end.min(part.end);
            if asked.is_empty() {
                continue;
            }
            let here = view.part(bytes.start, bytes.len());
            let differs = !here.holds(&base[bytes.clone()]);
            prepared.compared += PAGE_BYTES;
            if differs {
                prepared.differed += PAGE_BYTES;
                view.part(asked.start, asked.len()).read(&mut copy[asked.clone()]);
                pages |= 1 << page;
                ranges.push(asked.clone());
            }
            if !differs || asked == bytes {
                done |= 1 << page;
            }
        }
        let (base, copy) = (&base[..used], &copy[..used]);
        let found = diff_within(self.spec(), chunk, &ranges, base, copy, &mut prepared.payload);
        // What is stored from here on is harvested next time, or marks its page again.
        entry.dirty &= !done;
        if found {
            prepared.chunks.push(Sent { chunk, had: entry.version, pages });
        }
        if entry.dirty == 0 {
            table.dirty.remove(&chunk.0);
        }
        Ok(())
    }

    /// The owner made `version` of it, and now has `len` bytes; `before` are the versions that the
    /// chunks had there.
    pub fn acknowledged(
        &self,
        prepared: Prepared,
        version: Version,
        len: u64,
        before: &[Version],
    ) -> Result<(), TierError> {
        let mut table = self.table_mut();
        let Prepared { payload, more, serial, range, chunks, .. } = prepared;
        let changes = Changes::parse(&payload, self.spec().element().width());
        let changes = changes.map_err(|error| TierError::Malformed {
            key: self.key().clone(),
            why: error.to_string(),
        })?;
        for (number, (sent, changes)) in chunks.iter().zip(changes.iter()).enumerate() {
            let view = self.chunk(&table, sent.chunk)?;
            let used = table.used(sent.chunk);
            let entry = table.entry_mut(sent.chunk);
            let Some(base) = &mut entry.base else { continue };
            let exact = acknowledge(self.spec(), base, &changes);
            let alone = before.get(number).is_some_and(|before| *before <= sent.had);
            if exact && alone && !entry.mixed {
                entry.version = version;
            } else {
                entry.mixed = true;
            }
            // What was stored meanwhile, and what the base does not come to by the rule.
            let differing = differing(&view, base, sent.pages, used);
            table.mark(sent.chunk, differing);
        }
        table.sending = None;
        if !more {
            table.pushed = Some(LastPush { serial, start: range.start, end: range.end, version });
        }
        self.see(&mut table, version, len)
    }

    /// It was refused, or never sent: the changes go with the next push. A push whose outcome is
    /// not known has not failed: it is sent again, with the same stamp, until it is known.
    pub fn push_failed(&self, prepared: Prepared) {
        prepared.take_back(&mut self.table_mut());
    }

    /// It was refused as the lock is lost under which it was written: what was sent goes back to the
    /// base, where nobody has written since.
    pub fn push_lost(&self, prepared: &Prepared) -> Result<(), TierError> {
        let mut table = self.table_mut();
        for (chunk, pages, changes) in prepared.changes(self)?.iter() {
            let view = self.chunk(&table, chunk)?;
            let used = table.used(chunk);
            let Some(base) = &table.entry_mut(chunk).base else { continue };
            let mut sent = base[..used].to_vec();
            // Not what the owner makes of it: what was here.
            let _ = acknowledge(self.spec(), &mut sent, &changes);
            take_back(self.spec(), &view, &mut sent, base);
            let differing = differing(&view, base, pages, used);
            table.mark(chunk, differing);
        }
        table.sending = None;
        if prepared.grows && table.dirty.last().is_none_or(|last| !ends_behind(&table, *last)) {
            table.len = table.owner_len;
        }
        Ok(())
    }

    /// A mark to ask [`Value::pushed_since`] with, when it is one's turn.
    pub fn push_mark(&self) -> u64 {
        self.table().prepared
    }

    /// The version of a push that began after the mark and took in the whole range: then there is
    /// no need for another.
    pub fn pushed_since(&self, mark: u64, offset: u64, len: u64) -> Option<Version> {
        let table = self.table();
        let end = offset.saturating_add(len).min(table.len);
        let covers =
            |push: &LastPush| push.serial > mark && push.start <= offset && push.end >= end;
        table.pushed.filter(covers).map(|push| push.version)
    }
}

/// Those of a chunk's pages that differ from its base.
fn differing(view: &View<'_>, base: &[u8], pages: u16, used: usize) -> u16 {
    pages_of(pages, used)
        .filter(|(_, bytes)| !view.part(bytes.start, bytes.len()).holds(&base[bytes.clone()]))
        .fold(0, |pages, (page, _)| pages | 1 << page)
}

/// Whether a chunk with dirty pages has some behind the owner's end.
fn ends_behind(table: &Table, chunk: u32) -> bool {
    let chunk = Chunk(chunk);
    let pages = table.entry(chunk).map_or(0, |entry| entry.dirty);
    let last = u64::from(u16::BITS - pages.leading_zeros()) * PAGE_BYTES;
    pages != 0 && chunk.start() + last > table.owner_len
}

/// Pages of a chunk with their bytes, as far as `used` goes.
pub(crate) fn pages_of(pages: u16, used: usize) -> impl Iterator<Item = (u32, Range<usize>)> {
    let set = (0..CHUNK_PAGES).filter(move |page| pages & (1 << page) != 0);
    let bytes = set.map(move |page| (page, page as usize * PAGE..(page as usize + 1) * PAGE));
    bytes
        .map(move |(page, bytes)| (page, bytes.start..bytes.end.min(used)))
        .filter(|(_, bytes)| !bytes.is_empty())
}

/// The part of a chunk's `used` bytes that a range asks for, in whole elements.
fn asked_part(chunk: Chunk, range: &Range<u64>, used: usize) -> Range<usize> {
    let start = range.start.saturating_sub(chunk.start()) as usize;
    let end = range.end.saturating_sub(chunk.start()).min(CHUNK_BYTES) as usize;
    start - start % MAX_WIDTH..end.next_multiple_of(MAX_WIDTH).min(used)
}
