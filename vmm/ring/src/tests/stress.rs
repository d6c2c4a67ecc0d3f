//! Two threads, random pauses: every message arrives, nobody sleeps for ever.

use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{SMALL_BYTES, seed};
use crate::{Capacity, CellEnd, MonitorEnd, Woken};

const MESSAGES: u64 = 60_000;
/// A wake-up that takes this long has been lost.
const LOST_SECONDS: u16 = 30;

fn pause(rng: &mut StdRng) {
    if rng.random_ratio(1, 8) {
        for _ in 0..rng.random_range(0..2_000) {
            std::hint::spin_loop();
        }
    }
}

/// Message `n`: its number, then a length that follows from it.
fn payload(n: u64) -> Vec<u8> {
    let length = if n % 1_000 == 999 { 3 * SMALL_BYTES } else { (n * 7 % 300) as usize };
    vec![n as u8; length]
}

fn check(message: &[u8], n: u64) {
    assert_eq!(message[..8], n.to_le_bytes(), "message {n}");
    assert!(message[8..] == payload(n), "message {n}");
}

/// Answers each message with itself, asleep whenever there is nothing to do.
fn cell(mut end: CellEnd, mut rng: StdRng) {
    let mut message = Vec::new();
    let mut seen = 0;
    while seen < MESSAGES || end.backlog_bytes() > 0 {
        while end.try_recv(&mut message).unwrap() {
            check(&message, seen);
            seen += 1;
            pause(&mut rng);
            end.push(&[&message]).unwrap();
            if rng.random_bool(0.5) {
                end.flush();
            }
        }
        // The last answer may have found no room.
        if seen < MESSAGES || end.backlog_bytes() > 0 {
            let limit = Some(Duration::from_secs(LOST_SECONDS.into()));
            let woken = end.wait(limit, || false).unwrap();
            assert_ne!(woken, Woken::Timeout, "lost a wake-up after {seen}");
        }
    }
    end.flush();
}

fn monitor(mut end: MonitorEnd, mut rng: StdRng) {
    let (mut sent, mut seen) = (0, 0);
    let mut message = Vec::new();
    while seen < MESSAGES {
        let window = rng.random_range(1..100);
        while sent < MESSAGES && sent - seen < window {
            end.to_cell.push(&[&sent.to_le_bytes(), &payload(sent)]).unwrap();
            sent += 1;
            pause(&mut rng);
            if rng.random_bool(0.3) {
                end.to_cell.flush();
            }
        }
        end.to_cell.flush();
        while end.from_cell.try_recv(&mut message).unwrap() {
            check(&message, seen);
            seen += 1;
        }
        end.to_cell.pump().unwrap();
        if sent - seen > 0 && end.from_cell.arm().unwrap() {
            let mut bell = [PollFd::new(end.bell.as_fd(), PollFlags::POLLIN)];
            let rang = poll(&mut bell, PollTimeout::from(LOST_SECONDS * 1000)).unwrap();
            assert_eq!(rang, 1, "lost a wake-up after {seen} of {sent}");
            end.bell.take().unwrap();
        }
    }
}

fn run(spin: Duration) {
    let seed = seed();
    let (end, fds) = MonitorEnd::create(Capacity::new(SMALL_BYTES).unwrap()).unwrap();
    let mut other = CellEnd::attach(fds).unwrap();
    other.set_spin(spin);
    let thread = thread::spawn(move || cell(other, StdRng::seed_from_u64(seed)));
    monitor(end, StdRng::seed_from_u64(seed ^ 1));
    thread.join().unwrap();
}

#[test]
fn nobody_sleeps_for_ever_without_spinning() {
    run(Duration::ZERO);
}

#[test]
fn nobody_sleeps_for_ever_with_spinning() {
    run(Duration::from_micros(crate::SPIN_MICROS));
}

#[test]
fn a_thread_of_the_cell_wakes_the_worker() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    let (_end, fds) = super::small_fds();
    let mut worker = CellEnd::attach(fds).unwrap();
    worker.set_spin(Duration::ZERO);
    let waker = worker.waker();
    let done = Arc::new(AtomicU64::new(0));
    let told = Arc::new(AtomicU64::new(0));
    let other = {
        let (done, told) = (done.clone(), told.clone());
        thread::spawn(move || {
            for n in 1..=10_000 {
                told.store(n, Ordering::Release);
                waker.wake();
                while done.load(Ordering::Acquire) < n {
                    std::hint::spin_loop();
                }
            }
        })
    };
    for n in 1..=10_000 {
        let limit = Some(Duration::from_secs(LOST_SECONDS.into()));
        let woken = worker.wait(limit, || told.load(Ordering::Acquire) == n).unwrap();
        assert_eq!(woken, Woken::Ready, "lost wake-up {n}");
        done.store(n, Ordering::Release);
    }
    other.join().unwrap();
}

#[test]
fn a_silent_peer_is_a_timeout() {
    let (_end, fds) = super::small_fds();
    let mut worker = CellEnd::attach(fds).unwrap();
    let woken = worker.wait(Some(Duration::from_millis(3)), || false).unwrap();
    assert_eq!(woken, Woken::Timeout);
    assert_eq!(worker.wait(Some(Duration::ZERO), || false).unwrap(), Woken::Timeout);
}
