//! Asks the kernel whether an address can be read, without a fault when it cannot.

use std::ptr::{self, NonNull};

use nix::libc;

/// No such way of changing a signal mask: the call fails after it has read its argument.
const NO_SUCH_HOW: libc::c_int = -1;
/// Size of the kernel's signal mask.
const KERNEL_MASK_BYTES: usize = 8;

/// Whether the 8 bytes at `address` can be read by this process.
pub(crate) fn is_readable(address: NonNull<u8>) -> bool {
    // SAFETY: the kernel checks the address itself and reports EFAULT if it cannot be read;
    // otherwise it refuses `how` with EINVAL, so that nothing is changed either way.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            NO_SUCH_HOW,
            address.as_ptr(),
            ptr::null_mut::<u8>(),
            KERNEL_MASK_BYTES,
        )
    };
    result == -1 && nix::errno::Errno::last() == nix::errno::Errno::EINVAL
}
