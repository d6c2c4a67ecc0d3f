//! What the children do.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;

use faaslet_sandbox::filter::Role;
use faaslet_sandbox::jail::{self, Identity, JailError, Jailed, Limits, Policy};
use faaslet_sandbox::{Message, Socket, Spec, Strictness, spawn};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::process::{Resource, getrlimit};

use crate::elsewhere;

/// Who is nobody on every machine.
pub(crate) const NOBODY: Identity = Identity { uid: 65534, gid: 65534 };

pub(crate) fn act(role: &str, arguments: &[String]) -> ExitCode {
    match role {
        "__jailed" => jailed(arguments),
        "__plain" => plain(arguments),
        "__unprivileged" => unprivileged(arguments),
        "__threads" => second_thread(),
        "__deaf" => deaf(&Socket::inherited().unwrap()),
        "__monitor" => monitor(arguments),
        "__monitor_as_nobody" => monitor_as_nobody(),
        "__monitor_elsewhere" => elsewhere::monitor(&arguments[0], &arguments[1]),
        other => panic!("no part called {other}"),
    }
}

fn policy(strictness: Strictness) -> Policy<'static> {
    let limits = Limits { open_files: 64, ..Limits::default() };
    Policy { role: Role::Cell, strictness, limits, run_as: None, keep: &[] }
}

fn enter(socket: &Socket, policy: &Policy<'_>) -> Option<Jailed> {
    match jail::enter(socket, policy) {
        Ok(jailed) => Some(jailed),
        Err(error) => {
            socket.send(format!("error: {error}").as_bytes(), &[]).unwrap();
            None
        }
    }
}

/// Enters the jail, says what it found, and then does as it is told until the monitor hangs up.
fn jailed(arguments: &[String]) -> ExitCode {
    let socket = Socket::inherited().unwrap();
    let open = || File::open("/proc/self/pagemap").unwrap();
    let privileged = arguments.iter().any(|a| a == "privileged-pagemap");
    let pagemap = if privileged { open() } else { jail::without_capabilities(open).unwrap() };
    let mut policy = policy(Strictness::Require);
    let keep = [pagemap.as_fd()];
    policy.keep = &keep;
    policy.run_as = arguments.iter().any(|a| a == "nobody").then_some(NOBODY);
    let Some(jailed) = enter(&socket, &policy) else { return ExitCode::FAILURE };
    let state = format!(
        "missing={} files={} pid={} root={:?} open_files={:?} core={:?} environment={} arguments={arguments:?}",
        jailed.missing.len(),
        jailed.files,
        std::process::id(),
        jailed.root,
        getrlimit(Resource::Nofile).maximum,
        getrlimit(Resource::Core).maximum,
        std::env::vars_os().count(),
    );
    socket.send(state.as_bytes(), &[]).unwrap();
    if arguments.iter().any(|a| a == "deaf") { deaf(&socket) } else { obey(&socket, &pagemap) }
}

/// Takes no notice of a monitor that hangs up.
fn deaf(socket: &Socket) -> ! {
    socket.send(b"deaf", &[]).unwrap();
    loop {
        std::thread::park();
    }
}

