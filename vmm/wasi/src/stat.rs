//! The records that describe a descriptor or a file, as they lie in guest memory.

use cap_std::fs::{Metadata, MetadataExt as _};

use crate::abi::{Errno, FDSTAT_BYTES, FILESTAT_BYTES, Filetype, fdflags, fstflags, rights};
use crate::arguments::bits;
use crate::host::{self, Times};
use crate::memory::Call;
use crate::open_files::Mode;

/// Every file seems to be on one device.
const DEVICE: u64 = 1;

/// `fdstat`: type at 0, flags at 2, rights at 8, rights of what is opened beneath at 16.
pub(crate) fn fdstat(
    filetype: Filetype,
    flags: u16,
    base: u64,
    inheriting: u64,
) -> [u8; FDSTAT_BYTES] {
    let mut bytes = [0; FDSTAT_BYTES];
    bytes[0] = filetype as u8;
    bytes[2..4].copy_from_slice(&flags.to_le_bytes());
    bytes[8..16].copy_from_slice(&base.to_le_bytes());
    bytes[16..24].copy_from_slice(&inheriting.to_le_bytes());
    bytes
}

/// `fdstat` of something opened beneath a folder.
pub(crate) fn fdstat_opened(filetype: Filetype, mode: Mode) -> [u8; FDSTAT_BYTES] {
    let mut base = rights::ALL;
    let directory = filetype == Filetype::Directory;
    if directory {
        base &= !(rights::FD_SEEK | rights::FD_FILESTAT_SET_SIZE | rights::PATH_FILESTAT_SET_SIZE);
    }
    if !mode.read {
        base &= !(rights::FD_READ | rights::FD_READDIR);
    }
    if !mode.write || directory {
        base &= !rights::FD_WRITE;
    }
    let append = if mode.append { fdflags::APPEND } else { 0 };
    let nonblock = if mode.nonblock { fdflags::NONBLOCK } else { 0 };
    let flags = if directory { 0 } else { append | nonblock };
    fdstat(filetype, flags, base, base)
}

/// `filestat`: device at 0, inode at 8, type at 16, links at 24, size at 32, times of access,
/// modification and change at 40, 48 and 56.
pub(crate) fn filestat(meta: &Metadata) -> [u8; FILESTAT_BYTES] {
    let mut bytes = [0; FILESTAT_BYTES];
    let mut put = |at: usize, value: u64| bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    put(0, DEVICE);
    put(8, host::inode(meta));
    put(16, host::filetype(meta.file_type()) as u64);
    put(24, meta.nlink());
    put(32, meta.size());
    put(40, unix_ns(meta.atime(), meta.atime_nsec()));
    put(48, unix_ns(meta.mtime(), meta.mtime_nsec()));
    put(56, unix_ns(meta.ctime(), meta.ctime_nsec()));
    bytes
}

/// `filestat` of a standard stream.
pub(crate) fn filestat_stdio(filetype: Filetype) -> [u8; FILESTAT_BYTES] {
    let mut bytes = [0; FILESTAT_BYTES];
    bytes[16] = filetype as u8;
    bytes
}

/// A time before 1970 has no number here and reads as 0.
fn unix_ns(seconds: i64, nanoseconds: i64) -> u64 {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let nanoseconds = u64::try_from(nanoseconds).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

/// The times that `flags` asks to set, where `now_ns` is now.
pub(crate) fn times(atim: u64, mtim: u64, flags: u32, now_ns: u64) -> Call<Times> {
    let flags = bits("fstflags", flags, fstflags::ALL)?;
    let pick = |given: u16, now: u16, time: u64| match (flags & given != 0, flags & now != 0) {
        (true, true) => Err(Errno::Inval),
        (true, false) => Ok(Some(time)),
        (false, true) => Ok(Some(now_ns)),
        (false, false) => Ok(None),
    };
    Ok(Times {
        accessed_ns: pick(fstflags::ATIM, fstflags::ATIM_NOW, atim)?,
        modified_ns: pick(fstflags::MTIM, fstflags::MTIM_NOW, mtim)?,
    })
}
