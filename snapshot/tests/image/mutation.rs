//! The short form of the fuzz target `image_open`: mutated images against the same oracle.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::oracle;
use crate::sample::{Sample, each_seed};

const ITERATIONS: u64 = 3000;
const MAX_MUTATIONS: usize = 4;
/// Bytes at the front that most mutations go to: header and first sections.
const INTERESTING_BYTES: usize = 1024;

#[test]
fn mutated_images_open_rightly_or_not_at_all() {
    let bases = [Sample::empty().image().0, Sample::small().image().0, Sample::full().image().0];
    each_seed(ITERATIONS, |seed| {
        let rng = &mut SmallRng::seed_from_u64(seed);
        let mut bytes = bases[rng.random_range(0..bases.len())].clone();
        for _ in 0..rng.random_range(1..=MAX_MUTATIONS) {
            mutate(&mut bytes, rng);
        }
        oracle::check(&bytes);
    });
}

#[test]
fn the_oracle_accepts_what_is_right() {
    for sample in [Sample::empty(), Sample::small(), Sample::full()] {
        let (mut bytes, _) = sample.image();
        oracle::check(&bytes);
        let before = bytes.clone();
        assert!(oracle::reseal(&mut bytes));
        assert!(bytes == before, "resealing changed a right image");
    }
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut SmallRng) {
    if bytes.len() < 8 {
        return;
    }
    let near = if rng.random_bool(0.9) { INTERESTING_BYTES } else { usize::MAX };
    let place = rng.random_range(0..near.min(bytes.len() - 7));
    match rng.random_range(0..20) {
        0 => bytes.truncate(bytes.len() - rng.random_range(1..8)),
        1 => bytes.extend_from_slice(&rng.random::<[u8; 8]>()),
        2..5 => bytes[place] = rng.random(),
        5..8 => bytes[place] = bytes[place].wrapping_add(1),
        8..12 => {
            let word = [0, 1, 0xffff_ffff, 0x8000_0000, 4096, 65_536][rng.random_range(0..6)];
            bytes[place & !3..][..4].copy_from_slice(&u32::to_le_bytes(word));
        }
        12..15 => {
            let from = rng.random_range(0..near.min(bytes.len() - 7));
            bytes.copy_within(from..from + 8, place);
        }
        _ => bytes[place] ^= 1 << rng.random_range(0..8),
    }
}
