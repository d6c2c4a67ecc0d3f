;; Counts down from N, the input as a little-endian u32 in thousands (1 without input): a call
;; whose length the caller chooses, with nothing but the processor in it.
(module $spin
  (import "faaslet_v1" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $main (export "faaslet_main") (result i32)
    (local $left i64)
    (i32.store (i32.const 0) (i32.const 1))
    (drop (call $input_read (i32.const 0) (i32.const 0) (i32.const 4)))
    (local.set $left (i64.mul (i64.load32_u (i32.const 0)) (i64.const 1000)))
    (block $done
      (loop $next
        (br_if $done (i64.eqz (local.get $left)))
        (local.set $left (i64.sub (local.get $left) (i64.const 1)))
        (br $next)))
    i32.const 0))
