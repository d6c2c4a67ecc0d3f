//! One `clone3`, and what the child does between it and `execve`.
//!
//! The parent has many threads, so the child may only do what is safe in a signal handler: no
//! allocation, no lock, nothing but system calls over memory that the parent laid out in a
//! [`Plan`] beforehand. Signals are blocked meanwhile, so no handler of the parent runs in it.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::io::Errno;

use super::last_errno;

/// Status of a child that could not become its program; the parent has the reason by then.
const EXIT_NOT_STARTED: i32 = 127;

/// Everything that the child needs until `execve`, laid out in advance.
///
/// Invariant: no descriptor here is below 10, so that none is overwritten before it is copied to
/// its place among 0 to 3.
pub(crate) struct Plan {
    pub(crate) clone_bits: u64,
    pub(crate) program: CString,
    pub(crate) arguments: Vec<CString>,
    pub(crate) input: OwnedFd,
    pub(crate) log: OwnedFd,
    pub(crate) socket: OwnedFd,
    /// Files of cgroups to join, open for writing.
    pub(crate) cgroups: Vec<OwnedFd>,
    /// Files of the new user namespace to write, with what; empty without one.
    pub(crate) user_maps: Vec<(CString, Vec<u8>)>,
    /// Where the child says why it failed; closed by a successful `execve`.
    pub(crate) failure: OwnedFd,
}

/// A process that has begun.
pub(crate) struct Started {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
}

/// Steps of the child, as the parent hears of them.
pub(crate) const STEPS: [&str; 9] = [
    "map its user ids",
    "ask to die with its parent",
    "join its cgroup",
    "place its descriptors",
    "close other descriptors",
    "unblock signals",
    "start a session",
    "change to the root folder",
    "execute the program",
];

/// Blocks every signal in this thread, for good. Children of this thread start with none blocked.
pub(crate) fn block_signals() {
    // SAFETY: `all` is a plain bit set that sigfillset initialises whole.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, ptr::null_mut());
    }
}

/// Starts a process that carries out `plan`. Call it with signals blocked.
pub(crate) fn start(plan: &Plan) -> rustix::io::Result<Started> {
    let mut argv: Vec<*const libc::c_char> = plan.arguments.iter().map(|a| a.as_ptr()).collect();
    argv.push(ptr::null());
    let mut pidfd: RawFd = -1;
    match clone3(plan.clone_bits, Some(&mut pidfd))? {
        0 => run(plan, &argv),
        pid => {
            // SAFETY: clone3 succeeded with CLONE_PIDFD, so it stored a new descriptor, ours.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Started { pid, pidfd })
        }
    }
}

/// Whether a process with these namespaces could be started: starts one that ends at once.
pub(crate) fn try_clone(clone_bits: u64) -> rustix::io::Result<()> {
    match clone3(clone_bits, None)? {
        // SAFETY: `_exit` is safe in a child of a process with many threads.
        0 => unsafe { libc::_exit(0) },
        pid => {
            let pid = rustix::process::Pid::from_raw(pid);
            rustix::io::retry_on_intr(|| {
                rustix::process::waitpid(pid, rustix::process::WaitOptions::empty())
            })?;
            Ok(())
        }
    }
}

/// Returns 0 in the child, which has a copy of this memory and this thread alone.
fn clone3(bits: u64, pidfd: Option<&mut RawFd>) -> rustix::io::Result<i32> {
    // SAFETY: a `clone_args` of zeros is valid: no stack, no tid pointers, no flags.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = bits;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(slot) = pidfd {
        args.flags |= libc::CLONE_PIDFD as u64;
        args.pidfd = ptr::from_mut(slot) as u64;
    }
    // SAFETY: without CLONE_VM the child runs on a copy of this stack, as with fork; `args` and
    // the pidfd slot outlive the call. Both callers do only signal-safe calls in the child.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    if result < 0 { Err(last_errno()) } else { Ok(result as i32) }
}

