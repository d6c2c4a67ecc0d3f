//! Tests of a pair within one process: what goes in comes out, whatever the sizes and timing.
#![allow(clippy::unwrap_used)]

mod hostile;
mod stress;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::{
    Broken, Capacity, CellEnd, MAX_BACKLOG_BYTES, MAX_MESSAGE_BYTES, MAX_SMALL_MESSAGE_BYTES,
    MonitorEnd, PushError, RingFds, SMALL_BACKLOG_BYTES,
};

const SMALL_BYTES: usize = 4096;

/// A pair of the smallest rings.
fn small() -> (MonitorEnd, CellEnd) {
    let (monitor, fds) = small_fds();
    (monitor, CellEnd::attach(fds).unwrap())
}

fn small_fds() -> (MonitorEnd, RingFds) {
    MonitorEnd::create(Capacity::new(SMALL_BYTES).unwrap()).unwrap()
}

/// The seed of a randomised test: given by `FAASLET_SEED`, else new; printed either way.
fn seed() -> u64 {
    let given = std::env::var("FAASLET_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    eprintln!("FAASLET_SEED={seed}");
    seed
}

fn bytes(rng: &mut StdRng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// The next message for the monitor, moved on by the cell as room comes.
fn recv_at_monitor(monitor: &mut MonitorEnd, cell: &mut CellEnd) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        if monitor.from_cell.try_recv(&mut message).unwrap() {
            return Some(message);
        }
        if cell.backlog_bytes() == 0 {
            return None;
        }
        cell.pump().unwrap();
    }
}

#[test]
fn every_small_length_in_every_split_arrives_both_ways() {
    let (mut monitor, mut cell) = small();
    let mut message = Vec::new();
    let bytes: Vec<u8> = (1..=40).collect();
    for length in 0..=bytes.len() {
        for split in 0..=length {
            let parts = [&bytes[..split], &[], &bytes[split..length]];
            monitor.to_cell.send(&parts).unwrap();
            assert!(cell.try_recv(&mut message).unwrap());
            assert_eq!(message, bytes[..length]);
            cell.send(&parts).unwrap();
            assert!(monitor.from_cell.try_recv(&mut message).unwrap());
            assert_eq!(message, bytes[..length]);
        }
    }
    assert!(!cell.try_recv(&mut message).unwrap());
    assert!(message.is_empty());
}

#[test]
fn lengths_around_frame_and_capacity_arrive() {
    let (mut monitor, mut cell) = small();
    let mut rng = StdRng::seed_from_u64(1);
    for around in [SMALL_BYTES / 4, SMALL_BYTES / 2, SMALL_BYTES, 10 * SMALL_BYTES] {
        for length in around - 17..around + 17 {
            let sent = bytes(&mut rng, length);
            let (front, back) = sent.split_at(length / 3);
            cell.send(&[front, back]).unwrap();
            assert_eq!(recv_at_monitor(&mut monitor, &mut cell), Some(sent));
        }
    }
}

#[test]
fn the_largest_message_arrives_and_a_longer_one_is_refused() {
    let (mut monitor, mut cell) = small();
    let sent = vec![7; MAX_MESSAGE_BYTES];
    cell.send(&[&sent]).unwrap();
    assert!(recv_at_monitor(&mut monitor, &mut cell).unwrap() == sent);
    assert_eq!(cell.backlog_bytes(), 0);
    let refused = cell.push(&[&sent, &[1]]);
    let (bytes, max) = (MAX_MESSAGE_BYTES + 1, MAX_MESSAGE_BYTES);
    assert_eq!(refused, Err(PushError::TooLong { bytes, max }));
    cell.send(&[b"after"]).unwrap();
    assert_eq!(recv_at_monitor(&mut monitor, &mut cell).unwrap(), b"after");
}

