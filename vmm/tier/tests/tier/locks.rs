//! Local locks, and having the value alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use faaslet_state::{Durability, Element, Rule, Spec};
use faaslet_tier::{
    Copied, LocalLock, LockError, LockMode, MapMode, Task, Tier, TierError, Tracker, Value,
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
    assert!(matches!(value.end_exclusive(one.task, true, None), Err(TierError::Invalid { .. })));
    value.push_failed(prepared);
    value.end_exclusive(one.task, true, None).unwrap();
    let mut bytes = [0; 8192];
    assert_eq!(value.read(0, &mut bytes).unwrap(), Copied::Bytes(8192));
    assert!(bytes[..] == owner.bytes() && bytes[10..14] == [3; 4]);
    assert_eq!(owner.flush(&value, two.task), 0);
    assert!(value.lock().leave(one.task).0.is_empty());
    assert_eq!(value.write(two.task, 0, &[2]).unwrap(), Copied::Bytes(1));
}

/// A holder that ends while its push is under way, and another that writes before the end of it is
/// known.
struct Abandoned {
    owner: Owner,
    value: Arc<Value>,
    /// Its memory.
    _tier: Tier,
    two: Task,
    sent: faaslet_tier::Prepared,
}

impl Abandoned {
    fn new(rule: Rule) -> Self {
        let spec = Spec::new(Element::U8, rule, Durability::Memory, 8192).unwrap();
        let owner = Owner::new(spec, &[1; 8000]);
        let tier = Tier::new(1 << 20, Tracker::open());
        let value = owner.open(&tier);
        owner.fetch(&value);
        let (one, two) = (Task(1), Task(2));
        assert!(value.lock().lock(one, Write).unwrap().is_ready());
        assert!(value.begin_exclusive(one).unwrap().is_ready());
        let _ = value.write(one, 10, &[7; 4]).unwrap();
        let sent = value.prepare_push(one, 0, u64::MAX).unwrap();
        let _ = value.write(one, 12, &[9; 4]).unwrap();
        let _ = value.write(one, 7000, &[9]).unwrap();
        value.end_exclusive(one, true, Some(&sent)).unwrap();
        let mut bytes = [0; 8000];
        let _ = value.read(0, &mut bytes).unwrap();
        assert!(bytes[10..16] == [7, 7, 7, 7, 1, 1] && bytes[7000] == 1, "what was not sent");
        let _ = value.write(two, 11, &[5]).unwrap();
        let _ = value.write(two, 7001, &[5]).unwrap();
        Self { owner, value, _tier: tier, two, sent }
    }

    /// What is here once others have pushed, and that the owner has the same.
    fn ends_as(owner: &mut Owner, value: &Value, two: Task) -> Vec<u8> {
        owner.flush(value, two);
        let mut bytes = vec![0; 8000];
        let _ = value.read(0, &mut bytes).unwrap();
        assert!(bytes == owner.bytes());
        assert!(bytes[7000..7003] == [1, 5, 1]);
        bytes[9..16].to_vec()
    }
}

#[test]
fn a_push_that_outlives_its_lock_counts_and_what_others_wrote_meanwhile_too() {
    for rule in [Rule::Replace, Rule::Xor] {
        let Abandoned { mut owner, value, two, sent, .. } = Abandoned::new(rule);
        let (version, before) = owner.push(&sent);
        value.acknowledged(sent, version, 8000, &before).unwrap();
        assert_eq!(Abandoned::ends_as(&mut owner, &value, two), [1, 7, 5, 7, 7, 1, 1]);
    }
}

#[test]
fn of_a_push_whose_lock_was_lost_only_what_it_wrote_is_taken_back() {
    for rule in [Rule::Replace, Rule::Xor, Rule::Sum] {
        let Abandoned { mut owner, value, two, sent, .. } = Abandoned::new(rule);
        value.push_lost(&sent).unwrap();
        assert_eq!(Abandoned::ends_as(&mut owner, &value, two), [1, 1, 5, 1, 1, 1, 1]);
    }
}
