//! The tests: what a monitor relies on.

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use faaslet_sandbox::cgroup::{self, Cgroups, Limits};
use faaslet_sandbox::folder::{Access, detach};
use faaslet_sandbox::{Child, Exit, MAX_DESCRIPTORS, SpawnError, Spec, facts, spawn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::parts::{NOBODY, spec};

/// How long to wait for something that must happen. Only a failing test waits so long.
const DEADLINE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

type Test = fn();

pub(crate) const ALL: &[(&str, Test)] = &[
    ("a_child_starts_with_nothing_but_what_it_is_given", starts_clean),
    ("a_jailed_child_has_every_fence_as_seen_from_outside", every_fence),
    ("a_jailed_child_can_do_what_a_cell_does", honest_work),
    ("a_jailed_child_can_run_as_another_user", another_user),
    ("what_a_child_logs_arrives", logs),
    ("a_message_that_does_not_fit_the_open_files_is_an_error", no_room_for_descriptors),
    ("the_ways_to_end_are_told_apart", ways_to_end),
    ("a_child_that_makes_a_hostile_call_is_ended_for_it", hostile_call),
    ("a_second_thread_keeps_a_process_out_of_jail", second_thread),
    ("missing_fences_are_reported_or_refused", missing_fences),
    ("an_unprivileged_monitor_jails_its_children_too", unprivileged_monitor),
    ("the_root_is_emptied_on_every_kind_of_root", empty_roots),
    ("children_die_with_the_monitor_and_not_with_a_thread", dies_with_monitor),
    ("a_dropped_child_leaves_nothing", leaves_nothing),
    ("a_child_in_a_cgroup_is_limited", cgroup_limits),
    ("arguments_that_cannot_be_passed_are_named", bad_argument),
    #[cfg(feature = "tokio")]
    ("a_task_can_wait_for_a_child_and_its_socket", waits_in_a_task),
    ("the_facts_name_each_fence_once", facts_are_whole),
];

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn told(child: &Child) -> String {
    await_readable(child.socket().unwrap());
    String::from_utf8(child.socket().unwrap().recv().unwrap().bytes).unwrap()
}

fn tell(child: &Child, order: &str) -> String {
    child.socket().unwrap().send(order.as_bytes(), &[]).unwrap();
    told(child)
}

fn jailed(arguments: &[&str]) -> Child {
    let child = spawn(&spec("__jailed", arguments)).unwrap();
    let state = told(&child);
    assert!(state.starts_with("missing=0 files=true pid=1 "), "{state}");
    child
}

fn readable_in_time(what: impl AsFd) -> bool {
    let mut polled = [PollFd::new(&what, PollFlags::IN)];
    poll(&mut polled, Some(&DEADLINE)).unwrap() == 1
}

fn await_readable(what: impl AsFd) {
    assert!(readable_in_time(what), "nothing happened for too long");
}

fn end_of(child: &mut Child) -> Exit {
    await_readable(&*child);
    child.wait().unwrap()
}

/// A line of `/proc/PID/status`.
fn status(child: &Child, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().trim().to_owned()
}

fn starts_clean() {
    let child = spawn(&spec("__plain", &["one", "two words"])).unwrap();
    let expected = r#"open=4 environment=0 arguments=["one", "two words"] groups=0"#;
    assert_eq!(told(&child), expected);
}

fn every_fence() {
    let child = jailed(&[]);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(&child, set), "0".repeat(16), "{set}");
    }
    let score = fs::read_to_string(format!("/proc/{}/oom_score_adj", child.pid())).unwrap();
    assert_eq!(score, "500\n");
    assert_eq!(status(&child, "NoNewPrivs"), "1");
    assert_eq!(status(&child, "Seccomp"), "2");
    assert_eq!(status(&child, "Seccomp_filters"), "2");
    if !is_root() {
        return; // The kernel shows the rest to root alone.
    }
    for namespace in ["mnt", "net", "ipc", "uts", "cgroup", "pid"] {
        let of = |who: &str| fs::read_link(format!("/proc/{who}/ns/{namespace}")).unwrap();
        assert_ne!(of(&child.pid().to_string()), of("self"), "{namespace}");
    }
    let root = fs::read_dir(format!("/proc/{}/root/", child.pid())).unwrap();
    assert_eq!(root.count(), 0, "the root is not empty");
    let new = format!("/proc/{}/root/new", child.pid());
    let refused = fs::write(new, "x").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.pid())).unwrap();
    assert!(limits.contains("Max core file size        0                    0"), "{limits}");
    assert!(limits.contains("Max open files            64                   64"), "{limits}");
}

