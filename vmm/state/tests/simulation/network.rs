//! The network of a simulation: it loses, delays, reorders and duplicates, and can be cut.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How bad the network is, and what is cut at the moment.
pub struct Network {
    rng: StdRng,
    lost_per_mille: u32,
    doubled_per_mille: u32,
    slow_per_mille: u32,
    /// Clients that no host hears.
    pub cut: BTreeSet<usize>,
}

impl Network {
    pub fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x6e65_7477_6f72_6b00);
        let bad = rng.random_range(0..3);
        Self {
            lost_per_mille: [0, 20, 80][bad],
            doubled_per_mille: [10, 50, 100][bad],
            slow_per_mille: [5, 20, 50][bad],
            cut: BTreeSet::new(),
            rng,
        }
    }

    /// When each copy of a message between a client and a host arrives; maybe none.
    pub fn send(&mut self, client: usize) -> Vec<Duration> {
        let mut copies = 1;
        if self.rng.random_range(0..1000) < self.doubled_per_mille {
            copies += 1;
        }
        let lost = self.rng.random_range(0..1000) < self.lost_per_mille;
        if lost || self.cut.contains(&client) {
            copies -= 1;
        }
        if self.cut.contains(&client) {
            copies = 0;
        }
        (0..copies).map(|_| self.delay()).collect()
    }

    fn delay(&mut self) -> Duration {
        let slow = self.rng.random_range(0..1000) < self.slow_per_mille;
        let us = if slow { 200_000..6_000_000 } else { 200..8_000 };
        Duration::from_micros(self.rng.random_range(us))
    }
}
