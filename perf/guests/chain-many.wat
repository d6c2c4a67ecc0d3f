;; Calls "noop" as often as the first byte of the input says, one after the other, and waits for
;; each.
(module $chain-many
  (import "faaslet_v1" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
  (import "faaslet_v1" "call" (func $call (param i32 i32 i32 i32) (result i32)))
  (import "faaslet_v1" "await" (func $await (param i32 i64) (result i32)))
  (import "faaslet_v1" "release" (func $release (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "noop")
  (func (export "faaslet_main") (result i32)
    (local $left i32) (local $handle i32)
    (drop (call $input_read (i32.const 0) (i32.const 0) (i32.const 1)))
    (local.set $left (i32.load8_u (i32.const 0)))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $left)))
        (local.set $handle (call $call (i32.const 16) (i32.const 4) (i32.const 0) (i32.const 0)))
        (if (i32.lt_s (local.get $handle) (i32.const 0)) (then (return (i32.const 1))))
        (if (i32.ne (call $await (local.get $handle) (i64.const -1)) (i32.const 0))
          (then (return (i32.const 2))))
        (if (i32.ne (call $release (local.get $handle)) (i32.const 0)) (then (return (i32.const 3))))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next)))
    i32.const 0))
