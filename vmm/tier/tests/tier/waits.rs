//! Waiting on words.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use faaslet_state::{Durability, Element, Rule, Spec};
use faaslet_tier::{MapMode, Task, Tier, TierError, Tracker, Value, WaitStart};

use crate::faaslet::Faaslet;
use crate::owner::Owner;

fn value() -> (Tier, Arc<Value>) {
    let spec = Spec::new(Element::U32, Rule::Replace, Durability::Memory, 4096).unwrap();
    let (owner, tier) = (Owner::new(spec, &[0; 4096]), Tier::new(1 << 20, Tracker::comparing()));
    let value = owner.open(&tier);
    owner.fetch(&value);
    (tier, value)
}

#[test]
fn waiters_of_a_word_are_woken_in_order_and_those_of_others_are_not() {
    let (tier, value) = value();
    for task in 1..=3 {
        assert_eq!(value.wait(Task(task), 8, 0).unwrap(), WaitStart::Queued);
    }
    assert_eq!(value.wait(Task(4), 12, 0).unwrap(), WaitStart::Queued);
    assert_eq!(value.wait(Task(5), 12, 7).unwrap(), WaitStart::Other);
    assert!(matches!(value.wait(Task(5), 9, 0), Err(TierError::Invalid { .. })));
    assert!(matches!(value.wait(Task(5), 4096, 0), Err(TierError::Range { .. })));
    assert_eq!(value.notify(8, 2).0, [Task(1), Task(2)]);
    assert_eq!(
        (value.poll_wait(Task(2), 8), value.poll_wait(Task(3), 8)),
        (Poll::Ready(()), Poll::Pending)
    );
    assert_eq!(value.cancel_wait(Task(2), 8), Poll::Ready(()), "it had been woken");
    assert_eq!(value.cancel_wait(Task(3), 8), Poll::Pending);
    assert!(value.notify(8, 9).0.is_empty());
    assert_eq!(tier.deleted(value.key()).0, [Task(4)], "there is nothing left to wait for");
}

/// A ping-pong over one word: if a notification were lost between the look at the word and the
/// place in the queue, a side would wait for good.
#[test]
fn no_wake_up_is_lost() {
    const ROUNDS: u32 = 30_000;
    let (_tier, value) = value();
    let woken = [AtomicU32::new(0), AtomicU32::new(0)];
    std::thread::scope(|scope| {
        for side in 0..2_u32 {
            let (value, woken) = (&value, &woken);
            scope.spawn(move || {
                let mut faaslet = Faaslet::new(u128::from(side));
                let mapped = faaslet.map(value, 0, 4096, MapMode::Write);
                for round in (side..2 * ROUNDS).step_by(2) {
                    while faaslet.load(mapped.addr, 4) != round.to_le_bytes() {
                        let now = faaslet.load(mapped.addr, 4);
                        let now = u32::from_le_bytes(now.try_into().unwrap());
                        if now == round {
                            break;
                        }
                        let before = woken[side as usize].load(Ordering::Acquire);
                        if value.wait(faaslet.task, 0, now).unwrap() == WaitStart::Queued {
                            let bell = &woken[side as usize];
                            while bell.load(Ordering::Acquire) == before {
                                std::thread::yield_now();
                            }
                            assert!(value.poll_wait(faaslet.task, 0).is_ready());
                        }
                    }
                    faaslet.store(mapped.addr, &(round + 1).to_le_bytes());
                    for task in value.notify(0, u32::MAX) {
                        woken[task.0 as usize].fetch_add(1, Ordering::Release);
                    }
                }
                let _ = faaslet.unmap(value, mapped);
            });
        }
    });
    let mut word = [0; 4];
    let _ = value.read(0, &mut word).unwrap();
    assert_eq!(u32::from_le_bytes(word), 2 * ROUNDS);
}
