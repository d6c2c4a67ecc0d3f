//! `fork`: a call in a fork and the reset behind it, against every other way to give a call a
//! clean instance.

use std::sync::Barrier;
use std::time::Duration;

use anyhow::{Result, anyhow};
use faaslet_vmm::cell::Mode;

use crate::book::Book;
use crate::guests::{self, WORK, Work};
use crate::measure::{self, Rate, Times, middle};
use crate::native::Native;
use crate::ours::{Baked, Epochs, Ours};
use crate::sweep::{self, Best};
use crate::wasmtimes::Peer;

/// Times that all ways take turns, so that a disturbance meets all of them.
const TURNS: usize = 5;
/// Time of one way in one turn.
const TURN: Duration = Duration::from_millis(200);
/// Time of one rate in one turn.
const RATE: Duration = Duration::from_millis(400);
/// Calls before a rate is taken.
const WARM_CALLS: u32 = 10_000;
/// Slots of a worker.
const SLOTS: usize = 64;

/// A way to run a call: its name in the results, its peer, and itself.
type Way<'a> = (&'static str, Option<&'static str>, Box<dyn FnMut() -> Result<()> + 'a>);

pub(crate) fn run(book: &mut Book) -> Result<()> {
    let epochs = Epochs::start()?;
    let native = Native::build()?;
    for work in WORK {
        let module = guests::text(work.guest)?;
        let function = epochs.bake(0, work.guest, &module, SLOTS)?;
        let best = sweep::run(book, work, &module, &native)?;
        compare(book, work, &module, &function, best, &native)?;
        starts(book, work, &function)?;
        rates(book, work, &function)?;
    }
    Ok(())
}

/// Lets all ways take turns over the same work.
fn compare(
    book: &mut Book,
    work: Work,
    module: &[u8],
    function: &Baked,
    best: Best,
    native: &Native,
) -> Result<()> {
    let mut fork = Ours::new(function, work.input(), Mode::Fork, SLOTS);
    let mut fresh = Ours::new(function, work.input(), Mode::Fresh, SLOTS);
    let pooling = Peer::pooling(best.pool, module, work.input())?;
    let on_demand = Peer::on_demand(best.mapping, module, work.input())?;
    let peer = Some("wasmtime.pooling");
    let mut ways: Vec<Way<'_>> = vec![
        ("wasmtime.pooling", None, Box::new(|| pooling.call())),
        ("wasmtime.on_demand", peer, Box::new(|| on_demand.call())),
        ("process", peer, Box::new(|| native.call(best.start, work.pages))),
        ("fresh", peer, Box::new(|| fresh.call())),
        ("fork", peer, Box::new(|| fork.call())),
    ];
    let mut all = vec![Times::new(); ways.len()];
    for _ in 0..TURNS {
        for ((_, _, way), times) in ways.iter_mut().zip(&mut all) {
            times.merge(&measure::times(TURN, way)?);
        }
    }
    for ((way, peer, _), times) in ways.iter().zip(&all) {
        let peer = peer.map(|peer| format!("{peer}.{}", work.name));
        book.put_times(&format!("{way}.{}", work.name), times, peer.as_deref());
    }
    Ok(())
}

/// What the caller waits for: the time to the answer, without the reset.
fn starts(book: &mut Book, work: Work, function: &Baked) -> Result<()> {
    for (name, mode) in [("fork", Mode::Fork), ("fresh", Mode::Fresh)] {
        let mut ours = Ours::new(function, work.input(), mode, SLOTS);
        let mut times = Times::new();
        measure::times(TURN, || {
            times.add(ours.start()?);
            Ok(())
        })?;
        book.put_times(&format!("{name}.{}.start", work.name), &times, None);
    }
    Ok(())
}

/// Calls a second on one core, and on two, in turns; the middle turn counts. The rate in the time
/// that a core was there (`.core`) says what the code does, the other what others left of the
/// machine.
fn rates(book: &mut Book, work: Work, function: &Baked) -> Result<()> {
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        one.push(together(1, work, function)?);
        if crate::machine::cores() >= 2 {
            two.push(together(2, work, function)?);
        }
    }
    let wall = |rates: &[Rate]| middle(rates.iter().map(|rate| rate.wall).collect());
    let core = |rates: &[Rate]| middle(rates.iter().map(|rate| rate.core).collect());
    let name = format!("fork.{}.rate", work.name);
    book.put(&name, wall(&one), "1/s");
    book.put(&format!("{name}.core"), core(&one), "1/s");
    if !two.is_empty() {
        book.put_against(&format!("{name}.two_cores"), wall(&two), "1/s", &name);
        let (pair, single) = (format!("{name}.two_cores.core"), format!("{name}.core"));
        book.put_against(&pair, core(&two), "1/s", &single);
    }
    Ok(())
}

/// The summed rate of workers that run at the same time.
fn together(workers: usize, work: Work, function: &Baked) -> Result<Rate> {
    let start = Barrier::new(workers);
    let one = || -> Result<Rate> {
        let mut ours = Ours::new(function, work.input(), Mode::Fork, SLOTS);
        let warmed = (0..WARM_CALLS).try_for_each(|_| ours.call());
        start.wait();
        warmed?;
        measure::rate(RATE, || ours.call())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(one)).collect();
        let mut sum = Rate::default();
        for thread in threads {
            let rate = thread.join().map_err(|_| anyhow!("a worker panicked"))??;
            sum = Rate { wall: sum.wall + rate.wall, core: sum.core + rate.core };
        }
        Ok(sum)
    })
}
