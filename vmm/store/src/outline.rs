//! The outline of a file: what each of its pieces hashes to, such that all together are its name.
//!
//! What it is: the BLAKE3 tree of a file, cut where a subtree covers 256 KiB. A host that knows a
//! file's hash takes an outline from anybody, checks it against that hash, and then takes pieces
//! from anybody, in any order, each checked alone. What it is not: a format on disk; it is made
//! again from the file.
//!
//! ```text
//!                 hash of the file
//!                ┌───────┴───────┐
//!             ┌──┴──┐         ┌──┴──┐        left subtrees are whole powers of two
//!  outline:  [p0]  [p1]      [p2]  [p3]      32 bytes each; none for a file of one piece
//!            256K  256K      256K  rest
//! ```

use std::io::{self, Read};

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use crate::blob::Hash;

/// Bytes of a piece: a power of two of BLAKE3's chunks, so that it is a subtree.
pub const PIECE_BYTES: usize = 256 << 10;
/// Bytes of a piece's hash in an outline.
pub const PIECE_HASH_BYTES: usize = 32;

type PieceHash = [u8; PIECE_HASH_BYTES];

/// See the module. One that exists belongs to its hash and length.
#[derive(Clone, Debug)]
pub struct Outline {
    hash: Hash,
    bytes: u64,
    pieces: Vec<PieceHash>,
}

/// An outline of another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the outline of {bytes} bytes with the hash {hash}, found another; ask another host"
)]
pub struct NotItsOutline {
    hash: Hash,
    bytes: u64,
}

impl Outline {
    /// The bytes of the outline of what `reader` gives.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
        let (mut outline, mut piece) = (Vec::new(), Vec::with_capacity(PIECE_BYTES));
        for number in 0_u32.. {
            piece.clear();
            reader.take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
            if piece.is_empty() {
                break;
            }
            outline.extend_from_slice(&hash_of(number, &piece));
        }
        if outline.len() == PIECE_HASH_BYTES {
            outline.clear();
        }
        Ok(outline)
    }

    /// Takes the outline of a file of this hash and length.
    ///
    /// # Errors
    /// When it is not.
    pub fn new(hash: Hash, bytes: u64, outline: &[u8]) -> Result<Self, NotItsOutline> {
        let other = NotItsOutline { hash, bytes };
        let (pieces, rest) = outline.as_chunks::<PIECE_HASH_BYTES>();
        let count = bytes.div_ceil(PIECE_BYTES as u64);
        let expected = if count > 1 { count } else { 0 };
        if !rest.is_empty() || pieces.len() as u64 != expected {
            return Err(other);
        }
        let is_it = match count {
            0 => hash == Hash::of(&[]),
            // Its only piece is checked against the hash itself.
            1 => true,
            _ => root(pieces) == hash,
        };
        is_it.then(|| Self { hash, bytes, pieces: pieces.to_vec() }).ok_or(other)
    }

    /// The file's name.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The file's length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many pieces it has.
    pub fn pieces(&self) -> u32 {
        self.bytes.div_ceil(PIECE_BYTES as u64) as u32
    }

    /// Where a piece lies: offset and length.
    pub fn place(&self, piece: u32) -> (u64, usize) {
        let at = u64::from(piece) * PIECE_BYTES as u64;
        (at, self.bytes.saturating_sub(at).min(PIECE_BYTES as u64) as usize)
    }

    /// Whether these bytes are that piece.
    pub fn fits(&self, piece: u32, bytes: &[u8]) -> bool {
        if piece >= self.pieces() || bytes.len() != self.place(piece).1 {
            return false;
        }
        match self.pieces.get(piece as usize) {
            Some(expected) => hash_of(piece, bytes) == *expected,
            None => Hash::of(bytes) == self.hash,
        }
    }
}

fn hash_of(piece: u32, bytes: &[u8]) -> PieceHash {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(u64::from(piece) * PIECE_BYTES as u64);
    hasher.update(bytes).finalize_non_root()
}

/// The hash of a file of two or more pieces.
fn root(pieces: &[PieceHash]) -> Hash {
    let (left, right) = pieces.split_at(left_of(pieces.len()));
    Hash(*merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash).as_bytes())
}

fn subtree(pieces: &[PieceHash]) -> PieceHash {
    match pieces {
        [one] => *one,
        _ => {
            let (left, right) = pieces.split_at(left_of(pieces.len()));
            merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
        }
    }
}

/// How many of two or more pieces are in the left subtree.
fn left_of(pieces: usize) -> usize {
    pieces.next_power_of_two() / 2
}
