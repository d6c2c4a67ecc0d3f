//! The file of a working set: what is written is read, frozen by a golden file, and nothing else is.

use std::path::PathBuf;

use faaslet_snapshot::image::Head;
use faaslet_snapshot::working_set::{MAX_RUNS, WorkingSet};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::ground::{file, memory};

const ITERATIONS: usize = 20_000;

fn head() -> Head {
    Head::read(file(&memory()).as_slice()).unwrap()
}

fn sample(head: &Head) -> WorkingSet {
    let mut set = WorkingSet::new(head.id());
    assert!(set.merge(&[(9, 1), (0, 0x8001), (3, 4)]));
    assert!(set.merge(&[(3, 1), (11, 16)]));
    set
}

#[test]
fn runs_are_merged_in_the_order_of_the_first_and_bounded() {
    let mut set = sample(&head());
    assert_eq!(set.chunks(), [9, 0, 3, 11]);
    assert_eq!((set.touched()[2].pages, set.touched()[2].runs), (5, 2));
    assert!(!set.merge(&[]), "a run that met nothing is none");
    for _ in 2..MAX_RUNS {
        assert!(set.merge(&[(9, 1)]));
    }
    assert!(!set.merge(&[(5, 1)]), "enough is known");
    assert_eq!(set.chunks(), [9, 0, 3, 11]);
}

#[test]
fn the_golden_file_is_written_and_read_alike() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1.workingset");
    let (head, set) = (head(), sample(&head()));
    if std::env::var_os("FAASLET_GOLDEN").is_some_and(|mode| mode == "generate") {
        std::fs::write(&path, set.encode()).unwrap();
    }
    let golden = std::fs::read(&path).unwrap();
    assert_eq!(golden, set.encode());
    assert_eq!(WorkingSet::decode(&golden, &head), Ok(set));
}

#[test]
fn every_cut_and_every_flipped_bit_is_refused() {
    let head = head();
    let bytes = sample(&head).encode();
    for length in 0..bytes.len() {
        assert!(WorkingSet::decode(&bytes[..length], &head).is_err(), "{length} bytes");
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(WorkingSet::decode(&flipped, &head).is_err(), "bit {bit}");
    }
}

/// With the right hash at its end, so that the checks behind it are met.
fn hashed(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.len() - 32;
    let hash = blake3::hash(&bytes[..at]);
    bytes[at..].copy_from_slice(hash.as_bytes());
    bytes
}

#[test]
fn one_that_points_outside_or_names_a_chunk_twice_is_refused() {
    let head = head();
    let row = |n: usize| 56 + 8 * n;
    for (at, byte) in [(row(0), 1), (row(0), 12), (row(0) + 3, 1), (row(1), 9), (row(2) + 6, 3)] {
        let mut bytes = sample(&head).encode();
        bytes[at] = byte;
        let error = WorkingSet::decode(&hashed(bytes), &head).unwrap_err();
        assert!(error.to_string().contains("expected"), "{error}");
    }
    let other = vec![1; 65_536];
    let other = Head::read(file(&other).as_slice()).unwrap();
    assert!(WorkingSet::decode(&sample(&head).encode(), &other).is_err(), "of another image");
}

#[test]
fn what_is_read_is_written_alike_whatever_was_changed() {
    let head = head();
    let seed = std::env::var("FAASLET_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("FAASLET_SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let mut read = 0;
    for _ in 0..ITERATIONS {
        let mut bytes = sample(&head).encode();
        for _ in 0..random.random_range(0..3) {
            let at = random.random_range(0..bytes.len() - 32);
            bytes[at] = random.random();
        }
        let bytes = hashed(bytes);
        if let Ok(set) = WorkingSet::decode(&bytes, &head) {
            assert_eq!(set.encode(), bytes);
            read += 1;
        }
    }
    assert!(read > 0);
}

#[test]
fn its_picture_has_what_is_stored_and_what_was_touched() {
    let head = head();
    let svg = sample(&head).svg(&head);
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("#d40").count(), 1 + 2 + 2 + 1, "pages that were met");
}
