//! Slots and queues: concurrency, room for others, cancelling, replacing, making ahead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use faaslet_abi::Outcome;
use faaslet_snapshot::dirty::Pagemap;

use super::{Bench, Said, call, guest, returned, text};
use crate::cell::worker::MAX_QUEUED_CALLS;
use crate::cell::worker::{Origin, Worker};
use crate::cell::{Call, Limits, Mode, Refusal};

/// Yields as often as its first byte says, then answers "done".
const YIELDS: &str = r#"(module
  (import "faaslet_v1" "input_read" (func $in (param i32 i32 i32) (result i32)))
  (import "faaslet_v1" "output_set" (func $out (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (memory 1) (data (i32.const 16) "done")
  (func (export "faaslet_main") (result i32) (local $n i32)
    (drop (call $in (i32.const 0) (i32.const 0) (i32.const 1)))
    (local.set $n (i32.load8_u (i32.const 0)))
    (block $end (loop $again
      (br_if $end (i32.eqz (local.get $n)))
      (drop (call $yield))
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br $again)))
    (call $out (i32.const 16) (i32.const 4))))"#;

/// A function that yields, with this concurrency.
fn yielding(bench: &mut Bench, name: &str, concurrency: usize) -> u32 {
    bench.add_text(name, YIELDS, Limits { concurrency, ..Limits::default() })
}

fn answers(bench: &mut Bench, count: usize) -> Vec<(u64, Outcome)> {
    (0..count).map(|_| bench.next()).map(|(number, answer)| (number, answer.outcome)).collect()
}

#[test]
fn calls_over_the_concurrency_wait_in_order_and_all_are_answered() {
    let mut bench = Bench::new(8);
    let function = yielding(&mut bench, "y", 2);
    for number in 0..50 {
        bench.submit(function, number, call(&[3]));
    }
    let counts = bench.worker.counts();
    assert_eq!((counts.running, counts.queued), (2, 48));
    let order = answers(&mut bench, 50);
    assert!(order.iter().all(|(_, outcome)| *outcome == Outcome::Returned));
    assert!(order.iter().map(|(number, _)| *number).is_sorted(), "{order:?}");
    bench.settle();
    assert_eq!((bench.worker.counts().slots, bench.worker.counts().queued), (2, 0));
    bench.assert_clean();
}

#[test]
fn the_concurrency_holds_over_all_workers_and_a_turn_goes_to_the_one_that_waits() {
    let mut bench = Bench::new(8);
    let module = wat::parse_str(YIELDS).unwrap();
    let limits = Limits { concurrency: 1, ..Limits::default() };
    let mut function = bench.function("y", &module, limits).unwrap();
    function.set_workers(2);
    let function = Arc::new(function);
    let pagemap = Arc::new(Pagemap::open());
    let mut workers = [0, 1].map(|number| Worker::new(number, &pagemap, 8, Said::default()));
    for worker in &mut workers {
        worker.add(Arc::clone(&function));
    }
    let [first, second] = &mut workers;
    for (number, worker) in [(1, &mut *first), (2, &mut *second)] {
        worker.submit(function.number, call(&[3]), Origin::Outside(number));
    }
    first.submit(function.number, call(&[3]), Origin::Outside(3));
    assert_eq!((first.counts().running, first.counts().queued), (1, 1));
    assert_eq!((second.counts().running, second.counts().queued), (0, 1), "one at a time");
    while first.turn() {}
    assert_eq!(first.outside().answers.len(), 1, "the second one has to wait for the other worker");
    assert_eq!(std::mem::take(&mut first.outside().turns), [1]);
    second.turn_came(&function);
    while second.turn() {}
    assert_eq!(second.outside().answers.len(), 1);
    assert_eq!(second.outside().turns, [0]);
    first.turn_came(&function);
    while first.turn() {}
    assert_eq!(first.outside().answers.len(), 2);
    // A turn that comes to a worker whose call has gone goes on.
    first.submit(function.number, call(&[3]), Origin::Outside(4));
    second.submit(function.number, call(&[3]), Origin::Outside(5));
    second.cancel(5);
    while first.turn() {}
    second.turn_came(&function);
    first.submit(function.number, call(&[0]), Origin::Outside(6));
    while first.turn() {}
    assert_eq!(first.outside().answers.len(), 4);
}

#[test]
fn a_full_queue_refuses_at_once_and_says_so() {
    let mut bench = Bench::new(8);
    let function = yielding(&mut bench, "y", 1);
    for number in 0..=MAX_QUEUED_CALLS as u64 + 1 {
        bench.submit(function, number, call(&[1]));
    }
    let (number, answer) = bench.worker.outside().answers.pop_front().unwrap();
    assert_eq!((number, answer.outcome), (MAX_QUEUED_CALLS as u64 + 1, Outcome::Refused));
    let said = text(&answer);
    assert!(
        said.contains("at most 1 of this function, 8 in all") && said.contains("try again"),
        "{said}"
    );
    let rest = answers(&mut bench, MAX_QUEUED_CALLS + 1);
    assert!(rest.iter().all(|(_, outcome)| *outcome == Outcome::Returned));
}

#[test]
fn calls_that_wait_past_their_deadline_are_answered_in_time_and_the_others_run() {
    let mut bench = Bench::with(&["loop"]);
    bench.tick();
    let function = yielding(&mut bench, "y", 1);
    let late = Instant::now() + Duration::from_millis(30);
    bench.worker.add(Arc::clone(&bench.functions[0]));
    bench.submit(function, 1, call(&[255]));
    for number in 2..5 {
        bench.submit(function, number, Call { deadline: late, ..call(&[0]) });
    }
    bench.submit(function, 5, call(&[0]));
    // Time passes, and the one that runs does not.
    bench.worker.fire(late);
    let expired: Vec<_> = bench.worker.outside().answers.drain(..).collect();
    let outcomes: Vec<_> =
        expired.iter().map(|(number, answer)| (*number, answer.outcome)).collect();
    assert_eq!(outcomes, [2, 3, 4].map(|number| (number, Outcome::TimedOut)));
    assert!(text(&expired[0].1).contains("waited for a slot"));
    assert_eq!(answers(&mut bench, 2), [(1, Outcome::Returned), (5, Outcome::Returned)]);
    assert_eq!(bench.worker.counts().queued, 0);
}

#[test]
fn a_queued_call_of_the_other_way_in_gets_the_slot_that_becomes_free() {
    let mut bench = Bench::new(8);
    let function = yielding(&mut bench, "y", 1);
    for (number, mode) in [Mode::Fork, Mode::Fresh, Mode::Fork, Mode::Fresh].into_iter().enumerate()
    {
        bench.submit(function, number as u64, Call { mode, ..call(&[2]) });
    }
    let order = answers(&mut bench, 4);
    assert_eq!(order, [0, 1, 2, 3].map(|number| (number, Outcome::Returned)));
    bench.settle();
    assert_eq!(bench.worker.counts().slots, 1);
}

#[test]
fn a_function_without_a_slot_gets_one_of_another_s_when_it_is_idle_or_becomes_so() {
    let mut bench = Bench::new(2);
    let (one, two) = (yielding(&mut bench, "one", 8), yielding(&mut bench, "two", 8));
    for number in [1, 2] {
        bench.submit(one, number, call(&[5]));
    }
    bench.submit(two, 3, call(&[1]));
    assert_eq!(bench.worker.counts().queued, 1, "all slots are busy");
    assert_eq!(answers(&mut bench, 3).len(), 3);
    bench.settle();
    // Both are idle now; a call of either takes what it needs.
    for (function, number) in [(two, 4), (two, 5), (one, 6), (two, 7)] {
        bench.submit(function, number, call(&[0]));
    }
    assert!(answers(&mut bench, 4).iter().all(|(_, outcome)| *outcome == Outcome::Returned));
    bench.settle();
    assert_eq!((bench.worker.counts().slots, bench.worker.counts().queued), (2, 0));
    bench.assert_clean();
}

#[test]
fn a_function_with_much_to_do_does_not_keep_others_from_a_slot() {
    let mut bench = Bench::new(1);
    let (busy, other) = (yielding(&mut bench, "busy", 8), yielding(&mut bench, "other", 8));
    for number in 0..500 {
        bench.submit(busy, number, call(&[0]));
    }
    bench.submit(other, 1000, call(&[0]));
    let order = answers(&mut bench, 501);
    let place = order.iter().position(|(number, _)| *number == 1000).unwrap();
    assert!(place < 100, "answered as number {place} of 501");
}

#[test]
fn a_cancelled_call_ends_whether_it_runs_waits_or_is_queued() {
    let mut bench = Bench::with(&["loop"]);
    bench.tick();
    let sleeps = r#"(module
      (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory 1)
      (func (export "faaslet_main") (result i32)
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 3600000000000))
        (call $poll (i32.const 0) (i32.const 104) (i32.const 1) (i32.const 200))))"#;
    let sleeps = bench.add_text("sleeps", sleeps, Limits { concurrency: 1, ..Limits::default() });
    // Before its first turn, running, suspended.
    for (function, turns) in [(0, 0), (0, 3), (sleeps, 0), (sleeps, 3)] {
        bench.submit(function, 1, call(b""));
        for _ in 0..turns {
            bench.turn();
        }
        bench.worker.cancel(1);
        let (number, answer) = bench.next();
        assert_eq!((number, answer.outcome), (1, Outcome::TimedOut), "{}", text(&answer));
        assert!(text(&answer).contains("cancelled"), "{}", text(&answer));
        bench.settle();
    }
    // Queued: answered too, as whoever counts this worker's calls counts it out by its answer.
    bench.submit(sleeps, 1, call(b""));
    bench.submit(sleeps, 2, call(b""));
    bench.worker.cancel(2);
    assert_eq!(bench.worker.counts().queued, 0);
    let (number, answer) = bench.worker.outside().answers.pop_front().unwrap();
    assert_eq!((number, answer.refusal), (2, Some(Refusal::Cancelled)), "{}", text(&answer));
    bench.worker.cancel(1);
    assert_eq!(bench.next().0, 1);
    bench.settle();
    // One that never was, or has ended: nothing happens.
    bench.worker.cancel(77);
    bench.worker.cancel(1);
    assert_eq!(bench.worker.counts().running, 0);
    bench.assert_clean();
}

