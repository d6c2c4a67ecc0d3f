//! Every way out of a cell that we know of, tried from inside with full native control.
//!
//! Each attempt has a child of its own, started and jailed exactly as the product does it, which
//! makes raw system calls and says what the kernel answered, unless it was killed. The test fails
//! if one attempt gets through, or ends otherwise than the table expects. Attempts that are
//! harmless are made again in a child outside of the jail, where they must get through: so an
//! attempt that could never succeed proves nothing and is found out.
#![allow(clippy::unwrap_used)]

mod attempts;
mod ground;
mod sys;

use std::process::ExitCode;

use attempts::{ATTEMPTS, Attempt, Expect, Outcome};
use faaslet_sandbox::filter::Role;
use faaslet_sandbox::jail::{self, Limits, Policy};
use faaslet_sandbox::{Exit, Socket, Spec, Strictness, spawn};
use ground::{Ground, Stage};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long an attempt may take. Only a failing one takes so long.
const DEADLINE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

/// First arguments of the children: with and without a jail.
const JAILED: &str = "__jailed";
const FREE: &str = "__free";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some(JAILED) => child(&arguments[2], true),
        Some(FREE) => child(&arguments[2], false),
        _ => parent(),
    }
}

fn child(name: &str, jailed: bool) -> ExitCode {
    let socket = Socket::inherited().unwrap();
    let forgotten = std::fs::File::open("/etc/passwd").unwrap();
    if jailed {
        std::mem::forget(forgotten);
        let policy = Policy {
            role: Role::Cell,
            strictness: Strictness::Require,
            limits: Limits::default(),
            run_as: None,
            keep: &[],
        };
        jail::enter(&socket, &policy).unwrap();
    }
    let ground = Ground::arrive(&socket);
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
    let mut wrong = 0;
    println!("{:<44} {:<28} outside of the jail", "attempt", "in a cell");
    for attempt in ATTEMPTS {
        let inside = run(&stage, attempt, JAILED);
        let outside = attempt.harmless.then(|| run(&stage, attempt, FREE));
        let good = attempt.expect.matches(&inside)
            && outside.as_ref().is_none_or(|o| o.starts_with("through"));
        wrong += usize::from(!good);
        let mark = if good { "" } else { "  <- WRONG" };
        println!("{:<44} {inside:<28} {}{mark}", attempt.name, outside.as_deref().unwrap_or("-"));
    }
    println!("{} attempts, {wrong} wrong", ATTEMPTS.len());
    ExitCode::from(u8::from(wrong > 0))
}

/// Runs one attempt and says in a few words how it ended.
fn run(stage: &Stage, attempt: &Attempt, role: &str) -> String {
    let spec = Spec {
        role: role.into(),
        arguments: vec![attempt.name.into()],
        log: stage.log(),
        cgroup: None,
        strictness: Strictness::Require,
    };
    let mut child = spawn(&spec).unwrap();
    stage.hand_over(child.socket().unwrap(), role == JAILED);
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
