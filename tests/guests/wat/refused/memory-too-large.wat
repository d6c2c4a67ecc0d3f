;; Declares a first memory of 4 GiB: more than a function can have.
(module $memory_too_large
  (memory (export "memory") 65536)
  (func (export "faaslet_main") (result i32) i32.const 0))
