;; Writes one word on each of N pages of 4 KiB, after it has seen that the word is zero: a page
;; that an earlier call wrote fails the call. N is the input as a little-endian u32, 3 without
;; input; at most 1,024 pages (4 MiB). dirty_3, dirty_16 and dirty_200 take no input.
(module $dirty
  (import "faaslet_v1" "input_len" (func $input_len (result i32)))
  (import "faaslet_v1" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
  (import "faaslet_v1" "error_set" (func $error_set (param i32 i32) (result i32)))
  (memory (export "memory") 66)
  (data (i32.const 16) "a page holds what another call wrote")
  (data (i32.const 64) "more than 1024 pages asked for")
  (func $touch (param $pages i32) (result i32)
    (local $at i32)
    (local.set $at (i32.const 65536))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $pages)))
        (if (i64.ne (i64.load (local.get $at)) (i64.const 0))
          (then (drop (call $error_set (i32.const 16) (i32.const 36))) (return (i32.const 1))))
        (i64.store (local.get $at) (i64.const 0x6469727479706167))
        (local.set $at (i32.add (local.get $at) (i32.const 4096)))
        (local.set $pages (i32.sub (local.get $pages) (i32.const 1)))
        (br $next)))
    i32.const 0)
  (func (export "dirty_3") (result i32) (call $touch (i32.const 3)))
  (func (export "dirty_16") (result i32) (call $touch (i32.const 16)))
  (func (export "dirty_200") (result i32) (call $touch (i32.const 200)))
  (func $main (export "faaslet_main") (result i32)
    (local $pages i32)
    (local.set $pages (i32.const 3))
    (if (i32.ge_u (call $input_len) (i32.const 4))
      (then
        (drop (call $input_read (i32.const 0) (i32.const 128) (i32.const 4)))
        (local.set $pages (i32.load (i32.const 128)))
        (i32.store (i32.const 128) (i32.const 0))))
    (if (i32.gt_u (local.get $pages) (i32.const 1024))
      (then (drop (call $error_set (i32.const 64) (i32.const 30))) (return (i32.const 1))))
    (call $touch (local.get $pages))))
