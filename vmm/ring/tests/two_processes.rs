//! A pair between two real processes: random messages there and back, over a futex and an eventfd
//! that both cross the border. The test re-executes itself as the cell.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod cell;

use std::collections::VecDeque;
use std::env;
use std::os::fd::AsFd;
use std::time::Duration;

use faaslet_ring::{Capacity, MIN_CAPACITY_BYTES, MonitorEnd, SPIN_MICROS};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

const MESSAGES: usize = 20_000;
/// A wake-up that takes this long has been lost.
const LOST_SECONDS: u16 = 30;

fn main() {
    if cell::acted(Some(Duration::from_secs(LOST_SECONDS.into()))) {
        return;
    }
    let given = env::var("FAASLET_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    eprintln!("FAASLET_SEED={seed}");
    for spin_micros in [0, SPIN_MICROS] {
        monitor(spin_micros, &mut StdRng::seed_from_u64(seed));
        println!("{MESSAGES} messages there and back, spin {spin_micros} µs: ok");
    }
}

fn monitor(spin_micros: u64, rng: &mut StdRng) {
    let capacity = Capacity::new(MIN_CAPACITY_BYTES).unwrap();
    let (mut end, mut child) = cell::start(spin_micros, capacity);
    let mut expected = VecDeque::new();
    let mut sent = 0;
    while sent < MESSAGES || !expected.is_empty() {
        let batch = if sent < MESSAGES { rng.random_range(0..40) } else { 0 };
        for _ in 0..batch {
            let limit = if rng.random_ratio(1, 500) { 10 * MIN_CAPACITY_BYTES } else { 300 };
            let mut message = vec![0; rng.random_range(1..limit)];
            rng.fill_bytes(&mut message);
            end.to_cell.push(&[&message]).unwrap();
            expected.push_back(message);
            sent += 1;
        }
        end.to_cell.flush();
        answers(&mut end, &mut expected);
    }
    end.to_cell.send(&[]).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Takes what is there; if that is nothing, sleeps until something is.
fn answers(end: &mut MonitorEnd, expected: &mut VecDeque<Vec<u8>>) {
    let mut message = Vec::new();
    end.to_cell.pump().unwrap();
    while end.from_cell.try_recv(&mut message).unwrap() {
        assert!(expected.pop_front().as_ref() == Some(&message));
    }
    if expected.is_empty() || !end.from_cell.arm().unwrap() {
        return;
    }
    let mut bell = [PollFd::new(end.bell.as_fd(), PollFlags::POLLIN)];
    let rang = poll(&mut bell, PollTimeout::from(LOST_SECONDS * 1000)).unwrap();
    assert_eq!(rang, 1, "lost a wake-up");
    end.bell.take().unwrap();
}
