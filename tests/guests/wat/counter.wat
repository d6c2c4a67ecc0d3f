;; Counts its calls in memory and in a global. The output is both counts as
;; digits, so anything but "11" means that a call saw what another one left.
(module $counter
  (import "faaslet_v1" "output_set" (func $output_set (param i32 i32) (result i32)))
  (memory (export "memory") 17)
  (data (i32.const 4096) "00")
  (global $count (mut i32) (i32.const 48))
  (func $main (export "faaslet_main") (result i32)
    (i32.store8 (i32.const 4096) (i32.add (i32.load8_u (i32.const 4096)) (i32.const 1)))
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (i32.store8 (i32.const 4097) (global.get $count))
    (drop (call $output_set (i32.const 4096) (i32.const 2)))
    i32.const 0))
