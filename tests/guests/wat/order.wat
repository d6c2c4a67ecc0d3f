;; Every entry appends its letter to a text in memory, which main answers: s start function,
;; i _initialize, f faaslet_init, w faaslet_warm, r faaslet_after_restore, m faaslet_main.
;; Forked it is "sifrm", or "sifwrm" if what warm writes is kept in the image.
(module $order
  (import "faaslet_v1" "output_set" (func $output_set (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $length (mut i32) (i32.const 0))
  (func $letter (param $letter i32)
    (i32.store8 (global.get $length) (local.get $letter))
    (global.set $length (i32.add (global.get $length) (i32.const 1))))
  (func $begin (call $letter (i32.const 115)))
  (start $begin)
  (func (export "_initialize") (call $letter (i32.const 105)))
  (func (export "faaslet_init") (call $letter (i32.const 102)))
  (func (export "faaslet_warm") (call $letter (i32.const 119)))
  (func (export "faaslet_after_restore") (call $letter (i32.const 114)))
  (func (export "faaslet_main") (result i32)
    (call $letter (i32.const 109))
    (drop (call $output_set (i32.const 0) (global.get $length)))
    i32.const 0))
