//! Calls from function to function: fan-out, waiting, forgetting, and who outlives whom.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use faaslet_abi::Outcome;

use super::{Bench, built, call, call_export, returned, text};
use crate::cell::{Answer, Call, Entry, Limits, Mode};

/// What the tests do with handles; each export answers one word, or several.
const PARENT: &str = r#"(module
  (import "faaslet_v1" "input_len" (func $input_len (result i32)))
  (import "faaslet_v1" "call" (func $call (param i32 i32 i32 i32) (result i32)))
  (import "faaslet_v1" "await" (func $await (param i32 i64) (result i32)))
  (import "faaslet_v1" "result_len" (func $len (param i32) (result i32)))
  (import "faaslet_v1" "result_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "faaslet_v1" "release" (func $release (param i32) (result i32)))
  (import "faaslet_v1" "output_append" (func $out (param i32 i32) (result i32)))
  (memory 2) (data (i32.const 0) "child") (data (i32.const 64) "input of the child")
  (func $child (result i32)
    (call $call (i32.const 0) (i32.const 5) (i32.const 64) (i32.const 18)))
  (func $say (param i32)
    (i32.store (i32.const 32) (local.get 0))
    (drop (call $out (i32.const 32) (i32.const 4))))
  ;; As many calls as it gets, then waits for all and answers how many, and the last status.
  (func (export "fan") (local $n i32) (local $status i32) (local $at i32)
    (block $full (loop $more
      (local.set $status (call $child))
      (br_if $full (i32.lt_s (local.get $status) (i32.const 0)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br $more)))
    (call $say (local.get $n)) (call $say (local.get $status))
    (local.set $at (i32.const 1))
    (loop $each
      (call $say (call $await (local.get $at) (i64.const -1)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $each (i32.le_u (local.get $at) (local.get $n)))))
  (func (export "await_zero") (local $h i32)
    (local.set $h (call $child))
    (call $say (call $len (local.get $h)))
    (call $say (call $await (local.get $h) (i64.const 0)))
    (call $say (call $await (local.get $h) (i64.const 20)))
    (call $say (call $release (local.get $h)))
    (call $say (call $release (local.get $h)))
    (call $say (call $await (local.get $h) (i64.const -1))))
  (func (export "await_twice") (local $h i32)
    (local.set $h (call $child))
    (call $say (call $await (local.get $h) (i64.const 0x7fffffffffffffff)))
    (call $say (call $await (local.get $h) (i64.const 0)))
    (call $say (call $len (local.get $h)))
    (call $say (call $read (local.get $h) (i32.const 3) (i32.const 4096) (i32.const 100)))
    (call $say (call $read (local.get $h) (i32.const 99) (i32.const 4096) (i32.const 100)))
    (call $say (call $release (local.get $h)))
    (call $say (call $len (local.get $h))))
  (func (export "await_for_ever") (call $say (call $await (call $child) (i64.const -1))))
  (func (export "forget") (call $say (call $release (call $child))))
  (func (export "leave") (call $say (call $child)))
  (func (export "forget_many") (local $h i32)
    (loop $more
      (local.set $h (call $child))
      (if (i32.lt_s (local.get $h) (i32.const 0)) (then (call $say (local.get $h)) (return)))
      (drop (call $release (local.get $h)))
      (br $more)))
  (func (export "faaslet_main")))"#;

fn words(answer: &Answer) -> Vec<i32> {
    returned(answer);
    let words =
        answer.body.chunks_exact(4).map(|word| i32::from_le_bytes(word.try_into().unwrap()));
    words.collect()
}

/// A parent as function 0, and a child that answers its input as function 1.
fn family(max_slots: usize, child: &str) -> Bench {
    let mut bench = Bench::new(max_slots);
    bench.add_text("parent", PARENT, Limits::default());
    bench.add("child", &super::guest(child), Limits::default());
    bench
}

#[test]
fn a_parent_has_1024_calls_open_and_no_more_and_each_is_answered() {
    let mut bench = family(40, "echo");
    let words = words(&bench.run(0, call_export("fan", b"")));
    assert_eq!(words[..2], [1024, -8], "Busy");
    // There are fewer slots than calls: those without are refused, at once and with a type.
    let counts = |outcome| words[2..].iter().filter(|&&word| word == outcome as i32).count();
    assert_eq!(counts(Outcome::Returned) + counts(Outcome::Refused), 1024);
    assert_eq!(counts(Outcome::Returned), 39);
    assert_eq!(bench.worker.counts().running, 0);
    bench.assert_clean();
}

#[test]
fn a_parent_holds_as_many_bytes_of_results_as_it_may() {
    let mut bench = Bench::new(1100);
    let limits = Limits { result_bytes: 10 * 18, ..Limits::default() };
    bench.add_text("parent", PARENT, limits);
    bench.add("child", &super::guest("echo"), Limits::default());
    // Twice, as what one call held must not count in the next.
    for _ in 0..2 {
        let words = words(&bench.run(0, call_export("fan", b"")));
        let of = |outcome| words[2..].iter().filter(|&&word| word == outcome as i32).count();
        assert_eq!((of(Outcome::Returned), of(Outcome::Refused)), (10, 1014));
    }
    bench.assert_clean();
}

#[test]
fn await_waits_no_longer_than_it_was_told_to() {
    let mut bench = family(8, "loop");
    bench.tick();
    let deadline = Instant::now() + Duration::from_secs(2);
    let answer = bench.run(0, Call { deadline, ..call_export("await_zero", b"") });
    assert_eq!(words(&answer), [-10, -7, -7, 0, -3, -3], "Pending, TimedOut twice, BadHandle");
    // Its child goes on, to the deadline that it has from its parent.
    bench.settle();
    assert_eq!(bench.worker.counts().running, 0);
    let mut bench = family(8, "echo");
    let answer = bench.run(0, call_export("await_twice", b""));
    assert_eq!(words(&answer), [0, 0, 18, 15, 0, 0, -3]);
    bench.assert_clean();
}

#[test]
fn a_deadline_ends_a_parent_that_waits_and_its_child() {
    let mut bench = family(8, "loop");
    bench.tick();
    for _ in 0..3 {
        let deadline = Instant::now() + Duration::from_millis(40);
        let answer = bench.run(0, Call { deadline, ..call_export("await_for_ever", b"") });
        assert_eq!(answer.outcome, Outcome::TimedOut, "{}", text(&answer));
    }
    assert_eq!(bench.worker.counts().running, 0, "the children have ended too");
    assert_eq!(bench.worker.counts().idle, 2);
    bench.assert_clean();
}

#[test]
fn a_child_runs_though_its_parent_forgets_it_or_has_ended() {
    for (export, logged) in [("forget", "0"), ("leave", "1")] {
        let mut bench = Bench::new(8);
        bench.add_text("parent", PARENT, Limits::default());
        let child = r#"(module
          (import "faaslet_v1" "log" (func $log (param i32 i32 i32) (result i32)))
          (memory 1) (data (i32.const 0) "the child ran")
          (func (export "faaslet_main") (drop (call $log (i32.const 2) (i32.const 0) (i32.const 13)))))"#;
        bench.add_text("child", child, Limits::default());
        for _ in 0..3 {
            let said = words(&bench.run(0, call_export(export, b"")));
            assert_eq!(said, [logged.parse::<i32>().unwrap()]);
        }
        assert_eq!(bench.worker.outside().logs, ["the child ran"; 3], "{export}");
        // A late answer reaches nobody, and not the next call in the parent's slot.
        let answer = bench.run(0, call_export("await_zero", b""));
        assert_eq!(words(&answer)[..2], [-10, -7]);
        bench.assert_clean();
    }
}

#[test]
fn calls_that_are_forgotten_at_once_are_bounded_too() {
    let mut bench = family(4, "echo");
    assert_eq!(words(&bench.run(0, call_export("forget_many", b""))), [-8], "Busy");
    bench.assert_clean();
}

#[test]
fn an_answer_to_an_earlier_call_of_the_slot_is_dropped() {
    let mut bench = family(8, "echo");
    bench.worker.outside().away = true;
    bench.run(0, call_export("leave", b""));
    let first = bench.worker.outside().departed.pop().unwrap();
    bench.submit(0, 7, call_export("await_for_ever", b""));
    bench.settle();
    let second = bench.worker.outside().departed.pop().unwrap();
    assert_eq!(first.parent.task, second.parent.task, "the same slot");
    let answer = |body: &str| Answer::message(Outcome::Returned, body);
    bench.worker.chained(first.parent, answer("too late"));
    bench.settle();
    assert!(bench.worker.outside().answers.is_empty(), "it still waits for its own");
    bench.worker.chained(second.parent, answer("in time"));
    bench.worker.chained(second.parent, answer("twice"));
    let (number, answer) = bench.next();
    assert_eq!((number, words(&answer)), (7, vec![0]));
    assert_eq!(second.call.depth, 1);
    assert_eq!(second.call.input, b"input of the child");
}

#[test]
fn waiting_again_and_again_leaves_one_timer() {
    let mut bench = family(8, "echo");
    let again = r#"(module
      (import "faaslet_v1" "call" (func $call (param i32 i32 i32 i32) (result i32)))
      (import "faaslet_v1" "await" (func $await (param i32 i64) (result i32)))
      (import "faaslet_v1" "release" (func $release (param i32) (result i32)))
      (memory 1) (data (i32.const 0) "child")
      (func (export "faaslet_main") (local $n i32) (local $h i32)
        (loop $more
          (local.set $h (call $call (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 0)))
          (if (call $await (local.get $h)
                (select (i64.const -1) (i64.const 50000) (i32.and (local.get $n) (i32.const 1))))
            (then unreachable))
          (drop (call $release (local.get $h)))
          (br_if $more (i32.lt_u
            (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 2000))))))"#;
    let again = bench.add_text("again", again, Limits::default());
    returned(&bench.run(again, call(b"")));
    assert!(bench.worker.timers() <= 3, "{} timers", bench.worker.timers());
    bench.assert_clean();
}

