//! Versions of values: a total order over all owners that a shard has had.

use rkyv::{Archive, Deserialize, Serialize};

/// How often a shard has changed its owner, or its owner its memory. It only grows.
#[derive(
    Archive,
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
)]
#[rkyv(derive(Debug, Clone, Copy, PartialEq, Eq))]
pub struct Epoch(pub u64);

/// A version of a value, a fencing token, or a position in the order of appends: `(epoch, n)`,
/// compared in this order. `Version::NONE` is before all of them.
#[derive(
    Archive,
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
)]
#[rkyv(derive(Debug, Clone, Copy, PartialEq, Eq))]
pub struct Version {
    /// The epoch of the shard in which it was made.
    pub epoch: Epoch,
    /// Its number within the epoch, from 1 on.
    pub n: u64,
}

impl Version {
    /// Before every version.
    pub const NONE: Self = Self { epoch: Epoch(0), n: 0 };

    /// The version `n` of `epoch`.
    pub const fn new(epoch: Epoch, n: u64) -> Self {
        Self { epoch, n }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.epoch.0, self.n)
    }
}

impl std::str::FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let wrong = || VersionError { found: text.chars().take(64).collect() };
        let (epoch, n) = text.split_once('.').ok_or_else(wrong)?;
        let number = |part: &str| part.parse().map_err(|_| wrong());
        Ok(Self { epoch: Epoch(number(epoch)?), n: number(n)? })
    }
}

/// A text that is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a version as `EPOCH.N`, for example 1.42; found {found:?}")]
pub struct VersionError {
    /// The text, cut short.
    pub found: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_epoch_is_later_whatever_its_number() {
        assert!(Version::new(Epoch(2), 1) > Version::new(Epoch(1), 99));
        assert!(Version::NONE < Version::new(Epoch(0), 1));
    }

    #[test]
    fn a_version_reads_back_as_it_is_written() {
        let version = Version::new(Epoch(3), 14);
        assert_eq!(version.to_string().parse(), Ok(version));
        for text in ["", "3", "3.", ".4", "3.4.5", "-1.2", "99999999999999999999.1"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}
