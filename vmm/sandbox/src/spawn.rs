//! Starting a child process and owning it until it has ended.
//!
//! All children are started by one thread that lives as long as the process. That is not for
//! speed: the kernel delivers the parent-death signal when the *thread* that started a child ends,
//! so a child that a pool's thread had started would be killed when the pool shrank.

use std::ffi::{CString, OsString};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, waitid};

use crate::cgroup::Cgroup;
use crate::namespace::Namespace;
use crate::sys::{self, Plan};
use crate::{Socket, Strictness};

/// The program that runs now, even when its file was replaced meanwhile.
const PROGRAM: &str = "/proc/self/exe";

/// Name that a child is started under, its `argv[0]`.
const PROGRAM_NAME: &str = "faaslet";

/// Descriptors handed to a child are copied to this number or above first, so that none lies
/// where another is about to be placed.
const FIRST_FREE_FD: i32 = 10;

/// Requests that may wait for the spawning thread; each asker waits for its own answer.
const MAX_WAITING_SPAWNS: usize = 64;

/// What to start.
#[derive(Debug)]
pub struct Spec<'a> {
    /// First argument, by which `main` knows what it is: `__cell`, `__builder`.
    pub role: OsString,
    /// More arguments. They are visible to others in `/proc`, so no secrets.
    pub arguments: Vec<OsString>,
    /// Standard output and error of the child, usually the writing end of a pipe; `/dev/null`
    /// when there is none.
    pub log: Option<BorrowedFd<'a>>,
    /// Joined before the program starts, so that all that it uses is counted.
    pub cgroup: Option<&'a Cgroup>,
    /// Whether a machine without pid namespaces is an error.
    pub strictness: Strictness,
}