#[test]
fn a_replaced_function_ends_its_calls_and_the_new_one_serves_the_next() {
    let mut bench = Bench::new(8);
    let old = yielding(&mut bench, "f", 1);
    for number in [1, 2, 3] {
        bench.submit(old, number, call(&[9]));
    }
    bench.turn();
    let new = bench.add("f", &guest("echo"), Limits::default());
    bench.worker.remove(old);
    bench.submit(new, 4, call(b"new"));
    let mut ended = answers(&mut bench, 4);
    ended.sort_unstable_by_key(|(number, _)| *number);
    assert_eq!(ended, [1, 2, 3, 4].map(|number| (number, Outcome::Returned)));
    bench.settle();
    assert_eq!(bench.worker.counts().slots, 1, "the old one's slots are gone");
    bench.submit(old, 5, call(&[0]));
    let (_, answer) = bench.next();
    assert_eq!(answer.outcome, Outcome::Refused, "and so is it: {}", text(&answer));
    // Chained calls by name reach the new one.
    let caller = bench.add("caller", &guest("chain"), Limits::default());
    bench.worker.remove(new);
    bench.add("x-child", &guest("echo"), Limits::default());
    assert_eq!(returned(&bench.run(caller, call(b"nxhello"))), "0hello");
    bench.assert_clean();
}

