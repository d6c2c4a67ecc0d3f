;; Imports a host call that does not exist; input_len is the nearest one that does.
(module $unknown_import
  (import "faaslet_v1" "inptu_len" (func (result i32)))
  (memory (export "memory") 1)
  (func (export "faaslet_main") (result i32) i32.const 0))
