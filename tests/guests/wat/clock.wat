;; Answers 32 bytes, four little-endian u64 in nanoseconds: the wall clock and the monotonic clock
;; of this call, then the same two as they were at initialisation.
(module $clock
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "faaslet_v1" "output_set" (func $output_set (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $read (param $to i32) (result i32)
    (i32.or
      (call $clock_time_get (i32.const 0) (i64.const 1) (local.get $to))
      (call $clock_time_get (i32.const 1) (i64.const 1)
        (i32.add (local.get $to) (i32.const 8)))))
  (func $init (export "faaslet_init")
    (if (call $read (i32.const 16)) (then unreachable)))
  (func $main (export "faaslet_main") (result i32)
    (if (call $read (i32.const 0)) (then (return (i32.const 1))))
    (drop (call $output_set (i32.const 0) (i32.const 32)))
    i32.const 0))
