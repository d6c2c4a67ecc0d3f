//! What the local tier costs: `cargo run --release --workspace --example tier_cost`.
//!
//! Each line is the median of many, in nanoseconds. Compare lines of one run with each other.
#![allow(clippy::unwrap_used, reason = "an example")]

use std::sync::Arc;
use std::time::Instant;

use faaslet_snapshot::bytes::Bytes;
use faaslet_snapshot::layout::Layout;
use faaslet_snapshot::slot::{Sharing, Slot};
use faaslet_state::message::Stat;
use faaslet_state::{CHUNK_BYTES, Durability, Element, Epoch, Key, Rule, Spec, Version};
use faaslet_tier::{LockMode, MapId, MapMode, Pulled, Task, Tier, Tracker, Value};

const ROUNDS: usize = 300;
const MIB: u64 = 1 << 20;
const PAGE: u64 = 4096;
const TASK: Task = Task(1);

fn version(n: u64) -> Version {
    Version::new(Epoch(1), n)
}

/// A value of ones that is all here.
fn resident(tier: &Tier, len: u64) -> Arc<Value> {
    let spec = Spec::new(Element::U64, Rule::Replace, Durability::Memory, len).unwrap();
    let stat = Stat { spec, len, version: version(1), made: version(1) };
    let (value, _) = tier.value(&Key::new(b"value").unwrap(), &stat).unwrap();
    loop {
        let ranges = value.missing(0, len).unwrap();
        if ranges.is_empty() {
            return value;
        }
        let chunks = ranges.iter().flat_map(|range| range.first..range.first + range.count);
        let payload: Vec<u8> = chunks.flat_map(whole_chunk).collect();
        value.install(&ranges, pulled(1, len), &payload).unwrap();
    }
}

fn pulled(n: u64, len: u64) -> Pulled {
    Pulled { version: version(n), made: version(1), len }
}

/// A chunk of ones, as a pull brings it.
fn whole_chunk(chunk: u32) -> Vec<u8> {
    let mut bytes = chunk.to_le_bytes().to_vec();
    bytes.push(1);
    bytes.extend([1_u64, 1].into_iter().flat_map(u64::to_le_bytes));
    bytes.extend((CHUNK_BYTES as u32).to_le_bytes());
    bytes.extend(vec![1; CHUNK_BYTES as usize]);
    bytes
}

fn median(mut nanos: Vec<f64>) -> f64 {
    nanos.sort_by(f64::total_cmp);
    nanos[nanos.len() / 2]
}

/// The median of `times` rounds of `run`, each preceded by `before` outside of the time.
fn cost<T>(name: &str, times: usize, mut before: impl FnMut() -> T, mut run: impl FnMut(T)) {
    let nanos = (0..times).map(|_| {
        let input = before();
        let start = Instant::now();
        run(input);
        start.elapsed().as_nanos() as f64
    });
    println!("{name:<58} {:>12.1}", median(nanos.collect()));
}

/// The same for what is shorter than the clock can tell.
fn cost_of_many(name: &str, mut run: impl FnMut()) {
    const BATCH: u32 = 1000;
    let nanos = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        (0..BATCH).for_each(|_| run());
        start.elapsed().as_nanos() as f64 / f64::from(BATCH)
    });
    println!("{name:<58} {:>12.1}", median(nanos.collect()));
}

struct Faaslet(Slot);

impl Faaslet {
    fn new() -> Self {
        let mut slot = Slot::reserve(&Layout::default()).unwrap();
        slot.map_empty(Bytes::ZERO).unwrap();
        Self(slot)
    }

    fn map(&mut self, value: &Value, len: u64) -> (MapId, u32) {
        let id = value.map(TASK, 0, len, MapMode::Write).unwrap();
        let file = value.file();
        let addr = self.0.map_window(file, Bytes::ZERO, Bytes(len), Sharing::Shared).unwrap();
        value.placed(id, self.0.base().addr().get() + addr as usize);
        (id, addr)
    }

    fn unmap(&mut self, value: &Value, (id, addr): (MapId, u32)) {
        let _ = value.unmapped(id);
        self.0.unmap_window(addr).unwrap();
    }

    /// Touches every page.
    fn load_all(&self, addr: u32, len: u64) {
        let mut byte = [0];
        for at in (0..len).step_by(PAGE as usize) {
            self.0.read(addr + at as u32, &mut byte).unwrap();
        }
    }

    fn store_all(&mut self, addr: u32, len: u64, step: u64, byte: u8) {
        for at in (0..len).step_by(step as usize) {
            self.0.write(addr + at as u32, &[byte]).unwrap();
        }
    }
}

