;; Counts its calls in state: one is merged into a sum, and pushed, and what the owner says the sum
;; is then is the output, as one digit.
(module $tally
  (import "faaslet_v1" "state_open" (func $open (param i32 i32 i32) (result i32)))
  (import "faaslet_v1" "state_merge" (func $merge (param i32 i64 i32 i32) (result i32)))
  (import "faaslet_v1" "state_push" (func $push (param i32 i64 i64 i32 i32) (result i32)))
  (import "faaslet_v1" "state_pull" (func $pull (param i32 i64 i64) (result i32)))
  (import "faaslet_v1" "state_read" (func $read (param i32 i64 i32 i32) (result i32)))
  (import "faaslet_v1" "state_error" (func $why (param i32 i32) (result i32)))
  (import "faaslet_v1" "output_set" (func $output_set (param i32 i32) (result i32)))
  (import "faaslet_v1" "error_set" (func $error_set (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "tally")
  ;; A spec: 4096 bytes at most of 64-bit numbers, merged by their sum.
  (data (i32.const 128) "\00\10\00\00\00\00\00\00\04\01")
  (data (i32.const 192) "\01\00\00\00\00\00\00\00")
  (func $check (param $status i32)
    (if (i32.lt_s (local.get $status) (i32.const 0)) (then
      (drop (call $error_set (i32.const 256) (call $why (i32.const 256) (i32.const 512))))
      (global.set $failed (i32.const 1)))))
  (global $failed (mut i32) (i32.const 0))
  (func $main (export "faaslet_main") (result i32) (local $tally i32)
    (local.set $tally (call $open (i32.const 64) (i32.const 5) (i32.const 128)))
    (call $check (local.get $tally))
    (call $check (call $merge (local.get $tally) (i64.const 0) (i32.const 192) (i32.const 8)))
    (call $check
      (call $push (local.get $tally) (i64.const 0) (i64.const -1) (i32.const 0) (i32.const 0)))
    (call $check (call $pull (local.get $tally) (i64.const 0) (i64.const -1)))
    (call $check (call $read (local.get $tally) (i64.const 0) (i32.const 200) (i32.const 8)))
    (i32.store8 (i32.const 200) (i32.add (i32.load8_u (i32.const 200)) (i32.const 48)))
    (drop (call $output_set (i32.const 200) (i32.const 1)))
    (global.get $failed)))
