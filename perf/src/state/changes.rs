//! What it takes to find what a push has to send: pages that were stored to through a mapping,
//! among those of a larger value.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use faaslet_snapshot::bytes::Bytes;
use faaslet_snapshot::layout::Layout;
use faaslet_snapshot::slot::{Sharing, Slot};
use faaslet_state::message::Stat;
use faaslet_state::{Durability, Element, Epoch, Key, Rule, Spec, Version};
use faaslet_tier::{MapMode, Task, Tier, Tracker, Value};

use super::BUDGET_BYTES;
use crate::book::Book;
use crate::measure::middle;

/// Pushes; the middle one counts.
const ROUNDS: u64 = 300;
const VALUE_BYTES: u64 = 4 << 20;
/// Pages that are stored to between two pushes, apart from each other.
const STORED: u64 = 16;
const TASK: Task = Task(1);

pub(super) fn run(book: &mut Book) -> Result<()> {
    let compared = found(Tracker::comparing())?;
    book.put("state.push.find.compare", compared, "µs");
    let found = found(Tracker::open())?;
    book.put_against("state.push.find", found, "µs", "state.push.find.compare");
    Ok(())
}

/// Microseconds until the changes of one push are found and copied.
fn found(tracker: Tracker) -> Result<f64> {
    let tier = Tier::new(BUDGET_BYTES, tracker);
    let value = value(&tier)?;
    let mut slot = Slot::reserve(&Layout::default())?;
    slot.map_empty(Bytes::ZERO)?;
    let id = value.map(TASK, 0, VALUE_BYTES, MapMode::Write)?;
    let addr = slot.map_window(value.file(), Bytes::ZERO, Bytes(VALUE_BYTES), Sharing::Shared)?;
    value.placed(id, slot.base().addr().get() + addr as usize);
    let mut micros = Vec::new();
    for round in 2..2 + ROUNDS {
        for page in 0..STORED {
            let at = addr + (page * (VALUE_BYTES / STORED)) as u32;
            slot.write(at, &round.to_le_bytes())?;
        }
        let begun = Instant::now();
        let prepared = value.prepare_push(TASK, 0, u64::MAX)?;
        micros.push(begun.elapsed().as_nanos() as f64 / 1000.0);
        let chunks = prepared.chunks();
        ensure!(chunks as u64 == STORED, "expected {STORED} changed chunks; found {chunks}");
        let before = vec![version(round - 1); chunks];
        value.acknowledged(prepared, version(round), VALUE_BYTES, &before)?;
    }
    let _ = value.unmapped(id);
    slot.unmap_window(addr)?;
    Ok(middle(micros))
}

/// A value that is all here, as its owner has it.
fn value(tier: &Tier) -> Result<Arc<Value>> {
    let spec = Spec::new(Element::U64, Rule::Replace, Durability::Memory, VALUE_BYTES)?;
    let stat = Stat { spec, len: 0, version: version(1), made: version(1) };
    let (value, _) = tier.value(&Key::new(b"value")?, &stat)?;
    let ones = vec![1; VALUE_BYTES as usize];
    let _ = value.write(TASK, 0, &ones).context("the value has no room")?;
    loop {
        let prepared = value.prepare_push(TASK, 0, u64::MAX)?;
        let (more, before) = (prepared.more, vec![version(1); prepared.chunks()]);
        value.acknowledged(prepared, version(1), VALUE_BYTES, &before)?;
        if !more {
            return Ok(value);
        }
    }
}

fn version(n: u64) -> Version {
    Version::new(Epoch(1), n)
}
