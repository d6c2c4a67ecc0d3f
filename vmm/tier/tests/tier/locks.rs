//! Local locks, and having the value alone.

use std::sync::atomic::{AtomicU64, Ordering};

use faaslet_state::{Durability, Element, Rule, Spec};
use faaslet_tier::{
    Copied, LocalLock, LockError, LockMode, MapMode, Task, Tier, TierError, Tracker,
};

use crate::faaslet::Faaslet;
use crate::owner::Owner;

use LockMode::{Read, Write};

#[test]
fn the_queue_is_served_in_order_and_readers_next_to_each_other_go_together() {
    let lock = LocalLock::default();
    assert!(lock.lock(Task(1), Read).unwrap().is_ready());
    assert!(lock.lock(Task(2), Read).unwrap().is_ready());
    for (task, mode) in [(3, Write), (4, Read), (5, Read), (6, Write), (7, Read)] {
        assert!(lock.lock(Task(task), mode).unwrap().is_pending(), "{task} is behind a writer");
    }
    assert!(lock.unlock(Task(1), Read).unwrap().0.is_empty());
    assert_eq!(lock.unlock(Task(2), Read).unwrap().0, [Task(3)]);
    assert_eq!(lock.unlock(Task(3), Write).unwrap().0, [Task(4), Task(5)]);
    assert_eq!(lock.leave(Task(6)).0, [Task(7)], "who gives up lets those behind it in");
    assert!([4, 5, 7].into_iter().all(|task| lock.is_held_by(Task(task))));
    assert_eq!(lock.leave(Task(4)).and(lock.leave(Task(5))).and(lock.leave(Task(7))).0, []);
    assert!(!lock.is_held() && lock.holder().is_none());
}

#[test]
fn a_lock_is_not_taken_twice_nor_given_back_by_who_has_none() {
    let lock = LocalLock::default();
    assert!(lock.lock(Task(1), Write).unwrap().is_ready());
    assert!(lock.lock(Task(2), Read).unwrap().is_pending());
    for task in [1, 2] {
        assert_eq!(lock.lock(Task(task), Read), Err(LockError::Twice { task: Task(task) }));
    }
    let not_held = |task| Err(LockError::NotHeld { task: Task(task) });
    assert_eq!(lock.unlock(Task(1), Read), not_held(1));
    assert_eq!(lock.unlock(Task(2), Read), not_held(2));
    assert_eq!(lock.unlock(Task(3), Write), not_held(3));
    assert_eq!(lock.holder(), Some(Task(1)));
}

/// Threads that take the lock again and again; a writer adds in two steps, which nobody may see
/// the middle of.
#[test]
fn nobody_is_with_a_writer() {
    const ROUNDS: u64 = 20_000;
    let (lock, halves) = (LocalLock::default(), [AtomicU64::new(0), AtomicU64::new(0)]);
    std::thread::scope(|scope| {
        for number in 0..4_u128 {
            let (lock, [a, b]) = (&lock, &halves);
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let mode = if number % 2 == 0 { Write } else { Read };
                    if lock.lock(Task(number), mode).unwrap().is_pending() {
                        while !lock.is_held_by(Task(number)) {
                            std::thread::yield_now();
                        }
                    }
                    if mode == Write {
                        a.store(a.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                        b.store(b.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                    }
                    assert_eq!(a.load(Ordering::Relaxed), b.load(Ordering::Relaxed));
                    let _ = lock.unlock(Task(number), mode).unwrap();
                }
            });
        }
    });
    assert_eq!(halves[0].load(Ordering::Relaxed), 2 * ROUNDS);
}

#[test]
fn who_has_the_value_alone_loses_what_was_not_pushed() {
    let spec = Spec::new(Element::U8, Rule::Replace, Durability::Memory, 8192).unwrap();
    let mut owner = Owner::new(spec, &[1; 8192]);
    let tier = Tier::new(1 << 20, Tracker::open());
    let value = owner.open(&tier);
    owner.fetch(&value);
    let (mut one, mut two) = (Faaslet::new(1), Faaslet::new(2));
    let others = two.map(&value, 0, 8192, MapMode::Write);
    assert!(matches!(value.begin_exclusive(one.task), Err(TierError::Invalid { .. })));
    assert!(value.lock().lock(one.task, Write).unwrap().is_ready());
    assert!(value.begin_exclusive(one.task).unwrap().is_pending(), "another may store");
    let locked = |error: TierError| matches!(error, TierError::Locked { holder: Task(1), .. });
    assert!(locked(two.try_map(&value, 0, 1, MapMode::Write).err().unwrap()));
    assert_eq!(two.unmap(&value, others).0, [one.task]);
    assert!(value.begin_exclusive(one.task).unwrap().is_ready());
    assert!(locked(value.write(two.task, 0, &[2]).unwrap_err()));
    assert!(locked(value.prepare_push(two.task, 0, 1).unwrap_err()));
    let read = two.map(&value, 0, 1, MapMode::Read);
    assert_eq!(two.load(read.addr, 1), [1]);

    let mapped = one.map(&value, 0, 8192, MapMode::Write);
    one.store(mapped.addr + 10, &[3; 4]);
    owner.flush(&value, one.task);
    one.store(mapped.addr + 12, &[4; 4]);
    assert_eq!(value.write(one.task, 5000, &[5; 9]).unwrap(), Copied::Bytes(9));
    let _ = one.unmap(&value, mapped);
    let prepared = value.prepare_push(one.task, 0, 8192).unwrap();
    value.end_exclusive(one.task, true).unwrap();
    assert!(value.is_exclusive_until_told(), "whether it was pushed is not known");
    assert!(locked(value.write(two.task, 0, &[2]).unwrap_err()));
    value.push_failed(prepared).unwrap();
    assert!(!value.is_exclusive_until_told());
    let mut bytes = [0; 8192];
    assert_eq!(value.read(0, &mut bytes).unwrap(), Copied::Bytes(8192));
    assert!(bytes[..] == owner.bytes() && bytes[10..14] == [3; 4]);
    assert_eq!(owner.flush(&value, two.task), 0);
    assert!(value.lock().leave(one.task).0.is_empty());
    assert_eq!(value.write(two.task, 0, &[2]).unwrap(), Copied::Bytes(1));
}
