//! Calls that a jailed process may make.
//!
//! A line is here because something in a cell needs it: Rust's and C's runtime, Wasmtime, WASI,
//! or the rings and the socket to the monitor. Whoever adds one says in the commit what needs it
//! and what an attacker with full control of the process could do with it.

use super::{Call, Is, Test, call, call_if, int, long};

/// `PAGEMAP_SCAN`: `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: u64 = 0xc060_6610;
/// `_IOWR(0xaa, 0x00, struct uffdio_register)`.
const UFFDIO_REGISTER: u64 = 0xc020_aa00;
/// `_IOWR(0xaa, 0x06, struct uffdio_writeprotect)`.
const UFFDIO_WRITEPROTECT: u64 = 0xc018_aa06;

const WRITE: u64 = libc::PROT_WRITE as u64;
const EXEC: u64 = libc::PROT_EXEC as u64;

/// Memory is never writable and executable at once.
const NOT_WRITE_AND_EXEC: &[&[Test]] = &[
    &[long(2, "prot", Is::Masked { mask: WRITE, value: 0 })],
    &[long(2, "prot", Is::Masked { mask: EXEC, value: 0 })],
];

/// A thread of this process, in the namespaces of this process.
const THREAD: &[&[Test]] = &[&[long(
    0,
    "flags",
    Is::Masked {
        mask: (libc::CLONE_THREAD
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWCGROUP
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET) as u64,
        value: libc::CLONE_THREAD as u64,
    },
)]];

const fn command(value: i32) -> [Test; 1] {
    [int(1, "cmd", Is::Equal(value as u64))]
}

/// No owner for signals, no leases, no notification, no flags: those reach outside of the
/// descriptor, flags to whoever else holds the same open file, as the monitor does with a bell.
/// Sealing is for memory files: a builder's images, a cell's values.
const SEALING_FCNTL: &[&[Test]] = &[
    &command(libc::F_GETFD),
    &command(libc::F_SETFD),
    &command(libc::F_GETFL),
    &command(libc::F_DUPFD_CLOEXEC),
    &command(libc::F_GET_SEALS),
    &command(libc::F_ADD_SEALS),
];

const fn request(value: u64) -> [Test; 1] {
    [int(1, "cmd", Is::Equal(value))]
}

/// Which pages of its own memory are private.
const BUILDER_IOCTL: &[&[Test]] = &[&request(PAGEMAP_SCAN)];

/// The same, and which pages of values were stored to.
const CELL_IOCTL: &[&[Test]] =
    &[&request(PAGEMAP_SCAN), &request(UFFDIO_REGISTER), &request(UFFDIO_WRITEPROTECT)];

/// The name of a thread, the name of a mapping.
const NAMES: &[&[Test]] = &[
    &[int(0, "option", Is::Equal(libc::PR_SET_NAME as u64))],
    &[int(0, "option", Is::Equal(libc::PR_SET_VMA as u64))],
];

const OWN_PROCESS: &[&[Test]] = &[&[int(0, "tgid", Is::OwnProcess)]];

const OWN_LIMITS_READ: &[&[Test]] = &[&[int(0, "pid", Is::Equal(0)), long(2, "new", Is::Equal(0))]];

/// A descriptor must not become a name: that would reopen what was handed read-only.
const NO_EMPTY_PATH: &[&[Test]] =
    &[&[int(4, "flags", Is::Masked { mask: libc::AT_EMPTY_PATH as u64, value: 0 })]];

const MEMFD_FLAGS: u64 =
    (libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING | libc::MFD_NOEXEC_SEAL) as u64;

const PLAIN_MEMFD: &[&[Test]] =
    &[&[int(1, "flags", Is::Masked { mask: 0xffff_ffff & !MEMFD_FLAGS, value: 0 })]];