fn calls() {
    let tier = Tier::new(64 * MIB, Tracker::open());
    let value = resident(&tier, MIB);
    let mut bytes = [0; 64];
    cost_of_many("read 64 B", || {
        let _ = value.read(4096, &mut bytes).unwrap();
    });
    cost_of_many("write 64 B", || {
        let _ = value.write(TASK, 4096, &bytes).unwrap();
    });
    cost_of_many("local lock and unlock, write", || {
        let _ = value.lock().lock(TASK, LockMode::Write).unwrap();
        let _ = value.lock().unlock(TASK, LockMode::Write).unwrap();
    });
    cost_of_many("turn asked and left", || {
        let _ = value.turn().ask(TASK).unwrap();
        let _ = value.turn().leave(TASK);
    });
    value.push_failed(value.prepare_push(TASK, 0, MIB).unwrap()).unwrap();
    cost_of_many("bookkeeping of a mapping of 1 MiB, with bases there", || {
        let id = value.map(TASK, 0, MIB, MapMode::Write).unwrap();
        let _ = value.unmapped(id);
    });
}

fn installs() {
    let tier = Tier::new(1024 * MIB, Tracker::open());
    let payload = whole_chunk(0);
    let mut number = 0;
    let absent = || {
        number += 1;
        let spec = Spec::new(Element::U64, Rule::Replace, Durability::Memory, CHUNK_BYTES).unwrap();
        let stat = Stat { spec, len: CHUNK_BYTES, version: version(1), made: version(1) };
        let key = Key::new(format!("{number}").as_bytes()).unwrap();
        let (value, _) = tier.value(&key, &stat).unwrap();
        let ranges = value.missing(0, CHUNK_BYTES).unwrap();
        (value, ranges)
    };
    cost("install an absent chunk of 64 KiB", ROUNDS, absent, |(value, ranges)| {
        value.install(&ranges, pulled(1, CHUNK_BYTES), &payload).unwrap();
    });
}

fn pushes(name: &str, tracker: Tracker) {
    let tier = Tier::new(64 * MIB, tracker);
    let value = resident(&tier, 4 * MIB);
    let mut faaslet = Faaslet::new();
    let mapped = faaslet.map(&value, 4 * MIB);
    value.push_failed(value.prepare_push(TASK, 0, u64::MAX).unwrap()).unwrap();
    let mut byte = 1_u8;
    let mut n = 1;
    for dirty in [0, 1, 16, 256] {
        let step = (4 * MIB).checked_div(dirty).unwrap_or(4 * MIB);
        let (mut last, mut nanos) = (None, Vec::new());
        for _ in 0..ROUNDS {
            byte = byte.wrapping_add(1);
            if dirty > 0 {
                faaslet.store_all(mapped.1, 4 * MIB, step, byte);
            }
            let start = Instant::now();
            let prepared = value.prepare_push(TASK, 0, u64::MAX).unwrap();
            nanos.push(start.elapsed().as_nanos() as f64);
            n += 1;
            last = Some(prepared.chunks());
            let before = vec![version(n - 1); prepared.chunks()];
            value.acknowledged(prepared, version(n), 4 * MIB, &before).unwrap();
        }
        let found = last.unwrap_or_default();
        let name = format!("{name}: push, {dirty} pages of 4 MiB stored to ({found} chunks)");
        println!("{name:<58} {:>12.1}", median(nanos));
    }
    faaslet.unmap(&value, mapped);
}

fn mappings(name: &str, tracker: impl Fn() -> Tracker) {
    let tier = Tier::new(64 * MIB, tracker());
    let value = resident(&tier, MIB);
    let mut faaslet = Faaslet::new();
    let named = |what: &str| format!("{name}: {what}");
    let mut costs: [Vec<f64>; 6] = Default::default();
    for round in 0..ROUNDS {
        let mut note =
            |kind: usize, start: Instant| costs[kind].push(start.elapsed().as_nanos() as f64);
        let start = Instant::now();
        let mapped = faaslet.map(&value, MIB);
        note(0, start);
        let start = Instant::now();
        if round % 2 == 0 {
            faaslet.load_all(mapped.1, MIB);
            note(1, start);
            let start = Instant::now();
            faaslet.store_all(mapped.1, MIB, PAGE, 1);
            note(2, start);
        } else {
            faaslet.store_all(mapped.1, MIB, PAGE, 1);
            note(3, start);
            let start = Instant::now();
            faaslet.store_all(mapped.1, MIB, PAGE, 1);
            note(4, start);
        }
        let start = Instant::now();
        faaslet.unmap(&value, mapped);
        note(5, start);
    }
    let names = [
        "map 1 MiB for writing",
        "  first load of every page",
        "  then first store to every page",
        "  first store to every page",
        "  second store to every page",
        "  unmap, all stored to",
    ];
    for (name, nanos) in names.into_iter().zip(costs) {
        println!("{:<58} {:>12.1}", named(name), median(nanos));
    }
}

fn main() {
    println!("tracking here: {:?}", Tracker::open().tracking());
    calls();
    installs();
    pushes("as it comes", Tracker::open());
    pushes("protect", Tracker::open().insisting());
    pushes("compare", Tracker::comparing());
    mappings("as it comes", Tracker::open);
    mappings("protect", || Tracker::open().insisting());
    mappings("protect, populated", || Tracker::open().insisting().populating(true));
    mappings("compare", Tracker::comparing);
    mappings("compare, populated", || Tracker::comparing().populating(true));
}
