//! Clocks and random bytes: the same in every bake, new in every fork.

#![allow(clippy::unwrap_used, missing_docs, dead_code)]

mod direct;

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use direct::{BYTES, CREAT, DATA, Faaslet, READ, RESULT, WRITE, errno};
use faaslet_wasi::{BAKE_START_UNIX_S, Clock, Errno, Random, Step};

const SUBSCRIPTION: u32 = 0x400;
const EVENT: u32 = 0x800;

fn bake(secret: u8, recipe: &[u8]) -> Faaslet {
    Faaslet::start(&[], None, Clock::bake(), Random::bake(&[secret; 32], recipe))
}

fn random(faaslet: &mut Faaslet, len: u32) -> Vec<u8> {
    assert_eq!(errno(faaslet.wasi.random_get(&faaslet.mem, BYTES, len)), Errno::Success);
    faaslet.mem.get(BYTES, len as usize)
}

fn now(faaslet: &mut Faaslet, id: u32) -> u64 {
    assert_eq!(errno(faaslet.wasi.clock_time_get(&faaslet.mem, id, 0, RESULT)), Errno::Success);
    faaslet.mem.long(RESULT)
}

/// Asks to sleep on the monotonic clock.
fn sleep(faaslet: &mut Faaslet, ns: u64) -> Step {
    faaslet.mem.put(SUBSCRIPTION, &[0; 48]);
    faaslet.mem.put(SUBSCRIPTION + 16, &1_u32.to_le_bytes());
    faaslet.mem.put(SUBSCRIPTION + 24, &ns.to_le_bytes());
    faaslet.wasi.poll_oneoff(&faaslet.mem, SUBSCRIPTION, EVENT, 1, RESULT).unwrap()
}

#[test]
fn a_bake_sees_no_clock() {
    const HOUR_NS: u64 = 3_600_000_000_000;
    let mut bake = bake(1, b"recipe");
    let start = BAKE_START_UNIX_S * 1_000_000_000;
    for _ in 0..3 {
        assert_eq!((now(&mut bake, 0), now(&mut bake, 1)), (start, 0));
    }
    assert_eq!(sleep(&mut bake, HOUR_NS), Step::Done(Errno::Success), "a bake waits for nobody");
    assert_eq!((now(&mut bake, 0), now(&mut bake, 1)), (start + HOUR_NS, HOUR_NS));
    assert_eq!(sleep(&mut bake, u64::MAX), Step::Done(Errno::Success));
    assert_eq!(now(&mut bake, 1), u64::MAX);
}

#[test]
fn a_live_sleep_is_left_to_the_cell() {
    let mut live = Faaslet::new(&[]);
    assert_eq!(sleep(&mut live, 5_000_000_000), Step::Sleep(Duration::from_secs(5)));
    assert_eq!(live.mem.word(RESULT), 1, "the answer is there already");
    assert_eq!(sleep(&mut live, 0), Step::Done(Errno::Success));
    assert_eq!(live.wasi.sched_yield(&live.mem), Ok(Step::Yield));
}

#[test]
fn the_monotonic_clock_goes_on_after_the_bake() {
    const YEAR_NS: u64 = 365 * 86_400 * 1_000_000_000;
    let mut bake = bake(1, b"recipe");
    let _ = sleep(&mut bake, YEAR_NS);
    let end = bake.wasi.clock().monotonic_ns();
    let mut fork = Faaslet::start(&[], None, Clock::live_after(end), Random::live());
    let first = now(&mut fork, 1);
    assert!(first >= YEAR_NS);
    assert!(now(&mut fork, 1) >= first);
}

#[test]
fn files_changed_at_a_bake_carry_its_time() {
    const BOTH_NOW: u32 = 2 | 8;
    let root = tempfile::tempdir().unwrap();
    let folders = [("/data", root.path(), false)];
    let mut bake = Faaslet::start(&folders, None, Clock::bake(), Random::bake(&[1; 32], b"r"));
    let file = bake.open(DATA, "file", CREAT, READ | WRITE, 0).unwrap();
    let call = bake.wasi.fd_filestat_set_times(&bake.mem, file, 0, 0, BOTH_NOW);
    assert_eq!(errno(call), Errno::Success);
    let changed = fs::metadata(root.path().join("file")).unwrap().modified().unwrap();
    assert_eq!(changed, UNIX_EPOCH + Duration::from_secs(BAKE_START_UNIX_S));
}

#[test]
fn random_bytes_of_a_bake_depend_on_secret_and_recipe_alone() {
    let whole = random(&mut bake(1, b"recipe"), 3000);
    let mut again = bake(1, b"recipe");
    let parts = [random(&mut again, 1), random(&mut again, 1999), random(&mut again, 1000)];
    assert_eq!(parts.concat(), whole, "however they are asked for");
    assert_ne!(random(&mut bake(2, b"recipe"), 3000), whole, "another tenant");
    assert_ne!(random(&mut bake(1, b"Recipe"), 3000), whole, "another recipe");
    assert_eq!(whole[..8], [178, 114, 172, 127, 78, 89, 226, 70], "frozen");
}

#[test]
fn no_two_forks_draw_the_same() {
    const FORKS: usize = 10_000;
    let mut seen = HashSet::new();
    let draw = || random(&mut Faaslet::new(&[]), 16);
    let others = std::thread::spawn(move || (0..FORKS / 2).map(|_| draw()).collect::<Vec<_>>());
    seen.extend((0..FORKS / 2).map(|_| draw()));
    seen.extend(others.join().unwrap());
    assert_eq!(seen.len(), FORKS);
}

#[test]
fn what_needs_no_descriptor_makes_no_table() {
    let root = tempfile::tempdir().unwrap();
    let mut faaslet = Faaslet::new(&[("/data", root.path(), false)]);
    faaslet.write(1, b"printed").unwrap();
    faaslet.write(2, b"printed").unwrap();
    assert_eq!(faaslet.read(0, 99).unwrap(), b"input");
    random(&mut faaslet, 32);
    now(&mut faaslet, 0);
    let _ = sleep(&mut faaslet, 1);
    let (wasi, mem) = (&mut faaslet.wasi, &faaslet.mem);
    for call in [
        wasi.args_sizes_get(mem, RESULT, RESULT),
        wasi.args_get(mem, RESULT, BYTES),
        wasi.environ_sizes_get(mem, RESULT, RESULT),
        wasi.environ_get(mem, RESULT, BYTES),
        wasi.fd_prestat_get(mem, DATA, RESULT),
        wasi.fd_prestat_dir_name(mem, DATA, BYTES, 5),
        wasi.fd_fdstat_get(mem, 1, BYTES),
        wasi.fd_filestat_get(mem, 1, BYTES),
    ] {
        assert_eq!(errno(call), Errno::Success);
    }
    assert_eq!(errno(wasi.fd_prestat_get(mem, DATA + 1, RESULT)), Errno::Badf);
    assert!(!faaslet.wasi.has_file_table());
    assert_eq!(faaslet.close(0), Errno::Success);
    assert!(faaslet.wasi.has_file_table());
}