/// Needed whatever the process is for; nothing here takes a path.
pub(super) const ALWAYS: &[Call] = &[
    // Memory.
    call("brk", libc::SYS_brk),
    call("madvise", libc::SYS_madvise),
    call_if("mmap", libc::SYS_mmap, NOT_WRITE_AND_EXEC),
    call_if("mprotect", libc::SYS_mprotect, NOT_WRITE_AND_EXEC),
    call("mremap", libc::SYS_mremap),
    call("munmap", libc::SYS_munmap),
    // Threads and signals.
    call_if("clone", libc::SYS_clone, THREAD),
    call("exit", libc::SYS_exit),
    call("exit_group", libc::SYS_exit_group),
    call("futex", libc::SYS_futex),
    call("getpid", libc::SYS_getpid),
    call("getrusage", libc::SYS_getrusage),
    call("gettid", libc::SYS_gettid),
    call("membarrier", libc::SYS_membarrier),
    call_if("prctl", libc::SYS_prctl, NAMES),
    call_if("prlimit64", libc::SYS_prlimit64, OWN_LIMITS_READ),
    call("restart_syscall", libc::SYS_restart_syscall),
    call("rseq", libc::SYS_rseq),
    call("rt_sigaction", libc::SYS_rt_sigaction),
    call("rt_sigprocmask", libc::SYS_rt_sigprocmask),
    call("rt_sigreturn", libc::SYS_rt_sigreturn),
    call("sched_getaffinity", libc::SYS_sched_getaffinity),
    call("sched_yield", libc::SYS_sched_yield),
    call("set_robust_list", libc::SYS_set_robust_list),
    call("sigaltstack", libc::SYS_sigaltstack),
    call_if("tgkill", libc::SYS_tgkill, OWN_PROCESS),
    // Time and randomness.
    call("clock_getres", libc::SYS_clock_getres),
    call("clock_gettime", libc::SYS_clock_gettime),
    call("clock_nanosleep", libc::SYS_clock_nanosleep),
    call("getrandom", libc::SYS_getrandom),
    call("nanosleep", libc::SYS_nanosleep),
    // Descriptors that it has.
    call("close", libc::SYS_close),
    call("fadvise64", libc::SYS_fadvise64),
    call("fallocate", libc::SYS_fallocate),
    call("fdatasync", libc::SYS_fdatasync),
    call("fstat", libc::SYS_fstat),
    call("fsync", libc::SYS_fsync),
    call("ftruncate", libc::SYS_ftruncate),
    call("getdents64", libc::SYS_getdents64),
    call("lseek", libc::SYS_lseek),
    call("pread64", libc::SYS_pread64),
    call("preadv", libc::SYS_preadv),
    call("preadv2", libc::SYS_preadv2),
    call("pwrite64", libc::SYS_pwrite64),
    call("pwritev", libc::SYS_pwritev),
    call("pwritev2", libc::SYS_pwritev2),
    call("read", libc::SYS_read),
    call("readv", libc::SYS_readv),
    call("recvmsg", libc::SYS_recvmsg),
    call("sendmsg", libc::SYS_sendmsg),
    call("write", libc::SYS_write),
    call("writev", libc::SYS_writev),
    // Waiting for them.
    call("epoll_create1", libc::SYS_epoll_create1),
    call("epoll_ctl", libc::SYS_epoll_ctl),
    call("epoll_pwait", libc::SYS_epoll_pwait),
    call("epoll_wait", libc::SYS_epoll_wait),
    call("eventfd2", libc::SYS_eventfd2),
    call("poll", libc::SYS_poll),
    call("ppoll", libc::SYS_ppoll),
];

/// Files beneath the folders handed over. Paths cannot be checked here; see the module above.
/// Of the ways to open one, WASI takes `openat2` alone.
pub(super) const FILES: &[Call] = &[
    call_if("linkat", libc::SYS_linkat, NO_EMPTY_PATH),
    call("mkdirat", libc::SYS_mkdirat),
    call("newfstatat", libc::SYS_newfstatat),
    call("openat2", libc::SYS_openat2),
    call("readlinkat", libc::SYS_readlinkat),
    call("renameat", libc::SYS_renameat),
    call("statx", libc::SYS_statx),
    call("symlinkat", libc::SYS_symlinkat),
    call("unlinkat", libc::SYS_unlinkat),
    call("utimensat", libc::SYS_utimensat),
];

/// What a cell has beside: values are memory files, whose pages are watched by a userfaultfd that
/// it has from before the jail.
pub(super) const CELL: &[Call] = &[
    call_if("fcntl", libc::SYS_fcntl, SEALING_FCNTL),
    call_if("ioctl", libc::SYS_ioctl, CELL_IOCTL),
    call_if("memfd_create", libc::SYS_memfd_create, PLAIN_MEMFD),
];

/// What a builder has beside.
pub(super) const BUILDER: &[Call] = &[
    call_if("fcntl", libc::SYS_fcntl, SEALING_FCNTL),
    call_if("ioctl", libc::SYS_ioctl, BUILDER_IOCTL),
    call_if("memfd_create", libc::SYS_memfd_create, PLAIN_MEMFD),
];
