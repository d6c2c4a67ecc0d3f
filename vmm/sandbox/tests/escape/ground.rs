//! What a cell is handed, and what lies beside it that it must not reach.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::symlink;
use std::path::Path;

use faaslet_sandbox::Socket;
use faaslet_sandbox::folder::{Access, DetachError, detach};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create};
use tempfile::TempDir;

/// A file of the store, beneath the stage.
const TOKEN: &str = "store/admin.token";

/// The parent's side.
pub(crate) struct Stage {
    folder: TempDir,
    detached: [OwnedFd; 2],
    plain: [OwnedFd; 2],
    image: OwnedFd,
    bell: OwnedFd,
    log: Option<File>,
}

impl Stage {
    /// ```text
    ///  secret                 never handed over
    ///  granted/file           written by the cell at will
    ///  granted/absolute       link to the secret, by its whole path
    ///  granted/relative       link to the secret, by ..
    ///  granted/device         the null device, if this user may make it
    ///  fixed/file             handed over read-only
    ///  store/admin.token      what the monitor keeps
    /// ```
    pub(crate) fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let (granted, fixed) = (path.join("granted"), path.join("fixed"));
        fs::create_dir(&granted).unwrap();
        fs::create_dir(&fixed).unwrap();
        fs::write(path.join("secret"), "secret").unwrap();
        fs::create_dir(path.join("store")).unwrap();
        fs::write(path.join(TOKEN), "token").unwrap();
        fs::write(granted.join("file"), "file").unwrap();
        fs::write(fixed.join("file"), "file").unwrap();
        symlink(path.join("secret"), granted.join("absolute")).unwrap();
        symlink("../secret", granted.join("relative")).unwrap();
        let _ = super::sys::make_null_device(&granted.join("device"));
        // Inheritable on purpose: only what `spawn` does keeps it from children.
        super::sys::inheritable(File::open(path.join("secret")).unwrap().into());
        Self {
            detached: [hand_out(&granted, Access::ReadWrite), hand_out(&fixed, Access::ReadOnly)],
            plain: [&granted, &fixed].map(|path| File::open(path).unwrap().into()),
            image: image(),
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap(),
            log: std::env::var_os("ESCAPE_LOG").map(|path| File::create(path).unwrap()),
            folder,
        }
    }

    pub(crate) fn log(&self) -> Option<BorrowedFd<'_>> {
        self.log.as_ref().map(AsFd::as_fd)
    }

    /// Outside of the jail the folders are plain ones: what gets through shows what a detached
    /// mount is for.
    pub(crate) fn hand_over(&self, socket: &Socket, jailed: bool) {
        let [granted, read_only] = if jailed { &self.detached } else { &self.plain };
        let all = [granted.as_fd(), read_only.as_fd(), self.image.as_fd(), self.bell.as_fd()];
        let token = self.folder.path().join(TOKEN);
        let text = format!("{} {}", std::process::id(), token.display());
        socket.send(text.as_bytes(), &all).unwrap();
    }
}

/// As the monitor does it. One that may not make mounts hands out no folders at all; the null
/// device stands in for them then.
fn hand_out(path: &Path, access: Access) -> OwnedFd {
    match detach(path, access) {
        Ok(folder) => folder,
        Err(error @ DetachError::Mount { .. }) => {
            println!("no folder is handed out: {error}");
            File::open("/dev/null").unwrap().into()
        }
        Err(error) => panic!("{error}"),
    }
}

/// A read-only descriptor of a memory file that is sealed against all but writing.
fn image() -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let whole = memfd_create("image", flags).unwrap();
    rustix::io::write(&whole, &[7; 8192]).unwrap();
    fcntl_add_seals(&whole, SealFlags::SHRINK | SealFlags::GROW).unwrap();
    let path = format!("/proc/self/fd/{}", whole.as_raw_fd());
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// The child's side.
pub(crate) struct Ground {
    pub(crate) monitor: u64,
    pub(crate) granted: u64,
    pub(crate) read_only: u64,
    pub(crate) image: u64,
    /// The monitor holds the same open file.
    pub(crate) bell: u64,
    /// The page map that a cell keeps; closed in a builder.
    pub(crate) pagemap: u64,
    /// A file of the store.
    pub(crate) token: CString,
    pub(crate) all: Vec<OwnedFd>,
}

impl Ground {
    pub(crate) fn arrive(socket: &Socket, pagemap: RawFd) -> Self {
        let message = socket.recv().unwrap();
        let text = String::from_utf8(message.bytes).unwrap();
        let (monitor, token) = text.split_once(' ').unwrap();
        let (monitor, token) = (monitor.parse().unwrap(), CString::new(token).unwrap());
        let pagemap = pagemap as u64;
        let number = |i: usize| message.descriptors[i].as_raw_fd() as u64;
        let [granted, read_only, image, bell] = [0, 1, 2, 3].map(number);
        Self { monitor, granted, read_only, image, bell, pagemap, token, all: message.descriptors }
    }
}
