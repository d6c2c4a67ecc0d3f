//! `live`: thousands of Faaslets at a time, idle and suspended, and what each of them costs.

use std::time::Instant;

use anyhow::{Result, ensure};
use faaslet_vmm::cell::Mode;

use crate::book::Book;
use crate::guests;
use crate::machine::Memory;
use crate::ours::{Epochs, Ours};

/// Live forks that are asked for.
const FORKS: usize = 10_000;
/// Fresh Faaslets that are asked for.
const FRESH: usize = 1_000;
/// Pages that each idle fork has written, in KiB.
const DIRTY_KIB: f64 = 12.0;

pub(crate) fn run(book: &mut Book) -> Result<()> {
    idle(book)?;
    suspended(book, "live.suspended", Mode::Fork, FORKS)?;
    suspended(book, "fresh", Mode::Fresh, FRESH)
}

/// Forks that each had a call that wrote three pages, and wait for another.
fn idle(book: &mut Book) -> Result<()> {
    let epochs = Epochs::start()?;
    let function = epochs.bake(0, "dirty", &guests::text("dirty")?, FORKS)?;
    let mut ours = Ours::new(&function, Vec::new(), Mode::Fork, FORKS);
    let (before, begun) = (Memory::own()?, Instant::now());
    ours.worker.prewarm(0, FORKS);
    ours.settle();
    let took = begun.elapsed();
    let forks = ours.worker.counts().slots;
    ensure!(forks > 0, "no fork could be made");
    book.put("live.forks", forks as f64, "");
    book.put("live.forks.each", took.as_secs_f64() * 1e6 / forks as f64, "µs");
    (0..forks).for_each(|_| ours.submit());
    ours.settle();
    ours.check()?;
    each(book, "live.idle", before, Memory::own()?, forks, DIRTY_KIB);
    Ok(())
}

/// Faaslets that wait in a host call for an answer that does not come.
fn suspended(book: &mut Book, name: &str, mode: Mode, wanted: usize) -> Result<()> {
    let epochs = Epochs::start()?;
    let function = epochs.bake(0, "chain-many", &guests::own("chain-many")?, wanted)?;
    let mut ours = Ours::new(&function, vec![1], mode, wanted);
    ours.worker.outside().hold = true;
    // What is made once for the process is not the first Faaslet's.
    ours.submit();
    ours.settle();
    let before = Memory::own()?;
    (1..wanted).for_each(|_| ours.submit());
    ours.settle();
    let running = ours.worker.counts().running.saturating_sub(1);
    ensure!(running > 0, "no call is suspended");
    book.put(&format!("{name}.count"), running as f64, "");
    each(book, name, before, Memory::own()?, running, 0.0);
    Ok(())
}

/// What was added between two moments, for each of `count`.
fn each(book: &mut Book, name: &str, before: Memory, after: Memory, count: usize, less_kib: f64) {
    let of = |before: u64, after: u64| after.saturating_sub(before) as f64 / count as f64;
    let pss = of(before.pss_kib, after.pss_kib) - less_kib;
    let tables = of(before.tables_kib, after.tables_kib);
    book.put(&format!("{name}.pss"), pss, "KiB");
    book.put(&format!("{name}.rss"), of(before.rss_kib, after.rss_kib) - less_kib, "KiB");
    book.put(&format!("{name}.tables"), tables, "KiB");
    book.put(&format!("{name}.memory"), pss + tables, "KiB");
    book.put(&format!("{name}.mappings"), of(before.mappings, after.mappings), "");
}
