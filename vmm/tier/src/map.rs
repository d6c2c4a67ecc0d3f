//! Mappings of a value in Faaslets' windows, as far as the tier must know of them.
//!
//! The order: [`Value::map`], then the slot maps the file, then [`Value::placed`] tells where,
//! before the function runs again. At the end [`Value::unmapped`], then the slot unmaps: what was
//! stored is harvested while the pages are still there.

use std::ops::Range;

use faaslet_state::{Chunk, ChunkRange};

use crate::error::TierError;
use crate::sys::{Access, PAGE_BYTES};
use crate::table::{Standing, Table, pages_within};
use crate::task::{Task, Wake};
use crate::value::{MAX_ROUNDS_OF_EVICTION, Value};

/// Most mappings of a value at a time.
pub const MAX_MAPS: usize = 4096;

/// A mapping of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapId(u64);

/// How it is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapMode {
    /// As a private copy, whose stores nobody else sees.
    Read,
    /// Shared.
    Write,
}

#[derive(Debug, Default)]
pub(crate) struct Maps {
    maps: Vec<Map>,
    next: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Map {
    id: MapId,
    task: Task,
    mode: MapMode,
    /// In bytes of the value, in whole pages.
    pub(crate) range: Range<u64>,
    /// Where it lies, once that is known.
    place: Option<Range<usize>>,
    watched: bool,
}

impl Value {
    /// Counts a mapping of `len` bytes from `offset` on, all of them in use and here. The file is
    /// to be mapped from the page of `offset` on, see [`Value::file`].
    pub fn map(
        &self,
        task: Task,
        offset: u64,
        len: u64,
        mode: MapMode,
    ) -> Result<MapId, TierError> {
        for _ in 0..MAX_ROUNDS_OF_EVICTION {
            if mode == MapMode::Write {
                self.make_bases(task, offset, len)?;
            }
            if let Some(id) = self.count(task, offset, len, mode)? {
                return Ok(id);
            }
        }
        Err(self.no_room(0))
    }

    /// Makes the chunks of a mapping ones that may be written.
    fn make_bases(&self, task: Task, offset: u64, len: u64) -> Result<(), TierError> {
        let chunks = self.mappable(&self.table(), task, offset, len, MapMode::Write)?;
        chunks.iter().try_for_each(|chunk| self.with_room(|table| self.make_base(table, chunk)))
    }

    /// Tells where the page of `offset` was mapped, before the function runs again.
    pub fn placed(&self, id: MapId, address: usize) {
        let mut table = self.table_mut();
        let dense = table.dense;
        let Some(map) = table.maps.find(id) else { return };
        let len = map.range.end - map.range.start;
        let pages = address..address + len as usize;
        match map.mode {
            MapMode::Read => self.tracker.populate(&pages, Access::Load),
            MapMode::Write => {
                // Entered first: a store after that is one that counts.
                self.tracker.populate(&pages, Access::Store);
                map.watched = self.tracker.watch_new(&pages, dense);
            }
        }
        map.place = Some(pages);
    }

    /// Ends a mapping; its pages are still there, and no function stores to them any more.
    /// Wakes who waits to have the value alone.
    pub fn unmapped(&self, id: MapId) -> Wake {
        let mut table = self.table_mut();
        let Some(map) = table.maps.take(id) else { return Wake::nobody() };
        if map.mode == MapMode::Write {
            self.harvest_one(&mut table, &map);
        }
        for chunk in map.chunks().iter() {
            let entry = table.entry_mut(chunk);
            entry.maps -= 1;
            entry.write_maps -= u32::from(map.mode == MapMode::Write);
        }
        let alone = |task: &Task| !table.maps.others_write(*task);
        table.exclusive.filter(alone).into()
    }

    /// Marks the pages of `start..end` that were stored to through mappings that are still there.
    pub(crate) fn harvest(&self, table: &mut Table, start: u64, end: u64) {
        let maps = table.maps.maps.iter();
        let touching = maps.filter(|map| {
            map.mode == MapMode::Write && map.range.start < end && start < map.range.end
        });
        for map in touching.cloned().collect::<Vec<_>>() {
            let mut watched = self.watch_or_not(table, &map);
            self.harvest_one(table, &map);
            if watched && table.dense {
                self.let_go(&map);
                watched = false;
            }
            if let Some(map) = table.maps.find(map.id) {
                map.watched = watched;
            }
        }
    }

