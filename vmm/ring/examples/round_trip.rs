//! Measures a pair between two processes: round trip of 128 bytes and messages a second, with the
//! cell spinning or not, on two cores or on one.
//!
//! `cargo run --release -p faaslet-ring --example round_trip`
//!
//! The process re-executes itself as the cell, which finds the memory as its standard input and
//! the bell as its standard output.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::os::fd::AsFd;
use std::process::Child;
use std::time::Instant;

use faaslet_ring::{Capacity, MonitorEnd, SPIN_MICROS};
use hdrhistogram::Histogram;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

#[path = "../tests/cell/mod.rs"]
mod cell;

const MESSAGE_BYTES: usize = 128;
const ROUND_TRIPS: u32 = 20_000;
const MESSAGES: u32 = 2_000_000;
const IN_FLIGHT: u32 = 64;
const BULK_BYTES: usize = 1 << 20;
const BULK_MESSAGES: u32 = 1_000;

/// How a run is placed and how its cell waits.
#[derive(Clone, Copy)]
struct Run {
    name: &'static str,
    spin_micros: u64,
    cores: Option<(usize, usize)>,
    /// Whether the monitor's side polls instead of sleeping on the bell.
    monitor_spins: bool,
}

fn main() {
    if cell::acted(None) {
        return;
    }
    let run =
        |name, spin_micros, cores, monitor_spins| Run { name, spin_micros, cores, monitor_spins };
    let runs = [
        run("free placement, both sleep", 0, None, false),
        run("free placement, cell spins 5 µs", SPIN_MICROS, None, false),
        run("two cores, both sleep", 0, Some((0, 1)), false),
        run("two cores, cell spins 5 µs", SPIN_MICROS, Some((0, 1)), false),
        run("two cores, both spin", SPIN_MICROS, Some((0, 1)), true),
        run("one core, both sleep", 0, Some((0, 0)), false),
        run("one core, cell spins 5 µs", SPIN_MICROS, Some((0, 0)), false),
    ];
    println!("{:<34} {:>9} {:>9} {:>12} {:>9}", "", "p50 µs", "p99 µs", "64 flying/s", "MiB/s");
    for run in runs {
        measure(run);
    }
}

fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core).unwrap();
    sched_setaffinity(Pid::from_raw(0), &set).unwrap();
}

fn unpin() {
    let mut set = CpuSet::new();
    for core in 0..std::thread::available_parallelism().map_or(1, usize::from).max(2) {
        set.set(core).unwrap();
    }
    sched_setaffinity(Pid::from_raw(0), &set).unwrap();
}

fn start(run: Run) -> (MonitorEnd, Child) {
    if let Some((_, core)) = run.cores {
        pin(core);
    }
    let pair = cell::start(run.spin_micros, Capacity::default());
    match run.cores {
        Some((core, _)) => pin(core),
        None => unpin(),
    }
    pair
}

/// The next answer, asleep until it comes.
fn answer(end: &mut MonitorEnd, message: &mut Vec<u8>, spins: bool) {
    while !end.from_cell.try_recv(message).unwrap() {
        end.to_cell.pump().unwrap();
        if spins || !end.from_cell.arm().unwrap() {
            continue;
        }
        let mut bell = [PollFd::new(end.bell.as_fd(), PollFlags::POLLIN)];
        poll(&mut bell, PollTimeout::NONE).unwrap();
        end.bell.take().unwrap();
    }
}

fn measure(run: Run) {
    let (mut end, mut child) = start(run);
    let mut message = Vec::new();
    let sent = [1; MESSAGE_BYTES];
    let mut times = Histogram::<u64>::new(3).unwrap();
    for _ in 0..ROUND_TRIPS {
        let begin = Instant::now();
        end.to_cell.send(&[&sent]).unwrap();
        answer(&mut end, &mut message, run.monitor_spins);
        times.record(begin.elapsed().as_nanos() as u64).unwrap();
    }
    let rate = rate(&mut end, run.monitor_spins);
    let bulk = bulk(&mut end, run.monitor_spins);
    end.to_cell.send(&[]).unwrap();
    assert!(child.wait().unwrap().success());
    let micros = |quantile| times.value_at_quantile(quantile) as f64 / 1_000.0;
    let (p50, p99) = (micros(0.5), micros(0.99));
    println!("{:<34} {p50:>9.2} {p99:>9.2} {rate:>12.0} {bulk:>9.0}", run.name);
}

/// Messages a second, so many in flight.
fn rate(end: &mut MonitorEnd, spins: bool) -> f64 {
    let sent = [1; MESSAGE_BYTES];
    let mut message = Vec::new();
    let (mut out, mut back) = (0, 0);
    let begin = Instant::now();
    while back < MESSAGES {
        while out < MESSAGES && out - back < IN_FLIGHT {
            end.to_cell.push(&[&sent]).unwrap();
            out += 1;
        }
        end.to_cell.flush();
        answer(end, &mut message, spins);
        back += 1;
        while back < out && end.from_cell.try_recv(&mut message).unwrap() {
            back += 1;
        }
    }
    f64::from(MESSAGES) / begin.elapsed().as_secs_f64()
}

/// MiB a second and way of large messages, one at a time.
fn bulk(end: &mut MonitorEnd, spins: bool) -> f64 {
    let sent = vec![1; BULK_BYTES];
    let mut message = Vec::new();
    let begin = Instant::now();
    for _ in 0..BULK_MESSAGES {
        end.to_cell.send(&[&sent]).unwrap();
        answer(end, &mut message, spins);
    }
    f64::from(BULK_MESSAGES) * 2.0 / begin.elapsed().as_secs_f64()
}