/// The child's part. Only system calls; never returns.
fn run(plan: &Plan, argv: &[*const libc::c_char]) -> ! {
    for (step, act) in ACTS.iter().enumerate() {
        if act(plan).is_err() {
            fail(plan, step);
        }
    }
    let environment: [*const libc::c_char; 1] = [ptr::null()];
    // SAFETY: `program` is a C string, both vectors end in null and outlive the call.
    unsafe { libc::execve(plan.program.as_ptr(), argv.as_ptr(), environment.as_ptr()) };
    fail(plan, ACTS.len())
}

fn fail(plan: &Plan, step: usize) -> ! {
    let mut report = [0; 8];
    report[..4].copy_from_slice(&(step as u32).to_le_bytes());
    report[4..].copy_from_slice(&last_errno().raw_os_error().to_le_bytes());
    // SAFETY: writes eight bytes of this stack, then ends the process.
    unsafe {
        libc::write(plan.failure.as_raw_fd(), report.as_ptr().cast(), report.len());
        libc::_exit(EXIT_NOT_STARTED)
    }
}

/// A system call failed, and left its reason in `errno`.
struct Failed;

type Act = fn(&Plan) -> Result<(), Failed>;

/// In the order of [`STEPS`], whose last is `execve` itself.
const ACTS: [Act; STEPS.len() - 1] = [
    map_users,
    die_with_parent,
    join_cgroups,
    place_descriptors,
    close_others,
    unblock_signals,
    start_session,
    change_folder,
];

/// `Ok` unless a call returned a negative number.
fn done(result: i64) -> Result<(), Failed> {
    if result < 0 { Err(Failed) } else { Ok(()) }
}

fn map_users(plan: &Plan) -> Result<(), Failed> {
    plan.user_maps.iter().try_for_each(|(path, line)| write_file(path, line))
}

fn write_file(path: &CStr, line: &[u8]) -> Result<(), Failed> {
    // SAFETY: `path` is a C string and `line` is readable for its length.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        done(i64::from(fd))?;
        done(libc::write(fd, line.as_ptr().cast(), line.len()) as i64)
    }
}

fn die_with_parent(_: &Plan) -> Result<(), Failed> {
    // SAFETY: integers only.
    done(i64::from(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) }))
}

fn join_cgroups(plan: &Plan) -> Result<(), Failed> {
    // "0" is the writer itself, whatever its number in whichever pid namespace.
    plan.cgroups.iter().try_for_each(|file| {
        // SAFETY: writes one byte of a constant.
        done(unsafe { libc::write(file.as_raw_fd(), c"0".as_ptr().cast(), 1) } as i64)
    })
}

fn place_descriptors(plan: &Plan) -> Result<(), Failed> {
    let places = [
        (&plan.input, libc::STDIN_FILENO),
        (&plan.log, libc::STDOUT_FILENO),
        (&plan.log, libc::STDERR_FILENO),
        (&plan.socket, crate::SOCKET_FD),
    ];
    places.iter().try_for_each(|(from, to)| {
        // SAFETY: integers only; the process is about to be replaced, so nobody owns `to`.
        done(i64::from(unsafe { libc::dup2(from.as_raw_fd(), *to) }))
    })
}

fn close_others(_: &Plan) -> Result<(), Failed> {
    let first = crate::SOCKET_FD as u32 + 1;
    // SAFETY: integers only. Marked, not closed: the failure pipe is needed until `execve`.
    done(unsafe {
        libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
    })
}

fn unblock_signals(_: &Plan) -> Result<(), Failed> {
    // SAFETY: `none` is a plain bit set that sigemptyset initialises whole.
    unsafe {
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        done(i64::from(libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut())))
    }
}

fn start_session(_: &Plan) -> Result<(), Failed> {
    // SAFETY: no arguments. Keeps a terminal's Ctrl-C, meant for the monitor, from its children.
    done(i64::from(unsafe { libc::setsid() }))
}

fn change_folder(_: &Plan) -> Result<(), Failed> {
    // SAFETY: a constant C string.
    done(i64::from(unsafe { libc::chdir(c"/".as_ptr()) }))
}

/// What the child wrote to the failure pipe: the step, and why.
pub(crate) fn decode_failure(report: [u8; 8]) -> (&'static str, Errno) {
    let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| report[at + i]));
    let step = STEPS.get(number(0) as usize).copied().unwrap_or("start");
    (step, Errno::from_raw_os_error(number(4) as i32))
}
