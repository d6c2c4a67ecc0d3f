//! Where chunks of an image come from that is not wholly here.
//!
//! What it is: the one interface that a file on this host and another host both have. What it is
//! not: trusted. Whoever asks checks every chunk against its hash in the image's head; a source that
//! gives another chunk, or one that was not asked for, is named and left out.
//!
//! A source blocks the thread that asks. Who answers by futures waits for them within `fetch`, on
//! a runtime of its own; such a thread is never one of that runtime's.

use std::ops::ControlFlow;
use std::time::Instant;

use crate::image::{ChunkHash, ImageId};

/// Most chunks of one request: 16 MiB of memory.
pub const MAX_REQUEST_CHUNKS: usize = 256;

/// A chunk that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its number: guest address divided by 64 KiB.
    pub chunk: u32,
    /// Where its stored pages begin in the file of the image.
    pub offset: u64,
    /// How many bytes they are: whole pages, at most 64 KiB.
    pub bytes: u32,
    /// What they hash to.
    pub hash: ChunkHash,
}

/// How much a request hurts while it is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Nobody waits: it makes way for the others.
    Ahead,
    /// A call waits for it.
    Fault,
}

/// Some chunks of one image.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The image.
    pub image: ImageId,
    /// What is wanted, most wanted first; 1 to [`MAX_REQUEST_CHUNKS`].
    pub chunks: &'a [Wanted],
    /// Who waits for it.
    pub urgency: Urgency,
    /// When the asker gives up.
    pub deadline: Instant,
}

/// Takes the stored pages of a chunk. After a `Break` nobody needs the rest.
pub type Deliver<'a> = dyn FnMut(u32, &[u8]) -> ControlFlow<()> + 'a;

/// Why a source did not give all that was asked of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It does not have the image, or does not give it to this host.
    #[error("it has no such image, or gives it to others only")]
    NotHere,
    /// It cannot be reached or read.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// Not all came in time.
    #[error("it did not answer in time")]
    Late,
}

/// See the module.
pub trait Source: Send + Sync {
    /// What messages call it, such as `host b` or `the image's file`.
    fn name(&self) -> &str;

    /// Hands each chunk's stored pages to `deliver` as they come, in any order, each once. `Ok`
    /// when all were delivered or `deliver` broke off.
    ///
    /// It returns when the deadline has passed, at the latest shortly after.
    ///
    /// # Errors
    /// See [`SourceError`]. What was delivered before counts.
    fn fetch(&self, request: &Request<'_>, deliver: &mut Deliver<'_>) -> Result<(), SourceError>;
}
