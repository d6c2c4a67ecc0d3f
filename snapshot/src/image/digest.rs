//! The three names that an image carries: its own id, its recipe, its module.
//!
//! What it is: 32-byte BLAKE3 hashes with one type each, so that one is never taken for another.
//! What it is not: how they are computed; the id is [`crate::image::ImageWriter`]'s, the other two
//! are the bake's.

use std::fmt;
use std::str::FromStr;

use super::layout::HASH_BYTES;

/// A text that is not a hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits, found {found:?}; copy the id as `image ls` prints it")]
pub struct ParseDigestError {
    found: String,
}

macro_rules! digest {
    ($(#[$doc:meta] $name:ident)*) => {$(
        #[$doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; HASH_BYTES]);

        impl $name {
            /// Takes the bytes of a hash.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; HASH_BYTES]) -> Self {
                Self(bytes)
            }

            /// The bytes of the hash.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseDigestError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_hex(text).map(Self)
            }
        }
    )*};
}

digest! {
    /// Name of an image: the root hash over all of its bytes.
    ImageId
    /// Name of what an image was made from: module, initialisation, configuration, engine.
    RecipeId
    /// BLAKE3 of a module, as it was uploaded.
    ModuleHash
    /// BLAKE3 of the stored pages of a chunk of guest memory.
    ChunkHash
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn parse_hex(text: &str) -> Result<[u8; HASH_BYTES], ParseDigestError> {
    let error = || ParseDigestError { found: text.chars().take(80).collect() };
    let digits = text.as_bytes();
    if digits.len() != 2 * HASH_BYTES {
        return Err(error());
    }
    let mut bytes = [0; HASH_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |d: u8| char::from(d).to_digit(16).ok_or_else(error);
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Ok(bytes)
}
