//! The lock of a value on its host, wanted by several Faaslets on two workers: how often a second
//! it is taken, and who gets how much of it.
//!
//! Under the lock each adds one to a number that all of them have mapped, until it is as high as
//! it is to be: what they say that they added must come to just that.

use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};

use super::cell::{Cell, Parts};
use crate::book::Book;
use crate::guests;
use crate::ours::Epochs;

/// Faaslets that want it.
const FAASLETS: [u32; 3] = [1, 2, 16];
/// How high the number is to be.
const TIMES: u32 = 200_000;
/// The guest's number for it.
const COUNT: u32 = 0;

pub(super) fn run(book: &mut Book) -> Result<()> {
    let epochs = Epochs::start()?;
    let baked = epochs.bake(0, "locks", &guests::own("locks")?, 16)?;
    for faaslets in FAASLETS {
        let parts = Parts::new(&baked.function, 2)?;
        let begun = Instant::now();
        let shares = shares(parts, faaslets)?;
        let rate = f64::from(TIMES) / begun.elapsed().as_secs_f64();
        let name = format!("state.lock.{faaslets}");
        if faaslets == 1 {
            book.put(&format!("{name}.rate"), rate, "1/s");
            continue;
        }
        book.put_against(&format!("{name}.rate"), rate, "1/s", "state.lock.1.rate");
        let fair = f64::from(TIMES) / f64::from(faaslets);
        let (least, most) = (shares.iter().min(), shares.iter().max());
        let (least, most) = (least.context("no share")?, most.context("no share")?);
        book.put(&format!("{name}.least"), f64::from(*least) / fair, "of a fair share");
        book.put(&format!("{name}.most"), f64::from(*most) / fair, "of a fair share");
    }
    Ok(())
}

/// How often each had the lock; every other one is on the second worker.
fn shares(parts: Vec<Parts>, faaslets: u32) -> Result<Vec<u32>> {
    let workers = parts.len() as u32;
    let threads = (0..).zip(parts).map(|(number, part)| {
        let calls = (0..faaslets).filter(|call| call % workers == number).count();
        thread::spawn(move || added(&mut part.start(), calls))
    });
    let threads: Vec<_> = threads.collect();
    let mut all = Vec::new();
    for thread in threads {
        all.extend(thread.join().map_err(|_| anyhow!("a worker panicked"))??);
    }
    let sum: u32 = all.iter().sum();
    ensure!(sum == TIMES, "under the lock {TIMES} were added; the Faaslets say {sum}");
    Ok(all)
}

fn added(cell: &mut Cell, calls: usize) -> Result<Vec<u32>> {
    for _ in 0..calls {
        cell.begin(COUNT, TIMES);
    }
    let said = |body: &[u8]| body.try_into().map(u32::from_le_bytes).context("expected 4 bytes");
    cell.answers(calls)?.iter().map(|answer| said(&answer.body)).collect()
}
