//! Numbers and layouts of WASI preview 1 (`wasi_snapshot_preview1`), as this crate uses them.
//!
//! What it is: error numbers, flag bits and the sizes and offsets of the records that cross guest
//! memory. What it is not: any behaviour. Layouts are little-endian and fixed by the standard.

/// Import module that every call of this crate is imported from.
pub const IMPORT_MODULE: &str = "wasi_snapshot_preview1";

macro_rules! errno {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What a call returns to the guest. The numbers are fixed by the standard.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Errno {
            $($(#[$doc])* $name = $number,)*
        }

        impl Errno {
            /// The number that a guest sees.
            #[must_use]
            pub const fn number(self) -> u16 {
                self as u16
            }
        }
    };
}

errno! {
    /// No error.
    Success = 0,
    /// Permission denied.
    Acces = 2,
    /// Resource unavailable, or the operation would block.
    Again = 6,
    /// Connection already in progress.
    Already = 7,
    /// Bad file descriptor.
    Badf = 8,
    /// Device or resource busy.
    Busy = 10,
    /// Resource deadlock would occur.
    Deadlk = 16,
    /// The disk quota is used up.
    Dquot = 19,
    /// The file exists.
    Exist = 20,
    /// The file is too large.
    Fbig = 22,
    /// Illegal byte sequence.
    Ilseq = 25,
    /// Operation in progress.
    Inprogress = 26,
    /// Interrupted.
    Intr = 27,
    /// Invalid argument.
    Inval = 28,
    /// Input/output error.
    Io = 29,
    /// Is a directory.
    Isdir = 31,
    /// Too many levels of symbolic links.
    Loop = 32,
    /// Too many open files.
    Mfile = 33,
    /// Too many links.
    Mlink = 34,
    /// Message too large.
    Msgsize = 35,
    /// A file name is too long.
    Nametoolong = 37,
    /// Too many files open on this host.
    Nfile = 41,
    /// No such device.
    Nodev = 43,
    /// No such file or directory.
    Noent = 44,
    /// No locks available.
    Nolck = 46,
    /// Not enough space in memory, or more asked for than one call may move.
    Nomem = 48,
    /// No space left on the device.
    Nospc = 51,
    /// Not a directory, or a symbolic link to one.
    Notdir = 54,
    /// Directory not empty.
    Notempty = 55,
    /// Not supported.
    Notsup = 58,
    /// Not a terminal.
    Notty = 59,
    /// No such device or address.
    Nxio = 60,
    /// Value too large for its type.
    Overflow = 61,
    /// Not permitted, as leaving a folder or writing beneath a read-only one.
    Perm = 63,
    /// Broken pipe.
    Pipe = 64,
    /// Read-only file system.
    Rofs = 69,
    /// Invalid seek.
    Spipe = 70,
    /// Stale file handle.
    Stale = 72,
    /// The file is being executed.
    Txtbsy = 74,
    /// A link across devices.
    Xdev = 75,
}

/// Bits of `rights`. Only `FD_READ` and `FD_WRITE` decide anything, when a file is opened; the
/// rest is reported, as programs expect to see it.
pub mod rights {
    #![allow(missing_docs, reason = "the names are the standard's own")]
    pub const FD_DATASYNC: u64 = 1;
    pub const FD_READ: u64 = 1 << 1;
    pub const FD_SEEK: u64 = 1 << 2;
    pub const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
    pub const FD_SYNC: u64 = 1 << 4;
    pub const FD_TELL: u64 = 1 << 5;
    pub const FD_WRITE: u64 = 1 << 6;
    pub const FD_ADVISE: u64 = 1 << 7;
    pub const FD_ALLOCATE: u64 = 1 << 8;
    pub const PATH_CREATE_DIRECTORY: u64 = 1 << 9;
    pub const PATH_CREATE_FILE: u64 = 1 << 10;
    pub const PATH_LINK_SOURCE: u64 = 1 << 11;
    pub const PATH_LINK_TARGET: u64 = 1 << 12;
    pub const PATH_OPEN: u64 = 1 << 13;
    pub const FD_READDIR: u64 = 1 << 14;
    pub const PATH_READLINK: u64 = 1 << 15;
    pub const PATH_RENAME_SOURCE: u64 = 1 << 16;
    pub const PATH_RENAME_TARGET: u64 = 1 << 17;
    pub const PATH_FILESTAT_GET: u64 = 1 << 18;
    pub const PATH_FILESTAT_SET_SIZE: u64 = 1 << 19;
    pub const PATH_FILESTAT_SET_TIMES: u64 = 1 << 20;
    pub const FD_FILESTAT_GET: u64 = 1 << 21;
    pub const FD_FILESTAT_SET_SIZE: u64 = 1 << 22;
    pub const FD_FILESTAT_SET_TIMES: u64 = 1 << 23;
    pub const PATH_SYMLINK: u64 = 1 << 24;
    pub const PATH_REMOVE_DIRECTORY: u64 = 1 << 25;
    pub const PATH_UNLINK_FILE: u64 = 1 << 26;
    pub const POLL_FD_READWRITE: u64 = 1 << 27;
    /// Every right there is, sockets included.
    pub const ALL: u64 = (1 << 30) - 1;

    /// What a granted folder says of itself.
    pub const FOLDER: u64 = PATH_CREATE_DIRECTORY
        | PATH_CREATE_FILE
        | PATH_LINK_SOURCE
        | PATH_LINK_TARGET
        | PATH_OPEN
        | FD_READDIR
        | PATH_READLINK
        | PATH_RENAME_SOURCE
        | PATH_RENAME_TARGET
        | PATH_SYMLINK
        | PATH_REMOVE_DIRECTORY
        | PATH_UNLINK_FILE
        | PATH_FILESTAT_GET
        | PATH_FILESTAT_SET_TIMES
        | FD_FILESTAT_GET
        | FD_FILESTAT_SET_TIMES;

    /// What a granted folder says of the files opened beneath it.
    pub const FOLDER_INHERITING: u64 = FOLDER
        | FD_DATASYNC
        | FD_READ
        | FD_SEEK
        | FD_FDSTAT_SET_FLAGS
        | FD_SYNC
        | FD_TELL
        | FD_WRITE
        | FD_ADVISE
        | FD_ALLOCATE
        | FD_FILESTAT_SET_SIZE
        | POLL_FD_READWRITE;
}

/// Bits of `fdflags`.
pub(crate) mod fdflags {
    pub(crate) const APPEND: u16 = 1;
    pub(crate) const DSYNC: u16 = 1 << 1;
    pub(crate) const NONBLOCK: u16 = 1 << 2;
    pub(crate) const RSYNC: u16 = 1 << 3;
    pub(crate) const SYNC: u16 = 1 << 4;
    pub(crate) const ALL: u16 = (1 << 5) - 1;
}

/// Bits of `oflags`.
pub(crate) mod oflags {
    pub(crate) const CREAT: u16 = 1;
    pub(crate) const DIRECTORY: u16 = 1 << 1;
    pub(crate) const EXCL: u16 = 1 << 2;
    pub(crate) const TRUNC: u16 = 1 << 3;
    pub(crate) const ALL: u16 = (1 << 4) - 1;
}

/// Bits of `fstflags`.
pub(crate) mod fstflags {
    pub(crate) const ATIM: u16 = 1;
    pub(crate) const ATIM_NOW: u16 = 1 << 1;
    pub(crate) const MTIM: u16 = 1 << 2;
    pub(crate) const MTIM_NOW: u16 = 1 << 3;
    pub(crate) const ALL: u16 = (1 << 4) - 1;
}

/// The one bit of `lookupflags`.
pub(crate) const LOOKUP_SYMLINK_FOLLOW: u32 = 1;

/// `filetype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Filetype {
    Unknown = 0,
    BlockDevice = 1,
    CharacterDevice = 2,
    Directory = 3,
    RegularFile = 4,
    SymbolicLink = 7,
}

