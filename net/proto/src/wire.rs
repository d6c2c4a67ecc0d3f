//! One frame on the wire, and the decoder that cuts a stream of bytes into frames.
//!
//! ```text
//!  0           4        6      7       8
//!  ├───────────┼────────┼──────┼───────┼──────────────┬───────────────────┐
//!  │ payload   │ head   │ kind │ flags │ head (rkyv)  │ payload (raw)     │
//!  │ bytes u32 │ b. u16 │  u8  │  u8   │ ≤ 1 KiB      │ ≤ 32 KiB          │
//!  └───────────┴────────┴──────┴───────┴──────────────┴───────────────────┘
//!   little-endian, unaligned; flags are 0
//! ```
//!
//! | kind | name | head | payload | from |
//! | ---: | --- | --- | --- | --- |
//! | 1 | hello | oldest and newest version | credential | client |
//! | 2 | welcome | version, tenant, limits | | server |
//! | 3 | call | id, function, mode, deadline, attempt, input length | the input, or nothing | client |
//! | 4 | reply | id, outcome, timings, payload length | the output or message, or nothing | server |
//! | 5 | data | id | the next piece of an input or output | both |
//! | 6 | cancel | id | | client |
//! | 7 | goaway | | a sentence | server |
//! | 8 | state | id, key, what is asked, deadline, payload length | see [`crate::state`], or nothing | client |
//! | 9 | state reply | id, answer, payload length | the same | server |
//!
//! A request for state is a call in all that follows, of protocol version 2 on; its answer is a
//! state reply, or a reply when it was not run. A call or reply carries its payload whole or not at all: one that is over
//! [`MAX_FRAGMENT_BYTES`] follows in data frames, between which frames of other calls may come.
//! The frame, hello and the meaning of its fields are the same in every version, so that ends of
//! different versions can tell each other so.
//!
//! A frame that lies whole in one received chunk is sliced out of it; one that spans chunks is
//! copied together once. A head is checked by bytecheck and read in place.

use crate::close::{Close, violation};
use crate::limits::{MAX_FRAGMENT_BYTES, MAX_HEAD_BYTES};
use bytes::{Buf, Bytes, BytesMut};

/// Length of the fixed part of a frame.
pub const HEADER_BYTES: usize = 8;
/// Largest frame.
pub const MAX_FRAME_BYTES: usize = HEADER_BYTES + MAX_HEAD_BYTES + MAX_FRAGMENT_BYTES;

/// What a frame is. The numbers are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)] // The table above says what each is.
pub enum Kind {
    Hello = 1,
    Welcome = 2,
    Call = 3,
    Reply = 4,
    Data = 5,
    Cancel = 6,
    GoAway = 7,
    State = 8,
    StateReply = 9,
}

impl Kind {
    fn from_u8(number: u8) -> Option<Self> {
        use Kind::{Call, Cancel, Data, GoAway, Hello, Reply, State, StateReply, Welcome};
        [Hello, Welcome, Call, Reply, Data, Cancel, GoAway, State, StateReply]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// A frame that was received whole.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// Its head, not checked yet.
    pub head: Bytes,
    /// Its payload.
    pub payload: Bytes,
}

/// The fixed part, checked against the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) payload_bytes: usize,
    pub(crate) head_bytes: usize,
    pub(crate) kind: Kind,
}

impl Header {
    fn parse(mut bytes: &[u8]) -> Result<Self, Close> {
        let payload_bytes = bytes.get_u32_le() as usize;
        let head_bytes = bytes.get_u16_le() as usize;
        let (kind, flags) = (bytes.get_u8(), bytes.get_u8());
        let Some(kind) = Kind::from_u8(kind) else {
            return violation!("expected a frame of kind 1 to 9, found {kind}");
        };
        if payload_bytes > MAX_FRAGMENT_BYTES {
            return violation!(
                "expected a frame of at most {MAX_FRAGMENT_BYTES} payload bytes, found \
                 {payload_bytes}: send larger payloads in data frames"
            );
        }
        if head_bytes > MAX_HEAD_BYTES {
            return violation!("expected a head of at most {MAX_HEAD_BYTES} bytes: {head_bytes}");
        }
        if flags != 0 {
            return violation!("expected no flags in versions 1 and 2, found {flags:#04x}");
        }
        Ok(Self { payload_bytes, head_bytes, kind })
    }

    pub(crate) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let payload = (self.payload_bytes as u32).to_le_bytes();
        let head = (self.head_bytes as u16).to_le_bytes();
        let [p0, p1, p2, p3] = payload;
        [p0, p1, p2, p3, head[0], head[1], self.kind as u8, 0]
    }

    fn frame_bytes(self) -> usize {
        HEADER_BYTES + self.head_bytes + self.payload_bytes
    }

    fn cut(self, mut frame: Bytes) -> Frame {
        frame.advance(HEADER_BYTES);
        let head = frame.split_to(self.head_bytes);
        Frame { kind: self.kind, head, payload: frame }
    }
}

/// Cuts received chunks into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    /// What was received last and not cut yet.
    chunk: Bytes,
    /// Invariant: the beginning of one frame that spans chunks, at most [`MAX_FRAME_BYTES`].
    partial: BytesMut,
}

impl Decoder {
    /// Takes a chunk. Call [`Self::next_frame`] until it gives nothing before the next one.
    pub fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "the last chunk was not read to its end");
        self.chunk = chunk;
    }

    /// The next frame, nothing if more bytes are needed, or how the bytes break the protocol.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Close> {
        if !self.partial.is_empty() {
            return self.next_spanning();
        }
        if self.chunk.len() < HEADER_BYTES {
            self.partial.extend_from_slice(&self.chunk);
            self.chunk = Bytes::new();
            return Ok(None);
        }
        let header = Header::parse(&self.chunk[..HEADER_BYTES])?;
        if self.chunk.len() < header.frame_bytes() {
            self.partial.reserve(header.frame_bytes());
            self.partial.extend_from_slice(&self.chunk);
            self.chunk = Bytes::new();
            return Ok(None);
        }
        Ok(Some(header.cut(self.chunk.split_to(header.frame_bytes()))))
    }

    /// True when a frame has begun and not ended.
    pub fn is_mid_frame(&self) -> bool {
        !self.partial.is_empty()
    }

    fn next_spanning(&mut self) -> Result<Option<Frame>, Close> {
        if !self.fill_partial(HEADER_BYTES) {
            return Ok(None);
        }
        let header = Header::parse(&self.partial[..HEADER_BYTES])?;
        if !self.fill_partial(header.frame_bytes()) {
            return Ok(None);
        }
        Ok(Some(header.cut(std::mem::take(&mut self.partial).freeze())))
    }

    /// Moves bytes from the chunk until the partial frame has `wanted`; true if it has.
    fn fill_partial(&mut self, wanted: usize) -> bool {
        let missing = wanted.saturating_sub(self.partial.len()).min(self.chunk.len());
        self.partial.extend_from_slice(&self.chunk.split_to(missing));
        self.partial.len() >= wanted
    }
}
