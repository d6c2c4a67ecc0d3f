//! The payload of an answer: chunks are shared with the owner's table and not copied.

use std::sync::Arc;

/// Bytes in pieces, to be sent one after the other.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    pieces: Vec<Piece>,
}

/// See [`Payload`].
#[derive(Clone, Debug)]
pub enum Piece {
    /// Heads and small bodies.
    Copied(Vec<u8>),
    /// A chunk, as the owner keeps it.
    Shared(Arc<[u8]>),
}

impl Piece {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Payload {
    /// The pieces, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Takes them.
    pub fn into_pieces(self) -> Vec<Piece> {
        self.pieces
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.bytes().len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it in one, copied.
    pub fn to_vec(&self) -> Vec<u8> {
        let pieces: Vec<&[u8]> = self.pieces.iter().map(Piece::bytes).collect();
        pieces.concat()
    }

    /// The last piece, to append to.
    pub(crate) fn copied(&mut self) -> &mut Vec<u8> {
        if !matches!(self.pieces.last(), Some(Piece::Copied(_))) {
            self.pieces.push(Piece::Copied(Vec::new()));
        }
        match self.pieces.last_mut() {
            Some(Piece::Copied(bytes)) => bytes,
            _ => unreachable!("a copied piece was put last"),
        }
    }

    pub(crate) fn share(&mut self, bytes: Arc<[u8]>) {
        self.pieces.push(Piece::Shared(bytes));
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self { pieces: vec![Piece::Copied(bytes)] }
    }
}
