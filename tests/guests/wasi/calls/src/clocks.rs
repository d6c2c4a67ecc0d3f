//! Clocks and `poll_oneoff`.

use crate::raw::{CREAT, DATA, NOTHING, READ, TRUNC, WRITE, at, close, opened, to, wasi, write};
use crate::show;

#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Subscription {
    userdata: u64,
    tag: u8,
    gap: u32,
    /// Clock, or descriptor.
    subject: u32,
    timeout: u64,
    precision: u64,
    flags: u16,
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Event {
    userdata: u64,
    error: u16,
    kind: u8,
    bytes: u64,
    flags: u16,
}

const MS: u64 = 1_000_000;

pub fn run() {
    for id in 0..4 {
        let (mut resolution, mut time) = (0_u64, 0_u64);
        let errno = unsafe { wasi::clock_res_get(id, to(&mut resolution)) };
        show!("clock_res_get", format!("clock {id}"), errno, "set {}", resolution > 0);
        let errno = unsafe { wasi::clock_time_get(id, 0, to(&mut time)) };
        show!("clock_time_get", format!("clock {id}"), errno, "set {}", time > 0);
    }
    show!("clock_time_get", "wall clock", 0, "after 2020 {}", now(0) > 1_577_836_800_000 * MS);
    let first = now(1);
    show!("clock_time_get", "monotonic clock", 0, "moves on {}", now(1) >= first);
    sleeps();
    descriptors();
    failures();
}

fn now(id: i32) -> u64 {
    let mut time = 0_u64;
    unsafe { wasi::clock_time_get(id, 0, to(&mut time)) };
    time
}

fn clock(userdata: u64, id: u32, timeout: u64, flags: u16) -> Subscription {
    Subscription { userdata, subject: id, timeout, flags, ..Subscription::default() }
}

fn on(userdata: u64, tag: u8, fd: i32) -> Subscription {
    Subscription { userdata, tag, subject: fd as u32, ..Subscription::default() }
}

/// Polls; the bytes of a clock's event mean nothing and are left out.
fn poll(case: &str, subscriptions: &[Subscription]) {
    let mut events = vec![Event::default(); subscriptions.len()];
    let mut count = -1_i32;
    let errno = unsafe {
        wasi::poll_oneoff(
            at(subscriptions),
            to(&mut events[..]),
            subscriptions.len() as i32,
            to(&mut count),
        )
    };
    let seen = events.iter().take(count.max(0) as usize).map(|event| {
        let bytes = if event.kind == 0 { 0 } else { event.bytes };
        (event.userdata, event.error, event.kind, bytes, event.flags)
    });
    show!("poll_oneoff", case, errno, "{count} {:?}", seen.collect::<Vec<_>>());
}

fn sleeps() {
    let before = now(1);
    poll("monotonic, relative", &[clock(7, 1, 3 * MS, 0)]);
    show!("poll_oneoff", "monotonic, relative", 0, "slept {}", now(1) - before >= 3 * MS);
    let before = now(0);
    poll("wall clock, absolute", &[clock(8, 0, before + 3 * MS, 1)]);
    show!("poll_oneoff", "wall clock, absolute", 0, "slept {}", now(0) - before >= 3 * MS);
    let before = now(1);
    poll("monotonic, absolute", &[clock(9, 1, before + 3 * MS, 1)]);
    show!("poll_oneoff", "monotonic, absolute", 0, "slept {}", now(1) - before >= 3 * MS);
    poll("wall clock, relative", &[clock(10, 0, MS, 0)]);
    poll("in the past", &[clock(11, 1, 1, 1)]);
    poll("no time", &[clock(12, 1, 0, 0)]);
    poll("early and late", &[clock(13, 1, 60_000 * MS, 0), clock(14, 1, 2 * MS, 0)]);
}

fn descriptors() {
    let file = opened("poll.txt", CREAT | TRUNC, READ | WRITE, 0);
    write(file, b"ready");
    poll("output", &[on(1, 2, 1)]);
    poll("error stream", &[on(1, 2, 2)]);
    poll("file at its end", &[on(2, 1, file)]);
    unsafe { wasi::fd_seek(file, 0, 0, to(&mut 0_u64)) };
    poll("file before its end", &[on(3, 1, file)]);
    poll("file to write", &[on(4, 2, file)]);
    poll("file and output, to write", &[on(5, 2, file), on(6, 2, 1)]);
    poll("file and late clock", &[clock(7, 1, 60_000 * MS, 0), on(8, 1, file)]);
    close(file);
}

fn failures() {
    poll("nothing", &[]);
    poll("read of nothing", &[on(1, 1, NOTHING)]);
    poll("write of nothing", &[on(1, 2, NOTHING)]);
    poll("read of a folder", &[on(1, 1, DATA)]);
    poll("write of a folder", &[on(1, 2, DATA)]);
    poll("write of the input", &[on(1, 2, 0)]);
    poll("read of the output", &[on(1, 1, 1)]);
    poll("unknown kind", &[on(1, 3, 1)]);
    poll("unknown clock", &[clock(1, 9, MS, 0)]);
    poll("unknown flag", &[clock(1, 1, MS, 2)]);
    poll("clock of CPU time", &[clock(1, 2, MS, 1)]);
}
