//! Outlines of files, of any bytes.
#![allow(clippy::unwrap_used)]

#[path = "../../../tests/fuzz/oracles/outline.rs"]
mod oracle;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

#[test]
fn any_bytes_are_judged_as_an_outline() {
    let given = std::env::var("FAASLET_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    eprintln!("FAASLET_SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    for _ in 0..40 {
        let length = random.random_range(0..400);
        let bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
        oracle::check(&bytes);
    }
}
