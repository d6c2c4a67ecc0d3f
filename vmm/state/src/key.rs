//! Keys: names of values within a tenant.

use std::fmt;
use std::sync::Arc;

/// Longest key.
pub const MAX_KEY_BYTES: usize = 512;
/// Shards that keys hash to.
pub const SHARDS: u16 = 256;

/// A key: 1 to [`MAX_KEY_BYTES`] bytes of UTF-8 without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing.
    #[error("expected a key of 1 to {MAX_KEY_BYTES} bytes; found an empty one")]
    Empty,
    /// Too long.
    #[error("expected a key of 1 to {MAX_KEY_BYTES} bytes; found {found}: shorten or hash it")]
    Long {
        /// Its length in bytes.
        found: usize,
    },
    /// Not text.
    #[error(
        "expected a key in UTF-8; found another byte at {at}: encode it, as base64 for example"
    )]
    NotUtf8 {
        /// Where.
        at: usize,
    },
    /// A control character.
    #[error("expected a key without control characters; found one at byte {at}")]
    Control {
        /// Where.
        at: usize,
    },
}

impl Key {
    /// The key of these bytes.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        match bytes.len() {
            0 => return Err(KeyError::Empty),
            found if found > MAX_KEY_BYTES => return Err(KeyError::Long { found }),
            _ => {}
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| KeyError::NotUtf8 { at: error.valid_up_to() })?;
        if let Some((at, _)) = text.char_indices().find(|(_, c)| c.is_control()) {
            return Err(KeyError::Control { at });
        }
        Ok(Self(text.into()))
    }

    /// The shard of this key of `tenant`: FNV-1a over both, folded. The same on every host and in
    /// every release, as ownership depends on it.
    pub fn shard(&self, tenant: &str) -> u16 {
        let bytes = tenant.bytes().chain([0]).chain(self.0.bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        ((hash ^ hash >> 32) % u64::from(SHARDS)) as u16
    }
}

impl std::borrow::Borrow<str> for Key {
    fn borrow(&self) -> &str {
        self
    }
}

impl std::ops::Deref for Key {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused_by_name() {
        assert_eq!(Key::new(b""), Err(KeyError::Empty));
        assert_eq!(Key::new(&[b'k'; 513]), Err(KeyError::Long { found: 513 }));
        assert_eq!(Key::new(b"ab\xff"), Err(KeyError::NotUtf8 { at: 2 }));
        assert_eq!(Key::new(b"a\nb"), Err(KeyError::Control { at: 1 }));
        assert!(Key::new("größe/1".as_bytes()).is_ok());
    }

    #[test]
    fn shards_are_frozen_and_all_of_them_are_in_use() {
        let shard = |tenant, key: &str| Key::new(key.as_bytes()).unwrap().shard(tenant);
        assert_ne!(shard("a", "bc"), shard("ab", "c"));
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..10_000 {
            seen.insert(shard("tenant", &format!("key/{number}")));
        }
        assert_eq!(seen.len(), usize::from(SHARDS));
    }
}
