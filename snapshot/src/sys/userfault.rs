//! Faults on pages that are not there, told to a reader: userfaultfd in its plainest form.
//!
//! Raw requests and not the crate `userfaultfd`, as that builds its bindings with a C compiler and
//! bindgen, closes the descriptor that it is asked to give away, and the four requests used here are
//! as many structures of whole numbers.
//!
//! User mode only: it needs no privilege, and a system call that meets such a page fails. Guest
//! memory is never the buffer of one.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

const USER_MODE_ONLY: libc::c_int = 1;
const API: u64 = 0xaa;
const FEATURE_MISSING_SHMEM: u64 = 1 << 5;
const REGISTER_MODE_MISSING: u64 = 1 << 0;
const EVENT_PAGEFAULT: u8 = 0x12;
/// `struct uffd_msg`.
const MESSAGE_BYTES: usize = 32;
/// Where a message of a fault has its address.
const ADDRESS_AT: usize = 16;

/// `struct uffdio_api`.
#[repr(C)]
struct ApiArgument {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_range`.
#[repr(C)]
pub(super) struct RangeArgument {
    pub(super) start: u64,
    pub(super) len: u64,
}

/// `struct uffdio_register` and, with what came of it as a signed number, `struct uffdio_zeropage`.
#[repr(C)]
pub(super) struct ModeArgument {
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) mode: u64,
    pub(super) result: u64,
}

const _: () = assert!(size_of::<ApiArgument>() == 24);
const _: () = assert!(size_of::<RangeArgument>() == 16 && size_of::<ModeArgument>() == 32);

const UFFDIO_API: libc::Ioctl =
    nix::request_code_readwrite!(0xaa, 0x3f, size_of::<ApiArgument>()) as libc::Ioctl;
pub(super) const UFFDIO_REGISTER: libc::Ioctl =
    nix::request_code_readwrite!(0xaa, 0x00, size_of::<ModeArgument>()) as libc::Ioctl;
const UFFDIO_WAKE: libc::Ioctl =
    nix::request_code_read!(0xaa, 0x02, size_of::<RangeArgument>()) as libc::Ioctl;
const UFFDIO_ZEROPAGE: libc::Ioctl =
    nix::request_code_readwrite!(0xaa, 0x04, size_of::<ModeArgument>()) as libc::Ioctl;

/// See the module. Both the process whose faults it tells and the one that reads them have it.
#[derive(Debug)]
pub(crate) struct Userfault {
    fd: OwnedFd,
}

impl Userfault {
    /// Makes one for the faults of this process.
    pub(crate) fn open() -> Result<Self, Errno> {
        Self::with(FEATURE_MISSING_SHMEM)
    }

    /// Makes one, if this kernel has all of these features.
    pub(super) fn with(features: u64) -> Result<Self, Errno> {
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK | USER_MODE_ONLY;
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
        let fd = Errno::result(fd)? as libc::c_int;
        // SAFETY: a new descriptor, which nobody else has.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut argument = ApiArgument { api: API, features, ioctls: 0 };
        // SAFETY: the kernel's own structure for this request.
        Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), UFFDIO_API, &raw mut argument) })?;
        Ok(Self { fd })
    }

    /// One that another process made, to read its faults.
    pub(crate) fn of_other(fd: OwnedFd) -> Self {
        Self { fd }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// From now on a fault on a page of the range that its file does not have waits.
    pub(crate) fn register(&self, start: u64, len: u64) -> Result<(), Errno> {
        let mut argument = ModeArgument { start, len, mode: REGISTER_MODE_MISSING, result: 0 };
        self.request(UFFDIO_REGISTER, &raw mut argument)
    }

    /// Lets faults on the range be tried again.
    pub(crate) fn wake(&self, start: u64, len: u64) -> Result<(), Errno> {
        let mut argument = RangeArgument { start, len };
        self.request(UFFDIO_WAKE, &raw mut argument)
    }

    /// Makes pages zeros in the mapping alone, where nothing is yet, and wakes who waits for them.
    pub(crate) fn zero(&self, start: u64, len: u64) -> Result<(), Errno> {
        let mut argument = ModeArgument { start, len, mode: 0, result: 0 };
        match self.request(UFFDIO_ZEROPAGE, &raw mut argument) {
            // A part of it was there, or its owner changes its mappings: what waits tries again.
            Err(Errno::EEXIST | Errno::EAGAIN) => self.wake(start, len),
            done => done,
        }
    }

    /// The address of the next fault; nothing when none waits.
    pub(crate) fn next(&self) -> Result<Option<u64>, Errno> {
        let mut message = [0; MESSAGE_BYTES];
        match nix::unistd::read(&self.fd, &mut message) {
            Err(Errno::EAGAIN) => Ok(None),
            Err(error) => Err(error),
            Ok(MESSAGE_BYTES) if message[0] == EVENT_PAGEFAULT => {
                let address = message[ADDRESS_AT..].first_chunk().copied().unwrap_or_default();
                Ok(Some(u64::from_ne_bytes(address)))
            }
            Ok(_) => Ok(None),
        }
    }

    pub(super) fn request<T>(&self, request: libc::Ioctl, argument: *mut T) -> Result<(), Errno> {
        // SAFETY: each caller, all of them in `sys`, gives the kernel's own structure for its
        // request. Bytes that a program can see change in `zero` alone, from "not there" to zeros.
        Errno::result(unsafe { libc::ioctl(self.fd.as_raw_fd(), request, argument) }).map(|_| ())
    }
}
