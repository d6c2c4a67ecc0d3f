;; Puts a function from outside into a global.
(module $outside_function_global
  (import "faaslet_v1" "input_len" (func $input_len (result i32)))
  (memory (export "memory") 1)
  (global $callee (mut funcref) (ref.null func))
  (elem declare func $input_len)
  (func $init (export "faaslet_init") (global.set $callee (ref.func $input_len)))
  (func (export "faaslet_main") (result i32) (ref.is_null (global.get $callee))))
