//! The imports with Rust's types, and how a result is printed.

pub use wasip1::wasi_snapshot_preview1 as wasi;

/// The first granted folder.
pub const DATA: i32 = 3;
/// The second.
pub const OTHER: i32 = 4;
/// A number that stands for nothing.
pub const NOTHING: i32 = 99;
/// Follow a symbolic link at the end of a path.
pub const FOLLOW: i32 = 1;

pub const CREAT: i32 = 1;
pub const DIRECTORY: i32 = 2;
pub const EXCL: i32 = 4;
pub const TRUNC: i32 = 8;

pub const READ: i64 = 1 << 1;
pub const WRITE: i64 = 1 << 6;

pub const APPEND: i32 = 1;
pub const DSYNC: i32 = 2;
pub const NONBLOCK: i32 = 4;
pub const RSYNC: i32 = 8;
pub const SYNC: i32 = 16;

/// Prints one result.
#[macro_export]
macro_rules! show {
    ($function:literal, $case:expr, $errno:expr) => {
        println!("{} {}: {}", $function, $case, $errno)
    };
    ($function:literal, $case:expr, $errno:expr, $($value:tt)+) => {
        println!("{} {}: {} {}", $function, $case, $errno, format!($($value)+))
    };
}

/// The address of something that the host reads.
pub fn at<T: ?Sized>(value: &T) -> i32 {
    std::ptr::from_ref(value).cast::<u8>() as usize as i32
}

/// The address of something that the host writes.
pub fn to<T: ?Sized>(value: &mut T) -> i32 {
    std::ptr::from_mut(value).cast::<u8>() as usize as i32
}

/// A buffer for a gathered write or a scattered read.
#[repr(C)]
pub struct Iovec {
    pub buf: i32,
    pub len: i32,
}

pub fn iovec(bytes: &[u8]) -> Iovec {
    Iovec { buf: at(bytes), len: bytes.len() as i32 }
}

pub fn iovec_mut(bytes: &mut [u8]) -> Iovec {
    Iovec { buf: to(bytes), len: bytes.len() as i32 }
}

/// Opens `path` and returns the error number and the descriptor.
pub fn open(fd: i32, flags: i32, path: &str, oflags: i32, rights: i64, fdflags: i32) -> (i32, i32) {
    let mut opened = -1_i32;
    let errno = unsafe {
        wasi::path_open(
            fd,
            flags,
            at(path),
            path.len() as i32,
            oflags,
            rights,
            rights,
            fdflags,
            to(&mut opened),
        )
    };
    (errno, opened)
}

/// Opens `path`, which must work.
pub fn opened(path: &str, oflags: i32, rights: i64, fdflags: i32) -> i32 {
    let (errno, fd) = open(DATA, FOLLOW, path, oflags, rights, fdflags);
    assert_eq!(errno, 0, "opening {path}");
    fd
}

pub fn close(fd: i32) -> i32 {
    unsafe { wasi::fd_close(fd) }
}

pub fn read(fd: i32, bytes: &mut [u8]) -> (i32, i32) {
    let (iov, mut done) = (iovec_mut(bytes), -1_i32);
    let errno = unsafe { wasi::fd_read(fd, at(&iov), 1, to(&mut done)) };
    (errno, done)
}

pub fn write(fd: i32, bytes: &[u8]) -> (i32, i32) {
    let (iov, mut done) = (iovec(bytes), -1_i32);
    let errno = unsafe { wasi::fd_write(fd, at(&iov), 1, to(&mut done)) };
    (errno, done)
}

pub fn tell(fd: i32) -> (i32, i64) {
    let mut position = -1_i64;
    let errno = unsafe { wasi::fd_tell(fd, to(&mut position)) };
    (errno, position)
}

pub fn seek(fd: i32, offset: i64, whence: i32) -> (i32, i64) {
    let mut position = -1_i64;
    let errno = unsafe { wasi::fd_seek(fd, offset, whence, to(&mut position)) };
    (errno, position)
}

/// What is known of a file.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Filestat {
    pub dev: u64,
    pub ino: u64,
    pub filetype: u8,
    pub nlink: u64,
    pub size: u64,
    pub atim: u64,
    pub mtim: u64,
    pub ctim: u64,
}

pub fn filestat(fd: i32) -> (i32, Filestat) {
    let mut stat = Filestat::default();
    let errno = unsafe { wasi::fd_filestat_get(fd, to(&mut stat)) };
    (errno, stat)
}

pub fn path_filestat(fd: i32, flags: i32, path: &str) -> (i32, Filestat) {
    let mut stat = Filestat::default();
    let errno =
        unsafe { wasi::path_filestat_get(fd, flags, at(path), path.len() as i32, to(&mut stat)) };
    (errno, stat)
}

/// What is known of a descriptor.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Fdstat {
    pub filetype: u8,
    pub flags: u16,
    pub base: u64,
    pub inheriting: u64,
}

pub fn fdstat(fd: i32) -> (i32, Fdstat) {
    let mut stat = Fdstat::default();
    let errno = unsafe { wasi::fd_fdstat_get(fd, to(&mut stat)) };
    (errno, stat)
}
