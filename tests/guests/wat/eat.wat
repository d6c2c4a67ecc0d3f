;; Grows its memory a page at a time, writing each, until it is refused; then answers how many
;; pages it got, as a little-endian u32.
(module $eat
  (import "faaslet_v1" "output_set" (func $output_set (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $main (export "faaslet_main") (result i32)
    (local $page i32)
    (block $full
      (loop $next
        (local.set $page (memory.grow (i32.const 1)))
        (br_if $full (i32.eq (local.get $page) (i32.const -1)))
        (i32.store (i32.mul (local.get $page) (i32.const 65536)) (local.get $page))
        (i32.store (i32.const 0) (memory.size))
        (br $next)))
    (drop (call $output_set (i32.const 0) (i32.const 4)))
    i32.const 0))
