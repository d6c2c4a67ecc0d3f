;; Has a memory shared between threads.
(module $shared_memory
  (memory (export "memory") 1 2 shared)
  (func (export "faaslet_main") (result i32) i32.const 0))