/// `clockid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClockId {
    Realtime,
    Monotonic,
    /// The two clocks of CPU time, which nothing provides.
    CpuTime,
}

impl ClockId {
    pub(crate) const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Realtime),
            1 => Some(Self::Monotonic),
            2 | 3 => Some(Self::CpuTime),
            _ => None,
        }
    }
}

/// `prestat`: tag (0, a folder), padding, length of its name.
pub(crate) const PRESTAT_BYTES: usize = 8;
/// `iovec` and `ciovec`: pointer, length.
pub(crate) const IOVEC_BYTES: u32 = 8;
/// `fdstat`: see the call that writes it.
pub(crate) const FDSTAT_BYTES: usize = 24;
/// `filestat`: see the call that writes it.
pub(crate) const FILESTAT_BYTES: usize = 64;
/// `dirent`: next cookie, inode, length of the name, type, padding.
pub(crate) const DIRENT_BYTES: usize = 24;
/// `subscription`: see the call that reads it.
pub(crate) const SUBSCRIPTION_BYTES: usize = 48;
/// `event`: see the call that writes it.
pub(crate) const EVENT_BYTES: usize = 32;
/// Highest number of `signal`.
pub(crate) const SIGNAL_MAX: u8 = 30;
/// Exit statuses from here on are not WASI's.
pub(crate) const EXIT_STATUS_END: u32 = 126;
