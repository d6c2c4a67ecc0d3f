//! Limits of a function, each hit on purpose: what the guest sees, what the caller is told.

use std::time::{Duration, Instant};

use faaslet_abi::Outcome;

use super::{Bench, call, call_export, guest, returned, text};
use crate::cell::{Call, Limits, Mode};

const MIB: usize = 1 << 20;

fn pages(bench: &mut Bench, function: u32, mode: Mode) -> u32 {
    let answer = bench.run(function, Call { mode, ..call(b"") });
    returned(&answer);
    u32::from_le_bytes(answer.body[..4].try_into().unwrap())
}

#[test]
fn memory_grows_to_the_function_s_limit_in_every_fork_and_fresh() {
    let mut bench = Bench::new(8);
    let limits = |memory_bytes| Limits { memory_bytes, ..Limits::default() };
    let small = bench.add("small", &guest("eat"), limits(3 * MIB));
    let odd = bench.add("odd", &guest("eat"), limits(3 * MIB + 70_000));
    let own = wat::parse_str(
        r#"(module (import "faaslet_v1" "output_set" (func $out (param i32 i32) (result i32)))
        (memory 1 5) (func (export "faaslet_main") (result i32)
            (loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
            (i32.store (i32.const 0) (memory.size))
            (call $out (i32.const 0) (i32.const 4))))"#,
    );
    let own = bench.add("own", &own.unwrap(), limits(3 * MIB));
    for mode in [Mode::Fork, Mode::Fresh, Mode::Fork, Mode::Fork] {
        assert_eq!(pages(&mut bench, small, mode), 48);
        assert_eq!(pages(&mut bench, odd, mode), 49);
        assert_eq!(pages(&mut bench, own, mode), 5, "the module's own maximum");
    }
    bench.assert_clean();
}

#[test]
fn a_trap_for_lack_of_memory_names_the_limit() {
    let mut bench = Bench::new(8);
    let limits = Limits { memory_bytes: 2 * MIB, ..Limits::default() };
    let text_of = r#"(module (memory 1) (func (export "faaslet_main")
        (if (i32.eq (memory.grow (i32.const 32)) (i32.const -1)) (then unreachable))))"#;
    let function = bench.add_text("needs-more", text_of, limits);
    let answer = bench.run(function, call(b""));
    assert_eq!(answer.outcome, Outcome::Trapped);
    let said = text(&answer);
    assert!(said.contains("could not grow past 2 MiB") && said.contains("--memory"), "{said}");
    let other = bench.add("other", &guest("trap"), limits);
    let said = text(&bench.run(other, call(b"u")));
    assert!(!said.contains("could not grow"), "{said}");
}

#[test]
fn tables_grow_so_far_together_and_no_further() {
    let text_of = r#"(module
      (import "faaslet_v1" "output_append" (func $out (param i32 i32) (result i32)))
      (memory 1) (table $a 10 funcref) (table $b 10 externref)
      (func $say (param i32)
        (i32.store (i32.const 0) (local.get 0)) (drop (call $out (i32.const 0) (i32.const 4))))
      (func (export "faaslet_main")
        (call $say (table.grow $a (ref.null func) (i32.const 500000000)))
        (call $say (table.grow $a (ref.null func) (i32.const 1500000)))
        (call $say (table.grow $b (ref.null extern) (i32.const 1500000)))
        (call $say (table.grow $b (ref.null extern) (i32.const 400000)))))"#;
    let mut bench = Bench::new(8);
    let function = bench.add_text("tables", text_of, Limits::default());
    for mode in [Mode::Fork, Mode::Fresh, Mode::Fork] {
        let answer = bench.run(function, Call { mode, ..call(b"") });
        returned(&answer);
        let words: Vec<_> = answer
            .body
            .chunks(4)
            .map(|word| i32::from_le_bytes(word.try_into().unwrap()))
            .collect();
        assert_eq!(words, [-1, 10, -1, 10], "{mode:?}");
    }
    bench.assert_clean();
}

