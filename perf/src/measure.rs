//! Times of many calls, and loops that take them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use crate::machine;

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

    /// Those of a histogram of nanoseconds.
    pub(crate) fn of(nanoseconds: &Histogram<u64>) -> Self {
        let mut times = Self::new();
        for value in nanoseconds.iter_recorded() {
            times.0.saturating_record_n(value.value_iterated_to(), value.count_at_value());
        }
        times
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
pub(crate) fn times(budget: Duration, mut body: impl FnMut() -> Result<()>) -> Result<Times> {
    let warm = Instant::now();
    while warm.elapsed() < budget / 5 {
        body()?;
    }
    let mut times = Times::new();
    let begun = Instant::now();
    let mut before = begun;
    while times.len() < MIN_SAMPLES || before - begun < budget {
        body()?;
        let now = Instant::now();
        times.add(now - before);
        before = now;
    }
    Ok(times)
}

/// How often something runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    /// In a second of the clock on the wall.
    pub(crate) wall: f64,
    /// In a second in which a core was there for this thread: time that it waited for one that
    /// others used does not count; time that it slept, on a lock say, does.
    pub(crate) core: f64,
}

/// How often a second `body` runs, over `budget`, with a look at the clock once in a thousand.
pub(crate) fn rate(budget: Duration, mut body: impl FnMut() -> Result<()>) -> Result<Rate> {
    const BATCH: u32 = 1000;
    let queued = || machine::queued().context("no /proc/thread-self/schedstat on this kernel");
    let (begun, before, mut done) = (Instant::now(), queued()?, 0_u64);
    while begun.elapsed() < budget {
        (0..BATCH).try_for_each(|_| body())?;
        done += u64::from(BATCH);
    }
    let wall = begun.elapsed();
    let core = wall.saturating_sub(queued()?.saturating_sub(before));
    Ok(Rate { wall: done as f64 / wall.as_secs_f64(), core: done as f64 / core.as_secs_f64() })
}

/// The middle one of values, of which there is one at least.
pub(crate) fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
