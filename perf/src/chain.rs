//! `chain`: what a call from function to function costs on top of the function that is called,
//! on the same worker. `chain_other.rs` has another worker.

use std::time::Duration;

use anyhow::Result;
use faaslet_vmm::cell::Mode;

use crate::book::Book;
use crate::guests;
use crate::measure::{self, Times};
use crate::ours::{Epochs, Ours};

/// Calls that the longer one makes beyond the shorter one.
const MORE: u8 = 8;
/// Time of one way in one turn.
const TURN: Duration = Duration::from_millis(200);
/// Times that all take turns.
const TURNS: usize = 5;
/// Slots of the worker.
const SLOTS: usize = 64;

pub(crate) fn run(book: &mut Book) -> Result<()> {
    let epochs = Epochs::start()?;
    let parent = epochs.bake(0, "chain-many", &guests::own("chain-many")?, SLOTS)?;
    let callee = epochs.bake(1, "noop", &guests::text("noop")?, SLOTS)?;
    let mut ways = [
        Ours::new(&callee, Vec::new(), Mode::Fork, SLOTS),
        Ours::new(&parent, vec![1], Mode::Fork, SLOTS),
        Ours::new(&parent, vec![1 + MORE], Mode::Fork, SLOTS),
    ];
    let mut all = vec![Times::new(); ways.len()];
    ways.iter_mut().skip(1).for_each(|way| way.worker.add(callee.function.clone()));
    for _ in 0..TURNS {
        for (way, times) in ways.iter_mut().zip(&mut all) {
            times.merge(&measure::times(TURN, || way.call())?);
        }
    }
    let [callee, one, more] = [0, 1, 2].map(|way: usize| all[way].p50_us());
    book.put("chain.callee", callee, "µs");
    book.put("chain.of_one", one, "µs");
    book.put("chain.local.same", (more - one) / f64::from(MORE) - callee, "µs");
    Ok(())
}