fn honest_work() {
    if !is_root() {
        println!("not tested: folders are granted by root alone");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let granted = detach(folder.path(), Access::ReadWrite).unwrap();
    let child = jailed(&[]);
    child.socket().unwrap().send(b"work", &[granted.as_fd()]).unwrap();
    drop(granted);
    assert_eq!(told(&child), "worked");
    assert_eq!(fs::read(folder.path().join("b")).unwrap(), b"hel");
}

fn another_user() {
    if !is_root() {
        println!("not tested: users are changed by root alone");
        return;
    }
    let child = jailed(&["nobody"]);
    let ids = |id: u32| format!("{id}\t{id}\t{id}\t{id}");
    assert_eq!(status(&child, "Uid"), ids(NOBODY.uid));
    assert_eq!(status(&child, "Gid"), ids(NOBODY.gid));
    assert_eq!(status(&child, "Groups"), "");
}

fn logs() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let spec = Spec { log: Some(writer.as_fd()), ..spec("__jailed", &[]) };
    let child = spawn(&spec).unwrap();
    told(&child);
    assert_eq!(tell(&child, "log"), "logged");
    drop((child, writer));
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "a line for the log\n");
}

fn no_room_for_descriptors() {
    let child = jailed(&[]);
    let socket = child.socket().unwrap();
    socket.send(b"hoard", &[]).unwrap();
    // The limit is 64, and five are in use: the fourth message fits in part.
    for _ in 0..4 {
        socket.send(b"x", &[socket.as_fd(); MAX_DESCRIPTORS]).unwrap();
    }
    assert_eq!(told(&child), "48 kept, TooManyDescriptors");
    assert_eq!(tell(&child, "ping"), "pong", "it works on");
}

fn ways_to_end() {
    let send = |child: &Child, order: &str| {
        child.socket().unwrap().send(order.as_bytes(), &[]).unwrap();
    };
    let mut exits = jailed(&[]);
    assert_eq!(exits.try_wait().unwrap(), None);
    send(&exits, "exit");
    await_readable(&exits);
    assert_eq!(exits.try_wait().unwrap(), Some(Exit::Status(42)));
    assert_eq!(exits.wait().unwrap(), Exit::Status(42), "asked again");

    let mut panics = jailed(&[]);
    send(&panics, "panic");
    assert_eq!(end_of(&mut panics), Exit::Status(101));

    let mut hangs_up = jailed(&[]);
    drop(hangs_up.take_socket());
    assert_eq!(end_of(&mut hangs_up), Exit::Status(0));

    let mut killed = jailed(&[]);
    killed.kill();
    assert_eq!(end_of(&mut killed), Exit::Signal(9));
    killed.kill();
}

fn hostile_call() {
    let mut child = jailed(&[]);
    child.socket().unwrap().send(b"socket", &[]).unwrap();
    let exit = end_of(&mut child);
    assert!(exit.refused_call(), "{exit}");
}

fn second_thread() {
    let child = spawn(&spec("__threads", &[])).unwrap();
    assert_eq!(told(&child), "refused=true");
}

fn missing_fences() {
    let degraded = spawn(&spec("__unprivileged", &["degrade"])).unwrap();
    let expected = r#"files=false missing=["mount namespace", "network namespace", "ipc namespace", "uts namespace", "cgroup namespace"] opened=Some(38)"#;
    assert_eq!(told(&degraded), expected);
    let strict = spawn(&spec("__unprivileged", &["require"])).unwrap();
    let error = told(&strict);
    assert!(error.starts_with("error: no mount namespace: "), "{error}");
    assert!(error.ends_with("let fences be missing to run anyway"), "{error}");
}

fn unprivileged_monitor() {
    if !is_root() {
        return; // Every other test has shown it.
    }
    let output = Command::new("/proc/self/exe")
        .arg("__monitor_as_nobody")
        .uid(NOBODY.uid)
        .gid(NOBODY.gid)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("missing=0 files=true pid=1 "), "{text} {output:?}");
}

