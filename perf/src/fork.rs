//! `fork`: a call in a fork and the reset behind it, against every other way to give a call a
//! clean instance.

use std::sync::Barrier;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use faaslet_vmm::cell::Mode;

use crate::book::Book;
use crate::guests::{self, WORK, Work};
use crate::measure::{self, Rate, Times};
use crate::native::Native;
use crate::ours::{Baked, Epochs, Ours};
use crate::wasmtimes::{Peer, Pool};

/// Times that all ways take turns, so that a disturbance meets all of them.
const TURNS: usize = 5;
/// Time of one way in one turn.
const TURN: Duration = Duration::from_millis(200);
/// Time of one setting in the sweep.
const TRIAL: Duration = Duration::from_millis(60);
/// Time that a rate is taken over.
const RATE: Duration = Duration::from_secs(2);
/// Slots of a worker.
const SLOTS: usize = 64;

/// A way to run a call, by its name in the results.
type Way<'a> = (&'static str, Box<dyn FnMut() -> Result<()> + 'a>);

pub(crate) fn run(book: &mut Book) -> Result<()> {
    let epochs = Epochs::start()?;
    let native = Native::build()?;
    for work in WORK {
        let module = guests::text(work.guest)?;
        let function = epochs.bake(0, work.guest, &module, SLOTS)?;
        let best = sweep(book, work, &module)?;
        compare(book, work, &module, &function, best, &native)?;
        starts(book, work, &function)?;
        rates(book, work, &function)?;
    }
    Ok(())
}

/// Tries the settings of Wasmtime's pooling allocator and returns the best.
fn sweep(book: &mut Book, work: Work, module: &[u8]) -> Result<Pool> {
    let mut best: Option<(f64, Pool)> = None;
    for pool in Pool::sweep() {
        let Ok(peer) = Peer::pooling(pool, module, work.input()) else { continue };
        let p50 = timed(TRIAL, || peer.call())?.p50_us();
        book.put(&format!("sweep.pooling.{}.{}", work.name, pool.name()), p50, "µs");
        if best.is_none_or(|(least, _)| p50 < least) {
            best = Some((p50, pool));
        }
    }
    best.map(|(_, pool)| pool).context("no setting of the pooling allocator works here")
}

/// Lets all ways take turns over the same work.
fn compare(
    book: &mut Book,
    work: Work,
    module: &[u8],
    function: &Baked,
    pool: Pool,
    native: &Native,
) -> Result<()> {
    let mut fork = Ours::new(function, work.input(), Mode::Fork, SLOTS);
    let mut fresh = Ours::new(function, work.input(), Mode::Fresh, SLOTS);
    let pooling = Peer::pooling(pool, module, work.input())?;
    let on_demand = Peer::on_demand(module, work.input())?;
    let mut ways: Vec<Way<'_>> = vec![
        ("pooling", Box::new(|| pooling.call())),
        ("on_demand", Box::new(|| on_demand.call())),
        ("process", Box::new(|| native.call(work.pages))),
        (
            "fresh",
            Box::new(|| {
                fresh.call();
                Ok(())
            }),
        ),
        (
            "fork",
            Box::new(|| {
                fork.call();
                Ok(())
            }),
        ),
    ];
    let mut all = vec![Times::new(); ways.len()];
    for _ in 0..TURNS {
        for ((_, way), times) in ways.iter_mut().zip(&mut all) {
            times.merge(&timed(TURN, way)?);
        }
    }
    let name = |way: &str| match way {
        "fork" | "fresh" => format!("{way}.{}", work.name),
        way => format!("{way}.{}", work.name)
            .replace("pooling", "wasmtime.pooling")
            .replace("on_demand", "wasmtime.on_demand"),
    };
    for ((way, _), times) in ways.iter().zip(&all) {
        let peer = if *way == "pooling" { None } else { Some(name("pooling")) };
        book.put_times(&name(way), times, peer.as_deref());
    }
    drop(ways);
    fork.check()?;
    fresh.check()
}

/// What the caller waits for: the time to the answer, without the reset.
fn starts(book: &mut Book, work: Work, function: &Baked) -> Result<()> {
    for (name, mode) in [("fork", Mode::Fork), ("fresh", Mode::Fresh)] {
        let mut ours = Ours::new(function, work.input(), mode, SLOTS);
        let mut times = Times::new();
        measure::times(TURN, || times.add(ours.start()));
        ours.check()?;
        book.put_times(&format!("{name}.{}.start", work.name), &times, None);
    }
    Ok(())
}

/// Calls a second on one core, and on two. Where others use the machine too, the rate in seconds
/// on a core (`.cpu`) says what the code does, the other what was left for it.
fn rates(book: &mut Book, work: Work, function: &Baked) -> Result<()> {
    let name = format!("fork.{}.rate", work.name);
    let one = together(1, work, function)?;
    book.put(&name, one.wall, "1/s");
    book.put(&format!("{name}.cpu"), one.cpu, "1/s");
    if crate::machine::cores() >= 2 {
        let two = together(2, work, function)?;
        book.put_against(&format!("{name}.two_cores"), two.wall, "1/s", &name);
        book.put_against(&format!("{name}.two_cores.cpu"), two.cpu, "1/s", &format!("{name}.cpu"));
    }
    Ok(())
}

/// The summed rate of workers that run at the same time.
fn together(workers: usize, work: Work, function: &Baked) -> Result<Rate> {
    let start = Barrier::new(workers);
    let one = || -> Result<Rate> {
        let mut ours = Ours::new(function, work.input(), Mode::Fork, SLOTS);
        (0..10_000).for_each(|_| ours.call());
        start.wait();
        let rate = measure::rate(RATE, || ours.call())?;
        ours.check()?;
        Ok(rate)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(one)).collect();
        let mut sum = Rate::default();
        for thread in threads {
            let rate = thread.join().map_err(|_| anyhow!("a worker panicked"))??;
            sum = Rate { wall: sum.wall + rate.wall, cpu: sum.cpu + rate.cpu };
        }
        Ok(sum)
    })
}

/// Times a call that can fail.
fn timed(budget: Duration, mut call: impl FnMut() -> Result<()>) -> Result<Times> {
    let mut failed = None;
    let times = measure::times(budget, || {
        if let Err(error) = call() {
            failed.get_or_insert(error);
        }
    });
    failed.map_or(Ok(times), Err)
}
