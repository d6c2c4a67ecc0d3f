//! Every way out of a cell or a builder that we know of, tried from inside with full native control.
//!
//! Each attempt has a child of its own in each role, started and jailed by the product's own policy,
//! with what a cell keeps and in a cgroup, which makes raw system calls and says what the kernel
//! answered, unless it was killed. The test fails if one attempt gets through, or ends otherwise than
//! the table expects. Attempts that are
//! harmless are made again in a child outside of the jail, where they must get through: so an
//! attempt that could never succeed proves nothing and is found out.
#![allow(clippy::unwrap_used)]

mod attempts;
mod ground;
mod sys;

use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;

use attempts::{ATTEMPTS, Attempt, Expect, Outcome};
use faaslet_sandbox::cgroup::{self, Cgroups};
use faaslet_sandbox::filter::Role;
use faaslet_sandbox::jail::{self, Limits, Policy};
use faaslet_sandbox::{Exit, Socket, Spec, Strictness, spawn};
use ground::{Ground, Stage};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long an attempt may take. Only a failing one takes so long.
const DEADLINE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// First arguments of the children: as a cell, as a builder, and without a jail.
const CELL: &str = "__cell";
const BUILDER: &str = "__builder";
const FREE: &str = "__free";
/// Name of the cgroup of one child after the other.
const GROUP: &str = "faaslet-escape";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some(CELL) => child(&arguments[3], Some(Role::Cell)),
        Some(BUILDER) => child(&arguments[3], Some(Role::Builder)),
        Some(FREE) => child(&arguments[3], None),
        _ => parent(),
    }
}

fn child(name: &str, role: Option<Role>) -> ExitCode {
    let socket = Socket::inherited().unwrap();
    let open = || std::fs::File::open("/proc/self/pagemap").unwrap();
    let pagemap = match role {
        Some(_) => jail::without_capabilities(open).unwrap(),
        None => open(),
    };
    let forgotten = std::fs::File::open("/etc/passwd").unwrap();
    if let Some(role) = role {
        std::mem::forget(forgotten);
        let kept = [pagemap.as_fd()];
        let keep = if role == Role::Cell { &kept[..] } else { &[] };
        let policy = Policy::of(role, Strictness::inherited(), Limits::default(), keep);
        jail::enter(&socket, &policy).unwrap();
    }
    // What a builder closed is not there for the table to use.
    let pagemap = std::mem::ManuallyDrop::new(pagemap);
    let ground = Ground::arrive(&socket, pagemap.as_raw_fd());
    let attempt = ATTEMPTS.iter().find(|attempt| attempt.name == name).unwrap();
    let answer = match (attempt.act)(&ground) {
        Outcome::Through(what) => format!("through {what}"),
        Outcome::Refused(errno) => format!("refused {errno}"),
    };
    socket.send(answer.as_bytes(), &[]).unwrap();
    ExitCode::SUCCESS
}

fn parent() -> ExitCode {
    let stage = Stage::set();
    let groups = cgroup::detect();
    if let Err(error) = groups.create(GROUP, &cgroup::Limits::default()) {
        println!("no cgroup around the children: {error}");
    }
    let mut wrong = 0;
    println!("{:<44} {:<22} {:<22} outside of the jail", "attempt", "in a cell", "in a builder");
    for attempt in ATTEMPTS {
        let in_a_cell = run(&stage, &groups, attempt, CELL);
        let in_a_builder = run(&stage, &groups, attempt, BUILDER);
        let outside = attempt.harmless.then(|| run(&stage, &groups, attempt, FREE));
        let good = attempt.expect.matches(&in_a_cell)
            && attempt.expect.matches(&in_a_builder)
            && outside.as_ref().is_none_or(|o| o.starts_with("through"));
        wrong += usize::from(!good);
        let (mark, outside) = (if good { "" } else { "  <- WRONG" }, outside.as_deref());
        let outside = outside.unwrap_or("-");
        println!("{:<44} {in_a_cell:<22} {in_a_builder:<22} {outside}{mark}", attempt.name);
    }
    println!("{} attempts, {wrong} wrong", ATTEMPTS.len());
    ExitCode::from(u8::from(wrong > 0))
}

/// Runs one attempt and says in a few words how it ended.
fn run(stage: &Stage, groups: &Cgroups, attempt: &Attempt, role: &str) -> String {
    let group = groups.create(GROUP, &cgroup::Limits::default()).ok();
    let spec = Spec {
        role: role.into(),
        arguments: vec![Strictness::Require.word().into(), attempt.name.into()],
        log: stage.log(),
        cgroup: group.as_ref().filter(|_| role != FREE),
        strictness: Strictness::Require,
    };
    let mut child = spawn(&spec).unwrap();
    stage.hand_over(child.socket().unwrap(), role != FREE);
    if !answered(child.socket().unwrap()) {
        return "no answer for too long".into();
    }
    let answer = child.socket().unwrap().recv();
    // An attempt that went through may have left more behind it.
    child.kill();
    match (answer, child.wait().unwrap()) {
        (Ok(message), _) => sys::spell(&String::from_utf8(message.bytes).unwrap()),
        (Err(_), Exit::Signal(signal)) => format!("killed by {}", sys::signal_name(signal)),
        (Err(_), Exit::Status(status)) => format!("exited with {status}"),
    }
}

/// Whether something has arrived, or the other end is closed, before the deadline.
fn answered(socket: &Socket) -> bool {
    let mut polled = [PollFd::new(socket, PollFlags::IN)];
    poll(&mut polled, Some(&DEADLINE)).unwrap() == 1
}

impl Expect {
    fn matches(self, found: &str) -> bool {
        match self {
            Self::Killed => found == "killed by SIGSYS",
            Self::Refused => found.starts_with("refused"),
        }
    }
}
