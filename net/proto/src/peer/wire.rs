//! One frame between two monitors, and the decoder that cuts a stream of bytes into frames.
//!
//! ```text
//!  0           4        6      7        8        16        20        24
//!  ├───────────┼────────┼──────┼────────┼────────┼─────────┼─────────┼─────────┬───────────┐
//!  │ payload   │ head   │ kind │ status │ id     │ whole   │ time    │ head    │ payload   │
//!  │ bytes u32 │ b. u16 │  u8  │  u8    │ u64    │ b. u32  │ µs u32  │ ≤ 4 KiB │ ≤ 32 KiB  │
//!  └───────────┴────────┴──────┴────────┴────────┴─────────┴─────────┴─────────┴───────────┘
//!   little-endian, unaligned; what a kind does not use is 0
//! ```
//!
//! | kind | name | uses | from |
//! | ---: | --- | --- | --- |
//! | 1 | hello | head: versions and limits; payload: the opener's name | opener |
//! | 2 | welcome | the same of the other end | acceptor |
//! | 3 | request | status: what it is for; id, whole payload's length, time left, head, payload or nothing | both |
//! | 4 | response | id, status, whole payload's length, head, payload or nothing | both |
//! | 5 | request data | id, the next piece of a request's payload | both |
//! | 6 | response data | id, the next piece of a response's payload | both |
//! | 7 | cancel | id of a request of the sender's | both |
//! | 8 | goaway | payload: a sentence | both |
//!
//! A request or response carries its payload whole or not at all: one that is over
//! [`MAX_FRAGMENT_BYTES`] follows in data frames, between which other frames may come. The frame
//! and the greeting are the same in every version, so that ends of different versions can tell
//! each other so.
//!
//! A frame that lies whole in one received chunk is sliced out of it; one that spans chunks is
//! copied together once. A data frame is never gathered: its bytes come out as they arrive.

use super::limits::{MAX_FRAGMENT_BYTES, MAX_HEAD_BYTES};
use crate::close::{Close, violation};
use bytes::{Buf, Bytes, BytesMut};

/// Length of the fixed part of a frame.
pub const HEADER_BYTES: usize = 24;

/// What a frame is. The numbers are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)] // The table above says what each is.
pub enum Kind {
    Hello = 1,
    Welcome = 2,
    Request = 3,
    Response = 4,
    RequestData = 5,
    ResponseData = 6,
    Cancel = 7,
    GoAway = 8,
}

impl Kind {
    fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Hello,
            2 => Self::Welcome,
            3 => Self::Request,
            4 => Self::Response,
            5 => Self::RequestData,
            6 => Self::ResponseData,
            7 => Self::Cancel,
            8 => Self::GoAway,
            _ => return None,
        })
    }

    fn is_data(self) -> bool {
        matches!(self, Self::RequestData | Self::ResponseData)
    }
}

/// A frame that was received whole, or a part of a data frame.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// How a request ended; in a request, what it is for.
    pub status: u8,
    /// Which request.
    pub id: u64,
    /// Length of the whole payload, which may follow in data frames.
    pub whole_bytes: u32,
    /// Time left to the deadline.
    pub left_us: u32,
    /// For the layer above; in a greeting, versions and limits.
    pub head: Bytes,
    /// Payload, or the next piece of it.
    pub payload: Bytes,
    /// Bytes of the same data frame that come after `payload`.
    pub rest_bytes: usize,
}

/// The fixed part, checked against the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) payload_bytes: usize,
    pub(super) head_bytes: usize,
    pub(super) kind: Kind,
    pub(super) status: u8,
    pub(super) id: u64,
    pub(super) whole_bytes: u32,
    pub(super) left_us: u32,
}

impl Header {
    /// A header of a frame that uses nothing yet.
    pub(super) fn new(kind: Kind, id: u64) -> Self {
        let (payload_bytes, head_bytes, status, whole_bytes, left_us) = (0, 0, 0, 0, 0);
        Self { payload_bytes, head_bytes, kind, status, id, whole_bytes, left_us }
    }

