//! The table of attempts.

use std::sync::atomic::{AtomicU64, Ordering};

use Expect::{Killed, Refused};
use libc as c;

use crate::ground::Ground;
use crate::sys::{execve_by_int_80, raw};

/// How an attempt in a cell must end.
#[derive(Clone, Copy)]
pub(crate) enum Expect {
    /// The filter ends the process: only hostile code does this.
    Killed,
    /// The call fails.
    Refused,
}

pub(crate) enum Outcome {
    Through(String),
    Refused(i32),
}

pub(crate) struct Attempt {
    pub(crate) name: &'static str,
    pub(crate) expect: Expect,
    /// Can be made outside of the jail without harm, and must succeed there.
    pub(crate) harmless: bool,
    pub(crate) act: fn(&Ground) -> Outcome,
}

/// Not among libc's constants.
const F_SETSIG: u64 = 10;

const HERE: u64 = c::AT_FDCWD as u64;

type Act = fn(&Ground) -> Outcome;

/// Must succeed outside of the jail.
const fn both(name: &'static str, expect: Expect, act: Act) -> Attempt {
    Attempt { name, expect, harmless: true, act }
}

/// Not tried outside: it would do harm, or needs what not every machine has.
const fn inside(name: &'static str, expect: Expect, act: Act) -> Attempt {
    Attempt { name, expect, harmless: false, act }
}

fn plain<const N: usize>(number: i64, arguments: [u64; N]) -> Outcome {
    match raw(number, arguments) {
        Ok(value) => Outcome::Through(value.to_string()),
        Err(errno) => Outcome::Refused(errno),
    }
}

fn text(path: &std::ffi::CStr) -> u64 {
    path.as_ptr() as u64
}

fn address<T>(value: &T) -> u64 {
    std::ptr::from_ref(value) as u64
}

/// By the one call that a cell may open files with, without its flags that restrain it.
fn open(folder: u64, path: &std::ffi::CStr, flags: i32) -> Outcome {
    match open_how(folder, path, flags, 0) {
        Ok(fd) => Outcome::Through(fd.to_string()),
        Err(errno) => Outcome::Refused(errno),
    }
}

fn open_how(folder: u64, path: &std::ffi::CStr, flags: i32, resolve: u64) -> Result<u64, i32> {
    let mode = if flags & c::O_CREAT == 0 { 0 } else { 0o600 };
    let how = [flags as u64, mode, resolve];
    raw(c::SYS_openat2, [folder, text(path), address(&how), 24])
}

/// Up by `..` as far as it goes, then down again to a file of the host.
fn climb(ground: &Ground) -> Outcome {
    let mut folder = ground.granted;
    for _ in 0..64 {
        match open_how(folder, c"..", c::O_PATH | c::O_DIRECTORY, 0) {
            Ok(above) => folder = above,
            Err(errno) => return Outcome::Refused(errno),
        }
    }
    open(folder, c"etc/passwd", c::O_RDONLY)
}

fn make_link_and_follow(ground: &Ground) -> Outcome {
    let name = c"made";
    let _ = raw(c::SYS_unlinkat, [ground.granted, text(name), 0]);
    if let Err(errno) = raw(c::SYS_symlinkat, [text(c"../secret"), ground.granted, text(name)]) {
        return Outcome::Refused(errno);
    }
    open(ground.granted, name, c::O_RDONLY)
}

/// The frame of a page of this process, which root sees outside; hidden is as good as refused.
fn read_frame(ground: &Ground) -> Outcome {
    const FRAME: u64 = (1 << 55) - 1;
    let entry = AtomicU64::new(0);
    let place = address(&entry) / 4096 * 8;
    match raw(c::SYS_pread64, [ground.pagemap, address(&entry), 8, place]) {
        Ok(_) if entry.load(Ordering::SeqCst) & FRAME == 0 => Outcome::Refused(c::EPERM),
        Ok(_) => Outcome::Through("a frame".into()),
        Err(errno) => Outcome::Refused(errno),
    }
}

