//! Times of many calls, and loops that take them.

use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use nix::time::{ClockId, clock_gettime};

/// Longest time that is told apart, in nanoseconds.
const MAX_NS: u64 = 60_000_000_000;
/// Fewest samples of a measurement, however long it takes.
const MIN_SAMPLES: u64 = 10;

/// A distribution of times.
#[derive(Clone, Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Times {
    /// None yet.
    pub(crate) fn new() -> Self {
        #[allow(clippy::expect_used)]
        Self(Histogram::new_with_bounds(1, MAX_NS, 3).expect("bounds that are right"))
    }

    /// One more.
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.saturating_record(time.as_nanos() as u64);
    }

    /// The ones of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        // Of the same bounds, so it cannot fail.
        let _ = self.0.add(&other.0);
    }

    /// The median in microseconds.
    pub(crate) fn p50_us(&self) -> f64 {
        self.0.value_at_quantile(0.5) as f64 / 1000.0
    }

    /// The 99th percentile in microseconds.
    pub(crate) fn p99_us(&self) -> f64 {
        self.0.value_at_quantile(0.99) as f64 / 1000.0
    }

    /// How many.
    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }
}

/// Times `body` for `budget`, after a fifth of that without looking.
pub(crate) fn times(budget: Duration, mut body: impl FnMut()) -> Times {
    let warm = Instant::now();
    while warm.elapsed() < budget / 5 {
        body();
    }
    let mut times = Times::new();
    let begun = Instant::now();
    let mut before = begun;
    while times.len() < MIN_SAMPLES || before - begun < budget {
        body();
        let now = Instant::now();
        times.add(now - before);
        before = now;
    }
    times
}

/// How often something runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    /// In a second of the clock on the wall.
    pub(crate) wall: f64,
    /// In a second of this thread on a core: what the rate would be with a core to itself.
    pub(crate) cpu: f64,
}

/// How often a second `body` runs, over `budget`, without a look at the clock in between.
pub(crate) fn rate(budget: Duration, mut body: impl FnMut()) -> Result<Rate> {
    const BATCH: u32 = 1000;
    let on_core = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
    let (begun, before, mut done) = (Instant::now(), on_core()?, 0_u64);
    while begun.elapsed() < budget {
        (0..BATCH).for_each(|_| body());
        done += u64::from(BATCH);
    }
    let (wall, cpu) = (begun.elapsed(), on_core()?.saturating_sub(before));
    Ok(Rate { wall: done as f64 / wall.as_secs_f64(), cpu: done as f64 / cpu.as_secs_f64() })
}
