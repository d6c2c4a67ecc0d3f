//! Calls the functions directly, over a memory that is a vector.

#[path = "../memory/mod.rs"]
pub(crate) mod memory;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use faaslet_wasi::{
    Call, Captured, Clock, Config, Errno, Failure, GuestMemory, OpenFiles, Preopen, Random, Wasi,
    settle,
};
use rustix::fs::{Mode, OFlags};

pub(crate) const READ: u64 = 1 << 1;
pub(crate) const WRITE: u64 = 1 << 6;
pub(crate) const CREAT: u32 = 1;
pub(crate) const DIRECTORY: u32 = 2;
pub(crate) const TRUNC: u32 = 8;
pub(crate) const FOLLOW: u32 = 1;
/// The first granted folder.
pub(crate) const DATA: u32 = 3;

/// Where a path lies, and a second one.
pub(crate) const PATH: u32 = 0x100;
pub(crate) const PATH2: u32 = 0x4000;
/// Where a result lies.
pub(crate) const RESULT: u32 = 0x40;
/// Where bytes are read to and written from.
pub(crate) const BYTES: u32 = 0x8000;
const IOVEC: u32 = 0x80;

/// Memory of one 64 KiB page.
pub(crate) type Memory = memory::Memory<Vec<u8>>;

impl Memory {
    pub(crate) fn new() -> Self {
        Self::over(vec![0; 65_536])
    }

    pub(crate) fn put(&self, addr: u32, bytes: &[u8]) {
        self.write(addr, bytes).expect("in bounds");
    }

    pub(crate) fn get(&self, addr: u32, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.read(addr, &mut bytes).expect("in bounds");
        bytes
    }

    pub(crate) fn word(&self, addr: u32) -> u32 {
        u32::from_le_bytes(self.get(addr, 4).try_into().expect("four bytes"))
    }

    pub(crate) fn long(&self, addr: u32) -> u64 {
        u64::from_le_bytes(self.get(addr, 8).try_into().expect("eight bytes"))
    }
}

/// A Faaslet without an engine.
pub(crate) struct Faaslet {
    pub(crate) wasi: Wasi<Captured>,
    pub(crate) mem: Memory,
}

/// A descriptor of `path`.
pub(crate) fn folder(path: &Path) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).expect("a folder")
}

/// The number that a call returns.
pub(crate) fn errno(call: Call) -> Errno {
    match call {
        Ok(()) => Errno::Success,
        Err(Failure::Errno(errno)) => errno,
        Err(Failure::Trap(trap)) => panic!("trapped: {trap}"),
    }
}

impl Faaslet {
    /// One with these folders: guest path, host path, read-only.
    pub(crate) fn new(folders: &[(&str, &Path, bool)]) -> Self {
        Self::start(folders, None, Clock::live(), Random::live())
    }

    /// A fork of an image that holds `files`.
    pub(crate) fn fork(folders: &[(&str, &Path, bool)], files: &OpenFiles) -> Self {
        Self::start(folders, Some(files.clone()), Clock::live(), Random::live())
    }

    /// One with everything given.
    pub(crate) fn start(
        folders: &[(&str, &Path, bool)],
        files: Option<OpenFiles>,
        clock: Clock,
        random: Random,
    ) -> Self {
        let folders = folders
            .iter()
            .map(|(guest, host, read_only)| Preopen::new(*guest, folder(host), *read_only));
        let env = [("NAME".to_owned(), "value".to_owned())];
        let config = Config::new(&["program".into()], &env, folders.collect()).expect("a config");
        let config = match files {
            Some(files) => config.with_open_files(files),
            None => config,
        };
        let console = Captured::new(b"input".to_vec(), 1 << 20);
        let wasi = Wasi::new(Arc::new(config), clock, random, console);
        Self { wasi, mem: Memory::new() }
    }

    /// Puts `path` where the calls find it and returns its length.
    pub(crate) fn path(&self, path: &str) -> u32 {
        self.mem.put(PATH, path.as_bytes());
        path.len() as u32
    }

    pub(crate) fn open(
        &mut self,
        fd: u32,
        path: &str,
        oflags: u32,
        rights: u64,
        fdflags: u32,
    ) -> Result<u32, Errno> {
        let len = self.path(path);
        let (wasi, mem) = (&mut self.wasi, &self.mem);
        let call =
            wasi.path_open(mem, fd, FOLLOW, PATH, len, oflags, rights, rights, fdflags, RESULT);
        match errno(call) {
            Errno::Success => Ok(self.mem.word(RESULT)),
            errno => Err(errno),
        }
    }

    pub(crate) fn write(&mut self, fd: u32, bytes: &[u8]) -> Result<u32, Errno> {
        self.mem.put(BYTES, bytes);
        self.iovec(bytes.len() as u32);
        match errno(self.wasi.fd_write(&self.mem, fd, IOVEC, 1, RESULT)) {
            Errno::Success => Ok(self.mem.word(RESULT)),
            errno => Err(errno),
        }
    }

    pub(crate) fn read(&mut self, fd: u32, len: u32) -> Result<Vec<u8>, Errno> {
        self.iovec(len);
        match errno(self.wasi.fd_read(&self.mem, fd, IOVEC, 1, RESULT)) {
            Errno::Success => Ok(self.mem.get(BYTES, self.mem.word(RESULT) as usize)),
            errno => Err(errno),
        }
    }

    pub(crate) fn seek(&mut self, fd: u32, offset: i64) -> Errno {
        errno(self.wasi.fd_seek(&self.mem, fd, offset, 0, RESULT))
    }

    pub(crate) fn close(&mut self, fd: u32) -> Errno {
        errno(self.wasi.fd_close(&self.mem, fd))
    }

    /// Whole lines of the error stream and notes.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        let lines = self.wasi.console().lines();
        lines.finish();
        std::iter::from_fn(|| lines.pop()).collect()
    }

    fn iovec(&self, len: u32) {
        self.mem.put(IOVEC, &BYTES.to_le_bytes());
        self.mem.put(IOVEC + 4, &len.to_le_bytes());
    }
}

/// What the import would return.
pub(crate) fn number(call: Call) -> i32 {
    settle(call).expect("no trap")
}
