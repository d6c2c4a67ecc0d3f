;; Answers its input, read in pieces of 64 KiB so that input of any length passes.
(module $echo
  (import "faaslet_v1" "input_len" (func $input_len (result i32)))
  (import "faaslet_v1" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
  (import "faaslet_v1" "output_append" (func $output_append (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func $main (export "faaslet_main") (result i32)
    (local $offset i32) (local $copied i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $offset) (call $input_len)))
        (local.set $copied
          (call $input_read (local.get $offset) (i32.const 65536) (i32.const 65536)))
        (if (i32.le_s (local.get $copied) (i32.const 0)) (then (return (i32.const 1))))
        (if (i32.lt_s (call $output_append (i32.const 65536) (local.get $copied)) (i32.const 0))
          (then (return (i32.const 2))))
        (local.set $offset (i32.add (local.get $offset) (local.get $copied)))
        (br $next)))
    i32.const 0))