#[test]
fn slots_are_made_ahead_as_many_as_there_is_room_for() {
    let mut bench = Bench::new(5);
    let function = yielding(&mut bench, "y", 3);
    let other = yielding(&mut bench, "other", 8);
    assert_eq!(bench.worker.prewarm(function, 2), 2);
    bench.settle();
    assert_eq!((bench.worker.counts().slots, bench.worker.counts().idle), (2, 2));
    assert_eq!(bench.worker.prewarm(function, 10), 1, "its concurrency");
    assert_eq!(bench.worker.prewarm(other, 10), 2, "all slots");
    assert_eq!(bench.worker.prewarm(99, 1), 0, "no such function");
    bench.settle();
    assert_eq!((bench.worker.counts().slots, bench.worker.counts().idle), (5, 5));
    for number in 0..8 {
        bench.submit(function, number, call(&[1]));
    }
    assert_eq!(answers(&mut bench, 8).len(), 8);
    assert_eq!(bench.worker.counts().slots, 5);
    bench.assert_clean();
}

#[test]
fn timers_are_as_few_as_what_waits() {
    let mut bench = Bench::new(4);
    let function = yielding(&mut bench, "y", 1);
    for number in 0..1000 {
        bench.submit(function, number, call(&[0]));
    }
    assert_eq!(answers(&mut bench, 1000).len(), 1000);
    bench.settle();
    assert!(bench.worker.timers() <= 1, "{} timers", bench.worker.timers());
}

#[test]
fn a_short_call_waits_for_a_slice_of_each_call_before_it_and_no_more() {
    const LOOPS: u64 = 6;
    let mut bench = Bench::with(&["loop", "echo"]);
    // Warm, so that what is counted is slices alone.
    bench.run(1, call(b""));
    bench.tick();
    for number in 0..LOOPS {
        bench.submit(0, number, call(b""));
    }
    for _ in 0..10 {
        bench.submit(1, 100, call(b"short"));
        let mut slices = 0;
        while bench.worker.outside().answers.is_empty() {
            assert!(bench.worker.turn());
            slices += 1;
        }
        // A slice of each loop, and its own; its slot's way back may come before.
        assert!(slices <= LOOPS + 2, "{slices} slices of {LOOPS} loops");
        assert_eq!(returned(&bench.worker.outside().answers.pop_front().unwrap().1), "short");
    }
    (0..LOOPS).for_each(|number| bench.worker.cancel(number));
    for _ in 0..LOOPS {
        assert_eq!(bench.next().1.outcome, Outcome::TimedOut);
    }
}
