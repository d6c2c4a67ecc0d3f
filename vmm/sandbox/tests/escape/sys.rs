//! Raw system calls, and names for what they answer.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::path::Path;

/// A system call with up to six arguments. Pointers are passed as numbers; the attempts keep what
/// they point to alive.
pub(crate) fn raw<const N: usize>(number: i64, arguments: [u64; N]) -> Result<u64, i32> {
    let mut all = [0; 6];
    all[..N].copy_from_slice(&arguments);
    // SAFETY: the process exists to make this call and nothing else depends on its memory; where
    // an attempt gets through, the parent kills the process.
    let result = unsafe { libc::syscall(number, all[0], all[1], all[2], all[3], all[4], all[5]) };
    if result == -1 {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap());
    }
    Ok(result as u64)
}

/// `execve` by the old 32-bit gate, where numbers mean other calls.
pub(crate) fn execve_by_int_80(path: *const libc::c_char) -> u32 {
    let result: u32;
    // SAFETY: the 32-bit execve is number 11; its pointers cannot even hold this address whole.
    unsafe {
        std::arch::asm!(
            "push rbx", "mov ebx, {path:e}", "int 0x80", "pop rbx",
            path = in(reg) path as usize as u32 as usize,
            inout("eax") 11 => result, in("ecx") 0, in("edx") 0,
        );
    }
    result
}

/// Makes a descriptor survive `execve`, and leaves it open.
pub(crate) fn inheritable(fd: OwnedFd) {
    // SAFETY: integers only, on a descriptor that is open.
    assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) }, 0);
    let _ = fd.into_raw_fd();
}

/// The null device under another name.
pub(crate) fn make_null_device(path: &Path) -> rustix::io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    mknodat(CWD, path, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(1, 3))
}

pub(crate) fn signal_name(signal: i32) -> String {
    match signal {
        libc::SIGSYS => "SIGSYS".into(),
        libc::SIGSEGV => "SIGSEGV".into(),
        libc::SIGKILL => "SIGKILL".into(),
        other => format!("signal {other}"),
    }
}

/// `refused 38` as `refused ENOSYS`.
pub(crate) fn spell(answer: &str) -> String {
    const NAMES: &[(i32, &str)] = &[
        (libc::ENOSYS, "ENOSYS"),
        (libc::EACCES, "EACCES"),
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::EROFS, "EROFS"),
        (libc::EXDEV, "EXDEV"),
        (libc::EBADF, "EBADF"),
        (libc::EINVAL, "EINVAL"),
        (libc::ENOTDIR, "ENOTDIR"),
        (libc::ESRCH, "ESRCH"),
        (libc::ENODEV, "ENODEV"),
    ];
    let number = answer.strip_prefix("refused ").and_then(|n| n.parse().ok());
    let name = number.and_then(|n: i32| NAMES.iter().find(|(number, _)| *number == n));
    name.map_or_else(|| answer.to_owned(), |(_, name)| format!("refused {name}"))
}
