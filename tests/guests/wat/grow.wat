;; Grows its memory by N pages of 64 KiB and writes at both ends of what it got. N is the input
;; as a little-endian u32, 1 without input. Fails when the memory is not of its first size, or
;; when a new page is not zero: both mean that a slot was not put back. A growth that is refused
;; is a failure too, with a message of its own.
(module $grow
  (import "faaslet_v1" "input_len" (func $input_len (result i32)))
  (import "faaslet_v1" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
  (import "faaslet_v1" "error_set" (func $error_set (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 16) "the memory still has its last size")
  (data (i32.const 64) "a new page is not zero")
  (data (i32.const 96) "growth was refused")
  (func $fail (param $text i32) (param $length i32) (result i32)
    (drop (call $error_set (local.get $text) (local.get $length)))
    i32.const 1)
  (func $main (export "faaslet_main") (result i32)
    (local $pages i32) (local $at i32) (local $end i32)
    (local.set $pages (i32.const 1))
    (if (i32.ge_u (call $input_len) (i32.const 4))
      (then
        (drop (call $input_read (i32.const 0) (i32.const 128) (i32.const 4)))
        (local.set $pages (i32.load (i32.const 128)))))
    (if (i32.ne (memory.size) (i32.const 2))
      (then (return (call $fail (i32.const 16) (i32.const 34)))))
    (local.set $at (i32.mul (memory.size) (i32.const 65536)))
    (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1))
      (then (return (call $fail (i32.const 96) (i32.const 18)))))
    (local.set $end (i32.mul (memory.size) (i32.const 65536)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (if (i64.ne (i64.load (local.get $at)) (i64.const 0))
          (then (return (call $fail (i32.const 64) (i32.const 22)))))
        (if (i64.ne (i64.load offset=65528 (local.get $at)) (i64.const 0))
          (then (return (call $fail (i32.const 64) (i32.const 22)))))
        (i64.store (local.get $at) (i64.const -1))
        (i64.store offset=65528 (local.get $at) (i64.const -1))
        (local.set $at (i32.add (local.get $at) (i32.const 65536)))
        (br $next)))
    i32.const 0))