/// A descriptor that is neither one of the first four nor handed over nor kept.
fn find_descriptor(ground: &Ground) -> Outcome {
    use std::os::fd::AsRawFd;
    for fd in (4..4096_u64).filter(|fd| *fd != ground.pagemap) {
        let handed = ground.all.iter().any(|known| known.as_raw_fd() as u64 == fd);
        if !handed && raw(c::SYS_fcntl, [fd, c::F_GETFD as u64]).is_ok() {
            return Outcome::Through(format!("descriptor {fd}"));
        }
    }
    Outcome::Refused(c::EBADF)
}

fn map_image(ground: &Ground, protection: i32) -> Result<u64, i32> {
    raw(c::SYS_mmap, [0, 4096, protection as u64, c::MAP_SHARED as u64, ground.image, 0])
}

fn make_mapping_writable(ground: &Ground) -> Outcome {
    match map_image(ground, c::PROT_READ) {
        Ok(at) => plain(c::SYS_mprotect, [at, 4096, (c::PROT_READ | c::PROT_WRITE) as u64]),
        Err(errno) => Outcome::Refused(errno),
    }
}

fn reopen_image(ground: &Ground) -> Outcome {
    let path = std::ffi::CString::new(format!("/proc/self/fd/{}", ground.image)).unwrap();
    open(HERE, &path, c::O_RDWR)
}

fn write_and_execute(protection_later: bool) -> Outcome {
    let both = (c::PROT_WRITE | c::PROT_EXEC) as u64;
    let flags = (c::MAP_PRIVATE | c::MAP_ANONYMOUS) as u64;
    if !protection_later {
        return plain(c::SYS_mmap, [0, 4096, both, flags, u64::MAX, 0]);
    }
    match raw(c::SYS_mmap, [0, 4096, c::PROT_WRITE as u64, flags, u64::MAX, 0]) {
        Ok(at) => plain(c::SYS_mprotect, [at, 4096, both]),
        Err(errno) => Outcome::Refused(errno),
    }
}

/// The memory of the monitor, by process id.
fn read_memory(ground: &Ground) -> Outcome {
    let mut buffer = [0_u64; 1];
    let local = [std::ptr::from_mut(&mut buffer) as u64, 8];
    let remote = local;
    plain(c::SYS_process_vm_readv, [ground.monitor, address(&local), 1, address(&remote), 1, 0])
}

fn fork(number: i64) -> Outcome {
    match raw::<0>(number, []) {
        Ok(0) => loop {
            std::thread::park();
        },
        Ok(pid) => Outcome::Through(pid.to_string()),
        Err(errno) => Outcome::Refused(errno),
    }
}

fn clone(flags: i32) -> Outcome {
    match raw(c::SYS_clone, [flags as u64, 0, 0, 0, 0]) {
        Ok(0) => loop {
            std::thread::park();
        },
        Ok(pid) => Outcome::Through(pid.to_string()),
        Err(errno) => Outcome::Refused(errno),
    }
}

fn clone3() -> Outcome {
    let arguments = [0_u64, 0, 0, 0, c::SIGCHLD as u64, 0, 0, 0];
    match raw(c::SYS_clone3, [address(&arguments), 64]) {
        Ok(0) => loop {
            std::thread::park();
        },
        Ok(pid) => Outcome::Through(pid.to_string()),
        Err(errno) => Outcome::Refused(errno),
    }
}

fn socket(family: i32, kind: i32) -> Outcome {
    plain(c::SYS_socket, [family as u64, kind as u64, 0])
}

fn limits(pid: u64) -> Outcome {
    let new = [100_u64, 100];
    plain(c::SYS_prlimit64, [pid, u64::from(c::RLIMIT_NOFILE), address(&new), 0])
}

fn prctl(option: i32, value: u64) -> Outcome {
    plain(c::SYS_prctl, [option as u64, value, 0, 0, 0])
}

fn capset() -> Outcome {
    let header = [0x2008_0522_u32, 0];
    let sets = [u32::MAX; 6];
    plain(c::SYS_capset, [address(&header), address(&sets)])
}

fn send_to_self(number: i64, pid: u64) -> Outcome {
    plain(number, [pid, 0])
}