fn empty_roots() {
    if !is_root() {
        println!("not tested: only root can make a root of its own");
        return;
    }
    let emptied = |root| format!("missing=0 files=true pid=1 root={root} ");
    for (kind, expected) in [
        ("detachable", emptied("Detached")),
        ("held", emptied("Covered")),
        ("folder", "error: no empty root: ".to_owned()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new("/proc/self/exe")
            .arg("__monitor_elsewhere")
            .arg(kind)
            .arg(folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.starts_with(&expected), "{kind}: {text} {output:?}");
        let empty = text.trim_end().ends_with(" names=0");
        assert_eq!(empty, kind != "folder", "{kind}: {text}");
    }
}

fn dies_with_monitor() {
    let own_thread = || jailed(&[]);
    let survivor = std::thread::spawn(own_thread).join().unwrap();
    assert_eq!(tell(&survivor, "ping"), "pong", "it outlives the thread that asked for it");
    // Before the jail, in it, and where a change of user would have made the kernel forget.
    monitor_dies(&["__deaf"]);
    monitor_dies(&["__jailed", "deaf"]);
    if is_root() {
        monitor_dies(&["__jailed", "deaf", "nobody"]);
    }
}

/// Kills a monitor of its own kind, and waits for the end of a child that does not listen.
fn monitor_dies(child: &[&str]) {
    let mut monitor = Command::new("/proc/self/exe")
        .arg("__monitor")
        .args(child)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 16];
    let count = monitor.stdout.as_mut().unwrap().read(&mut first).unwrap();
    let pid: i32 = std::str::from_utf8(&first[..count]).unwrap().trim().parse().unwrap();
    let pid = Pid::from_raw(pid).unwrap();
    let cell = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    if !readable_in_time(&cell) {
        let _ = rustix::process::pidfd_send_signal(&cell, rustix::process::Signal::KILL);
        panic!("the child {child:?} outlives its monitor");
    }
}

fn leaves_nothing() {
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let children = || {
        fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id()))
            .unwrap_or_default()
    };
    drop(jailed(&[]));
    let before = open();
    for _ in 0..20 {
        drop(jailed(&[]));
    }
    assert_eq!(open(), before, "descriptors leak");
    assert_eq!(children(), "", "children are left");
}

fn cgroup_limits() {
    const THREADS: u32 = 5;
    let groups = cgroup::detect();
    if let Cgroups::None { reason } = &groups {
        println!("not tested: {reason}");
        return;
    }
    let limits = Limits {
        cpu_weight: Some(50),
        cpu_quota_millis: Some(2000),
        memory_max_bytes: Some(64 << 20),
        pids_max: Some(THREADS),
    };
    let name = format!("test-{}", std::process::id());
    let group = groups.create(&name, &limits).unwrap();
    let inside = |role| spawn(&Spec { cgroup: Some(&group), ..spec(role, &[]) }).unwrap();

    let groups_of = told(&inside("__plain"));
    assert!(!groups_of.ends_with("groups=0"), "{groups_of}");

    let threads = inside("__jailed");
    told(&threads);
    assert_eq!(tell(&threads, "threads"), format!("{} threads", THREADS - 1));
    drop(threads);

    assert_eq!(group.memory_kills(), 0);
    let mut eater = inside("__jailed");
    told(&eater);
    eater.socket().unwrap().send(b"eat", &[]).unwrap();
    assert_eq!(end_of(&mut eater), Exit::Signal(9));
    assert_eq!(group.memory_kills(), 1);

    assert_eq!(count_folders(&name), paths(&groups).len());
    drop(group);
    assert_eq!(count_folders(&name), 0, "the group is left");
}

fn paths(groups: &Cgroups) -> Vec<std::path::PathBuf> {
    match groups {
        Cgroups::None { .. } => Vec::new(),
        Cgroups::V2 { base } => vec![base.clone()],
        Cgroups::V1 { bases } => {
            [&bases.cpu, &bases.memory, &bases.pids].into_iter().flatten().cloned().collect()
        }
    }
}

fn count_folders(name: &str) -> usize {
    let folder = format!("faaslet-{name}");
    paths(&cgroup::detect()).iter().filter(|base| base.join(&folder).exists()).count()
}

fn bad_argument() {
    let error = spawn(&spec("__jailed", &["a\0b"])).unwrap_err();
    assert!(matches!(error, SpawnError::Argument(_)), "{error}");
}

fn facts_are_whole() {
    let facts = facts::detect();
    let mut names: Vec<&str> = facts.iter().map(|fact| fact.name.as_str()).collect();
    for fact in &facts {
        println!("  {:<20} {:<5} {}", fact.name, fact.present, fact.detail);
        assert!(!fact.loss.is_empty() && !fact.mend.is_empty());
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), facts.len());
}

#[cfg(feature = "tokio")]
fn waits_in_a_task() {
    use faaslet_sandbox::aio::{AsyncChild, AsyncSocket};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut child = spawn(&spec("__jailed", &[])).unwrap();
        let socket = AsyncSocket::new(child.take_socket().unwrap()).unwrap();
        let mut child = AsyncChild::new(child).unwrap();
        assert!(socket.recv().await.unwrap().bytes.starts_with(b"missing=0"));
        for _ in 0..100 {
            socket.send(b"ping", &[]).await.unwrap();
            assert_eq!(socket.recv().await.unwrap().bytes, b"pong");
        }
        let end = child.wait();
        socket.send(b"exit", &[]).await.unwrap();
        assert_eq!(end.await.unwrap(), Exit::Status(42));
        assert!(child.get().pid() > 0);
        assert!(socket.recv().await.is_err());
    });
}