#[test]
fn chained_entries_that_are_none_are_refused_before_a_slot_is_taken() {
    let text_of = r#"(module
      (import "faaslet_v1" "call_export" (func $export (param i32 i32 i32 i32) (result i32)))
      (import "faaslet_v1" "call_table" (func $table (param i32 i32 i32) (result i32)))
      (memory 1) (table 4 funcref) (elem (i32.const 1) $takes $fine)
      (data (i32.const 0) "takes faaslet:boot memory")
      (func $takes (export "takes") (param i32))
      (func $fine)
      (func (export "faaslet_main") (result i32)
        (if (i32.ne (i32.const -5) (call $export (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 0)))
          (then (return (i32.const 1))))
        (if (i32.ne (i32.const -5) (call $export (i32.const 6) (i32.const 12) (i32.const 0) (i32.const 0)))
          (then (return (i32.const 2))))
        (if (i32.ne (i32.const -5) (call $export (i32.const 19) (i32.const 6) (i32.const 0) (i32.const 0)))
          (then (return (i32.const 3))))
        (if (i32.ne (i32.const -5) (call $table (i32.const 0) (i32.const 0) (i32.const 0)))
          (then (return (i32.const 4))))
        (if (i32.ne (i32.const -5) (call $table (i32.const 1) (i32.const 0) (i32.const 0)))
          (then (return (i32.const 5))))
        (if (i32.ne (i32.const -5) (call $table (i32.const 9) (i32.const 0) (i32.const 0)))
          (then (return (i32.const 6))))
        (i32.lt_s (call $table (i32.const 2) (i32.const 0) (i32.const 0)) (i32.const 0))))"#;
    let mut bench = Bench::new(8);
    let function = bench.add_text("entries", text_of, Limits::default());
    returned(&bench.run(function, call(b"")));
}