fn obey(socket: &Socket, pagemap: &File) -> ExitCode {
    while let Ok(Message { bytes, descriptors }) = socket.recv() {
        let answer = match bytes.as_slice() {
            b"ping" => "pong".to_owned(),
            b"log" => {
                eprintln!("a line for the log");
                "logged".to_owned()
            }
            b"work" => honest_work(descriptors, pagemap),
            b"threads" => format!("{} threads", threads_until_refused()),
            b"frame" => frame(pagemap),
            b"eat" => format!("ate {}", eat(1 << 30)),
            b"hoard" => hoard(socket),
            b"panic" => panic!("as told"),
            b"exit" => std::process::exit(42),
            b"socket" => format!("{:?}", std::net::UdpSocket::bind("127.0.0.1:0")),
            other => panic!("told {other:?}"),
        };
        if socket.send(answer.as_bytes(), &[]).is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}

/// The physical address of a page of this process, as far as the kernel shows it.
fn frame(pagemap: &File) -> String {
    const PAGE_BYTES: u64 = 4096;
    const ENTRY_BYTES: u64 = 8;
    const PRESENT: u64 = 1 << 63;
    const FRAME: u64 = (1 << 55) - 1;
    let page = std::hint::black_box(vec![1_u8; 1]);
    let mut entry = [0; ENTRY_BYTES as usize];
    let number = page.as_ptr().addr() as u64 / PAGE_BYTES;
    pagemap.read_exact_at(&mut entry, number * ENTRY_BYTES).unwrap();
    let entry = u64::from_ne_bytes(entry);
    assert_ne!(entry & PRESENT, 0);
    format!("frame {}", if entry & FRAME == 0 { "hidden" } else { "shown" })
}

/// Keeps every descriptor that arrives until one message fails, and says how.
fn hoard(socket: &Socket) -> String {
    let mut kept = Vec::new();
    loop {
        match socket.recv() {
            Ok(message) => kept.extend(message.descriptors),
            Err(error) => return format!("{} kept, {error:?}", kept.len()),
        }
    }
}

/// All that a cell does in its life, with plain Rust and with the calls of WASI.
fn honest_work(mut descriptors: Vec<OwnedFd>, pagemap: &File) -> String {
    let folder = descriptors.remove(0);
    files(&folder);
    threads();
    memory(pagemap);
    waiting();
    #[allow(clippy::disallowed_methods, reason = "that it is allowed is what this shows")]
    let now = std::time::SystemTime::now();
    assert!(now > std::time::UNIX_EPOCH);
    let random = std::collections::HashMap::from([(1, 2)]);
    assert_eq!(random[&1], 2);
    let caught = std::panic::catch_unwind(|| panic!("caught"));
    assert!(caught.is_err());
    "worked".to_owned()
}

fn files(folder: &OwnedFd) {
    let open = |path: &str, flags: OFlags| {
        let mode = if flags.contains(OFlags::CREATE) { 0o600 } else { 0 };
        rustix::fs::openat2(folder, path, flags, Mode::from(mode), ResolveFlags::BENEATH)
    };
    rustix::fs::mkdirat(folder, "inner", Mode::from(0o700)).unwrap();
    let made = open("inner/a", OFlags::RDWR | OFlags::CREATE).unwrap();
    let mut file = File::from(made);
    file.write_all(b"hello").unwrap();
    file.sync_all().unwrap();
    file.set_len(3).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 3);
    rustix::fs::renameat(folder, "inner/a", folder, "b").unwrap();
    rustix::fs::symlinkat("b", folder, "link").unwrap();
    assert_eq!(rustix::fs::readlinkat(folder, "link", Vec::new()).unwrap().as_bytes(), b"b");
    rustix::fs::linkat(folder, "b", folder, "c", rustix::fs::AtFlags::empty()).unwrap();
    let list =
        rustix::fs::Dir::new(open(".", OFlags::RDONLY | OFlags::DIRECTORY).unwrap()).unwrap();
    let mut names: Vec<String> =
        list.map(|e| e.unwrap().file_name().to_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, [".", "..", "b", "c", "inner", "link"]);
    rustix::fs::unlinkat(folder, "inner", rustix::fs::AtFlags::REMOVEDIR).unwrap();
    assert!(open("../", OFlags::RDONLY).is_err());
}

fn threads() {
    let all: Vec<_> = (0..4).map(|i| std::thread::spawn(move || i * i)).collect();
    let sum: i32 = all.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(sum, 14);
    let named = std::thread::Builder::new().name("worker".into()).spawn(|| {});
    named.unwrap().join().unwrap();
    assert!(std::thread::available_parallelism().unwrap().get() > 0);
}

fn memory(pagemap: &File) {
    let large: Vec<u8> = vec![1; 64 << 20];
    assert_eq!(large[large.len() - 1], 1);
    let mut entry = [0; 8];
    let at = large.as_ptr() as u64 / 4096 * 8;
    std::os::unix::fs::FileExt::read_exact_at(pagemap, &mut entry, at).unwrap();
    assert_eq!(entry[7] >> 7, 1, "the page is present in the page map");
}

