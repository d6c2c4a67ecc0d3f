//! Images of version 1 that were written once and must be read, and written alike, for good.
//!
//! `FAASLET_GOLDEN=generate cargo test -p faaslet-snapshot --test image golden` writes them again:
//! only when FORMAT.md says that the format changes, with a new version and new file names. The
//! ids below change with them, so nothing passes by generating alone.

use std::path::PathBuf;

use faaslet_snapshot::image::Image;

use crate::round_trip::memory_of;
use crate::sample::Sample;

const EMPTY_ID: &str = "c72b11c2d7f396d4d4df58c01d3acf52a57402e7052ff3ff9a0a7c1433b8f1d0";
const SMALL_ID: &str = "12a0371da85613183d17616025978a5183e8842312d00de0d5ee02a0591a15bd";
const FULL_ID: &str = "2ed06c62a619cf68ae139555af51f56a317add6e23990fc2302e9e1dfda114e5";

fn verify_golden(name: &str, id: &str, sample: Sample) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let (written, written_id) = sample.image();
    if std::env::var("FAASLET_GOLDEN").is_ok_and(|mode| mode == "generate") {
        std::fs::write(&path, &written).unwrap();
        println!("{name} is {written_id}");
    }
    let golden = std::fs::read(&path).unwrap();
    let first = golden.iter().zip(&written).position(|(a, b)| a != b);
    assert_eq!((golden.len(), first), (written.len(), None), "{name}: the format has changed");
    assert_eq!(written_id.to_string(), id, "{name}: the id has changed");

    let image = Image::open(golden.as_slice()).unwrap();
    assert_eq!(image.id(), written_id);
    assert_eq!(memory_of(&image), sample.memory);
    let sample = sample.sorted();
    assert_eq!(image.head().globals(), sample.globals);
    assert_eq!(image.head().tables(), sample.tables);
    assert_eq!(image.head().files(), sample.files);
    assert_eq!(*image.head().meta(), sample.meta);
}

#[test]
fn empty() {
    verify_golden("v1-empty.image", EMPTY_ID, Sample::empty());
}

#[test]
fn small() {
    verify_golden("v1-small.image", SMALL_ID, Sample::small());
}

#[test]
fn full() {
    verify_golden("v1-full.image", FULL_ID, Sample::full());
}