#[test]
fn a_peer_that_takes_nothing_fills_a_bounded_backlog() {
    let (mut monitor, mut cell) = small();
    let piece = vec![1; 1 << 20];
    let mut taken = 0_u64;
    let refused = loop {
        match monitor.to_cell.send(&[&taken.to_le_bytes(), &piece]) {
            Ok(()) => taken += 1,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, PushError::Full { max: MAX_BACKLOG_BYTES, .. }), "{refused}");
    assert!(monitor.to_cell.backlog_bytes() <= MAX_BACKLOG_BYTES);
    // Small ones have room of their own, so much and no more.
    let long = monitor.to_cell.push_small(&[&[0; MAX_SMALL_MESSAGE_BYTES + 1]]);
    assert!(matches!(long, Err(PushError::TooLong { .. })), "{long:?}");
    let mut small = 0_u64;
    while monitor.to_cell.push_small(&[&[2; MAX_SMALL_MESSAGE_BYTES]]).is_ok() {
        small += 1;
    }
    assert!(small >= 65_536, "{small}");
    assert!(monitor.to_cell.backlog_bytes() <= MAX_BACKLOG_BYTES + SMALL_BACKLOG_BYTES);
    let mut message = Vec::new();
    let mut got = 0_u64;
    while got < taken {
        monitor.to_cell.pump().unwrap();
        if cell.try_recv(&mut message).unwrap() {
            assert_eq!(message[..8], got.to_le_bytes());
            got += 1;
        }
    }
    while small > 0 {
        monitor.to_cell.pump().unwrap();
        if cell.try_recv(&mut message).unwrap() {
            assert_eq!(message, [2; MAX_SMALL_MESSAGE_BYTES]);
            small -= 1;
        }
    }
    assert_eq!(monitor.to_cell.backlog_bytes(), 0);
    monitor.to_cell.send(&[b"after"]).unwrap();
    assert!(cell.try_recv(&mut message).unwrap());
    assert_eq!(message, b"after");
}

#[test]
fn one_call_reads_no_more_than_was_there_when_it_began() {
    let (mut monitor, mut cell) = small();
    cell.send(&[&vec![1; 20 * SMALL_BYTES]]).unwrap();
    let mut message = Vec::new();
    let mut calls = 0;
    while !monitor.from_cell.try_recv(&mut message).unwrap() {
        calls += 1;
        cell.pump().unwrap();
    }
    assert!(calls >= 19, "{calls} calls for 20 times the ring's capacity");
}

#[test]
fn random_messages_arrive_whole_and_in_order() {
    let mut rng = StdRng::seed_from_u64(seed());
    for _ in 0..20 {
        let capacity = Capacity::new(SMALL_BYTES << rng.random_range(0..4)).unwrap();
        let (mut monitor, fds) = MonitorEnd::create(capacity).unwrap();
        let mut cell = CellEnd::attach(fds).unwrap();
        let mut expected = std::collections::VecDeque::new();
        let mut message = Vec::new();
        for _ in 0..2_000 {
            if rng.random_bool(0.5) {
                let exponent = rng.random_range(0..15);
                let length = rng.random_range(0..=1 << exponent);
                let sent = bytes(&mut rng, length);
                let (front, back) = sent.split_at(rng.random_range(0..=length));
                monitor.to_cell.push(&[front, back]).unwrap();
                expected.push_back(sent);
            } else if cell.try_recv(&mut message).unwrap() {
                assert_eq!(expected.pop_front().as_ref(), Some(&message));
            } else {
                monitor.to_cell.pump().unwrap();
            }
        }
        while let Some(sent) = expected.pop_front() {
            while !cell.try_recv(&mut message).unwrap() {
                monitor.to_cell.pump().unwrap();
            }
            assert_eq!(sent, message);
        }
    }
}

#[test]
fn a_busy_peer_is_not_rung_and_a_sleeping_one_once_per_batch() {
    let (mut monitor, mut cell) = small();
    let rings = |monitor: &MonitorEnd| {
        let mut count = [0; 8];
        nix::unistd::read(&monitor.bell, &mut count).map_or(0, |_| u64::from_ne_bytes(count))
    };
    let mut message = Vec::new();
    cell.send(&[b"awake"]).unwrap();
    assert_eq!(rings(&monitor), 0);
    assert!(monitor.from_cell.try_recv(&mut message).unwrap());
    assert!(monitor.from_cell.arm().unwrap());
    for _ in 0..10 {
        cell.push(&[b"batch"]).unwrap();
    }
    assert_eq!(rings(&monitor), 0);
    cell.flush();
    cell.flush();
    cell.send(&[b"more"]).unwrap();
    assert_eq!(rings(&monitor), 1);
    assert!(!monitor.from_cell.arm().unwrap(), "slept over eleven messages");
}

#[test]
fn capacities_that_no_ring_has_are_refused() {
    for bytes in [0, 1, 4095, 6000, 128 << 20, usize::MAX] {
        Capacity::new(bytes).unwrap_err();
    }
    assert_eq!(Capacity::default().bytes(), crate::DEFAULT_CAPACITY_BYTES);
}

/// A broken ring answers nothing else from then on, both for messages and for sleeping.
fn assert_broken(monitor: &mut MonitorEnd, expected: impl Fn(&Broken) -> bool) {
    let mut message = vec![1; 3];
    for _ in 0..3 {
        let broken = monitor.from_cell.try_recv(&mut message).unwrap_err();
        assert!(expected(&broken), "{broken}");
        assert!(message.is_empty());
    }
    monitor.from_cell.arm().unwrap_err();
}