    fn parse(mut bytes: &[u8]) -> Result<Self, Close> {
        let payload_bytes = bytes.get_u32_le() as usize;
        let head_bytes = usize::from(bytes.get_u16_le());
        let (kind, status) = (bytes.get_u8(), bytes.get_u8());
        let (id, whole_bytes, left_us) =
            (bytes.get_u64_le(), bytes.get_u32_le(), bytes.get_u32_le());
        let Some(kind) = Kind::from_u8(kind) else {
            return violation!("expected a frame of kind 1 to 8, found {kind}");
        };
        if payload_bytes > MAX_FRAGMENT_BYTES {
            return violation!(
                "expected a frame of at most {MAX_FRAGMENT_BYTES} payload bytes, found \
                 {payload_bytes}: send larger payloads in data frames"
            );
        }
        if head_bytes > MAX_HEAD_BYTES {
            return violation!(
                "expected a head of at most {MAX_HEAD_BYTES} bytes, found {head_bytes}"
            );
        }
        if kind.is_data() && (payload_bytes == 0 || head_bytes != 0) {
            return violation!(
                "expected a piece that is not empty and no head in a {kind:?} frame, found \
                 {payload_bytes} and {head_bytes} bytes"
            );
        }
        Ok(Self { payload_bytes, head_bytes, kind, status, id, whole_bytes, left_us })
    }

    pub(super) fn put(self, out: &mut BytesMut) {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&(self.payload_bytes as u32).to_le_bytes());
        bytes[4..6].copy_from_slice(&(self.head_bytes as u16).to_le_bytes());
        bytes[6] = self.kind as u8;
        bytes[7] = self.status;
        bytes[8..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.whole_bytes.to_le_bytes());
        bytes[20..].copy_from_slice(&self.left_us.to_le_bytes());
        out.extend_from_slice(&bytes);
    }

    fn frame_bytes(self) -> usize {
        HEADER_BYTES + self.head_bytes + self.payload_bytes
    }

    fn cut(self, mut frame: Bytes) -> Frame {
        frame.advance(HEADER_BYTES);
        let head = frame.split_to(self.head_bytes);
        self.with(head, frame, 0)
    }

    fn with(self, head: Bytes, payload: Bytes, rest_bytes: usize) -> Frame {
        let Self { kind, status, id, whole_bytes, left_us, .. } = self;
        Frame { kind, status, id, whole_bytes, left_us, head, payload, rest_bytes }
    }
}

/// Cuts received chunks into frames.
#[derive(Debug, Default)]
pub struct Decoder {
    /// What was received last and not cut yet.
    chunk: Bytes,
    /// Invariant: the beginning of one frame that spans chunks; at most a whole one.
    partial: BytesMut,
    /// Invariant: a data frame whose header is behind us, with the bytes of it to come, not 0.
    piecemeal: Option<Header>,
}

impl Decoder {
    /// Takes a chunk. Call [`Self::next_frame`] until it gives nothing before the next one.
    pub fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty(), "the last chunk was not read to its end");
        self.chunk = chunk;
    }

    /// The next frame or part of a data frame, nothing if more bytes are needed, or how the bytes
    /// break the protocol.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Close> {
        if self.piecemeal.is_some() {
            return Ok(self.next_piece());
        }
        if !self.partial.is_empty() {
            return self.next_spanning();
        }
        if self.chunk.len() < HEADER_BYTES {
            self.keep(HEADER_BYTES);
            return Ok(None);
        }
        let header = Header::parse(&self.chunk[..HEADER_BYTES])?;
        if header.kind.is_data() {
            self.chunk.advance(HEADER_BYTES);
            self.piecemeal = Some(header);
            return Ok(self.next_piece());
        }
        if self.chunk.len() < header.frame_bytes() {
            self.keep(header.frame_bytes());
            return Ok(None);
        }
        Ok(Some(header.cut(self.chunk.split_to(header.frame_bytes()))))
    }

    /// True when a frame has begun and not ended.
    pub fn is_mid_frame(&self) -> bool {
        self.piecemeal.is_some() || !self.partial.is_empty()
    }

    fn keep(&mut self, frame_bytes: usize) {
        self.partial.reserve(frame_bytes);
        self.partial.extend_from_slice(&self.chunk);
        self.chunk = Bytes::new();
    }

    fn next_piece(&mut self) -> Option<Frame> {
        let header = self.piecemeal.as_mut().filter(|_| !self.chunk.is_empty())?;
        let piece = self.chunk.split_to(header.payload_bytes.min(self.chunk.len()));
        header.payload_bytes -= piece.len();
        let header = *header;
        if header.payload_bytes == 0 {
            self.piecemeal = None;
        }
        Some(header.with(Bytes::new(), piece, header.payload_bytes))
    }

    fn next_spanning(&mut self) -> Result<Option<Frame>, Close> {
        if !self.fill_partial(HEADER_BYTES) {
            return Ok(None);
        }
        let header = Header::parse(&self.partial[..HEADER_BYTES])?;
        if header.kind.is_data() {
            self.partial.clear();
            self.piecemeal = Some(header);
            return Ok(self.next_piece());
        }
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
