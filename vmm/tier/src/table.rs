//! What is known of each chunk of a value.
//!
//! ```text
//! absent ──install──► here, clean ──mapped for writing, written──► here, with a base
//!    ▲                   │   ▲                                        │  pages may differ from it
//!    └──── eviction ─────┘   └────── eviction of the base ◄── clean ◄─┘  (push, acknowledged)
//! ```

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use faaslet_state::{CHUNK_BYTES, Chunk, Version};

use crate::map::Maps;
use crate::sys::PAGE_BYTES;
use crate::task::Task;

/// Chunks whose entries are made at once.
const LEAF_CHUNKS: usize = 512;
/// Pages of a chunk.
pub(crate) const CHUNK_PAGES: u32 = (CHUNK_BYTES / PAGE_BYTES) as u32;
/// All pages of a chunk.
pub(crate) const ALL_PAGES: u16 = u16::MAX;

const _: () = assert!(CHUNK_PAGES == u16::BITS);

/// A chunk. Invariant: while it is absent, its part of the file is a hole.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// Up to which version it, or its base if there is one, is exactly the owner's.
    pub(crate) version: Version,
    /// The base has something of a later version too, and not all of it: a push came between other
    /// hosts' pushes. The next pull brings the whole chunk.
    pub(crate) mixed: bool,
    /// The chunk as the owner has it, as far as this host knows. Invariant: there whenever the
    /// chunk is mapped for writing or a page of it is dirty; zeros behind the owner's length.
    pub(crate) base: Option<Box<[u8]>>,
    /// When it was last used.
    pub(crate) used: AtomicU32,
    /// Mappings of it, and those of them that are for writing.
    pub(crate) maps: u32,
    pub(crate) write_maps: u32,
    /// Pages that may differ from the base, other than through mappings that are still there.
    pub(crate) dirty: u16,
    pub(crate) present: bool,
}

impl Entry {
    /// Whether nothing would be lost with it.
    pub(crate) fn is_clean(&self) -> bool {
        self.present && self.dirty == 0 && self.write_maps == 0
    }

    /// What the owner need not send again.
    pub(crate) fn since(&self) -> Version {
        if self.mixed { Version::NONE } else { self.version }
    }

    #[inline]
    pub(crate) fn touch(&self, now: u32) {
        self.used.store(now, Ordering::Relaxed);
    }
}

/// How a chunk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Present,
    /// Behind the owner's end: known to be zeros without asking.
    Zeros,
    Absent,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Table {
    leaves: Box<[Option<Box<[Entry]>>]>,
    quota: u64,
    /// Length in use on this host.
    pub(crate) len: u64,
    /// Length at the owner, at `version`.
    pub(crate) owner_len: u64,
    /// The newest version that was seen.
    pub(crate) version: Version,
    /// Chunks with dirty pages.
    pub(crate) dirty: BTreeSet<u32>,
    /// Chunks of a push that has been prepared and whose outcome is not known.
    pub(crate) sending: Option<Sending>,
    pub(crate) maps: Maps,
    /// Much of it was stored to at a time: comparing it is cheaper than watching.
    pub(crate) dense: bool,
    /// Who has, or is about to get, the global write lock on this host.
    pub(crate) exclusive: Option<Task>,
    /// Invariant: it ended while a push was under way, whose outcome is not told yet: it ends then,
    /// and what was not pushed goes back to the base.
    pub(crate) exclusive_ends: bool,
    /// Pushes prepared so far, and the last one that was acknowledged.
    pub(crate) prepared: u64,
    pub(crate) pushed: Option<LastPush>,
    /// Bytes of the budget that are taken.
    pub(crate) taken: u64,
    pub(crate) gone: bool,
}

/// A push under way.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    pub(crate) serial: u64,
    pub(crate) chunks: BTreeSet<u32>,
}

/// A push that is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastPush {
    pub(crate) serial: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) version: Version,
}

impl Table {
    pub(crate) fn new(quota: u64, len: u64, version: Version) -> Self {
        let leaves = quota.div_ceil(CHUNK_BYTES).div_ceil(LEAF_CHUNKS as u64);
        Self {
            leaves: (0..leaves).map(|_| None).collect(),
            quota,
            len,
            owner_len: len,
            version,
            dirty: BTreeSet::new(),
            sending: None,
            maps: Maps::default(),
            dense: false,
            exclusive: None,
            exclusive_ends: false,
            prepared: 0,
            pushed: None,
            taken: 0,
            gone: false,
        }
    }

