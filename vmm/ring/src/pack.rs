//! Bytes to words of shared memory and back. Byte order within a word is little-endian.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::lane::WORD_BYTES;

/// Bytes rounded up to whole words.
pub(crate) fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(WORD_BYTES)
}

/// Writes bytes from a word of the ring on, over its end.
pub(crate) struct Packer<'a> {
    words: &'a [AtomicU64],
    /// Index of the next word, not yet wrapped.
    at: usize,
    held: u64,
    /// Invariant: under 8.
    held_bytes: u32,
}

impl<'a> Packer<'a> {
    /// Starts at the word that byte `index` of the stream falls into. `words` is a power of two.
    pub(crate) fn new(words: &'a [AtomicU64], index: u64) -> Self {
        Self { words, at: (index / WORD_BYTES as u64) as usize, held: 0, held_bytes: 0 }
    }

    #[inline]
    fn store(&mut self, word: u64) {
        self.words[self.at & (self.words.len() - 1)].store(word, Ordering::Relaxed);
        self.at = self.at.wrapping_add(1);
    }

    /// Appends a word.
    #[inline]
    pub(crate) fn word(&mut self, word: u64) {
        if self.held_bytes == 0 {
            return self.store(word);
        }
        let shift = 8 * self.held_bytes;
        self.store(self.held | word << shift);
        self.held = word >> (64 - shift);
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.held |= u64::from(byte) << (8 * self.held_bytes);
        self.held_bytes += 1;
        if self.held_bytes == 8 {
            self.store(self.held);
            (self.held, self.held_bytes) = (0, 0);
        }
    }

    /// Appends bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<WORD_BYTES>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        for &byte in rest {
            self.byte(byte);
        }
    }

    /// Stores what is left, with zeros up to a whole word.
    pub(crate) fn finish(mut self) {
        if self.held_bytes > 0 {
            self.store(self.held);
        }
    }
}

/// The word that byte `index` of the stream falls into.
#[inline]
pub(crate) fn load(words: &[AtomicU64], index: u64) -> u64 {
    let at = (index / WORD_BYTES as u64) as usize;
    words[at & (words.len() - 1)].load(Ordering::Relaxed)
}

/// Appends `length` bytes from byte `index` of the stream on, a multiple of 8, to `out`.
pub(crate) fn unpack(words: &[AtomicU64], index: u64, length: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + length, 0);
    let first = (index / WORD_BYTES as u64) as usize & (words.len() - 1);
    let mut source = words[first..].iter().chain(words).map(|word| word.load(Ordering::Relaxed));
    let (chunks, rest) = out[start..].as_chunks_mut::<WORD_BYTES>();
    for (chunk, word) in chunks.iter_mut().zip(&mut source) {
        *chunk = word.to_le_bytes();
    }
    if let (false, Some(word)) = (rest.is_empty(), source.next()) {
        rest.copy_from_slice(&word.to_le_bytes()[..rest.len()]);
    }
}

/// Calls `each` with the pieces of `parts`, seen as one run of bytes, from `skip` on, `take` long.
pub(crate) fn pieces(
    parts: &[&[u8]],
    mut skip: usize,
    mut take: usize,
    mut each: impl FnMut(&[u8]),
) {
    for part in parts {
        let from = skip.min(part.len());
        let to = part.len().min(from.saturating_add(take));
        if from < to {
            each(&part[from..to]);
        }
        skip -= from;
        take -= to - from;
        if take == 0 {
            return;
        }
    }
}
