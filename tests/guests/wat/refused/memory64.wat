;; Has a memory of 64-bit addresses.
(module $memory64
  (memory (export "memory") i64 1)
  (func (export "faaslet_main") (result i32) i32.const 0))
