//! Randomness that a printed seed brings back.

use std::time::{SystemTime, UNIX_EPOCH};

/// A small generator (splitmix64), so that a seed names the same modules for ever.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// The seed to start from: `FAASLET_SEED`, or a new one.
pub fn seed() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "a seed of its own for each run")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    number("FAASLET_SEED").unwrap_or(now % 1_000_000_000)
}

/// A number in the environment.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}
