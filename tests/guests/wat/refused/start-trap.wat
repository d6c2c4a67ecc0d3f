;; Its start function traps, two functions deep.
(module $start_trap
  (memory (export "memory") 1)
  (func $deep unreachable)
  (func $begin (call $deep))
  (start $begin)
  (func (export "faaslet_main") (result i32) i32.const 0))
