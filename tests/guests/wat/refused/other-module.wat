;; Imports from a module that no host here has.
(module $other_module
  (import "env" "emscripten_notify_memory_growth" (func (param i32)))
  (memory (export "memory") 1)
  (func (export "faaslet_main") (result i32) i32.const 0))