    /// Begins to watch a mapping that was not, if that pays now. It is compared this time: what is
    /// stored from here on is noted.
    fn watch_or_not(&self, table: &Table, map: &Map) -> bool {
        let place = map.place.as_ref().filter(|_| !map.watched);
        map.watched || place.is_some_and(|place| self.tracker.watch_pushed(place, table.dense))
    }

    /// Watches a mapping no longer, of which the stores so far have been harvested: from here on
    /// it is compared.
    fn let_go(&self, map: &Map) {
        map.place.iter().for_each(|place| self.tracker.unwatch(place));
    }

    fn harvest_one(&self, table: &mut Table, map: &Map) {
        let (all, mut found) = (map.range.end - map.range.start, 0);
        let mut mark = |bytes: Range<u64>| {
            found += bytes.end - bytes.start;
            let (start, end) = (map.range.start + bytes.start, map.range.start + bytes.end);
            let chunks = ChunkRange::covering(start, end - start);
            for chunk in chunks.iter().flat_map(|chunks| chunks.iter()) {
                table.mark(chunk, pages_within(chunk, start, end));
            }
        };
        match map.place.as_ref().filter(|_| map.watched) {
            Some(place) => {
                self.tracker.harvest(place, &mut mark);
                table.dense = self.tracker.is_dense(table.dense, found, all);
            }
            None => mark(0..all),
        }
    }

    /// Counts a mapping, whose chunks are not evicted from then on; none if one of them lost its
    /// base since it was made.
    fn count(
        &self,
        task: Task,
        offset: u64,
        len: u64,
        mode: MapMode,
    ) -> Result<Option<MapId>, TierError> {
        let mut table = self.table_mut();
        let chunks = self.mappable(&table, task, offset, len, mode)?;
        if table.maps.maps.len() >= MAX_MAPS {
            return Err(self.too_many("mappings", MAX_MAPS));
        }
        let has_base = |chunk: Chunk| table.entry(chunk).is_some_and(|entry| entry.base.is_some());
        if mode == MapMode::Write && !chunks.iter().all(has_base) {
            return Ok(None);
        }
        let now = self.budget.now();
        for chunk in chunks.iter() {
            let entry = table.entry_mut(chunk);
            entry.maps += 1;
            entry.write_maps += u32::from(mode == MapMode::Write);
            entry.touch(now);
        }
        let pages = offset - offset % PAGE_BYTES..(offset + len).next_multiple_of(PAGE_BYTES);
        Ok(Some(table.maps.add(task, mode, pages)))
    }

    /// The chunks of a range that may be mapped like this.
    fn mappable(
        &self,
        table: &Table,
        task: Task,
        offset: u64,
        len: u64,
        mode: MapMode,
    ) -> Result<ChunkRange, TierError> {
        self.check_there(table)?;
        let chunks = self.chunks(offset, len, table.len)?;
        if len == 0 {
            return Err(self.invalid("expected at least one byte to map; found none"));
        }
        if mode == MapMode::Write {
            self.check_not_locked(table, task)?;
        }
        let absent = |chunk: &Chunk| table.standing(*chunk) == Standing::Absent;
        match chunks.iter().find(absent) {
            Some(chunk) => Err(self.absent(chunk)),
            None => Ok(chunks),
        }
    }
}

impl Maps {
    fn add(&mut self, task: Task, mode: MapMode, range: Range<u64>) -> MapId {
        let id = MapId(self.next);
        self.next += 1;
        self.maps.push(Map { id, task, mode, range, place: None, watched: false });
        id
    }

    fn find(&mut self, id: MapId) -> Option<&mut Map> {
        self.maps.iter_mut().find(|map| map.id == id)
    }

    fn take(&mut self, id: MapId) -> Option<Map> {
        let at = self.maps.iter().position(|map| map.id == id)?;
        Some(self.maps.swap_remove(at))
    }

    /// Chunks that are mapped for writing, as often as they are.
    pub(crate) fn written(&self) -> impl Iterator<Item = Chunk> {
        let maps = self.maps.iter().filter(|map| map.mode == MapMode::Write);
        maps.flat_map(|map| map.chunks().iter())
    }

    /// Whether anybody but `task` has a mapping for writing.
    pub(crate) fn others_write(&self, task: Task) -> bool {
        self.maps.iter().any(|map| map.mode == MapMode::Write && map.task != task)
    }
}

impl Map {
    fn chunks(&self) -> ChunkRange {
        let none = ChunkRange { first: Chunk(0), count: 0 };
        ChunkRange::covering(self.range.start, self.range.end - self.range.start).unwrap_or(none)
    }
}
