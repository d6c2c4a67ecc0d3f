//! What goes wrong in one call and must cost that call alone.

use std::time::Instant;

use faaslet_abi::{IMPORT_MODULE, Outcome, import};
use wasmtime::Caller;

use super::{Bench, call, call_export, returned, text};
use crate::cell::host::Host;
use crate::cell::{Call, Limits, Mode};

/// Writes a byte, then asks for its input's length, which in these tests makes the host panic.
const ASKS: &str = r#"(module
  (import "faaslet_v1" "input_len" (func $input_len (result i32)))
  (import "faaslet_v1" "output_set" (func $out (param i32 i32) (result i32)))
  (import "faaslet_v1" "call_export" (func $call (param i32 i32 i32 i32) (result i32)))
  (import "faaslet_v1" "await" (func $await (param i32 i64) (result i32)))
  (memory 1) (data (i32.const 0) "0asks")
  (func $touch (result i32)
    (i32.store8 (i32.const 0) (i32.add (i32.load8_u (i32.const 0)) (i32.const 1)))
    (call $out (i32.const 0) (i32.const 1)))
  (func (export "asks") (result i32) (drop (call $touch)) (drop (call $input_len)) (i32.const 0))
  (func (export "parent") (result i32)
    (i32.store8 (i32.const 0)
      (i32.add (i32.const 48) (call $await
        (call $call (i32.const 1) (i32.const 4) (i32.const 0) (i32.const 0)) (i64.const -1))))
    (call $out (i32.const 0) (i32.const 1)))
  (func (export "faaslet_main") (result i32) (call $touch)))"#;

/// A bench whose host panics when it is asked for the length of the input.
fn panicky() -> Bench {
    let mut bench = Bench::new(8);
    bench.linker.allow_shadowing(true);
    let panics = |_: Caller<'_, Host>| -> i32 { panic!("this is a test of panics") };
    bench.linker.func_wrap(IMPORT_MODULE, import::INPUT_LEN, panics).unwrap();
    bench.add_text("asks", ASKS, Limits::default());
    bench
}

#[test]
fn a_panic_of_the_host_costs_that_call_and_its_slot() {
    let mut bench = panicky();
    for mode in [Mode::Fork, Mode::Fork, Mode::Fresh, Mode::Fork] {
        let answer = bench.run(0, Call { mode, ..call_export("asks", b"") });
        assert_eq!(answer.outcome, Outcome::Lost, "{}", text(&answer));
        assert!(text(&answer).contains("this is a test of panics"), "{}", text(&answer));
        assert_eq!(returned(&bench.run(0, Call { mode, ..call(b"") })), "1");
    }
    assert_eq!(bench.worker.counts().running, 0);
    bench.assert_clean();
}

#[test]
fn a_parent_learns_that_its_child_met_a_panic() {
    let mut bench = panicky();
    assert_eq!(returned(&bench.run(0, call_export("parent", b""))), "5", "Lost");
    bench.assert_clean();
}

/// Recurses to the end of its stack with host calls on the way, at a depth that the host does not
/// choose.
const DEEP: &str = r#"(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "faaslet_v1" "log" (func $log (param i32 i32 i32) (result i32)))
  (import "faaslet_v1" "response_header" (func $header (param i32 i32 i32 i32) (result i32)))
  (import "faaslet_v1" "call_export" (func $call (param i32 i32 i32 i32) (result i32)))
  (import "faaslet_v1" "await" (func $await (param i32 i64) (result i32)))
  (memory 4) (data (i32.const 0) "\10\00\00\00\05\00\00\00") (data (i32.const 16) "noop\n")
  (func (export "noop"))
  (func $deep (param $pad v128) (param $at i32) (result i32)
    (local v128 v128)
    (i64.store (i32.add (i32.const 4096) (i32.and (local.get $at) (i32.const 0xfff8))) (i64.const -1))
    (drop (call $random (i32.const 64) (i32.const 8)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 4) (i32.const 0)
      (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 40)))
    (drop (call $log (i32.const 2) (i32.const 16) (i32.const 4)))
    (drop (call $header (i32.const 16) (i32.const 4) (i32.const 16) (i32.const 4)))
    (if (i32.eqz (i32.and (local.get $at) (i32.const 1023)))
      (then (drop (call $await
        (call $call (i32.const 16) (i32.const 4) (i32.const 0) (i32.const 0)) (i64.const -1)))))
    (i32.add (i32.const 1) (call $deep (local.get $pad) (i32.add (local.get $at) (i32.const 1)))))
  (func (export "faaslet_main") (result i32) (call $deep (v128.const i64x2 0 0) (i32.const 0))))"#;

#[test]
fn a_stack_that_overflows_between_host_calls_is_a_trap() {
    let mut bench = Bench::new(8);
    let function = bench.add_text("deep", DEEP, Limits::default());
    for mode in [Mode::Fork, Mode::Fork, Mode::Fresh] {
        let answer = bench.run(function, Call { mode, ..call(b"") });
        assert_eq!(answer.outcome, Outcome::Trapped, "{}", text(&answer));
        assert!(text(&answer).contains("call stack exhausted"), "{}", text(&answer));
    }
    bench.assert_clean();
}

#[test]
fn an_after_restore_that_fails_fails_its_call_and_no_other() {
    let text_of = r#"(module
      (import "faaslet_v1" "input_len" (func $input_len (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory 1) (global $n (mut i32) (i32.const 0))
      (func (export "faaslet_after_restore")
        (if (global.get $n) (then (loop $l (br $l))))
        (global.set $n (i32.const 1))
        (i32.store (i32.const 4096) (i32.const 7))
        (if (i32.eq (call $input_len) (i32.const 1)) (then unreachable))
        (if (i32.eq (call $input_len) (i32.const 2)) (then (call $exit (i32.const 9)))))
      (func (export "faaslet_main")))"#;
    let mut bench = Bench::new(8);
    bench.tick();
    let function = bench.add_text("after", text_of, Limits::default());
    for _ in 0..3 {
        let trapped = bench.run(function, call(b"1"));
        assert_eq!(trapped.outcome, Outcome::Trapped, "{}", text(&trapped));
        let exited = bench.run(function, call(b"22"));
        assert_eq!(exited.outcome, Outcome::Failed, "{}", text(&exited));
        returned(&bench.run(function, call(b"333")));
    }
    bench.assert_clean();
}

#[test]
fn a_call_whose_time_is_up_before_it_begins_ends_at_once() {
    let mut bench = Bench::with(&["loop"]);
    bench.tick();
    let answer = bench.run(0, Call { deadline: Instant::now(), ..call(b"") });
    assert_eq!(answer.outcome, Outcome::TimedOut);
}