/// Grows by what is asked, all at once.
const GROWS: &str = r#"(module
  (import "faaslet_v1" "input_read" (func $in (param i32 i32 i32) (result i32)))
  (import "faaslet_v1" "output_set" (func $out (param i32 i32) (result i32)))
  (memory 2)
  (func (export "faaslet_main") (result i32)
    (drop (call $in (i32.const 0) (i32.const 0) (i32.const 4)))
    (i32.store (i32.const 4) (memory.grow (i32.load (i32.const 0))))
    (i32.store (i32.const 8) (memory.size))
    (call $out (i32.const 4) (i32.const 8))))"#;

#[test]
fn growth_by_any_number_is_granted_or_refused_and_the_size_tells_the_truth() {
    let mut bench = Bench::new(8);
    let limits = Limits { memory_bytes: 64 * MIB, ..Limits::default() };
    let function = bench.add_text("grows", GROWS, limits);
    let last = 64 * MIB as u32 / 65536 - 2;
    for (delta, old, size) in [
        (0, 2, 2),
        (1, 2, 3),
        (last, 2, last + 2),
        (last + 1, u32::MAX, 2),
        (49_152, u32::MAX, 2),
        (65_534, u32::MAX, 2),
        (65_535, u32::MAX, 2),
        (65_536, u32::MAX, 2),
        (0x7fff_ffff, u32::MAX, 2),
        (u32::MAX, u32::MAX, 2),
    ] {
        let answer = bench.run(function, call(&u32::to_le_bytes(delta)));
        returned(&answer);
        let word = |at: usize| u32::from_le_bytes(answer.body[at..at + 4].try_into().unwrap());
        assert_eq!((word(0), word(4)), (old, size), "grown by {delta}");
    }
    bench.assert_clean();
}

#[test]
fn output_over_its_limit_is_refused_and_what_was_there_stays() {
    let mut bench = Bench::new(8);
    let text_of = r#"(module
      (import "faaslet_v1" "output_append" (func $append (param i32 i32) (result i32)))
      (import "faaslet_v1" "output_set" (func $set (param i32 i32) (result i32)))
      (memory 2) (data (i32.const 0) "0123456789abcdef")
      (func (export "faaslet_main") (result i32)
        (if (call $append (i32.const 0) (i32.const 10)) (then (return (i32.const 1))))
        (if (i32.ne (i32.const -4) (call $append (i32.const 0) (i32.const 7))) (then (return (i32.const 2))))
        (if (i32.ne (i32.const -4) (call $set (i32.const 0) (i32.const 17))) (then (return (i32.const 3))))
        (if (i32.ne (i32.const -1) (call $set (i32.const 0) (i32.const -1))) (then (return (i32.const 4))))
        (if (call $append (i32.const 10) (i32.const 6)) (then (return (i32.const 5))))
        (i32.ne (i32.const -4) (call $append (i32.const 0) (i32.const 1)))))"#;
    let limits = Limits { output_bytes: 16, ..Limits::default() };
    let function = bench.add_text("output", text_of, limits);
    assert_eq!(returned(&bench.run(function, call(b""))), "0123456789abcdef");
}

#[test]
fn a_command_s_output_over_its_limit_is_refused_as_a_full_disk() {
    let mut bench = Bench::new(8);
    let limits = Limits { output_bytes: 100_000, ..Limits::default() };
    let command = bench.add("command", &guest("command"), limits);
    let input = vec![7; 65_536];
    assert_eq!(bench.run(command, call(&input)).body, input);
    let long = bench.run(command, call(&vec![7; 200_000]));
    assert_eq!(
        (long.outcome, long.body.len()),
        (Outcome::Returned, 65_536),
        "it stops when it cannot write"
    );
}

