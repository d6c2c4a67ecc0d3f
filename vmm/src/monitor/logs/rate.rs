//! So much at once, and so much a second after that.

use std::time::{Duration, Instant};

const NANOS_A_SECOND: u128 = 1_000_000_000;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Rate {
    most: u64,
    a_second: u64,
    left: u64,
    /// Up to when what came in is part of `left`.
    until: Instant,
}

impl Rate {
    pub(super) fn new(most: u64, a_second: u64, now: Instant) -> Self {
        Self { most, a_second, left: most, until: now }
    }

    /// Whether so much is left.
    pub(super) fn has(&mut self, amount: u64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.until).as_nanos();
        let came = passed * u128::from(self.a_second) / NANOS_A_SECOND;
        let full = u128::from(self.left) + came >= u128::from(self.most);
        if full {
            (self.left, self.until) = (self.most, now);
        } else if came > 0 {
            self.left += came as u64;
            // What is not yet a whole one goes on growing.
            let took = came * NANOS_A_SECOND / u128::from(self.a_second);
            self.until += Duration::from_nanos(took as u64);
        }
        self.left >= amount
    }

    /// Takes so much, if it is left.
    pub(super) fn take(&mut self, amount: u64, now: Instant) -> bool {
        let has = self.has(amount, now);
        if has {
            self.left -= amount;
        }
        has
    }
}
