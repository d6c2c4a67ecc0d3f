;; Input: N (u8), P (u8), S (u32, little-endian). N times: works for S steps, then, if P is 1,
;; calls "noop" twice at the same time and waits for both.
(module $chain-pair
  (import "faaslet_v1" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
  (import "faaslet_v1" "call" (func $call (param i32 i32 i32 i32) (result i32)))
  (import "faaslet_v1" "await" (func $await (param i32 i64) (result i32)))
  (import "faaslet_v1" "release" (func $release (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "noop")
  (func $begin (result i32)
    (call $call (i32.const 16) (i32.const 4) (i32.const 0) (i32.const 0)))
  (func $end (param $handle i32)
    (if (i32.lt_s (local.get $handle) (i32.const 0)) (then unreachable))
    (if (i32.ne (call $await (local.get $handle) (i64.const -1)) (i32.const 0))
      (then unreachable))
    (if (i32.ne (call $release (local.get $handle)) (i32.const 0)) (then unreachable)))
  (func $work (param $steps i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $steps)))
        (i32.store (i32.const 32) (local.get $steps))
        (local.set $steps (i32.sub (local.get $steps) (i32.const 1)))
        (br $next))))
  (func (export "faaslet_main") (result i32)
    (local $left i32) (local $first i32) (local $second i32)
    (drop (call $input_read (i32.const 0) (i32.const 0) (i32.const 6)))
    (local.set $left (i32.load8_u (i32.const 0)))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $left)))
        (call $work (i32.load align=1 (i32.const 2)))
        (if (i32.load8_u (i32.const 1))
          (then
            (local.set $first (call $begin))
            (local.set $second (call $begin))
            (call $end (local.get $first))
            (call $end (local.get $second))))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next)))
    i32.const 0))
