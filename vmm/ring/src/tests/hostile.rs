//! A cell that writes what no producer would: each is a typed error, and stays one.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{SMALL_BYTES, assert_broken, seed, small, small_fds};
use crate::lane::HEADER_BYTES;
use crate::sys::{Mapping, event, sealed_memory};
use crate::{
    AttachError, BellError, Broken, CellEnd, MAX_MESSAGE_BYTES, MonitorEnd, PushError, RingFds,
};

const FROM_CELL_TAIL: usize = 256;
const TO_CELL_HEAD: usize = 0x80;
const FROM_CELL_DATA: usize = HEADER_BYTES + SMALL_BYTES;
const FRAME_BYTES: u64 = SMALL_BYTES as u64 / 4;
const MORE: u64 = 1 << 32;

/// The cell's side as raw memory.
struct Hostile {
    map: Mapping,
    bell: OwnedFd,
}

impl Hostile {
    fn pair() -> (MonitorEnd, Self) {
        let (monitor, RingFds { memory, bell }) = small_fds();
        let bytes = (HEADER_BYTES + 2 * SMALL_BYTES).try_into().unwrap();
        (monitor, Self { map: Mapping::new(memory.as_fd(), bytes).unwrap(), bell })
    }

    fn set(&self, at: usize, word: u64) {
        self.map.word(at).store(word, Ordering::SeqCst);
    }

    /// Writes a record header at the ring's start and announces `bytes`.
    fn record(&self, header: u64, bytes: u64) {
        self.set(FROM_CELL_DATA, header);
        self.set(FROM_CELL_TAIL, bytes);
    }
}

