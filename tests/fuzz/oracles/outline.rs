//! What must hold for any bytes that a host takes as the outline of a file, and as its pieces; the
//! fuzz target `outline` and a bounded test of the store feed it.
//!
//! 1. Bytes are the outline of a file only if they are that file's own.
//! 2. A file's own outline takes each of its pieces, and none that differs in a bit or in length.

use faaslet_store::{Hash, Outline, PIECE_BYTES};

/// Checks the bytes as an outline, and as a file of more pieces than they are long.
pub fn check(bytes: &[u8]) {
    stranger(bytes);
    own(bytes);
    let long: Vec<u8> =
        bytes.iter().flat_map(|byte| std::iter::repeat_n(*byte, 40_000)).take(700_000).collect();
    own(&long);
}

/// No bytes are the outline of a file that they were not made of.
fn stranger(bytes: &[u8]) {
    let pieces = bytes.len() as u64 / 32;
    let length = pieces * PIECE_BYTES as u64;
    let taken = Outline::new(Hash([7; 32]), length, bytes);
    assert!(taken.is_err(), "{pieces} pieces of a file that nobody has");
}

fn own(file: &[u8]) {
    let (hash, length) = (Hash::of(file), file.len() as u64);
    let bytes = Outline::of(&mut &file[..]).unwrap();
    let outline = Outline::new(hash, length, &bytes).unwrap();
    assert_eq!(outline.pieces() as usize, file.chunks(PIECE_BYTES).len());
    for (number, piece) in (0..).zip(file.chunks(PIECE_BYTES)) {
        assert!(outline.fits(number, piece), "piece {number} of {length} bytes");
        assert!(!outline.fits(number, &piece[1..]));
        let mut other = piece.to_vec();
        other[piece.len() / 2] ^= 1;
        assert!(!outline.fits(number, &other), "another piece {number}");
    }
    assert!(!outline.fits(outline.pieces(), &[]));
    if let Some(first) = bytes.first() {
        let other = [&[first ^ 1], &bytes[1..]].concat();
        assert!(Outline::new(hash, length, &other).is_err());
    }
}
