//! `churn`: cold calls at a rising rate, against the time that each waits for its answer, drawn
//! as a plot.
//!
//! Arrivals come at a fixed rate whether or not earlier calls have ended, and a call's time runs
//! from when it should have begun: a way that cannot keep up shows in its latency. One core serves.

use std::time::{Duration, Instant};

use anyhow::Result;
use faaslet_vmm::cell::Mode;

use crate::book::Book;
use crate::guests;
use crate::measure::Times;
use crate::native::{Native, Start};
use crate::ours::{Epochs, Ours};
use crate::plot::{Curve, Plot};

/// Rates that are tried, a second; each way stops at the first that it cannot keep up with.
const RATES: &[u32] = &[
    10, 30, 100, 200, 400, 700, 1_000, 2_000, 4_000, 10_000, 20_000, 40_000, 70_000, 100_000,
    200_000, 400_000, 600_000, 800_000,
];
/// Time of one rate.
const TIME: Duration = Duration::from_millis(1_000);
/// A way that is so late has not kept up.
const LATE: Duration = Duration::from_millis(100);
/// Slots of the worker.
const SLOTS: usize = 64;

pub(crate) fn run(book: &mut Book) -> Result<()> {
    let epochs = Epochs::start()?;
    let native = Native::build()?;
    let function = epochs.bake(0, "noop", &guests::text("noop")?, SLOTS)?;
    let mut fresh = Ours::new(&function, Vec::new(), Mode::Fresh, SLOTS);
    let mut fork = Ours::new(&function, Vec::new(), Mode::Fork, SLOTS);
    let mut process = || native.call(Start::BEST, 0);
    let curves = [
        curve(book, "process", &mut process)?,
        curve(book, "fresh", &mut || fresh.call())?,
        curve(book, "fork", &mut || fork.call())?,
    ];
    Plot {
        file: "churn.svg",
        title: "Cold calls: rate against latency, one core",
        x: "calls a second",
        y: "p50 from intended start, µs",
        from: (10.0, 0.5),
        to: (1_000_000.0, 100_000.0),
    }
    .draw(&curves)
}

/// One way at rising rates.
fn curve(book: &mut Book, name: &str, call: &mut impl FnMut() -> Result<()>) -> Result<Curve> {
    let mut points = Vec::new();
    let mut most = 0;
    for rate in RATES {
        let Some(times) = arrivals(*rate, call)? else { break };
        book.put_times(&format!("churn.{name}.{rate}"), &times, None);
        points.push((f64::from(*rate), times.p50_us()));
        most = *rate;
    }
    book.put(&format!("churn.{name}.most"), f64::from(most), "1/s");
    Ok(Curve::new(name, points))
}

/// Calls at a fixed rate; `None` when the way cannot keep up with it.
fn arrivals(rate: u32, call: &mut impl FnMut() -> Result<()>) -> Result<Option<Times>> {
    let (every, mut times) = (TIME / rate, Times::new());
    let begun = Instant::now();
    let mut intended = begun;
    while intended - begun < TIME {
        while Instant::now() < intended {
            std::hint::spin_loop();
        }
        call()?;
        let took = intended.elapsed();
        if took > LATE {
            return Ok(None);
        }
        times.add(took);
        intended += every;
    }
    Ok(Some(times))
}