/// Why a child was not started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// An argument holds a zero byte.
    #[error("argument {0:?} holds a zero byte, which no program can be given")]
    Argument(OsString),
    /// Making the socket, a pipe or a copy of a descriptor failed.
    #[error("could not make the child's descriptors: {0}; see the limit of open files")]
    Descriptors(#[source] std::io::Error),
    /// The machine refuses the namespaces, and the spec requires them.
    #[error(
        "no pid namespace for the child: {0}; run as root, allow unprivileged user namespaces, \
         or let fences be missing"
    )]
    Namespaces(#[source] std::io::Error),
    /// The kernel refused a new process.
    #[error("could not start a process: {0}; see the limits of processes and memory")]
    Process(#[source] std::io::Error),
    /// The new process failed before it became the program.
    #[error("the child could not {step}: {source}")]
    Child {
        /// What it was about to do.
        step: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The spawning thread is gone, which is a fault of this program.
    #[error("the thread that starts children has ended; restart the monitor")]
    NoSpawner,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Status(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// Whether the filter ended it for a system call that only hostile code makes.
    pub fn refused_call(self) -> bool {
        self == Self::Signal(libc::SIGSYS)
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exited with status {status}"),
            Self::Signal(libc::SIGSYS) => f.write_str("ended for a forbidden system call"),
            Self::Signal(signal) => write!(f, "ended by signal {signal}"),
        }
    }
}

/// Why the end of a child could not be learned.
#[derive(Debug, thiserror::Error)]
#[error("could not wait for child {pid}: {source}; something else has reaped it")]
pub struct WaitError {
    pid: u32,
    source: std::io::Error,
}

/// A running child. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    pidfd: OwnedFd,
    socket: Option<Socket>,
    /// Invariant: set once the process was reaped; its number may be another's from then on.
    exit: Option<Exit>,
}

impl Child {
    /// Its process id as this process sees it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The monitor's end of the socket, until it is taken.
    pub fn socket(&self) -> Option<&Socket> {
        self.socket.as_ref()
    }

    /// Takes the monitor's end of the socket, to wrap or to move elsewhere.
    pub fn take_socket(&mut self) -> Option<Socket> {
        self.socket.take()
    }

    /// Kills it. A child that has ended already is no error.
    pub fn kill(&self) {
        // Fails only with ESRCH: the descriptor names this very process, never a later one.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> Result<Exit, WaitError> {
        match self.reap(WaitIdOptions::EXITED)? {
            Some(exit) => Ok(exit),
            None => Err(WaitError { pid: self.pid, source: Errno::CHILD.into() }),
        }
    }

    /// How it ended, or `None` while it runs. Poll [`AsFd`]: readable once it has ended.
    pub fn try_wait(&mut self) -> Result<Option<Exit>, WaitError> {
        self.reap(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    fn reap(&mut self, options: WaitIdOptions) -> Result<Option<Exit>, WaitError> {
        if self.exit.is_none() {
            let id = || WaitId::PidFd(self.pidfd.as_fd());
            let status = rustix::io::retry_on_intr(|| waitid(id(), options))
                .map_err(|e| WaitError { pid: self.pid, source: e.into() })?;
            self.exit = status.as_ref().and_then(exit_of);
        }
        Ok(self.exit)
    }
}

fn exit_of(status: &WaitIdStatus) -> Option<Exit> {
    let by_signal = status.terminating_signal().map(Exit::Signal);
    status.exit_status().map(Exit::Status).or(by_signal)
}

/// Readable once the child has ended.
impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl AsRawFd for Child {
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.exit.is_none() {
            self.kill();
            let _ = self.wait();
        }
    }
}

/// Starts a child and returns when it has become the program, or says why it could not.
pub fn spawn(spec: &Spec<'_>) -> Result<Child, SpawnError> {
    let (ours, theirs) = Socket::pair().map_err(SpawnError::Descriptors)?;
    let (reader, plan) = plan(spec, theirs.as_fd())?;
    drop(theirs);
    let (answer, answered) = sync_channel(1);
    let request = Request { plan, strictness: spec.strictness, answer };
    spawner().ok_or(SpawnError::NoSpawner)?.send(request).map_err(|_| SpawnError::NoSpawner)?;
    let started = answered.recv().map_err(|_| SpawnError::NoSpawner)??;
    let child =
        Child { pid: started.pid as u32, pidfd: started.pidfd, socket: Some(ours), exit: None };
    confirm(reader)?;
    Ok(child)
}

fn plan(spec: &Spec<'_>, socket: BorrowedFd<'_>) -> Result<(File, Plan), SpawnError> {
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(SpawnError::Descriptors)?;
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(high_error)?;
    let log = spec.log.unwrap_or(null.as_fd());
    let cgroups = spec.cgroup.map_or(Ok(Vec::new()), Cgroup::doors);
    let cgroups = cgroups.map_err(SpawnError::Descriptors)?;
    let plan = Plan {
        clone_bits: 0,
        program: argument(PROGRAM.into())?,
        arguments: arguments(spec)?,
        input: high(null.as_fd())?,
        log: high(log)?,
        socket: high(socket)?,
        cgroups: cgroups.iter().map(|file| high(file.as_fd())).collect::<Result<_, _>>()?,
        user_maps: Vec::new(),
        failure: high(writer.as_fd())?,
    };
    Ok((File::from(reader), plan))
}

fn high(fd: BorrowedFd<'_>) -> Result<OwnedFd, SpawnError> {
    fcntl_dupfd_cloexec(fd, FIRST_FREE_FD).map_err(high_error)
}

fn high_error(errno: Errno) -> SpawnError {
    SpawnError::Descriptors(errno.into())
}

fn arguments(spec: &Spec<'_>) -> Result<Vec<CString>, SpawnError> {
    let name = std::iter::once(PROGRAM_NAME.into());
    let rest = std::iter::once(spec.role.clone()).chain(spec.arguments.iter().cloned());
    name.chain(rest).map(argument).collect()
}

fn argument(text: OsString) -> Result<CString, SpawnError> {
    CString::new(text.clone().into_vec()).map_err(|_| SpawnError::Argument(text))
}

/// Waits until the child's end of the failure pipe closes: empty means that it runs its program.
fn confirm(mut reader: File) -> Result<(), SpawnError> {
    let mut report = Vec::new();
    reader.read_to_end(&mut report).map_err(SpawnError::Descriptors)?;
    match <[u8; 8]>::try_from(report.as_slice()) {
        Err(_) => Ok(()),
        Ok(report) => {
            let (step, errno) = sys::decode_failure(report);
            Err(SpawnError::Child { step, source: errno.into() })
        }
    }
}

struct Request {
    plan: Plan,
    strictness: Strictness,
    answer: SyncSender<Result<sys::Started, SpawnError>>,
}

/// The spawning thread's queue; `None` if no thread could be started.
fn spawner() -> Option<&'static SyncSender<Request>> {
    static SPAWNER: OnceLock<Option<SyncSender<Request>>> = OnceLock::new();
    let start = || {
        let (sender, receiver) = sync_channel(MAX_WAITING_SPAWNS);
        let thread = std::thread::Builder::new().name("spawn".into());
        thread.spawn(move || serve(&receiver)).ok().map(|_| sender)
    };
    SPAWNER.get_or_init(start).as_ref()
}

fn serve(requests: &Receiver<Request>) {
    sys::block_signals();
    for Request { plan, strictness, answer } in requests {
        // The asker waits for this answer, so somebody takes it.
        let _ = answer.send(start(plan, strictness));
    }
}

/// Tries the strongest separation first.
fn start(mut plan: Plan, strictness: Strictness) -> Result<sys::Started, SpawnError> {
    let privileged = Namespace::Pid.clone_bits();
    let own_user = privileged | Namespace::User.clone_bits();
    let mut refusal = Errno::PERM;
    for bits in [privileged, own_user] {
        plan.clone_bits = bits;
        plan.user_maps = if bits == own_user { user_maps()? } else { Vec::new() };
        match sys::start(&plan) {
            Ok(started) => return Ok(started),
            Err(errno @ (Errno::AGAIN | Errno::NOMEM)) => {
                return Err(SpawnError::Process(errno.into()));
            }
            Err(errno) => refusal = errno,
        }
    }
    if strictness == Strictness::Require {
        return Err(SpawnError::Namespaces(refusal.into()));
    }
    plan.clone_bits = 0;
    plan.user_maps = Vec::new();
    sys::start(&plan).map_err(|e| SpawnError::Process(e.into()))
}

/// Root inside is this user outside, and nobody else exists.
fn user_maps() -> Result<Vec<(CString, Vec<u8>)>, SpawnError> {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let file = |path: &str, line: String| Ok((argument(path.into())?, line.into_bytes()));
    Ok(vec![
        file("/proc/self/setgroups", "deny".into())?,
        file("/proc/self/uid_map", format!("0 {uid} 1"))?,
        file("/proc/self/gid_map", format!("0 {gid} 1"))?,
    ])
}
