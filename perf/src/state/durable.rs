//! Pushes to durable values on this host: each is on the disk when it is acknowledged, and those
//! that wait together go there together.

use anyhow::Result;
use faaslet_state::Durability;
use faaslet_vmm::monitor::state::{States, StatesConfig};
use tempfile::TempDir;

use super::requests::{Ask, Asker};
use crate::book::Book;
use crate::results::home;

/// Pushes one after the other.
const REQUESTS: u64 = 300;
/// Values that are pushed at a time.
const AT_ONCE: usize = 64;
/// Pushes of many at a time.
const MANY_REQUESTS: u64 = 10_000;

pub(super) fn run(book: &mut Book) -> Result<()> {
    // Where the figures go: a temporary folder may lie in memory.
    let target = home().join("../target");
    std::fs::create_dir_all(&target)?;
    let folder = TempDir::new_in(target)?;
    let states = States::open(&StatesConfig::new(folder.path().to_owned()))?;
    let asker = Asker::new(states.begin("bench"));
    let keys: Vec<_> = (0..AT_ONCE).map(|number| format!("durable/{number}")).collect();
    for key in &keys {
        asker.make(key, Durability::Durable)?;
    }
    let one = asker.chain(&keys[..1], Ask::Push, REQUESTS)?;
    book.put("state.durable.one", one.times.p50_us(), "µs");
    book.put("state.durable.one.rate", one.rate, "1/s");
    let many = asker.chain(&keys, Ask::Push, MANY_REQUESTS)?;
    book.put_against("state.durable.64.rate", many.rate, "1/s", "state.durable.one.rate");
    states.stop()?;
    Ok(())
}