/// Calls itself until it is refused; answers how deep it got, as a byte, and the status.
const RECURSES: &str = r#"(module
  (import "faaslet_v1" "call" (func $call (param i32 i32 i32 i32) (result i32)))
  (import "faaslet_v1" "await" (func $await (param i32 i64) (result i32)))
  (import "faaslet_v1" "result_read" (func $result (param i32 i32 i32 i32) (result i32)))
  (import "faaslet_v1" "identity" (func $identity (param i32) (result i32)))
  (import "faaslet_v1" "output_set" (func $out (param i32 i32) (result i32)))
  (memory 1) (data (i32.const 0) "recurses")
  (func (export "faaslet_main") (result i32)
    (local $handle i32)
    (local.set $handle (call $call (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 0)))
    (if (i32.lt_s (local.get $handle) (i32.const 0))
      (then
        (drop (call $identity (i32.const 64)))
        (i32.store offset=4 (i32.const 84) (local.get $handle))
        (return (call $out (i32.const 84) (i32.const 8)))))
    (if (call $await (local.get $handle) (i64.const -1)) (then (return (i32.const 1))))
    (drop (call $result (local.get $handle) (i32.const 0) (i32.const 100) (i32.const 8)))
    (call $out (i32.const 100) (i32.const 8))))"#;

#[test]
fn a_chain_ends_at_its_depth_and_a_parent_never_waits_for_a_slot() {
    let mut bench = Bench::new(100);
    let function = bench.add_text("recurses", RECURSES, Limits::default());
    let answer = bench.run(function, call(b""));
    returned(&answer);
    let word = |at: usize| i32::from_le_bytes(answer.body[at..at + 4].try_into().unwrap());
    assert_eq!((word(0), word(4)), (63, -9), "64 calls, then TooDeep");
    // With fewer slots than depth the last one is refused at once: nobody waits for a slot that
    // waits for him.
    let mut bench = Bench::new(10);
    let function = bench.add_text("recurses", RECURSES, Limits::default());
    let answer = bench.run(function, call(b""));
    assert_eq!(answer.outcome, Outcome::Failed, "not at its deadline: {}", text(&answer));
    bench.assert_clean();
}

#[test]
fn a_deadline_stops_a_call_wherever_it_is_and_its_slot_is_made_anew() {
    let mut bench = Bench::with(&["loop"]);
    bench.tick();
    let sleeps = r#"(module
      (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory 1)
      (func (export "faaslet_main") (result i32)
        ;; one subscription: the monotonic clock, in an hour
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 3600000000000))
        (call $poll (i32.const 0) (i32.const 104) (i32.const 1) (i32.const 200))))"#;
    let sleeps = bench.add_text("sleeps", sleeps, Limits::default());
    let after = r#"(module (memory 1)
      (func (export "faaslet_after_restore") (loop $l (br $l))) (func (export "faaslet_main")))"#;
    let after = bench.add_text("after", after, Limits::default());
    for function in [0, sleeps, after] {
        for _ in 0..3 {
            let soon = Instant::now() + Duration::from_millis(30);
            let answer = bench.run(function, Call { deadline: soon, ..call(b"") });
            assert_eq!(answer.outcome, Outcome::TimedOut, "{function}: {}", text(&answer));
            assert!(text(&answer).contains("deadline"), "{}", text(&answer));
        }
    }
    assert_eq!(bench.worker.counts().running, 0);
    bench.assert_clean();
}

#[test]
fn entries_that_do_not_exist_fail_that_call_alone() {
    let mut bench = Bench::with(&["noop"]);
    for name in ["nothing", "faaslet:boot", "memory", ""] {
        let answer = bench.run(0, call_export(name, b""));
        assert_eq!(answer.outcome, Outcome::Trapped, "{name}: {}", text(&answer));
        assert!(text(&answer).contains("entry"), "{}", text(&answer));
    }
    returned(&bench.run(0, call(b"")));
}
