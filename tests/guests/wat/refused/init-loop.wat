;; Its initialisation never ends.
(module $init_loop
  (memory (export "memory") 1)
  (func $init (export "faaslet_init") (loop $again (br $again)))
  (func (export "faaslet_main") (result i32) i32.const 0))
