//! The name of a host.

use std::fmt;
use std::str::FromStr;

/// Longest name of a host.
const MAX_HOST_BYTES: usize = 31;

/// Name of a host: 1 to 31 of `a`-`z`, `0`-`9` and `-`, not at its ends; so it is a part of a
/// domain name, which is how certificates hold it. Cheap to copy and to compare.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId {
    /// Invariant: the name, then zeros.
    bytes: [u8; MAX_HOST_BYTES],
    length: u8,
}

/// A name that no host can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a host's name of 1 to {MAX_HOST_BYTES} of a-z, 0-9 and - (not at its ends), found \
     {found:?}"
)]
pub struct InvalidHostId {
    /// The name, cut to what is worth showing.
    pub found: String,
}

impl HostId {
    /// Takes `name` as a host's name.
    pub fn new(name: &str) -> Result<Self, InvalidHostId> {
        Self::from_bytes(name.as_bytes())
    }

    /// Takes `name` as a host's name.
    pub fn from_bytes(name: &[u8]) -> Result<Self, InvalidHostId> {
        let plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let inside = !name.starts_with(b"-") && !name.ends_with(b"-");
        if name.is_empty() || name.len() > MAX_HOST_BYTES || !name.iter().all(plain) || !inside {
            let shown = &name[..name.len().min(2 * MAX_HOST_BYTES)];
            return Err(InvalidHostId { found: String::from_utf8_lossy(shown).into_owned() });
        }
        let mut bytes = [0; MAX_HOST_BYTES];
        bytes[..name.len()].copy_from_slice(name);
        Ok(Self { bytes, length: name.len() as u8 })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl FromStr for HostId {
    type Err = InvalidHostId;
    fn from_str(name: &str) -> Result<Self, InvalidHostId> {
        Self::new(name)
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