pub(crate) const ATTEMPTS: &[Attempt] = &[
    // Files by path.
    both("open /etc/passwd", Refused, |_| plain(c::SYS_open, [text(c"/etc/passwd"), 0, 0])),
    both("openat /etc/passwd", Refused, |_| plain(c::SYS_openat, [HERE, text(c"/etc/passwd"), 0])),
    both("openat2 /etc/passwd", Refused, |_| open(HERE, c"/etc/passwd", c::O_RDONLY)),
    both("openat2 / as a folder", Refused, |_| open(HERE, c"/", c::O_RDONLY | c::O_DIRECTORY)),
    both("openat2 . as a folder", Refused, |_| open(HERE, c".", c::O_RDONLY | c::O_DIRECTORY)),
    both("openat2 /proc/self/mem", Refused, |_| open(HERE, c"/proc/self/mem", c::O_RDWR)),
    both("openat2 /proc/self/environ", Refused, |_| open(HERE, c"/proc/self/environ", c::O_RDONLY)),
    both("openat2 /dev/null", Refused, |_| open(HERE, c"/dev/null", c::O_RDWR)),
    both("openat2 /sys/kernel", Refused, |_| open(HERE, c"/sys/kernel", c::O_RDONLY)),
    both("stat /etc/passwd", Refused, |_| {
        let buffer = [0_u64; 64];
        plain(c::SYS_newfstatat, [HERE, text(c"/etc/passwd"), address(&buffer), 0])
    }),
    both("openat2 a token of the monitor's store", Refused, |g| open(HERE, &g.token, c::O_RDONLY)),
    both("rename a token of the monitor's store", Refused, |g| {
        plain(c::SYS_renameat, [HERE, text(&g.token), HERE, text(&g.token)])
    }),
    inside("make a file in the root", Refused, |_| open(HERE, c"/new", c::O_WRONLY | c::O_CREAT)),
    inside("make a folder in the root", Refused, |_| {
        plain(c::SYS_mkdirat, [HERE, text(c"/new"), 0o700])
    }),
    // Out of a folder that was handed over.
    both("openat2 .. beneath the folder, and on", Refused, climb),
    both("openat2 ../secret, no flags", Refused, |g| open(g.granted, c"../secret", 0)),
    inside("openat2 ../secret, RESOLVE_BENEATH", Refused, |g| {
        match open_how(g.granted, c"../secret", 0, c::RESOLVE_BENEATH) {
            Ok(fd) => Outcome::Through(fd.to_string()),
            Err(errno) => Outcome::Refused(errno),
        }
    }),
    both("openat2 a link to an absolute path", Refused, |g| open(g.granted, c"absolute", 0)),
    both("openat2 a link to ../secret", Refused, |g| open(g.granted, c"relative", 0)),
    both("make a link to ../secret and follow it", Refused, make_link_and_follow),
    both("rename a file out of the folder", Refused, |g| {
        let (from, to) = (text(c"file"), text(c"../stolen"));
        plain(c::SYS_renameat2, [g.granted, from, g.read_only, to, 0])
    }),
    inside("open a device in the folder", Refused, |g| open(g.granted, c"device", c::O_RDWR)),
    inside("make a device in the folder", Refused, |g| {
        let mode = u64::from(c::S_IFCHR | 0o666);
        plain(c::SYS_mknodat, [g.granted, text(c"null"), mode, 0x0103])
    }),
    inside("run a file of the folder", Killed, |g| {
        let none = [0_u64];
        plain(c::SYS_execveat, [g.granted, text(c"file"), address(&none), address(&none), 0])
    }),
    both("write in a read-only folder", Refused, |g| open(g.read_only, c"file", c::O_WRONLY)),
    both("make a file in a read-only folder", Refused, |g| {
        open(g.read_only, c"new", c::O_WRONLY | c::O_CREAT)
    }),
    both("remove from a read-only folder", Refused, |g| {
        plain(c::SYS_unlinkat, [g.read_only, text(c"file"), 0])
    }),
    inside("openat2 .. beneath standard input", Refused, |_| open(0, c"..", c::O_RDONLY)),
    both("name_to_handle_at", Killed, |_| {
        let handle = [64_u32; 40];
        let id = 0_u64;
        let path = text(c"/etc/passwd");
        plain(c::SYS_name_to_handle_at, [HERE, path, address(&handle), address(&id), 0])
    }),
    inside("open_by_handle_at", Killed, |g| {
        let handle = [8_u32, 1, 2, 0];
        plain(c::SYS_open_by_handle_at, [g.granted, address(&handle), 0])
    }),
    // An image that was handed over read-only.
    inside("write an image", Refused, |g| plain(c::SYS_pwrite64, [g.image, text(c"x"), 1, 0])),
    inside("map an image for writing", Refused, |g| {
        map_image(g, c::PROT_READ | c::PROT_WRITE)
            .map_or_else(Outcome::Refused, |at| Outcome::Through(at.to_string()))
    }),
    inside("make a mapped image writable", Refused, make_mapping_writable),
    both("reopen an image by /proc/self/fd", Refused, reopen_image),
    inside("reopen an image by an empty path", Refused, |g| open(g.image, c"", c::O_RDWR)),
    inside("give an image a name", Refused, |g| {
        let empty = c::AT_EMPTY_PATH as u64;
        plain(c::SYS_linkat, [g.image, text(c""), g.granted, text(c"named"), empty])
    }),
    inside("truncate an image", Refused, |g| plain(c::SYS_ftruncate, [g.image, 0])),
    // Both make memory files of their own and seal them: values, images.
    inside("seal an image", Refused, |g| plain(c::SYS_fcntl, [g.image, c::F_ADD_SEALS as u64, 1])),
    both("change the mode of an image", Refused, |g| plain(c::SYS_fchmod, [g.image, 0o777])),
    // Descriptors.
    both("find a descriptor that was left open", Refused, find_descriptor),
    both("make a memory file of huge pages", Refused, |_| {
        plain(c::SYS_memfd_create, [text(c"m"), u64::from(c::MFD_HUGETLB)])
    }),
    inside("read physical addresses in the page map", Refused, read_frame),
    both("let the monitor hang in a read of the bell", Refused, |g| {
        plain(c::SYS_fcntl, [g.bell, c::F_SETFL as u64, 0])
    }),
    both("let a descriptor send signals", Refused, |_| {
        plain(c::SYS_fcntl, [3, c::F_SETOWN as u64, 1])
    }),
    both("choose the signal of a descriptor", Refused, |_| plain(c::SYS_fcntl, [3, F_SETSIG, 0])),
    both("ioctl other than the page map's", Refused, |_| {
        let count = 0_u64;
        plain(c::SYS_ioctl, [3, c::FIONREAD, address(&count)])
    }),
    inside("push input to a terminal", Refused, |_| {
        plain(c::SYS_ioctl, [0, c::TIOCSTI, text(c"x")])
    }),
    both("inotify_init1", Refused, |_| plain(c::SYS_inotify_init1, [0])),
    // Other processes.
    inside("kill the monitor (signal 0)", Killed, |g| send_to_self(c::SYS_kill, g.monitor)),
    inside("kill everything", Killed, |_| plain(c::SYS_kill, [u64::MAX, 9])),
    both("tkill", Killed, |_| send_to_self(c::SYS_tkill, raw::<0>(c::SYS_gettid, []).unwrap())),
    inside("tgkill the monitor", Refused, |g| plain(c::SYS_tgkill, [g.monitor, g.monitor, 0])),
    inside("rt_sigqueueinfo", Killed, |g| plain(c::SYS_rt_sigqueueinfo, [g.monitor, 0, 0])),
    both("pidfd_open", Killed, |_| {
        plain(c::SYS_pidfd_open, [raw::<0>(c::SYS_getpid, []).unwrap(), 0])
    }),
    inside("pidfd_getfd", Killed, |_| plain(c::SYS_pidfd_getfd, [3, 0, 0])),
    inside("pidfd_send_signal", Killed, |_| plain(c::SYS_pidfd_send_signal, [3, 9, 0, 0])),
    both("ptrace: be traced", Killed, |_| plain(c::SYS_ptrace, [0, 0, 0, 0])),
    inside("ptrace: attach to the monitor", Killed, |g| {
        plain(c::SYS_ptrace, [u64::from(c::PTRACE_ATTACH), g.monitor, 0, 0])
    }),
    inside("process_vm_readv of the monitor", Killed, read_memory),
    inside("process_vm_writev", Killed, |g| {
        plain(c::SYS_process_vm_writev, [g.monitor, 0, 0, 0, 0, 0])
    }),
    inside("process_madvise", Killed, |_| plain(c::SYS_process_madvise, [3, 0, 0, 0, 0])),
    inside("kcmp", Killed, |g| plain(c::SYS_kcmp, [g.monitor, 1, 0, 0, 0])),
    inside("change the monitor's limits", Refused, |g| limits(g.monitor)),
    both("change its own limits", Refused, |_| limits(0)),
    inside("move the monitor to another processor", Refused, |g| {
        plain(c::SYS_sched_setaffinity, [g.monitor, 8, address(&1_u64)])
    }),
    both("raise its priority", Refused, |_| plain(c::SYS_setpriority, [0, 0, 0])),
    both("getppid", Refused, |_| plain::<0>(c::SYS_getppid, [])),
    // Programs and new processes.
    both("fork", Killed, |_| fork(c::SYS_fork)),
    inside("vfork", Killed, |_| fork(c::SYS_vfork)),
    both("clone a process", Killed, |_| clone(c::SIGCHLD)),
    both("clone3 a process", Refused, |_| clone3()),
    inside("clone a thread with a user namespace", Refused, |_| {
        clone(c::CLONE_THREAD | c::CLONE_VM | c::CLONE_SIGHAND | c::CLONE_NEWUSER)
    }),
    inside("execve", Killed, |_| {
        let none = [0_u64];
        plain(c::SYS_execve, [text(c"/bin/true"), address(&none), address(&none)])
    }),
    inside("execve by the 32-bit gate", Killed, |_| {
        Outcome::Through(execve_by_int_80(c"/bin/true".as_ptr()).to_string())
    }),
    inside("openat by x32's number", Refused, |_| {
        plain(c::SYS_openat | 0x4000_0000, [HERE, text(c"/etc/passwd"), 0])
    }),
    // Network.
    both("socket: TCP", Killed, |_| socket(c::AF_INET, c::SOCK_STREAM)),
    both("socket: UDP over IPv6", Killed, |_| socket(c::AF_INET6, c::SOCK_DGRAM)),
    both("socket: unix", Killed, |_| socket(c::AF_UNIX, c::SOCK_STREAM)),
    both("socket: netlink", Killed, |_| socket(c::AF_NETLINK, c::SOCK_RAW)),
    inside("socket: packet", Killed, |_| socket(c::AF_PACKET, c::SOCK_RAW)),
    both("socketpair", Refused, |_| {
        let pair = [0_u64];
        plain(c::SYS_socketpair, [c::AF_UNIX as u64, c::SOCK_STREAM as u64, 0, address(&pair)])
    }),
    inside("connect the monitor's socket elsewhere", Killed, |_| {
        let name = [c::AF_UNSPEC as u64, 0];
        plain(c::SYS_connect, [3, address(&name), 16])
    }),
    inside("bind the monitor's socket", Killed, |_| {
        let name = [c::AF_UNIX as u64, 0];
        plain(c::SYS_bind, [3, address(&name), 2])
    }),
    inside("listen", Killed, |_| plain(c::SYS_listen, [3, 1])),
    inside("accept4", Killed, |_| plain(c::SYS_accept4, [3, 0, 0, 0])),
    // Mounts and namespaces.
    inside("mount", Killed, |_| {
        let (none, kind) = (text(c"none"), text(c"tmpfs"));
        plain(c::SYS_mount, [none, text(c"/"), kind, 0, 0])
    }),
    inside("umount2", Killed, |_| plain(c::SYS_umount2, [text(c"/"), c::MNT_DETACH as u64])),
    inside("pivot_root", Killed, |_| plain(c::SYS_pivot_root, [text(c"."), text(c".")])),
    both("chroot", Killed, |_| plain(c::SYS_chroot, [text(c"/")])),
    both("chdir", Killed, |_| plain(c::SYS_chdir, [text(c"/")])),
    both("fchdir to the folder", Killed, |g| plain(c::SYS_fchdir, [g.granted])),
    both("open_tree", Killed, |g| plain(c::SYS_open_tree, [g.granted, text(c"."), 0])),
    inside("move_mount", Killed, |g| {
        plain(c::SYS_move_mount, [g.granted, text(c""), HERE, text(c"/"), 4])
    }),
    inside("fsopen", Killed, |_| plain(c::SYS_fsopen, [text(c"tmpfs"), 0])),
    inside("mount_setattr", Killed, |g| {
        let attributes = [0_u64, u64::from(c::MOUNT_ATTR_RDONLY as u32), 0, 0];
        plain(c::SYS_mount_setattr, [g.read_only, text(c""), 0x1000, address(&attributes), 32])
    }),
    both("unshare a user namespace", Killed, |_| plain(c::SYS_unshare, [c::CLONE_NEWUSER as u64])),
    inside("setns", Killed, |_| plain(c::SYS_setns, [3, 0])),
    // Privileges.
    both("setuid", Killed, |_| plain(c::SYS_setuid, [0])),
    both("setresuid", Killed, |_| plain(c::SYS_setresuid, [0, 0, 0])),
    inside("setgroups", Killed, |_| plain(c::SYS_setgroups, [0, 0])),
    inside("capset", Killed, |_| capset()),
    both("personality", Killed, |_| plain(c::SYS_personality, [0xffff_ffff])),
    both("prctl: dumpable again", Refused, |_| prctl(c::PR_SET_DUMPABLE, 1)),
    both("prctl: outlive the monitor", Refused, |_| prctl(c::PR_SET_PDEATHSIG, 0)),
    both("prctl: keep capabilities", Refused, |_| prctl(c::PR_SET_KEEPCAPS, 0)),
    inside("prctl: another filter", Refused, |_| prctl(c::PR_SET_SECCOMP, 2)),
    inside("seccomp", Refused, |_| plain(c::SYS_seccomp, [1, 0, 0])),
    // The kernel.
    inside("bpf", Killed, |_| plain(c::SYS_bpf, [0, 0, 0])),
    inside("perf_event_open", Killed, |_| plain(c::SYS_perf_event_open, [0, 0, 0, 0, 0])),
    inside("io_uring_setup", Killed, |_| plain(c::SYS_io_uring_setup, [1, 0])),
    inside("io_uring_enter", Killed, |_| plain(c::SYS_io_uring_enter, [3, 1, 0, 0, 0])),
    both("userfaultfd", Refused, |_| plain(c::SYS_userfaultfd, [1])),
    both("keyctl", Killed, |_| plain(c::SYS_keyctl, [0, u64::MAX - 2, 1])),
    inside("add_key", Killed, |_| plain(c::SYS_add_key, [0, 0, 0, 0, 0])),
    inside("request_key", Killed, |_| plain(c::SYS_request_key, [0, 0, 0, 0])),
    inside("kexec_load", Killed, |_| plain(c::SYS_kexec_load, [0, 0, 0, 0])),
    inside("init_module", Killed, |_| plain(c::SYS_init_module, [0, 0, 0])),
    inside("finit_module", Killed, |_| plain(c::SYS_finit_module, [3, 0, 0])),
    inside("iopl", Killed, |_| plain(c::SYS_iopl, [3])),
    inside("ioperm", Killed, |_| plain(c::SYS_ioperm, [0x80, 1, 1])),
    inside("modify_ldt", Killed, |_| plain(c::SYS_modify_ldt, [0, 0, 0])),
    inside("reboot", Killed, |_| plain(c::SYS_reboot, [0, 0, 0, 0])),
    inside("swapon", Killed, |_| plain(c::SYS_swapon, [text(c"/x"), 0])),
    inside("syslog", Killed, |_| plain(c::SYS_syslog, [10, 0, 0])),
    inside("sethostname", Killed, |_| plain(c::SYS_sethostname, [text(c"x"), 1])),
    inside("settimeofday", Killed, |_| plain(c::SYS_settimeofday, [0, 0])),
    inside("clock_settime", Killed, |_| plain(c::SYS_clock_settime, [0, 0])),
    inside("acct", Killed, |_| plain(c::SYS_acct, [0])),
    inside("fanotify_init", Killed, |_| plain(c::SYS_fanotify_init, [0, 0])),
    inside("quotactl", Killed, |_| plain(c::SYS_quotactl, [0, 0, 0, 0])),
    inside("System V shared memory", Refused, |_| plain(c::SYS_shmget, [0, 4096, 0o1600])),
    inside("POSIX message queue", Refused, |_| {
        plain(c::SYS_mq_open, [text(c"q"), c::O_CREAT as u64, 0o600, 0])
    }),
    // Memory.
    both("map memory to write and execute", Refused, |_| write_and_execute(false)),
    both("make memory writable and executable", Refused, |_| write_and_execute(true)),
];
