//! A layer: an image at rest as what it adds to another one, its *base*.
//!
//! What it is: the image's head, whole, and those chunks of memory that the base does not have in the
//! same place. With the base at hand it reads as the image itself ([`Layered`] is [`ImageBytes`]), so
//! the image's id says nothing of how it rests, and every check of an image holds. What it is not:
//! another kind of image. `FORMAT.md` has the bytes.

use std::io::{self, Write};

use super::digest::ImageId;
use super::encode::ChunkRow;
use super::error::OpenError;
use super::head::Head;
use super::layout::{MAX_HEAD_BYTES, PAGE_BYTES};
use super::source::{ImageBytes, new_chunk};

/// What a layer begins with.
pub const LAYER_MAGIC: [u8; 8] = *b"\x89FSY\r\n\x1a\n";
/// The version of the format that this build writes, and the only one that it reads.
pub const LAYER_VERSION: u32 = 1;
/// Bytes before the image's head.
pub const LAYER_HEADER_BYTES: usize = 64;

const _: () = assert!(LAYER_HEADER_BYTES == 8 + 4 + 4 + 32 + 8 + 8);

/// Why bytes are not a layer on the base given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// Written by another version of the format.
    #[error(
        "layer of format version {found}, but this build reads version {LAYER_VERSION}: deploy the \
         function again"
    )]
    Version {
        /// The version of the layer.
        found: u32,
    },
    /// The base is another image than the one that the layer was made on.
    #[error(
        "expected the base {expected} of the layer, found the image {found}; give the base that it \
         was made on, or deploy the function again"
    )]
    Base {
        /// What the layer names.
        expected: ImageId,
        /// What was given.
        found: ImageId,
    },
    /// Shorter or longer than what its head says.
    #[error(
        "layer of {found} bytes where its head and its base say {expected}; it is damaged: deploy \
         the function again"
    )]
    Length {
        /// What follows from head and base.
        expected: u64,
        /// How long it is.
        found: u64,
    },
    /// Its head, or its base, is not that of an image.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be read or written.
    #[error("the layer cannot be read or written: {0}")]
    Io(#[from] io::Error),
}

/// The base that a file names, if the file is a layer rather than an image.
///
/// # Errors
/// When it cannot be read, or is a layer of another version.
pub fn base_of(file: &(impl ImageBytes + ?Sized)) -> Result<Option<ImageId>, LayerError> {
    Ok(LayerHeader::read(file)?.map(|header| header.base))
}

/// The head of the image in a file, whichever way it rests.
///
/// # Errors
/// When it is neither an image nor a layer.
pub fn head_of(file: &(impl ImageBytes + ?Sized)) -> Result<Head, LayerError> {
    match LayerHeader::read(file)? {
        None => Ok(Head::read(file)?),
        Some(header) => header.head(file),
    }
}

/// The first bytes of a layer.
struct LayerHeader {
    base: ImageId,
    head_bytes: u64,
}

impl LayerHeader {
    fn read(file: &(impl ImageBytes + ?Sized)) -> Result<Option<Self>, LayerError> {
        let mut bytes = [0; LAYER_HEADER_BYTES];
        if file.len_bytes()? < bytes.len() as u64 {
            return Ok(None);
        }
        file.read_exact_at(&mut bytes, 0)?;
        if bytes[..8] != LAYER_MAGIC {
            return Ok(None);
        }
        let word = |at: usize| {
            let mut wide = [0; 8];
            wide.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(wide)
        };
        if word(8) != u64::from(LAYER_VERSION) {
            return Err(LayerError::Version { found: word(8) as u32 });
        }
        if word(56) != 0 {
            let (expected, found) = ("zeros", word(56).to_string());
            return Err(OpenError::Malformed { offset: 56, expected, found }.into());
        }
        let mut base = [0; 32];
        base.copy_from_slice(&bytes[16..48]);
        Ok(Some(Self { base: ImageId::from_bytes(base), head_bytes: word(48) }))
    }

    fn head(&self, file: &(impl ImageBytes + ?Sized)) -> Result<Head, LayerError> {
        let (limit, found) = (MAX_HEAD_BYTES as u64, self.head_bytes);
        if found > limit {
            let what = "bytes of a layer's head";
            return Err(OpenError::TooLarge { what, limit, found }.into());
        }
        let least = LAYER_HEADER_BYTES as u64 + found;
        let length = file.len_bytes()?;
        if length < least {
            return Err(LayerError::Length { expected: least, found: length });
        }
        let mut bytes = vec![0; found as usize];
        file.read_exact_at(&mut bytes, LAYER_HEADER_BYTES as u64)?;
        Ok(Head::from_bytes(bytes)?)
    }
}

