//! Memory files that one process makes and another reads: made whole, then sealed.
//!
//! A descriptor that comes from a jailed process may be anything that the process could open: a
//! counter whose read blocks, a file that shrinks while it is read. So the receiver checks that it
//! is a regular file whose size and content are fixed for good before it reads a byte.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{
    FileType, MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, memfd_create,
};

/// What nobody may do any more to a file that another process reads.
const FIXED: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE);

/// Why a descriptor is not read.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// Something else than a file.
    #[error("expected a memory file; found another kind of descriptor")]
    NotAFile,
    /// A file that could still change.
    #[error("expected a memory file sealed against changes; found one that can still change")]
    NotSealed,
    /// More than the receiver takes.
    #[error("expected a memory file of at most {limit} bytes; found {found}")]
    TooLong {
        /// Its length.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A system call.
    #[error("cannot use a memory file: {0}")]
    System(#[from] io::Error),
}

/// A memory file that holds `bytes`, and nothing else ever.
pub fn sealed(name: &str, bytes: &[u8]) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create(name, flags)?);
    file.write_all(bytes)?;
    fcntl_add_seals(&file, FIXED | SealFlags::SEAL)?;
    Ok(file)
}

/// The length of a memory file that nobody can change, if it is one and has at most `limit` bytes.
pub fn check_sealed(file: impl AsFd, limit: u64) -> Result<u64, MemoryError> {
    let stat = fstat(&file).map_err(io::Error::from)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(MemoryError::NotAFile);
    }
    // A file that cannot be sealed answers with an error, which means the same.
    if !fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(FIXED)) {
        return Err(MemoryError::NotSealed);
    }
    let found = stat.st_size.unsigned_abs();
    if found > limit { Err(MemoryError::TooLong { found, limit }) } else { Ok(found) }
}

/// The bytes of such a file.
pub fn read_sealed(file: &File, limit: u64) -> Result<Vec<u8>, MemoryError> {
    let length = check_sealed(file, limit)?;
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rustix::event::{EventfdFlags, eventfd};

    use super::*;

    #[test]
    fn what_is_sealed_is_read_up_to_the_limit() {
        let file = sealed("test", b"hello").unwrap();
        assert_eq!(read_sealed(&file, 5).unwrap(), b"hello");
        let error = read_sealed(&file, 4).unwrap_err();
        assert!(matches!(error, MemoryError::TooLong { found: 5, limit: 4 }), "{error}");
    }

    #[test]
    fn what_blocks_or_can_change_is_refused_unread() {
        // The read of this one would wait for ever.
        let counter = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        assert!(matches!(check_sealed(&counter, 8), Err(MemoryError::NotAFile)));
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        assert!(matches!(check_sealed(&reader, 8), Err(MemoryError::NotAFile)));
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let open = memfd_create("test", flags).unwrap();
        assert!(matches!(check_sealed(&open, 8), Err(MemoryError::NotSealed)));
        fcntl_add_seals(&open, SealFlags::SHRINK | SealFlags::GROW).unwrap();
        assert!(matches!(check_sealed(&open, 8), Err(MemoryError::NotSealed)), "its bytes change");
        let file = tempfile::tempfile().unwrap();
        assert!(matches!(check_sealed(&file, 8), Err(MemoryError::NotSealed)));
    }
}
