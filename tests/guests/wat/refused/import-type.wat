;; Imports a host call with a type that is not its own.
(module $import_type
  (import "faaslet_v1" "input_len" (func (param i64) (result i32)))
  (memory (export "memory") 1)
  (func (export "faaslet_main") (result i32) i32.const 0))
