//! What a function pays for a value that is on its host, by the cell's own way in.

use std::time::Duration;

use anyhow::Result;
use faaslet_vmm::cell::Answer;

use super::cell::Cell;
use crate::book::Book;
use crate::guests;
use crate::measure::middle;
use crate::ours::Epochs;

/// Runs of each thing; the middle one counts.
const RUNS: usize = 15;

/// Things that the guest does, by their number, with how often it does them in one call.
const NOTHING: (u32, u32) = (0, 100_000);
const READ: (u32, u32) = (1, 100_000);
const LOCK: (u32, u32) = (2, 100_000);
const MAP: (u32, u32) = (3, 200);
const MAPPED: (u32, u32) = (4, 50);
const MEMORY: (u32, u32) = (5, 50);
const FIRST_READ: (u32, u32) = (6, 20);
const FIRST_WRITE: (u32, u32) = (7, 20);
const MAP_AND_UNMAP: (u32, u32) = (8, 200);

impl Cell {
    /// Run time of one call of the guest.
    fn run(&mut self, what: u32, times: u32) -> Result<Duration> {
        self.begin(what, times);
        Ok(self.answers(1)?.iter().map(|answer: &Answer| answer.ran).sum())
    }

    /// Nanoseconds of one of so many, without what the call itself costs.
    fn each(&mut self, (what, times): (u32, u32)) -> Result<f64> {
        let mut each = Vec::new();
        for _ in 0..RUNS {
            let (none, all) = (self.run(what, 0)?, self.run(what, times)?);
            each.push(all.saturating_sub(none).as_nanos() as f64 / f64::from(times));
        }
        Ok(middle(each))
    }
}

pub(super) fn run(book: &mut Book) -> Result<()> {
    let epochs = Epochs::start()?;
    let baked = epochs.bake(0, "state", &guests::own("state")?, 1)?;
    let mut cell = Cell::alone(&baked.function)?;
    let nothing = cell.each(NOTHING)?;
    let read = cell.each(READ)? - nothing;
    book.put_against("state.read.64", read, "ns", "state.redis.unix.get.64");
    let lock = cell.each(LOCK)? - nothing;
    book.put("state.lock.local", lock, "ns");
    let map = cell.each(MAP)? / 1000.0;
    book.put_against("state.map.1mib", map, "µs", "state.redis.unix.get.1mib");
    let unmap = cell.each(MAP_AND_UNMAP)? / 1000.0 - map;
    book.put("state.unmap.1mib", unmap, "µs");
    for (name, what) in [
        ("state.map.1mib.first_read", FIRST_READ),
        ("state.map.1mib.first_write", FIRST_WRITE),
        ("state.load.memory", MEMORY),
    ] {
        book.put(name, cell.each(what)? / 1000.0, "µs");
    }
    let mapped = cell.each(MAPPED)? / 1000.0;
    book.put_against("state.load.mapped", mapped, "µs", "state.load.memory");
    Ok(())
}