/// Writes `image` as a layer on `base`; returns how many bytes that took.
///
/// # Errors
/// When the image is none, or a file fails.
pub fn write_layer(
    image: &(impl ImageBytes + ?Sized),
    base: &Head,
    out: &mut impl Write,
) -> Result<u64, LayerError> {
    let head = Head::read(image)?;
    let mut header = Vec::with_capacity(LAYER_HEADER_BYTES);
    header.extend_from_slice(&LAYER_MAGIC);
    header.extend_from_slice(&u64::from(LAYER_VERSION).to_le_bytes());
    header.extend_from_slice(base.id().as_bytes());
    header.extend_from_slice(&(head.as_bytes().len() as u64).to_le_bytes());
    header.resize(LAYER_HEADER_BYTES, 0);
    out.write_all(&header)?;
    out.write_all(head.as_bytes())?;
    let mut written = (header.len() + head.as_bytes().len()) as u64;
    let mut buffer = new_chunk();
    for part in parts(&head, base).iter().filter(|part| part.own) {
        let pages = &mut buffer[..part.bytes as usize];
        image.read_exact_at(pages, part.image_at)?;
        out.write_all(pages)?;
        written += part.bytes;
    }
    Ok(written)
}

/// The stored pages of one chunk: where they lie in the image, and where they are read from.
struct Part {
    image_at: u64,
    bytes: u64,
    /// In the layer; else in the base.
    own: bool,
    /// Offset there.
    at: u64,
}

/// Where each chunk of the image is.
fn parts(head: &Head, base: &Head) -> Vec<Part> {
    let stored = |row: &ChunkRow| u64::from(row.pages.count_ones()) * PAGE_BYTES as u64;
    let mut places = std::collections::HashMap::new();
    let mut base_at = base.as_bytes().len() as u64;
    for row in base.chunks() {
        places.insert(row.index, (row, base_at));
        base_at += stored(row);
    }
    let mut image_at = head.as_bytes().len() as u64;
    let mut own_at = LAYER_HEADER_BYTES as u64 + image_at;
    let mut parts = Vec::with_capacity(head.chunks().len());
    for row in head.chunks() {
        let bytes = stored(row);
        let same = places.get(&row.index).filter(|(other, _)| *other == row);
        let (own, at) = same.map_or((true, own_at), |(_, at)| (false, *at));
        parts.push(Part { image_at, bytes, own, at });
        image_at += bytes;
        own_at += if own { bytes } else { 0 };
    }
    parts
}

/// A layer together with its base: the bytes of the image.
pub struct Layered<L, B> {
    layer: L,
    base: B,
    head: Head,
    parts: Vec<Part>,
}

impl<L: ImageBytes, B: ImageBytes> Layered<L, B> {
    /// Puts a layer on its base. What lies in either is checked when the image is opened.
    ///
    /// # Errors
    /// See [`LayerError`]: a base that is another image among them.
    pub fn new(layer: L, base: B) -> Result<Self, LayerError> {
        let not_one = || OpenError::NotAnImage { expected: LAYER_MAGIC, found: [0; 8] };
        let header = LayerHeader::read(&layer)?.ok_or_else(not_one)?;
        let head = header.head(&layer)?;
        let under = Head::read(&base)?;
        if under.id() != header.base {
            return Err(LayerError::Base { expected: header.base, found: under.id() });
        }
        let parts = parts(&head, &under);
        let own: u64 = parts.iter().filter(|part| part.own).map(|part| part.bytes).sum();
        let expected = LAYER_HEADER_BYTES as u64 + head.as_bytes().len() as u64 + own;
        let found = layer.len_bytes()?;
        if found != expected {
            return Err(LayerError::Length { expected, found });
        }
        Ok(Self { layer, base, head, parts })
    }
}

impl<L: ImageBytes, B: ImageBytes> ImageBytes for Layered<L, B> {
    fn len_bytes(&self) -> io::Result<u64> {
        let stored: u64 = self.parts.iter().map(|part| part.bytes).sum();
        Ok(self.head.as_bytes().len() as u64 + stored)
    }

    fn read_exact_at(&self, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
        let head = self.head.as_bytes();
        while !bytes.is_empty() {
            let (count, part) = if offset < head.len() as u64 {
                (head.len() as u64 - offset, None)
            } else {
                let after = self.parts.partition_point(|part| part.image_at <= offset);
                let part = after.checked_sub(1).and_then(|at| self.parts.get(at));
                let part = part.filter(|part| offset < part.image_at + part.bytes);
                let part = part.ok_or(io::ErrorKind::UnexpectedEof)?;
                (part.image_at + part.bytes - offset, Some(part))
            };
            let (now, rest) = bytes.split_at_mut((bytes.len() as u64).min(count) as usize);
            match part {
                None => now.copy_from_slice(&head[offset as usize..][..now.len()]),
                Some(part) => {
                    let at = part.at + (offset - part.image_at);
                    if part.own {
                        self.layer.read_exact_at(now, at)?;
                    } else {
                        self.base.read_exact_at(now, at)?;
                    }
                }
            }
            offset += now.len() as u64;
            bytes = rest;
        }
        Ok(())
    }
}
