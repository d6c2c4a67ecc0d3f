;; Imports its memory instead of having one.
(module $imported_memory
  (import "env" "memory" (memory 1))
  (func (export "faaslet_main") (result i32) i32.const 0))
