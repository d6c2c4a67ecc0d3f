//! What must hold for any bytes that are opened as an image; the fuzz target `image_open` and a
//! bounded test of the snapshot crate both feed it.
//!
//! 1. Opening ends in an image or an error with a message; it never panics.
//! 2. `verify` and `open` agree.
//! 3. The format is canonical: what opens is, written again, the same bytes.

use std::fs::File;
use std::os::unix::fs::FileExt;

use faaslet_snapshot::image::{Image, ImageContents, ImageWriter, verify};

/// Larger memories are opened but not written again, so that an iteration stays short.
const MAX_REWRITTEN_BYTES: u64 = 1 << 20;
/// Where a head says how long it is.
const HEAD_BYTES_AT: usize = 12;
const HASH_BYTES: usize = 32;

/// Checks the bytes as they are and, since a wrong root hash hides all else, with a right one.
pub fn check(bytes: &[u8]) {
    check_as_they_are(bytes);
    let mut sealed = bytes.to_vec();
    if reseal(&mut sealed) {
        check_as_they_are(&sealed);
    }
}

/// Makes the root hash right, if the bytes have room for a head of the length that they claim.
pub fn reseal(bytes: &mut [u8]) -> bool {
    let Some(claim) = bytes.get(HEAD_BYTES_AT..HEAD_BYTES_AT + 4) else { return false };
    let head_bytes = claim.iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte));
    let Some(head) = bytes.get_mut(..head_bytes) else { return false };
    let Some(hashed) = head_bytes.checked_sub(HASH_BYTES) else { return false };
    let id = blake3::hash(&head[..hashed]);
    head[hashed..].copy_from_slice(id.as_bytes());
    true
}

fn check_as_they_are(bytes: &[u8]) {
    let verified = verify(bytes);
    match Image::open(bytes) {
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(verified.is_err(), "verifies, but does not open: {error}");
        }
        Ok(image) => {
            assert_eq!(verified.expect("opens, so it verifies").id(), image.id());
            check_canonical(bytes, &image);
        }
    }
}

fn check_canonical(bytes: &[u8], image: &Image) {
    let head = image.head();
    if head.memory_bytes() > MAX_REWRITTEN_BYTES {
        return;
    }
    let mut memory = vec![0; head.memory_bytes() as usize];
    let file = File::from(image.memory().fd().try_clone_to_owned().expect("a descriptor"));
    file.read_exact_at(&mut memory, 0).expect("the memory file has the image's length");
    let contents = ImageContents {
        identity: *head.identity(),
        memory: &memory,
        memory_max_bytes: head.memory_max_bytes(),
        globals: head.globals().to_vec(),
        tables: head.tables().to_vec(),
        files: head.files().to_vec(),
        meta: head.meta().clone(),
    };
    let mut again = Vec::new();
    let id = ImageWriter::write(&contents, &mut again).expect("what was read can be written");
    assert_eq!(id, image.id());
    assert!(again == bytes, "opens, but is written with other bytes");
}
