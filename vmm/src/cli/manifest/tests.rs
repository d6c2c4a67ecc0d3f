//! The short form of the fuzz target `manifest`, and what may be read at all.

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use super::{MAX_FILE_BYTES, read};
use crate::cli::manifest;
use crate::cli::settings::{self, Settings};

#[path = "../../../../tests/fuzz/oracles/manifest.rs"]
mod oracle;

const ITERATIONS: u64 = 20_000;
const MAX_CHANGES: usize = 4;
/// What a change is likelier to hit than any byte: pieces that mean something.
const PIECES: [&str; 12] =
    ["=", "\"", "\n", "[", "]", "ms", "G", "9", "-", "name", "workers", "9999999999999999999"];

fn seed() -> u64 {
    let given = std::env::var("FAASLET_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed = given.unwrap_or_else(rand::random);
    println!("FAASLET_SEED={seed}");
    seed
}

fn change(bytes: &mut Vec<u8>, random: &mut SmallRng) {
    let at = random.random_range(0..=bytes.len());
    match random.random_range(0..4) {
        0 => bytes.truncate(at),
        1 if at < bytes.len() => bytes[at] = random.next_u32() as u8,
        2 if at < bytes.len() => drop(bytes.remove(at)),
        _ => {
            let piece = PIECES[random.random_range(0..PIECES.len())];
            bytes.splice(at..at, piece.bytes());
        }
    }
}

#[test]
fn damaged_manifests_are_read_or_refused() {
    let mut random = SmallRng::seed_from_u64(seed());
    for _ in 0..ITERATIONS {
        let mut bytes = oracle::SEEDS[random.random_range(0..oracle::SEEDS.len())].into();
        for _ in 0..random.random_range(0..=MAX_CHANGES) {
            change(&mut bytes, &mut random);
        }
        oracle::check(&bytes);
    }
}

#[test]
fn the_seeds_are_right() {
    let whole = Settings::parse(oracle::SEEDS[0]).unwrap();
    let missing = format!("{whole:?}");
    assert!(!missing.contains("None") && whole.low_latency == Some(true), "{missing}");
    assert_eq!(manifest::name(oracle::SEEDS[1], None).as_deref(), Some("greet"));
    assert_eq!(manifest::name(oracle::SEEDS[2], Some("package")).as_deref(), Some("greet"));
}

#[test]
fn a_file_without_an_end_is_not_read_to_its_end() {
    let error = read("/dev/zero".as_ref()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::FileTooLarge);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), " ".repeat(MAX_FILE_BYTES as usize)).unwrap();
    assert_eq!(read(file.path()).unwrap().len() as u64, MAX_FILE_BYTES);
}