/// How long a look at a bell may take. Only a failing test takes so long.
const DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn a_bell_whose_open_file_was_made_to_block_blocks_nobody() {
    let (monitor, hostile) = Hostile::pair();
    fcntl(&hostile.bell, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    let (send, receive) = mpsc::sync_channel(1);
    // Left behind where it blocks.
    thread::spawn(move || send.send(monitor.bell.take()).unwrap());
    receive.recv_timeout(DEADLINE).expect("the monitor hangs in a read of the bell").unwrap();
}

#[test]
fn a_tail_that_passes_the_ring_or_is_not_aligned() {
    for tail in [SMALL_BYTES as u64 + 8, u64::MAX, u64::MAX - 7, 1 << 63, 4, 9] {
        let (mut monitor, hostile) = Hostile::pair();
        hostile.set(FROM_CELL_TAIL, tail);
        assert_broken(
            &mut monitor,
            |broken| matches!(broken, Broken::Index { which: "tail", found, .. } if *found == tail),
        );
    }
}

#[test]
fn a_tail_that_goes_back() {
    let (mut monitor, hostile) = Hostile::pair();
    hostile.record(0, 16);
    let mut message = Vec::new();
    assert!(monitor.from_cell.try_recv(&mut message).unwrap());
    assert!(monitor.from_cell.try_recv(&mut message).unwrap());
    hostile.set(FROM_CELL_TAIL, 8);
    assert_broken(&mut monitor, |broken| matches!(broken, Broken::Index { found: 8, low: 16, .. }));
}

#[test]
fn a_header_with_unknown_bits() {
    for bit in 33..64 {
        let (mut monitor, hostile) = Hostile::pair();
        hostile.record(1 << bit, 8);
        assert_broken(&mut monitor, |broken| matches!(broken, Broken::Header { .. }));
    }
}

#[test]
fn a_record_longer_than_announced_or_than_any() {
    for (length, announced) in [(1, 8), (9, 16), (FRAME_BYTES + 1, 4096), (u32::MAX.into(), 4096)] {
        let (mut monitor, hostile) = Hostile::pair();
        hostile.record(length, announced);
        assert_broken(
            &mut monitor,
            |broken| matches!(broken, Broken::Truncated { length: found, .. } if *found == length),
        );
    }
}

#[test]
fn fragments_that_are_not_full() {
    for length in [0, 1, FRAME_BYTES - 8] {
        let (mut monitor, hostile) = Hostile::pair();
        hostile.record(MORE | length, 2048);
        assert_broken(&mut monitor, |broken| matches!(broken, Broken::Fragment { .. }));
    }
}

#[test]
fn a_message_without_end() {
    let (mut monitor, hostile) = Hostile::pair();
    let record = 8 + FRAME_BYTES;
    let mut message = Vec::new();
    let mut fragments = 0;
    let broken = loop {
        let at = fragments * record;
        hostile.set(FROM_CELL_DATA + at as usize % SMALL_BYTES, MORE | FRAME_BYTES);
        hostile.set(FROM_CELL_TAIL, at + record);
        match monitor.from_cell.try_recv(&mut message) {
            Ok(whole) => assert!(!whole),
            Err(broken) => break broken,
        }
        fragments += 1;
    };
    assert_eq!(broken, Broken::TooLong { max: MAX_MESSAGE_BYTES });
    assert_eq!(fragments, MAX_MESSAGE_BYTES as u64 / FRAME_BYTES);
    assert_broken(&mut monitor, |broken| matches!(broken, Broken::TooLong { .. }));
}

/// Pushes until the producer has had to look at the head that the peer wrote.
fn push_until_broken(head: u64) -> Option<PushError> {
    let (mut monitor, hostile) = Hostile::pair();
    hostile.set(TO_CELL_HEAD, head);
    (0..100).find_map(|_| monitor.to_cell.push(&[&[1; 1000]]).err())
}

#[test]
fn a_head_that_nobody_can_have_reached() {
    for head in [8192, u64::MAX, u64::MAX - 7, 1 << 63, 3, 1001] {
        let broken = push_until_broken(head).expect("a head that cannot be was believed");
        assert!(broken.to_string().contains("head index"), "{broken}");
    }
    // A peer may give up what it has not read: that is its own loss.
    assert_eq!(push_until_broken(1008), None);
}

#[test]
fn a_head_that_goes_back() {
    let (mut monitor, mut cell) = small();
    let mut message = Vec::new();
    for _ in 0..10 {
        monitor.to_cell.send(&[&[1; 1000]]).unwrap();
        assert!(cell.try_recv(&mut message).unwrap());
        assert!(!cell.try_recv(&mut message).unwrap());
    }
    drop(cell);
    monitor.to_cell.pump().unwrap();
    monitor.to_cell.shared_head().store(8, Ordering::SeqCst);
    let broken = (0..10).find_map(|_| monitor.to_cell.push(&[&[1; 1000]]).err()).unwrap();
    assert!(broken.to_string().contains("head index to 8"), "{broken}");
}

#[test]
fn a_bell_that_rings_without_news() {
    let (mut monitor, hostile) = Hostile::pair();
    let mut message = Vec::new();
    let mut rings = 0;
    let error = loop {
        nix::unistd::write(&hostile.bell, &1u64.to_ne_bytes()).unwrap();
        rings += 1;
        assert!(rings < 1000);
        if let Err(error) = monitor.bell.take() {
            break error;
        }
        assert!(!monitor.from_cell.try_recv(&mut message).unwrap());
        assert!(monitor.from_cell.arm().unwrap());
    };
    assert!(matches!(error, BellError::Broken(Broken::Bell { .. })), "{error}");
    let (monitor, hostile) = Hostile::pair();
    nix::unistd::write(&hostile.bell, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    monitor.bell.take().unwrap_err();
}

/// Random words everywhere, again and again: nothing but messages within bounds and typed errors.
#[test]
fn random_memory() {
    let mut rng = StdRng::seed_from_u64(seed());
    let mut outcomes = [0_u64; 2];
    for _ in 0..3_000 {
        let (mut monitor, hostile) = Hostile::pair();
        for _ in 0..rng.random_range(1..20) {
            let noise = [0.0, 0.01, 0.3][rng.random_range(0..3)];
            for word in (0..SMALL_BYTES).step_by(8) {
                let length = [0, 1, 8, 100][rng.random_range(0..4)];
                let garbage = [MORE | FRAME_BYTES, MORE, FRAME_BYTES + 8, rng.random()]
                    [rng.random_range(0..4)];
                let header = if rng.random_bool(noise) { garbage } else { length };
                hostile.set(FROM_CELL_DATA + word, header);
            }
            let tail = rng.random_range(0..=2 * SMALL_BYTES as u64);
            hostile.set(FROM_CELL_TAIL, if rng.random_bool(0.9) { tail & !7 } else { tail });
            let mut message = Vec::new();
            for _ in 0..SMALL_BYTES {
                let outcome = monitor.from_cell.try_recv(&mut message);
                outcomes[usize::from(outcome.is_err())] += 1;
                assert!(message.len() <= MAX_MESSAGE_BYTES);
                if outcome != Ok(true) {
                    break;
                }
            }
        }
    }
    assert!(outcomes.iter().all(|&count| count > 1_000), "too one-sided: {outcomes:?}");
}

/// A cell that keeps changing everything while the monitor reads it.
#[test]
fn memory_that_changes_while_it_is_read() {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let stop = Arc::new(AtomicBool::new(false));
    let (mut monitor, hostile) = Hostile::pair();
    let writer = {
        let stop = stop.clone();
        let mut rng = StdRng::seed_from_u64(seed ^ 1);
        thread::spawn(move || {
            let mut tail = 0;
            while !stop.load(Ordering::Relaxed) {
                let at = rng.random_range(0..SMALL_BYTES / 8) * 8;
                hostile.set(FROM_CELL_DATA + at, [0, 8, 100, FRAME_BYTES][rng.random_range(0..4)]);
                tail += 8;
                let head = hostile.map.word(384).load(Ordering::Relaxed);
                tail = tail.min(head + SMALL_BYTES as u64);
                hostile.set(FROM_CELL_TAIL, tail);
            }
        })
    };
    let mut message = Vec::new();
    for _ in 0..200_000 {
        if monitor.from_cell.try_recv(&mut message).is_err() {
            break;
        }
        assert!(message.len() as u64 <= FRAME_BYTES);
        if rng.random_bool(0.01) {
            thread::yield_now();
        }
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
}

#[test]
fn descriptors_that_are_no_ring_are_refused() {
    let bell = || event().unwrap();
    let unsealed = memfd_create(c"test", MFdFlags::MFD_ALLOW_SEALING).unwrap();
    nix::unistd::ftruncate(&unsealed, (HEADER_BYTES + 2 * SMALL_BYTES) as i64).unwrap();
    fcntl(&unsealed, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW)).unwrap();
    let error = CellEnd::attach(RingFds { memory: unsealed, bell: bell() }).unwrap_err();
    assert!(matches!(error, AttachError::Seals { .. }), "{error}");
    let error = CellEnd::attach(RingFds { memory: bell(), bell: bell() }).unwrap_err();
    assert!(matches!(error, AttachError::Seals { .. }), "{error}");
    for bytes in [0, 1, HEADER_BYTES, HEADER_BYTES + 2 * SMALL_BYTES + 1, HEADER_BYTES + 6000 * 2] {
        let memory = sealed_memory(bytes).unwrap();
        let error = CellEnd::attach(RingFds { memory, bell: bell() }).unwrap_err();
        assert!(matches!(error, AttachError::Size { .. }), "{error}");
    }
}

#[test]
fn the_memory_cannot_be_resized_by_the_cell() {
    let (_monitor, fds) = small_fds();
    for bytes in [0, HEADER_BYTES, HEADER_BYTES + 2 * SMALL_BYTES + 4096] {
        nix::unistd::ftruncate(&fds.memory, bytes as i64).unwrap_err();
    }
}