    /// How many chunks may hold something that was not pushed.
    pub(crate) fn unpushed_chunks(&self) -> u64 {
        let mapped = self.maps.written().filter(|chunk| !self.dirty.contains(&chunk.0));
        (self.dirty.len() + mapped.collect::<BTreeSet<_>>().len()) as u64
    }

    /// Bytes of a chunk, the last one being as long as the quota leaves it.
    pub(crate) fn chunk_len(&self, chunk: Chunk) -> usize {
        let bytes = chunk.bytes(self.quota);
        (bytes.end - bytes.start) as usize
    }

    /// Bytes of a chunk that are in use here.
    pub(crate) fn used(&self, chunk: Chunk) -> usize {
        let bytes = chunk.bytes(self.len);
        (bytes.end - bytes.start) as usize
    }

    /// What a chunk, or its base, takes of the budget.
    pub(crate) fn cost(&self, chunk: Chunk) -> u64 {
        (self.chunk_len(chunk) as u64).next_multiple_of(PAGE_BYTES)
    }

    #[inline]
    pub(crate) fn entry(&self, chunk: Chunk) -> Option<&Entry> {
        let number = chunk.0 as usize;
        self.leaves.get(number / LEAF_CHUNKS)?.as_ref()?.get(number % LEAF_CHUNKS)
    }

    /// The entry of a chunk within the quota.
    pub(crate) fn entry_mut(&mut self, chunk: Chunk) -> &mut Entry {
        let number = chunk.0 as usize;
        let first = number - number % LEAF_CHUNKS;
        let chunks = self.quota.div_ceil(CHUNK_BYTES) as usize;
        let count = chunks.saturating_sub(first).min(LEAF_CHUNKS);
        let leaf = &mut self.leaves[number / LEAF_CHUNKS];
        let leaf = leaf.get_or_insert_with(|| (0..count).map(|_| Entry::default()).collect());
        &mut leaf[number % LEAF_CHUNKS]
    }

    #[inline]
    pub(crate) fn standing(&self, chunk: Chunk) -> Standing {
        match self.entry(chunk) {
            Some(entry) if entry.present => Standing::Present,
            _ if chunk.start() >= self.owner_len => Standing::Zeros,
            _ => Standing::Absent,
        }
    }

    /// Marks pages of a chunk, unless it has no base: it was cut off, and what was stored there is
    /// nothing any more.
    pub(crate) fn mark(&mut self, chunk: Chunk, pages: u16) {
        if pages != 0 && self.entry(chunk).is_some_and(|entry| entry.base.is_some()) {
            self.entry_mut(chunk).dirty |= pages;
            self.dirty.insert(chunk.0);
        }
    }

    /// Chunks that are here, from `first` on.
    pub(crate) fn present_from(&self, first: Chunk) -> impl Iterator<Item = (Chunk, &Entry)> {
        let skip = first.0 as usize / LEAF_CHUNKS;
        let leaves = self.leaves.iter().enumerate().skip(skip);
        let entries = leaves.filter_map(|(number, leaf)| Some((number, leaf.as_ref()?)));
        let all = entries.flat_map(|(number, leaf)| {
            leaf.iter()
                .enumerate()
                .map(move |(at, entry)| (Chunk((number * LEAF_CHUNKS + at) as u32), entry))
        });
        all.filter(move |(chunk, entry)| entry.present && *chunk >= first)
    }
}

/// Pages of a chunk that the bytes `start..end` of the value touch, as bits.
pub(crate) fn pages_within(chunk: Chunk, start: u64, end: u64) -> u16 {
    let from = start.max(chunk.start()) - chunk.start();
    let to = end.min(chunk.start() + CHUNK_BYTES).saturating_sub(chunk.start());
    if from >= to {
        return 0;
    }
    let (first, last) = ((from / PAGE_BYTES) as u32, to.div_ceil(PAGE_BYTES) as u32);
    let below = |page: u32| if page >= CHUNK_PAGES { ALL_PAGES } else { (1 << page) - 1 };
    below(last) & !below(first)
}
