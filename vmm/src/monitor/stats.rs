//! Counts and run times of one function, for `ps` and the metrics.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use faaslet_abi::Outcome;
use hdrhistogram::Histogram;

use super::lock::lock;

/// Longest run time that the histogram tells apart, in microseconds; longer ones count as this.
const LONGEST_US: u64 = 3_600_000_000;
/// Decimal digits of a run time that are kept.
const DIGITS: u8 = 2;

/// See the module's documentation.
#[derive(Debug)]
pub struct Stats(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    by_outcome: [u64; OUTCOMES.len()],
    run_us: Option<Histogram<u32>>,
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
}

impl Default for Stats {
    fn default() -> Self {
        let run_us = Histogram::new_with_bounds(1, LONGEST_US, DIGITS).ok();
        Self(Mutex::new(Inner { by_outcome: [0; OUTCOMES.len()], run_us }))
    }
}

impl Stats {
    /// Counts a call that ended.
    pub fn count(&self, outcome: Outcome, ran: Duration) {
        let mut inner = self.inner();
        if let Some(count) = inner.by_outcome.get_mut(outcome as usize) {
            *count += 1;
        }
        if let Some(run_us) = &mut inner.run_us {
            run_us.saturating_record((ran.as_micros() as u64).max(1));
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
        Snapshot { calls, errors, by_outcome, p50_us: at(0.5), p99_us: at(0.99) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.0)
    }
}
