;; Its initialisation traps, two functions deep.
(module $init_trap
  (memory (export "memory") 1)
  (func $deep unreachable)
  (func $init (export "faaslet_init") (call $deep))
  (func (export "faaslet_main") (result i32) i32.const 0))