fn waiting() {
    use rustix::event::{EventfdFlags, PollFd, PollFlags, epoll, eventfd, poll};
    let event = eventfd(1, EventfdFlags::CLOEXEC).unwrap();
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    epoll::add(&poller, &event, epoll::EventData::new_u64(7), epoll::EventFlags::IN).unwrap();
    let mut polled = [PollFd::new(&event, PollFlags::IN)];
    assert_eq!(poll(&mut polled, None).unwrap(), 1);
}

fn threads_until_refused() -> usize {
    /// More than any limit in these tests.
    const MOST: usize = 200;
    let mut running = Vec::new();
    while running.len() < MOST {
        let (stop, stopped) = sync_channel::<()>(1);
        match std::thread::Builder::new().spawn(move || stopped.recv()) {
            Ok(thread) => running.push((stop, thread)),
            Err(_) => break,
        }
    }
    running.len()
}

fn eat(bytes: usize) -> usize {
    let mut eaten = vec![1_u8; bytes];
    eaten.iter_mut().step_by(4096).for_each(|byte| *byte += 1);
    eaten.iter().map(|byte| *byte as usize).sum()
}

/// No jail: says whom it sees around itself.
fn plain(arguments: &[String]) -> ExitCode {
    let socket = Socket::inherited().unwrap();
    assert!(Socket::inherited().is_none(), "given out twice");
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() - 1;
    let group = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let state = format!(
        "open={open} environment={} arguments={arguments:?} groups={}",
        std::env::vars_os().count(),
        group.matches("faaslet-").count(),
    );
    socket.send(state.as_bytes(), &[]).unwrap();
    let _ = socket.recv();
    ExitCode::SUCCESS
}

/// Without capabilities, as on a machine that allows no namespaces.
fn unprivileged(arguments: &[String]) -> ExitCode {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
    let socket = Socket::inherited().unwrap();
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets).unwrap();
    let strict = arguments.iter().any(|a| a == "require");
    let policy = policy(if strict { Strictness::Require } else { Strictness::Degrade });
    let Some(jailed) = enter(&socket, &policy) else { return ExitCode::FAILURE };
    let opened = File::open("/etc/passwd").err().and_then(|e| e.raw_os_error());
    let fences: Vec<String> = jailed.missing.iter().map(|m| m.fence.to_string()).collect();
    let state = format!("files={} missing={fences:?} opened={opened:?}", jailed.files);
    socket.send(state.as_bytes(), &[]).unwrap();
    ExitCode::SUCCESS
}

fn second_thread() -> ExitCode {
    let socket = Socket::inherited().unwrap();
    let (stop, stopped) = sync_channel::<()>(1);
    let thread = std::thread::spawn(move || stopped.recv());
    let refused = matches!(
        jail::enter(&socket, &policy(Strictness::Degrade)),
        Err(JailError::Threads { found: 2 })
    );
    drop(stop);
    let _ = thread.join().unwrap();
    socket.send(format!("refused={refused}").as_bytes(), &[]).unwrap();
    ExitCode::SUCCESS
}

/// The spec of most children.
pub(crate) fn spec<'a>(role: &str, arguments: &[&str]) -> Spec<'a> {
    Spec {
        role: role.into(),
        arguments: arguments.iter().map(Into::into).collect(),
        log: Some(rustix::stdio::stderr()),
        cgroup: None,
        strictness: Strictness::Require,
    }
}

/// A monitor that is about to be killed: says the number of its child, then waits.
fn monitor(arguments: &[String]) -> ExitCode {
    let [role, rest @ ..] = arguments else { panic!("no role for the child") };
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let mut child = spawn(&spec(role, &rest)).unwrap();
    while child.socket().unwrap().recv().unwrap().bytes != b"deaf" {}
    println!("{}", child.pid());
    child.wait().unwrap();
    ExitCode::SUCCESS
}

/// A monitor without any privilege, whose cells must be jailed all the same.
fn monitor_as_nobody() -> ExitCode {
    let child = spawn(&spec("__jailed", &[])).unwrap();
    let state = child.socket().unwrap().recv().unwrap();
    println!("{}", String::from_utf8(state.bytes).unwrap());
    ExitCode::SUCCESS
}