#[test]
fn host_drawn_random_numbers_never_repeat_and_clocks_never_go_back() {
    let mut bench = Bench::with(&["random", "clock"]);
    let (mut drawn, mut baked) = (HashSet::new(), HashSet::new());
    for number in 0..10_000 {
        // Some forks are of slots that were reset, some of new ones.
        if number % 64 == 0 {
            bench.worker.remove(0);
            bench.worker.add(std::sync::Arc::clone(&bench.functions[0]));
        }
        let answer = bench.run(0, call(b""));
        returned(&answer);
        drawn.insert(answer.body[..16].to_vec());
        baked.insert(answer.body[16..].to_vec());
    }
    assert_eq!((drawn.len(), baked.len()), (10_000, 1));
    let mut last = [0; 2];
    for number in 0..500 {
        let mode = if number % 50 == 49 { Mode::Fresh } else { Mode::Fork };
        let answer = bench.run(1, Call { mode, ..call(b"") });
        returned(&answer);
        let word = |at: usize| u64::from_le_bytes(answer.body[at..at + 8].try_into().unwrap());
        let (wall, monotonic, baked) = (word(0), word(8), [word(16), word(24)]);
        if mode == Mode::Fork {
            assert!(wall > baked[0] && monotonic >= baked[1], "before the bake: {answer:?}");
            assert!(wall >= last[0], "the wall clock went back");
            last[0] = wall;
        }
    }
}

#[test]
fn two_hash_seeds_of_one_image_are_one_and_numbers_of_forks_are_not() {
    let Some(module) = built("hashes-rs") else { return };
    let mut bench = Bench::new(8);
    let function = bench.add("hashes", &module, Limits::default());
    let (mut drawn, mut baked) = (HashSet::new(), HashSet::new());
    for _ in 0..2000 {
        let text = returned(&bench.run(function, call(b"")));
        let (new, old) = text.split_once(' ').unwrap();
        drawn.insert(new.to_owned());
        baked.insert(old.to_owned());
    }
    assert_eq!((drawn.len(), baked.len()), (2000, 1));
    bench.assert_clean();
}

#[test]
fn a_table_entry_and_an_export_are_entries_of_forks_of_their_own() {
    let mut bench = Bench::with(&["chain"]);
    let table = Call { entry: Entry::Table(2), ..call(b"x") };
    assert_eq!(returned(&bench.run(0, table)), "child:x");
    assert_eq!(returned(&bench.run(0, call_export("child", b"y"))), "child:y");
    bench.assert_clean();
}
