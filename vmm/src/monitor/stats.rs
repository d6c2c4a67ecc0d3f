//! Counts and run times of one function, for `ps` and the metrics.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use faaslet_abi::Outcome;
use hdrhistogram::Histogram;

use super::lock::lock;

/// Longest run time that the histogram tells apart, in microseconds; longer ones count as this.
const LONGEST_US: u64 = 3_600_000_000;
/// Decimal digits of a run time that are kept.
const DIGITS: u8 = 2;

/// Upper bounds of the run times that are counted apart for the metrics, in microseconds.
pub const BOUNDS_US: [u64; 20] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 100_000, 500_000,
    1_000_000, 5_000_000, 10_000_000, 60_000_000,
];

/// See the module's documentation.
#[derive(Debug)]
pub struct Stats {
    /// Calls that have begun and not ended.
    running: AtomicU32,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    by_outcome: [u64; OUTCOMES.len()],
    run_us: Option<Histogram<u32>>,
    by_run_time: [u64; BOUNDS_US.len() + 1],
    total_us: u64,
    /// When the last call ended.
    used: Instant,
}

/// Names of the outcomes, by number.
pub const OUTCOMES: [&str; 6] = ["returned", "failed", "trapped", "timed-out", "refused", "lost"];

/// What [`Stats`] hold at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Calls that ended.
    pub calls: u64,
    /// Of these, the ones that did not return.
    pub errors: u64,
    /// How many ended in each way of [`OUTCOMES`].
    pub by_outcome: [u64; OUTCOMES.len()],
    /// Median run time, in microseconds.
    pub p50_us: u64,
    /// 99th percentile of the run time, in microseconds.
    pub p99_us: u64,
    /// Calls by run time: how many were in each of [`BOUNDS_US`] and not in the one before; the
    /// last is for those over all.
    pub by_run_time: [u64; BOUNDS_US.len() + 1],
    /// Run time of all calls, in microseconds.
    pub run_us: u64,
}

impl Default for Stats {
    fn default() -> Self {
        let run_us = Histogram::new_with_bounds(1, LONGEST_US, DIGITS).ok();
        let by_run_time = [0; BOUNDS_US.len() + 1];
        let (by_outcome, used) = ([0; OUTCOMES.len()], Instant::now());
        let inner = Inner { by_outcome, run_us, by_run_time, total_us: 0, used };
        Self { running: AtomicU32::new(0), inner: Mutex::new(inner) }
    }
}

impl Stats {
    /// A call begins.
    pub fn begin(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    /// A call that has begun is another function's.
    pub fn forget(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }

    /// How long no call was under way; nothing while one is.
    pub fn idle_for(&self) -> Option<Duration> {
        let idle = self.inner().used.elapsed();
        (self.running.load(Ordering::Relaxed) == 0).then_some(idle)
    }

    /// Counts a call that has begun and ended.
    pub fn count(&self, outcome: Outcome, ran: Duration) {
        let mut inner = self.inner();
        inner.used = Instant::now();
        self.forget();
        let us = ran.as_micros() as u64;
        inner.by_run_time[BOUNDS_US.partition_point(|bound| *bound < us)] += 1;
        inner.total_us += us;
        if let Some(count) = inner.by_outcome.get_mut(outcome as usize) {
            *count += 1;
        }
        if let Some(run_us) = &mut inner.run_us {
            run_us.saturating_record(us.max(1));
        }
    }

    /// What they hold now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let inner = self.inner();
        let at = |quantile| inner.run_us.as_ref().map_or(0, |h| h.value_at_quantile(quantile));
        let by_outcome = inner.by_outcome;
        let calls = by_outcome.iter().sum();
        let errors = calls - by_outcome[Outcome::Returned as usize];
        Snapshot {
            calls,
            errors,
            by_outcome,
            p50_us: at(0.5),
            p99_us: at(0.99),
            by_run_time: inner.by_run_time,
            run_us: inner.total_us,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_time_is_counted_under_the_first_bound_that_is_not_less() {
        let stats = Stats::default();
        for us in [0, 1, 2, 3, 60_000_000, 60_000_001] {
            stats.begin();
            stats.count(Outcome::Returned, Duration::from_micros(us));
        }
        let found = stats.snapshot();
        assert_eq!(found.by_run_time[..3], [2, 1, 1]);
        assert_eq!(found.by_run_time[BOUNDS_US.len() - 1..], [1, 1]);
        assert_eq!((found.calls, found.run_us), (6, 120_000_007));
    }
}
