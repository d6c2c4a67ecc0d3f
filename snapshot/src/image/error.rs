//! Why an image could not be written or opened.

use std::io;

use super::layout::{FORMAT_VERSION, Section};
use crate::memory::MemoryImageError;

/// Why the contents of a bake do not make an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The memory's size is not one that a module can have.
    #[error(
        "memory of {found} bytes: expected a multiple of 65536, at most {limit}; take the virtual \
         size of the guest, not the size of its reservation"
    )]
    MemorySize {
        /// Its size.
        found: u64,
        /// Largest size.
        limit: u64,
    },
    /// The declared maximum is below the size.
    #[error("memory has {size} bytes, more than the {max} that it declares as its maximum")]
    AboveMaximum {
        /// Its size.
        size: u64,
        /// The declared maximum.
        max: u64,
    },
    /// More of something than an image can hold.
    #[error("expected at most {limit} {what}, found {found}; make the function's state smaller")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// Most of it.
        limit: usize,
        /// How much there is.
        found: usize,
    },
    /// The same thing is given twice.
    #[error("{what} {which} is given twice; expected each once")]
    Twice {
        /// What kind of thing.
        what: &'static str,
        /// Its number or name.
        which: String,
    },
    /// A value that the format has no bytes for.
    #[error("{what} is {found}; expected {expected}")]
    Invalid {
        /// Which value.
        what: String,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// The memory changed between the two passes over it.
    #[error("chunk {chunk} of memory changed while it was written; stop the guest before the bake")]
    Changed {
        /// Number of the chunk.
        chunk: u32,
    },
    /// The memory could not be read.
    #[error("chunk {chunk} of memory cannot be read: {source}")]
    Memory {
        /// Number of the chunk.
        chunk: u32,
        /// Why.
        source: io::Error,
    },
    /// The image could not be written out.
    #[error("the image cannot be written: {0}; check space and permissions where it goes")]
    Output(#[source] io::Error),
}

/// Why bytes are not an image that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The magic number is another.
    #[error("not a faaslet image: expected it to begin with {expected:02x?}, found {found:02x?}")]
    NotAnImage {
        /// The magic number.
        expected: [u8; 8],
        /// What the file begins with.
        found: [u8; 8],
    },
    /// Written by another version of the format.
    #[error(
        "image of format version {found}, but this build reads version {FORMAT_VERSION}: deploy \
         the function again, so that it is baked in version {FORMAT_VERSION}, or use the release \
         that wrote it"
    )]
    Version {
        /// The version of the image.
        found: u32,
    },
    /// Shorter or longer than its header says.
    #[error(
        "image of {found} bytes where its header says {expected}: it was cut off or something was \
         appended; fetch it or bake it again"
    )]
    Length {
        /// What the header says, or the smallest that an image can be.
        expected: u64,
        /// How long it is.
        found: u64,
    },
    /// A number is above its cap.
    #[error(
        "image claims {found} {what}, more than the {limit} allowed; it is damaged or was not \
         written by a bake: bake the function again"
    )]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// The cap.
        limit: u64,
        /// The claim.
        found: u64,
    },
    /// The root hash over the head is another.
    #[error(
        "the image's head does not match its id: expected {expected}, computed {found}; it is \
         damaged: fetch it or bake it again"
    )]
    HeadHash {
        /// The id that it carries.
        expected: super::ImageId,
        /// The hash of its bytes.
        found: super::ImageId,
    },
    /// The hash over a chunk of memory is another.
    #[error(
        "chunk {chunk} of the image's memory does not match its hash: expected {expected}, \
         computed {found}; it is damaged: fetch it or bake it again"
    )]
    ChunkHash {
        /// Number of the chunk.
        chunk: u32,
        /// The hash in the head.
        expected: super::ChunkHash,
        /// The hash of its bytes.
        found: super::ChunkHash,
    },
    /// A page of zeros is stored, which the writer never does.
    #[error(
        "chunk {chunk} of the image stores a page of zeros, expected it to be absent; the image \
         was not written by a bake: bake the function again"
    )]
    ZeroPage {
        /// Number of the chunk.
        chunk: u32,
    },
    /// A field has a value that the format does not give it.
    #[error(
        "byte {offset} of the image's head: expected {expected}, found {found}; it was not \
         written by a bake: bake the function again"
    )]
    Malformed {
        /// Where in the head.
        offset: usize,
        /// What may stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A section ends before what it holds does.
    #[error(
        "section {} of the image's head is {bytes} bytes, expected {expected}; it was not written \
         by a bake: bake the function again",
        section.name()
    )]
    SectionLength {
        /// Which.
        section: Section,
        /// What it holds.
        expected: usize,
        /// Its length in the header.
        bytes: usize,
    },
    /// The file could not be read.
    #[error("the image cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The memory file could not be made, or the one that came from elsewhere is not right.
    #[error("memory file of image {id}: {source}")]
    Memory {
        /// Which image.
        id: super::ImageId,
        /// Why.
        source: MemoryImageError,
    },
}
