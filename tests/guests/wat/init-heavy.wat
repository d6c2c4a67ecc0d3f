;; Fills 2 MiB of memory at initialisation by eight million steps of a generator, and answers one
;; word of it (8 bytes): dear to initialise, nothing to call. The word is the same each time.
(module $init_heavy
  (import "faaslet_v1" "output_set" (func $output_set (param i32 i32) (result i32)))
  (memory (export "memory") 33)
  (global $ready (mut i32) (i32.const 0))
  (func $init (export "faaslet_init")
    (local $at i32) (local $word i64) (local $steps i32)
    (local.set $at (i32.const 65536))
    (local.set $word (i64.const 88172645463325252))
    (loop $words
      (local.set $steps (i32.const 32))
      (loop $mix
        (local.set $word (i64.xor (local.get $word) (i64.shl (local.get $word) (i64.const 13))))
        (local.set $word (i64.xor (local.get $word) (i64.shr_u (local.get $word) (i64.const 7))))
        (local.set $word (i64.xor (local.get $word) (i64.shl (local.get $word) (i64.const 17))))
        (br_if $mix (local.tee $steps (i32.sub (local.get $steps) (i32.const 1)))))
      (i64.store (local.get $at) (local.get $word))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $words (i32.lt_u (local.get $at) (i32.const 2162688))))
    (global.set $ready (i32.const 1)))
  (func $main (export "faaslet_main") (result i32)
    (if (i32.eqz (global.get $ready)) (then (return (i32.const 1))))
    (drop (call $output_set (i32.const 2162680) (i32.const 8)))
    i32.const 0))
