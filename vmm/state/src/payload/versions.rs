//! Lists of versions.

use super::{Cursor, PayloadError};
use crate::message::VersionStat;
use crate::version::{Epoch, Version};

/// Writes versions, one after the other.
pub(crate) fn write_versions(out: &mut Vec<u8>, versions: &[Version]) {
    for version in versions {
        write_numbers(out, [version.epoch.0, version.n]);
    }
}

/// Reads what [`write_versions`] wrote.
pub(crate) fn read_versions(bytes: &[u8]) -> Result<Vec<Version>, PayloadError> {
    let mut cursor = Cursor::new(bytes);
    let mut versions = Vec::with_capacity(bytes.len() / 16);
    while !cursor.left.is_empty() {
        versions.push(version(&mut cursor)?);
    }
    Ok(versions)
}

/// Writes what is known of versions, one after the other.
pub(crate) fn write_version_stats(out: &mut Vec<u8>, versions: &[VersionStat]) {
    for stat in versions {
        let VersionStat { version, len, age_ms, changed_bytes } = *stat;
        write_numbers(out, [version.epoch.0, version.n, len, age_ms, changed_bytes]);
    }
}

/// Reads what [`write_version_stats`] wrote.
pub(crate) fn read_version_stats(bytes: &[u8]) -> Result<Vec<VersionStat>, PayloadError> {
    let mut cursor = Cursor::new(bytes);
    let mut versions = Vec::with_capacity(bytes.len() / 40);
    while !cursor.left.is_empty() {
        let version = version(&mut cursor)?;
        let mut next = || number(&mut cursor);
        let (len, age_ms, changed_bytes) = (next()?, next()?, next()?);
        versions.push(VersionStat { version, len, age_ms, changed_bytes });
    }
    Ok(versions)
}

fn write_numbers<const N: usize>(out: &mut Vec<u8>, numbers: [u64; N]) {
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn number(cursor: &mut Cursor<'_>) -> Result<u64, PayloadError> {
    Ok(u64::from_le_bytes(cursor.array("a number of a version")?))
}

fn version(cursor: &mut Cursor<'_>) -> Result<Version, PayloadError> {
    Ok(Version::new(Epoch(number(cursor)?), number(cursor)?))
}
